//go:build provider

package ort

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	onnx "github.com/yalue/onnxruntime_go"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/models"
)

// ONNX Runtime's own CUDA provider, loaded on a driver that has no card: it knows
// every option of ours, names those that it does not know, and no session comes
// of it. scripts/real/cuda runs this.
func TestProvider_KnowsOurOptionsAndRefusesOthersByName(t *testing.T) {
	if _, err := openLibrary(build(t, t.TempDir(), "libcuda.so.1", stubDriver)); err != nil {
		t.Fatal(err)
	}
	opened, missing, err := preload(filepath.Join(filepath.Dir(flag.Lookup("library").Value.String()), providerLibrary), "libcudnn.so.9")
	if err != nil || len(missing) > 0 {
		t.Fatalf("%v, missing %v", err, missing)
	}
	runtime, _ := find(opened, "libcudart")
	n, err := cudart{runtime}.number("cudaGetDeviceCount")
	t.Logf("CUDA counts %d cards: %v", n, err)
	if err == nil {
		t.Fatal("a driver without a card has some")
	}
	// Without the number of the card, which the provider looks for at once.
	update := func(change map[string]string) error {
		p, err := onnx.NewCUDAProviderOptions()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Destroy()
		options := (&card{budget: 1 << 30}).cudaOptions(models.Session{CUDA: change})
		delete(options, "device_id")
		return setCUDA(p, options)
	}
	if err := update(map[string]string{"use_tf32": "0", "cudnn_conv_use_max_workspace": "1", "prefer_nhwc": "0"}); err != nil {
		t.Errorf("options of the provider are refused: %v", err)
	}
	for key, value := range map[string]string{"cudnn_conv_algo_serach": "x", "cudnn_conv_algo_search": "LUCK"} {
		err := update(map[string]string{key: value})
		t.Log(err)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "--cuda-option") || !strings.Contains(err.Error(), key+"="+value) {
			t.Errorf("%s: got %v", key, err)
		}
	}
	err = (&card{budget: 1 << 30}).try()
	t.Log(err)
	if err == nil {
		t.Error("a model ran on no card")
	}
}

// The TensorRT provider on a stand-in for TensorRT, after the test above has opened
// CUDA: it too knows our options, and looks for a card before it builds anything.
func TestProvider_TensorRTKnowsOurOptionsAndRefusesOthersByName(t *testing.T) {
	source, err := os.ReadFile(filepath.Join("testdata", "tensorrt.c"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"libnvinfer.so.10", "libnvonnxparser.so.10"} {
		if _, err := openLibrary(build(t, t.TempDir(), name, string(source))); err != nil {
			t.Fatal(err)
		}
	}
	c := &card{budget: 1 << 30, name: "none", config: Config{TensorRT: true, EngineCache: t.TempDir()}}
	if c.tensorRT, err = openTensorRT(filepath.Dir(flag.Lookup("library").Value.String())); err != nil || c.tensorRT != 101401 {
		t.Fatalf("release %d, %v", c.tensorRT, err)
	}
	m := models.Model{Manifest: models.Manifest{Name: "face", MaxBatch: 8, Canvases: models.Canvases{Step: 256, Max: 1024},
		Inputs: []models.Port{{Name: "input", Shape: []int64{-1, 3, -1, -1}}}}, File: pixel.Digest{1}}
	update := func(change map[string]string) error {
		p, err := onnx.NewTensorRTProviderOptions()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Destroy()
		m.Session.TensorRT = change
		options, err := c.tensorRTOptions(m, []string{"x"})
		if err != nil {
			t.Fatal(err)
		}
		delete(options, "device_id")
		return setTensorRT(p, options)
	}
	if err := update(map[string]string{"trt_fp16_enable": "1", "trt_builder_optimization_level": "3"}); err != nil {
		t.Errorf("options of the provider are refused: %v", err)
	}
	for key, value := range map[string]string{"trt_fp16_enabel": "1", "trt_fp16_enable": "perhaps"} {
		err := update(map[string]string{key: value})
		t.Log(err)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "session.tensorrt") || !strings.Contains(err.Error(), key+"="+value) {
			t.Errorf("%s: got %v", key, err)
		}
	}
	// With the number of the card the provider looks for it at once, without it when a
	// session comes, having asked TensorRT for its plugins.
	o, err := onnx.NewSessionOptions()
	if err != nil {
		t.Fatal(err)
	}
	defer o.Destroy()
	m.Session.TensorRT = nil
	if err := c.useTensorRT(o, m, []string{"x"}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want no card", err)
	}
	p, err := onnx.NewTensorRTProviderOptions()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Destroy()
	if err = o.AppendExecutionProviderTensorRT(p); err == nil {
		_, err = onnx.NewDynamicAdvancedSessionWithONNXData(identity(), []string{"x"}, []string{"y"}, o)
	}
	t.Log(err)
	if err == nil || !strings.Contains(err.Error(), "CUDA") {
		t.Errorf("got %v, want no card", err)
	}
	if folders, _ := os.ReadDir(c.config.EngineCache); len(folders) != 1 || folders[0].Name() != "10.14.1-none" {
		t.Errorf("%v in the folder of engines", folders)
	}
}

const stubDriver = `
int cuInit(unsigned flags) { return 100; } // CUDA_ERROR_NO_DEVICE
int cuDriverGetVersion(int *v) { *v = 13000; return 0; }
int cuGetErrorString(int e, const char **s) { *s = "no CUDA-capable device is detected"; return 0; }
int cuGetErrorName(int e, const char **s) { *s = "CUDA_ERROR_NO_DEVICE"; return 0; }
static int none(void) { return 100; }
int cuGetProcAddress_v2(const char *name, void **f, int version, unsigned long long flags, int *found) {
  extern int strcmp(const char *, const char *);
  *f = (void *)none;
  if (!strcmp(name, "cuDriverGetVersion")) *f = (void *)cuDriverGetVersion;
  if (found) *found = 0;
  return 0;
}
int cuGetProcAddress(const char *name, void **f, int version, unsigned long long flags) { return cuGetProcAddress_v2(name, f, version, flags, 0); }
int cuGetExportTable(const void **table, const void *id) { *table = 0; return 100; }
`
