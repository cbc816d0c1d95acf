package ort

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"focal/core/fault"
	"focal/inference"
	"focal/models"
)

func TestCUDAOptions_ManifestOverServerOverDefault(t *testing.T) {
	c := &card{index: 2, budget: 5 << 30, config: Config{CUDA: map[string]string{"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}}}
	got := written(c.cudaOptions(models.Session{CUDA: map[string]string{"use_tf32": "1", "a_key_of_tomorrow": "x"}}))
	want := "a_key_of_tomorrow=x arena_extend_strategy=kSameAsRequested cudnn_conv_algo_search=DEFAULT device_id=2 gpu_mem_limit=5368709120 use_tf32=1"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestOptions_RefusesWhatWouldBreakTheEngine(t *testing.T) {
	for key := range refusedOptions {
		err := checkOptions("--cuda-option", map[string]string{"use_tf32": "0", key: "1"})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "--cuda-option: "+key+" cannot be set") {
			t.Errorf("%s: got %v", key, err)
		}
	}
}

// What ONNX Runtime says, from its source: the numbers are cuda.h's.
func TestClassify_ErrorsOfACard(t *testing.T) {
	for text, want := range map[string]fault.Kind{
		"CUDA failure 2: out of memory ; GPU=0 ; hostname=a":                                                          fault.Busy,
		"Non-zero status code returned while running Conv node. Failed to allocate memory for requested buffer of 12": fault.Busy,
		"CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0":                                                        fault.Busy,
		"CUDA failure 700: an illegal memory access was encountered ; GPU=0":                                          fault.Unavailable,
		"CUDA failure 719: unspecified launch failure ; GPU=0":                                                        fault.Unavailable,
		"CUDNN failure 9: CUDNN_STATUS_NOT_SUPPORTED ; GPU=0":                                                         fault.Internal,
	} {
		err := classify("ort.Run", fault.Internal, errors.New(text))
		if fault.KindOf(err) != want || errors.Is(err, inference.ErrDeviceLost) != (want == fault.Unavailable) {
			t.Errorf("%s: kind %v, lost %v", text, fault.KindOf(err), errors.Is(err, inference.ErrDeviceLost))
		}
	}
}

func TestParseDevice(t *testing.T) {
	for text, want := range map[string]target{
		"cpu": {}, "auto": {auto: true}, "cuda": {cuda: true}, "cuda:0": {cuda: true}, "cuda:12": {cuda: true, index: 12},
	} {
		if got, err := parseDevice(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda1"} {
		if _, err := parseDevice(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// A library of ours needs one that lies beside it and one that is nowhere.
func TestPreload_OpensWhatIsThereAndNamesTheRest(t *testing.T) {
	folder := t.TempDir()
	build(t, folder, "libfocalinner.so.1", "int focal_inner(void) { return 1; }")
	build(t, folder, "libfocalgone.so.1", "int focal_gone(void) { return 1; }")
	outer := build(t, folder, "libfocalouter.so", "int focal_inner(void); int focal_gone(void); int f(void) { return focal_inner() + focal_gone(); }",
		"-Wl,--no-as-needed", filepath.Join(folder, "libfocalinner.so.1"), filepath.Join(folder, "libfocalgone.so.1"))
	if err := os.Remove(filepath.Join(folder, "libfocalgone.so.1")); err != nil {
		t.Fatal(err)
	}
	opened, missing, err := preload(outer, "libfocalasked.so.9")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := find(opened, "libfocalinner"); !ok || !slices.Equal(missing, []string{"libfocalgone.so.1", "libfocalasked.so.9"}) {
		t.Errorf("opened %v, missing %v", opened, missing)
	}
}

func TestCUDART_SaysWhatALibraryIsNot(t *testing.T) {
	folder := t.TempDir()
	l, err := openLibrary(build(t, folder, "libfocalempty.so", "int focal_empty;"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = cudart{l}.number("cudaGetDeviceCount")
	_, none := cudart{l}.pinned(16)
	for _, err := range []error{err, none} {
		if err == nil || !strings.Contains(err.Error(), "not a CUDA runtime") {
			t.Errorf("got %v", err)
		}
	}
}

// build makes a shared library of C, with the compiler that built this test.
func build(t *testing.T, folder, name, source string, more ...string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	c := exec.Command("cc", append([]string{"-shared", "-fPIC", "-Wl,-soname," + name, "-o", path, "-x", "c", "-", "-x", "none"}, more...)...)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = in.Write([]byte(source))
		_ = in.Close()
	}()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}
