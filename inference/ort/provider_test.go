//go:build provider

package ort

import (
	"flag"
	"path/filepath"
	"strings"
	"testing"

	onnx "github.com/yalue/onnxruntime_go"

	"focal/core/fault"
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
