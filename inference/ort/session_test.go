package ort_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"focal/core/fault"
	"focal/inference"
	"focal/inference/enginetest"
	"focal/inference/ort"
	"focal/models"
)

// engine is opened once, as ONNX Runtime demands. Its arena is small enough
// for a batch of U²-Net-p to hit.
var engine *ort.Engine

const arena = 1 << 30

// These have the suite run on a card: go test ./inference/ort -args -device=cuda.
var (
	device  = flag.String("device", "cpu", "cpu, cuda or cuda:N")
	library = flag.String("library", filepath.Join("..", "..", ".deps", "lib", "libonnxruntime.so"), "ONNX Runtime")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		config := ort.DefaultConfig()
		config.Library, config.Device = *library, *device
		config.Arena, config.CardMemory = arena, arena
		config.CUDA = map[string]string{"use_tf32": "0"} // the golden numbers are of whole floats
		var err error
		if engine, err = ort.Open(config); err != nil {
			fmt.Fprintf(os.Stderr, "%v (scripts/deps fetches it)\n", err)
			return 1
		}
		code := m.Run()
		if n := engine.Live(); n != 0 {
			fmt.Fprintf(os.Stderr, "%d C objects left alive\n", n)
			return 1
		}
		return code
	}())
}

// model describes a supplied file, as shared/models/README.md does.
func model(t testing.TB, name string) models.Model {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "models", name+".onnx")
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs ../shared: models/" + name + ".onnx")
	}
	image := func(h, w int64) []models.Port {
		return []models.Port{{Name: "input", Shape: []int64{-1, 3, h, w}}}
	}
	list := func(values ...int64) []models.Port {
		ports := make([]models.Port, len(values))
		for i, v := range values {
			ports[i] = models.Port{Shape: []int64{-1, -1, v}}
		}
		return ports
	}
	mask := []models.Port{{Name: "mask", Shape: []int64{-1, 1, -1, -1}}}
	m := models.Model{Path: path}
	m.Name = name
	switch name {
	case "retinaface_mobilenet025":
		m.Inputs, m.Outputs = image(-1, -1), list(4, 2, 10)
		m.Canvases = models.Canvases{Step: 256, Max: 1024}
		m.Session.MemoryPattern = true
	case "yunet_n":
		m.Inputs, m.Outputs = image(-1, -1), list(1, 1, 1, 1, 1, 1, 4, 4, 4, 10, 10, 10)
		m.Canvases = models.Canvases{Step: 256, Max: 1024}
	case "ultralight_rfb_320":
		m.Inputs, m.Outputs = image(240, 320), list(2, 4)
	case "ultralight_rfb_640":
		m.Inputs, m.Outputs = image(480, 640), list(2, 4)
	case "u2netp":
		m.Inputs, m.Outputs = image(-1, -1), mask
		m.Recipe.Width, m.Recipe.Height = 320, 320
	case "prisma_portrait":
		m.Inputs, m.Outputs = image(-1, -1), mask
		m.Recipe.Width, m.Recipe.Height = 256, 256
	case "nsfw_mobilenetv2":
		m.Inputs, m.Outputs = image(224, 224), []models.Port{{Shape: []int64{-1, 5}}}
	default:
		t.Fatalf("no model %s", name)
	}
	return m
}

func load(t testing.TB, m models.Model) inference.Session {
	t.Helper()
	s, err := engine.Load(t.Context(), m)
	return closing(t, s, err)
}

func run(t testing.TB, s inference.Session, in models.Tensor) []models.Tensor {
	t.Helper()
	out, err := s.Run(t.Context(), []models.Tensor{in})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// noise is an input that differs in every place.
func noise(seed uint64, shape ...int64) models.Tensor {
	random := rand.New(rand.NewPCG(seed, 1))
	t := models.Tensor{Shape: shape, Data: make([]float32, models.Elements(shape))}
	for i := range t.Data {
		t.Data[i] = float32(random.NormFloat64())
	}
	return t
}

func TestEngine_KeepsThePromisesOfAnEngine(t *testing.T) {
	bad := model(t, "ultralight_rfb_320")
	whole, err := os.ReadFile(bad.Path)
	if err != nil {
		t.Fatal(err)
	}
	bad.Path = filepath.Join(t.TempDir(), "truncated.onnx")
	if err := os.WriteFile(bad.Path, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	enginetest.Run(t, enginetest.Bench{Engine: engine, Good: model(t, "ultralight_rfb_320"), Bad: bad, Outputs: 2, Input: func(n int) []models.Tensor {
		return []models.Tensor{noise(9, int64(n), 3, 240, 320)} // drawn in order: item i is the same in every batch
	}})
}

func TestSession_BatchOfThreeEqualsAlone(t *testing.T) {
	for name, side := range map[string]int64{"retinaface_mobilenet025": 256, "u2netp": 320, "yunet_n": 256} {
		t.Run(name, func(t *testing.T) {
			s := load(t, model(t, name))
			batch := noise(7, 3, 3, side, side)
			together := run(t, s, batch)
			each := len(batch.Data) / 3
			for n := range 3 {
				alone := run(t, s, models.Tensor{Shape: []int64{1, 3, side, side}, Data: batch.Data[n*each : (n+1)*each]})
				for i, a := range alone {
					part := together[i].Data[n*len(a.Data) : (n+1)*len(a.Data)]
					for k := range a.Data {
						if math.Abs(float64(a.Data[k]-part[k])) > 1e-5 {
							t.Fatalf("picture %d, output %d, value %d: %v alone, %v in the batch", n, i, k, a.Data[k], part[k])
						}
					}
				}
			}
		})
	}
}

func TestSession_RunsSideBySide(t *testing.T) {
	s := load(t, model(t, "retinaface_mobilenet025"))
	var wg sync.WaitGroup
	for i := range uint64(4) {
		in := noise(i, 1, 3, 256, 256)
		want := run(t, s, in)
		wg.Go(func() {
			for range 3 {
				got, err := s.Run(context.Background(), []models.Tensor{in})
				if err != nil {
					t.Error(err)
					return
				}
				if !slices.Equal(got[1].Data, want[1].Data) {
					t.Errorf("input %d: another answer beside other runs", i)
				}
			}
		})
	}
	wg.Wait()
}

func TestSession_RefusesWhatDoesNotFit(t *testing.T) {
	s := load(t, model(t, "ultralight_rfb_320"))
	good := noise(1, 1, 3, 240, 320)
	tests := map[string][]models.Tensor{
		"no input":       nil,
		"two inputs":     {good, good},
		"another size":   {noise(1, 1, 3, 320, 240)},
		"another rank":   {noise(1, 3, 240, 320)},
		"values missing": {{Shape: good.Shape, Data: good.Data[1:]}},
		"empty batch":    {{Shape: []int64{0, 3, 240, 320}}},
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Run(t.Context(), in); !fault.Is(err, fault.Invalid) {
				t.Errorf("got %v, want fault.Invalid", err)
			}
		})
	}
	run(t, s, good)
}

func TestSession_FullArenaIsBusyAndASmallerBatchStillRuns(t *testing.T) {
	s := load(t, model(t, "u2netp"))
	_, err := s.Run(t.Context(), []models.Tensor{noise(1, 8, 3, 320, 320)})
	if !fault.Is(err, fault.Busy) {
		t.Fatalf("a batch of 8 in %d MiB gave %v, want fault.Busy", arena>>20, err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of several lines: %q", err)
	}
	run(t, s, noise(1, 1, 3, 320, 320))
}

func TestSession_LeavesNothingInTheArenaWhereThereIsNoRoom(t *testing.T) {
	for name, in := range map[string]models.Tensor{
		"u2netp":                  noise(1, 2, 3, 320, 320),
		"retinaface_mobilenet025": noise(1, 4, 3, 1024, 1024),
		"yunet_n":                 noise(1, 4, 3, 1024, 1024),
	} {
		t.Run(name, func(t *testing.T) {
			s := load(t, model(t, name))
			before := engine.Used()
			if before < 0 {
				t.Skip("this C library does not say what its heap holds")
			}
			within(t, s, in, inference.Room{})
			// A run takes more than 100 MB.
			if kept := engine.Used() - before; kept > 1<<20 {
				t.Errorf("%d KiB stay after a run", kept>>10)
			}
		})
	}
}

// The numbers are those of the manifests, which were measured from outside: by
// how much the process's peak resident size grew over a run.
func TestSession_MeasuresWhatARunHolds(t *testing.T) {
	if engine.Used() < 0 {
		t.Skip("this C library does not say what its heap holds")
	}
	for _, c := range []struct {
		name  string
		in    models.Tensor
		bytes float64
	}{
		{"u2netp", noise(1, 1, 3, 320, 320), 245e6},
		{"retinaface_mobilenet025", noise(1, 1, 3, 1024, 1024), 38e6},
		{"prisma_portrait", noise(1, 1, 3, 256, 256), 18e6},
	} {
		s := load(t, model(t, c.name))
		held := within(t, s, c.in, inference.Room{})
		t.Logf("%s held %.1f MB", c.name, float64(held)/1e6)
		if got := float64(held); got < 0.6*c.bytes || got > 1.4*c.bytes {
			t.Errorf("%s held %.0f MB, measured from outside %.0f MB", c.name, got/1e6, c.bytes/1e6)
		}
	}
}

// One planned block for all that a batch holds has another size than what is taken
// piece by piece: so it shows that the manifest's switch arrives.
func TestSession_PlansMemoryWhereTheManifestSaysSo(t *testing.T) {
	if engine.Provider() != "cpu" {
		return // a card's arena keeps what runs have taken, and says nothing of one of them
	}
	held := map[bool]int64{}
	for _, planned := range []bool{false, true} {
		m := model(t, "prisma_portrait")
		m.Session.MemoryPattern = planned
		s := load(t, m)
		run(t, s, noise(1, 2, 3, 256, 256)) // the plan is made of the first run
		held[planned] = within(t, s, noise(1, 2, 3, 256, 256), inference.Room{})
	}
	t.Logf("a batch of two holds %d MB without a plan, %d MB with one", held[false]/1e6, held[true]/1e6)
	if min(held[false], held[true]) <= 0 || 10*max(held[false], held[true]) < 11*min(held[false], held[true]) {
		t.Errorf("a batch of two holds %d bytes without a plan and %d with one: want them apart", held[false], held[true])
	}
}

func TestSession_StopsWhenTheContextEnds(t *testing.T) {
	s := load(t, model(t, "u2netp"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond) // a run takes ten times that
	defer cancel()
	if _, err := s.Run(ctx, []models.Tensor{noise(1, 1, 3, 320, 320)}); !fault.Is(err, fault.Timeout) {
		t.Errorf("got %v, want fault.Timeout", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Run(cancelled, []models.Tensor{noise(1, 1, 3, 320, 320)}); !fault.Is(err, fault.Canceled) {
		t.Errorf("got %v, want fault.Canceled", err)
	}
	run(t, s, noise(1, 1, 3, 320, 320))
}

func TestSession_RunAfterCloseIsAnError(t *testing.T) {
	s := load(t, model(t, "ultralight_rfb_320"))
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(t.Context(), []models.Tensor{noise(1, 1, 3, 240, 320)}); err == nil {
		t.Error("a closed session ran")
	}
}

func TestEngine_MeasuresWhatALoadedModelHolds(t *testing.T) {
	m := model(t, "nsfw_mobilenetv2")
	info, err := os.Stat(m.Path)
	if err != nil {
		t.Fatal(err)
	}
	before := engine.Used()
	if before < 0 {
		t.Skip("this C library does not say what its heap holds")
	}
	s, err := engine.Load(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	// Weights as in the file, some of them packed a second time.
	if rest := s.Rest(); rest < info.Size()/2 || rest > 4*info.Size() {
		t.Errorf("rest is %d, the file has %d bytes", rest, info.Size())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left := engine.Used() - before; left > info.Size()/4 {
		t.Errorf("%d bytes stay after closing", left)
	}
}

// With room for it the memory of a run is kept for the next; without, every run
// asks the system for it.
func BenchmarkRun(b *testing.B) {
	rooms := map[string]inference.Room{"kept": {Run: 400 << 20, All: 800 << 20}, "fresh": {}}
	for _, c := range []struct {
		name  string
		batch int64
		side  int64
	}{
		{"retinaface_mobilenet025", 1, 256}, {"retinaface_mobilenet025", 1, 1024}, {"retinaface_mobilenet025", 4, 1024},
		{"yunet_n", 1, 1024}, {"u2netp", 1, 320}, {"prisma_portrait", 1, 256}, {"prisma_portrait", 4, 256},
	} {
		for name, room := range rooms {
			b.Run(fmt.Sprintf("%s/%d/%d/%s", c.name, c.side, c.batch, name), func(b *testing.B) {
				s, in := load(b, model(b, c.name)), noise(1, c.batch, 3, c.side, c.side)
				for range 4 { // the first ones are measured, in an arena with nothing in it
					within(b, s, in, room)
				}
				for b.Loop() {
					within(b, s, in, room)
				}
				b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/float64(c.batch), "ms/picture")
			})
		}
	}
}
