package sidecar_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"focal/core/pixel"
	"focal/inference/fake"
	"focal/inference/host"
	"focal/inference/sidecar"
	"focal/models"
)

// What a raw tensor costs on its way from the socket to the engine and back, with an
// engine that takes no time: a picture of 320² in, a map of its size out, or seven as
// U²-Net has. Clients are in this process: a third of the time is theirs.
//
//	go test -run '^$' -bench Tensors ./inference/sidecar
func BenchmarkServer_Tensors(b *testing.B) {
	const side = 320
	m := models.Model{Version: "1", Manifest: models.Manifest{
		Name: "maps", Task: models.TaskForeground, MaxBatch: 32, Memory: models.Memory{Rest: 1, Run: 1},
		Inputs: []models.Port{{Name: "in", Shape: []int64{-1, 3, side, side}}},
	}}
	for i := range 7 {
		m.Outputs = append(m.Outputs, models.Port{Name: fmt.Sprint("d", i), Shape: []int64{-1, 1, side, side}})
	}
	engine := fake.New("cpu")
	engine.Set(m.Name, fake.Script{Answer: func(in []models.Tensor) ([]models.Tensor, error) {
		n := in[0].Shape[0]
		out := make([]models.Tensor, len(m.Outputs))
		for i := range out {
			out[i] = models.Tensor{Shape: []int64{n, 1, side, side}, Data: make([]float32, n*side*side)}
		}
		return out, nil
	}})
	c := host.DefaultConfig()
	c.Slots, c.QueueLimit, c.Log = 2, 1000, slog.New(slog.DiscardHandler)
	c.Adapters = host.Adapters{
		Face:       func(models.Manifest) (models.Adapter[[]pixel.Face], error) { return finder{}, nil },
		Foreground: func(models.Manifest) (models.Adapter[pixel.Mask], error) { return cutter{}, nil },
	}
	h, err := host.New(c, engine, shelf{m})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := h.Close(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	})
	at := serve(b, sidecar.DefaultConfig(), h, nil)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(at.socket, "unix:"))
	}}}
	for _, outputs := range []string{`"outputs":[{"name":"d0","parameters":{"binary_data":true}}]`, `"parameters":{"binary_data_output":true}`} {
		head := fmt.Sprintf(`{"inputs":[{"name":"in","shape":[1,3,%d,%d],"datatype":"FP32","parameters":{"binary_data_size":%d}}],%s}`, side, side, 3*side*side*4, outputs)
		body := append([]byte(head), make([]byte, 3*side*side*4)...)
		b.Run(map[bool]string{true: "one map", false: "seven"}[strings.Contains(outputs, "d0")], func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := postTensors(b.Context(), client, body, len(head)); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pictures/s")
		})
	}
}

func postTensors(ctx context.Context, client *http.Client, body []byte, head int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sidecar/v2/models/maps/infer", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Inference-Header-Content-Length", fmt.Sprint(head))
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answers %d: %w", answer.StatusCode, err)
	}
	return nil
}
