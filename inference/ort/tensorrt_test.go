package ort

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"focal/core/pixel"
	"focal/models"
)

// The shapes are those of RetinaFace's canvases and of a U²-Net whose sides the
// recipe gives.
func TestTensorRT_BuildsForEveryShapeThatCanCome(t *testing.T) {
	c := &card{config: Config{EngineCache: "/engines"}, name: "NVIDIA H100 80GB HBM3", tensorRT: 101401}
	free := models.Model{Manifest: models.Manifest{Name: "face", MaxBatch: 8, Canvases: models.Canvases{Step: 256, Max: 1024},
		Inputs: []models.Port{{Name: "input", Shape: []int64{-1, 3, -1, -1}}}}}
	fixed := models.Model{Manifest: models.Manifest{Name: "mask", MaxBatch: 4, Recipe: models.Recipe{Width: 320, Height: 320},
		Inputs: []models.Port{{Name: "input", Shape: []int64{-1, 3, -1, -1}}}}}
	fixed.Session.TensorRT = map[string]string{"trt_fp16_enable": "1"}
	for _, step := range []struct {
		m    models.Model
		want []string
	}{
		{free, []string{"trt_profile_min_shapes=x:1x3x256x256", "trt_profile_max_shapes=x:8x3x1024x1024", "trt_engine_cache_path=/engines/10.14.1-nvidia-h100-80gb-hbm3"}},
		{fixed, []string{"trt_profile_min_shapes=x:1x3x320x320", "trt_profile_max_shapes=x:4x3x320x320", "trt_fp16_enable=1"}},
	} {
		options, err := c.tensorRTOptions(step.m, []string{"x"})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Fields(written(options))
		for _, want := range step.want {
			if !slices.Contains(got, want) {
				t.Errorf("%s: %s is not in %v", step.m.Name, want, got)
			}
		}
	}
}

// ONNX Runtime tells neither the weights of two files with the same names apart, nor
// most of its options, nor two cards of one generation.
func TestTensorRT_NeverReadsTheEngineOfSomethingElse(t *testing.T) {
	type setting struct {
		card  card
		model models.Model
	}
	build := func(change func(*setting)) (folder, prefix, kept string) {
		t.Helper()
		s := setting{
			card{config: Config{EngineCache: "/engines"}, name: "NVIDIA H100 80GB HBM3", tensorRT: 101401, budget: 1 << 30},
			models.Model{Manifest: models.Manifest{Name: "face", MaxBatch: 8, Canvases: models.Canvases{Step: 256, Max: 1024},
				Inputs: []models.Port{{Name: "input", Shape: []int64{-1, 3, -1, -1}}}}, File: pixel.Digest{1}},
		}
		change(&s)
		o, err := s.card.tensorRTOptions(s.model, []string{"x"})
		if err != nil {
			t.Fatal(err)
		}
		if o["trt_timing_cache_path"] != o["trt_engine_cache_path"] {
			t.Errorf("timings lie in %s, engines in %s", o["trt_timing_cache_path"], o["trt_engine_cache_path"])
		}
		return o["trt_engine_cache_path"], o["trt_engine_cache_prefix"], o["trt_engine_cache_enable"]
	}
	folder, prefix, kept := build(func(*setting) {})
	if kept != "1" {
		t.Error("engines are not kept")
	}
	for name, change := range map[string]func(*setting){
		"weights":   func(s *setting) { s.model.File = pixel.Digest{2} },
		"name":      func(s *setting) { s.model.Name = "other" },
		"precision": func(s *setting) { s.model.Session.TensorRT = map[string]string{"trt_fp16_enable": "1"} },
		"effort":    func(s *setting) { s.model.Session.TensorRT = map[string]string{"trt_builder_optimization_level": "5"} },
		"batches":   func(s *setting) { s.model.MaxBatch = 16 },
		"canvases":  func(s *setting) { s.model.Canvases.Max = 512 },
		"card":      func(s *setting) { s.card.name = "NVIDIA H200" },
		"release":   func(s *setting) { s.card.tensorRT = 101600 },
	} {
		if f, p, _ := build(change); f == folder && p == prefix {
			t.Errorf("other %s: the same engine, %s in %s", name, p, f)
		}
	}
	// What is free at start, and which of two equal cards it is, must not build anew.
	f, p, _ := build(func(s *setting) { s.card.budget, s.card.index = 2<<30, 1 })
	if f != folder || p != prefix {
		t.Errorf("%s in %s, want %s in %s", p, f, prefix, folder)
	}
	if _, _, kept := build(func(s *setting) { s.model.File = pixel.Digest{} }); kept != "0" {
		t.Error("an engine is kept of a file without a digest")
	}
}

// The words are those of the provider's binary.
func TestTensorRT_ForgetsWhatItCannotRead(t *testing.T) {
	c := &card{config: Config{EngineCache: t.TempDir()}, name: "A 1", tensorRT: 101401}
	folder := filepath.Join(c.config.EngineCache, "10.14.1-a-1")
	file := func(name string) string {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	engine, other, timings := file("face-1_2_sm90.engine"), file("face-1_2_sm90.engine.encrypted"), file("TensorrtExecutionProvider_cache_sm90.timing")
	for _, step := range []struct {
		text    string
		removed bool
		left    []string
	}{
		{"Failed to allocate memory for requested buffer of size 12", false, []string{engine, other, timings}},
		{"TensorRT EP could not deserialize engine from cache: /elsewhere/a.engine", false, []string{engine, other, timings}},
		{"Error creating C session: TensorRT EP could not deserialize engine from cache: " + engine, true, []string{other, timings}},
		{"Error creating C session: TensorRT EP could not create timing cache: " + timings, true, []string{other}},
	} {
		if got := c.unread(errors.New(step.text)); got != step.removed {
			t.Errorf("%s: removed %v", step.text, got)
		}
		left, _ := filepath.Glob(filepath.Join(folder, "*"))
		slices.Sort(step.left)
		if !slices.Equal(left, step.left) {
			t.Errorf("%s: left %v, want %v", step.text, left, step.left)
		}
	}
}

func TestTensorRT_SaysWhatIsMissingAndHowToGetIt(t *testing.T) {
	folder := t.TempDir()
	if _, err := openTensorRT(folder); err == nil || !strings.Contains(err.Error(), "no TensorRT provider") || !strings.Contains(err.Error(), "scripts/deps") {
		t.Errorf("no provider: got %v", err)
	}
	// The provider is linked with a libnvinfer that is not there, then with one that is none.
	build(t, folder, "libnvinfer.so.10", "int focal_inner(void) { return 1; }")
	build(t, folder, tensorRTLibrary, "int focal_inner(void); int f(void) { return focal_inner(); }", "-Wl,--no-as-needed", filepath.Join(folder, "libnvinfer.so.10"))
	if err := os.Rename(filepath.Join(folder, "libnvinfer.so.10"), filepath.Join(folder, "away")); err != nil {
		t.Fatal(err)
	}
	if _, err := openTensorRT(folder); err == nil || !strings.Contains(err.Error(), "libnvinfer.so.10 not found") || !strings.Contains(err.Error(), "tensorrt-cu13-libs==10.14.1.48") {
		t.Errorf("no TensorRT: got %v", err)
	}
	if err := os.Rename(filepath.Join(folder, "away"), filepath.Join(folder, "libnvinfer.so.10")); err != nil {
		t.Fatal(err)
	}
	if _, err := openTensorRT(folder); err == nil || !strings.Contains(err.Error(), "not TensorRT") {
		t.Errorf("another library: got %v", err)
	}
	folder = t.TempDir()
	build(t, folder, "libnvinfer.so.10", "int getInferLibVersion(void) { return 101401; }")
	build(t, folder, tensorRTLibrary, "int getInferLibVersion(void); int f(void) { return getInferLibVersion(); }", "-Wl,--no-as-needed", filepath.Join(folder, "libnvinfer.so.10"))
	if version, err := openTensorRT(folder); err != nil || version != 101401 {
		t.Errorf("got %d, %v", version, err)
	}
}
