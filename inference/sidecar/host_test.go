package sidecar_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"testing"

	"focal/core/pixel"
	"focal/inference"
	"focal/inference/clienttest"
	"focal/inference/fake"
	"focal/inference/host"
	"focal/inference/sidecar"
	"focal/models"
)

// shelf is a repository of two models.
type shelf []models.Model

func (s shelf) Models() ([]models.Model, error) { return s, nil }

func (s shelf) Default(task models.Task, _ string) (string, bool) {
	for _, m := range s {
		if m.Task == task {
			return m.Name, true
		}
	}
	return "", false
}

// whole hands the picture's bytes to an engine that echoes them.
type whole struct{}

func (whole) Prepare(look pixel.Buffer) (models.Prepared, error) {
	t := models.Tensor{Shape: []int64{1, int64(len(look.Pix))}}
	return models.Prepared{Tensor: t, Picture: look, Canvas: look.Size(), Inner: look.Size()}, nil
}

func (whole) Fill(p models.Prepared, into []float32) {
	for i, v := range p.Picture.Pix {
		into[i] = float32(v)
	}
}

// finder reads three faces off the echo, by falling score.
type finder struct{ whole }

func (finder) Decode(_ models.Prepared, out []models.Tensor) ([]pixel.Face, error) {
	at := func(i int) float64 { return float64(out[0].Data[i]) / 257 }
	var faces []pixel.Face
	for i, score := range []float64{0.9, 0.6, 0.3} {
		box := pixel.Box{X: at(i), Y: at(i + 1), W: at(i+2) / 3, H: at(i+3) / 7}
		faces = append(faces, pixel.Face{Box: box, Score: score, Landmarks: []pixel.Point{{X: at(i + 4), Y: at(i + 5)}}})
	}
	return faces, nil
}

// cutter reads a mask off the echo.
type cutter struct{ whole }

func (cutter) Decode(_ models.Prepared, out []models.Tensor) (pixel.Mask, error) {
	m := pixel.Mask{Width: 4, Height: 2}
	for _, v := range out[0].Data[:8] {
		m.Pix = append(m.Pix, byte(v))
	}
	return m, nil
}

// newHost is the real host on the scripted engine.
func newHost(t *testing.T) *host.Host {
	t.Helper()
	return hostOn(t, fake.New("cpu"), models.Port{Name: "in", Shape: []int64{-1, -1}}, nil)
}

// hostOn is the real host on an engine whose models echo; data is their file.
func hostOn(t *testing.T, engine inference.Engine, port models.Port, data []byte) *host.Host {
	t.Helper()
	model := func(name string, task models.Task) models.Model {
		return models.Model{
			Manifest: models.Manifest{
				Name: name, Task: task, MaxBatch: 8, Memory: models.Memory{Rest: 100, Run: 10},
				Inputs: []models.Port{port}, Outputs: []models.Port{port},
				Defaults: models.Defaults{Threshold: 0.5},
			},
			Version: "1", File: pixel.Digest{byte(len(name))}, Data: data,
		}
	}
	cfg := host.DefaultConfig()
	cfg.Budget, cfg.Log = 1<<20, slog.New(slog.DiscardHandler)
	cfg.Adapters = host.Adapters{
		Face:       func(models.Manifest) (models.Adapter[[]pixel.Face], error) { return finder{}, nil },
		Foreground: func(models.Manifest) (models.Adapter[pixel.Mask], error) { return cutter{}, nil },
	}
	h, err := host.New(cfg, engine, shelf{model("detector", models.TaskFace), model("cutter", models.TaskForeground)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close host: %v", err)
		}
	})
	return h
}

func TestHost_KeepsThePromisesOfAClient(t *testing.T) {
	t.Run("InProcess", func(t *testing.T) {
		clienttest.Run(t, func(t *testing.T) inference.Client { return newHost(t) })
	})
	t.Run("OverTheSocket", func(t *testing.T) {
		clienttest.Run(t, func(t *testing.T) inference.Client {
			h := newHost(t) // closed after the server
			return dial(t, serve(t, sidecar.DefaultConfig(), h, nil).socket, "")
		})
	})
	t.Run("OnONNXRuntime", func(t *testing.T) {
		engine, err := runtime()
		if err != nil {
			t.Fatalf("%v (scripts/deps fetches it)", err)
		}
		look := models.Port{Name: "in", Shape: []int64{-1, 32 * 24 * 3}}
		clienttest.Run(t, func(t *testing.T) inference.Client {
			h := hostOn(t, engine, look, echo("in", look.Shape[1]))
			return dial(t, serve(t, sidecar.DefaultConfig(), h, nil).socket, "")
		})
		if n := engine.Live(); n != 0 {
			t.Errorf("%d C objects left alive", n)
		}
	})
}

// echo is an ONNX file, written by the fields of its protocol buffer: one node
// that gives rows of n numbers away as they came.
func echo(input string, n int64) []byte {
	number := func(tag byte, v int64) []byte { return binary.AppendUvarint([]byte{tag << 3}, uint64(v)) }
	field := func(tag byte, parts ...[]byte) []byte {
		all := bytes.Join(parts, nil)
		return append(binary.AppendUvarint([]byte{tag<<3 | 2}, uint64(len(all))), all...)
	}
	text := func(tag byte, s string) []byte { return field(tag, []byte(s)) }
	port := func(tag byte, name string) []byte { // a float tensor of [batch, n]
		shape := field(2, field(1, text(2, "batch")), field(1, number(1, n)))
		return field(tag, text(1, name), field(2, field(1, number(1, 1), shape)))
	}
	node := field(1, text(1, input), text(2, "out"), text(4, "Identity"))
	graph := field(7, node, text(2, "echo"), port(11, input), port(12, "out"))
	return bytes.Join([][]byte{number(1, 8), graph, field(8, number(2, 13))}, nil) // IR 8, operators 13
}
