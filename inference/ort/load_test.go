package ort_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference/ort"
	"focal/models"
)

func TestLoad_NamesABadFile(t *testing.T) {
	good := model(t, "ultralight_rfb_320")
	data, err := os.ReadFile(good.Path)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	garbage := make([]byte, 4096)
	for i := range garbage {
		garbage[i] = byte(i * 31)
	}
	tests := []struct {
		name, path string
		want       fault.Kind
	}{
		{"missing", filepath.Join(folder, "none.onnx"), fault.NotFound},
		{"folder", folder, fault.Corrupt},
		{"empty", write("empty", nil), fault.Corrupt},
		{"garbage", write("garbage", garbage), fault.Corrupt},
		{"truncated", write("truncated", data[:len(data)/2]), fault.Corrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := good
			m.Path = tt.path
			_, err := engine.Load(t.Context(), m)
			if !fault.Is(err, tt.want) {
				t.Errorf("got kind %v, want %v: %v", fault.KindOf(err), tt.want, err)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
		})
	}
}

func TestLoad_ComparesPortsWithTheManifest(t *testing.T) {
	tests := map[string]func(*models.Model){
		"an output too many": func(m *models.Model) { m.Outputs = append(m.Outputs, m.Outputs[0]) },
		"an input too many":  func(m *models.Model) { m.Inputs = append(m.Inputs, m.Inputs[0]) },
		"no outputs":         func(m *models.Model) { m.Outputs = nil },
		"outputs swapped":    func(m *models.Model) { m.Outputs = []models.Port{m.Outputs[1], m.Outputs[0]} },
		"rank":               func(m *models.Model) { m.Inputs = []models.Port{{Shape: []int64{-1, 3, 240}}} },
		"known axis":         func(m *models.Model) { m.Inputs = []models.Port{{Shape: []int64{-1, 3, 240, 640}}} },
		"free axis":          func(m *models.Model) { m.Inputs = []models.Port{{Shape: []int64{-1, 3, -1, 320}}} },
		"type":               func(m *models.Model) { m.Inputs = []models.Port{{Type: "uint8", Shape: []int64{-1, 3, 240, 320}}} },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			m := model(t, "ultralight_rfb_320")
			change(&m)
			if _, err := engine.Load(t.Context(), m); !fault.Is(err, fault.Unsupported) {
				t.Errorf("got %v, want fault.Unsupported", err)
			}
		})
	}
}

func TestLoad_BindsByPositionAndLeavesFurtherOutputs(t *testing.T) {
	m := model(t, "retinaface_mobilenet025")
	m.Inputs[0].Name, m.Outputs = "another", m.Outputs[:2]
	out := run(t, load(t, m), noise(1, 1, 3, 64, 64))
	if len(out) != 2 || out[1].Shape[2] != 2 {
		t.Errorf("%d outputs", len(out))
	}
}

func TestLoad_StopsForAContextThatHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := engine.Load(ctx, model(t, "ultralight_rfb_320")); !fault.Is(err, fault.Canceled) {
		t.Errorf("got %v, want fault.Canceled", err)
	}
}

func TestOpen_RefusesASecondTime(t *testing.T) {
	c := ort.DefaultConfig()
	c.Library = filepath.Join("..", "..", ".deps", "lib", "libonnxruntime.so")
	if _, err := ort.Open(c); err == nil {
		t.Error("opened twice")
	}
}

func TestFindLibrary_SaysHowToGetOne(t *testing.T) {
	_, err := ort.FindLibrary(filepath.Join(t.TempDir(), "none.so"), "cpu")
	if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "scripts/run") {
		t.Errorf("got %v", err)
	}
}

func TestFindLibrary_LooksInTheWorkingDirectory(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	want := filepath.Join(folder, ".deps", "lib", "libonnxruntime.so")
	if err := errors.Join(os.MkdirAll(filepath.Dir(want), 0o755), os.WriteFile(want, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got, err := ort.FindLibrary("", "cpu"); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestConfig_RefusesWhatCannotWork(t *testing.T) {
	for name, change := range map[string]func(*ort.Config){
		"threads": func(c *ort.Config) { c.Threads = 0 },
		"arena":   func(c *ort.Config) { c.Arena = -1 },
		"device":  func(c *ort.Config) { c.Device = "tpu" },
		"card":    func(c *ort.Config) { c.Device = "cuda:-1" },
		"memory":  func(c *ort.Config) { c.CardMemory = -1 },
		"engines": func(c *ort.Config) { c.TensorRT = true },
		"graph":   func(c *ort.Config) { c.CUDA = map[string]string{"enable_cuda_graph": "1"} },
		"stream":  func(c *ort.Config) { c.CUDA = map[string]string{"user_compute_stream": "1234"} },
	} {
		c := ort.DefaultConfig()
		change(&c)
		if _, err := ort.Open(c); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want fault.Invalid", name, err)
		}
	}
}

// Who waits for a model that had to leave waits for one run, not for two.
func TestLoad_RunsAFileForNobodyOnlyOnce(t *testing.T) {
	m := model(t, "ultralight_rfb_320")
	data, err := os.ReadFile(m.Path)
	if err != nil {
		t.Fatal(err)
	}
	m.File = sha256.Sum256(data)
	if engine.Proven(m) {
		t.Fatal("a file that was never loaded counts as one that runs")
	}
	in := []models.Tensor{{Shape: []int64{1, 3, 240, 320}, Data: make([]float32, 3*240*320)}}
	for i := range in[0].Data {
		in[0].Data[i] = float32(i%255) / 255
	}
	var first []models.Tensor
	for round := range 2 {
		s := load(t, m)
		if !engine.Proven(m) && *device == "cpu" {
			t.Error("a file that was loaded does not count as one that runs")
		}
		got, err := s.Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			first = got
		} else if !reflect.DeepEqual(got, first) {
			t.Error("loaded again, it answers otherwise")
		}
	}
	other := m
	other.Outputs = m.Outputs[:1]
	if engine.Proven(other) {
		t.Error("what was proven of one manifest counts for another")
	}
	other = m
	other.File = pixel.Digest{}
	if load(t, other); engine.Proven(other) {
		t.Error("a file without a digest counts as one that runs")
	}
}

// ONNX Runtime keeps one plan of memory for all squares: the first one's.
func TestLoad_LeavesThePlanOfSquaresToTheFirstPicture(t *testing.T) {
	tests := []struct {
		model string
		limit int // of the canvases; 0: the model's own
		want  []int64
	}{
		{"yunet_n", 0, []int64{1, 3, 256, 512}},
		{"yunet_n", 256, []int64{1, 3, 256, 256}}, // there is no other canvas
		{"u2netp", 0, []int64{1, 3, 320, 320}},    // nor shape
	}
	for _, tt := range tests {
		m := model(t, tt.model)
		if tt.limit > 0 {
			m.Canvases.Max = tt.limit
		}
		s, err := engine.Load(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if got := ort.Least(s); !reflect.DeepEqual(got, [][]int64{tt.want}) {
			t.Errorf("%s, canvases up to %d: warmed up with %v, want %v", tt.model, m.Canvases.Max, got, tt.want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
