package gpu_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"focal/core/fault"
	"focal/inference/gpu"
)

// driver is opened on the library of testdata, which the C compiler that built
// this test makes.
func driver(t *testing.T) *gpu.Driver {
	t.Helper()
	library := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", library, filepath.Join("testdata", "nvml.c")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d, err := gpu.Open(gpu.Config{Library: library})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestDriver_ListsItsCards(t *testing.T) {
	d := driver(t)
	t.Setenv("NVML_FREE", "700000000")
	cards, err := d.Cards()
	if err != nil {
		t.Fatal(err)
	}
	want := []gpu.Card{
		{Index: 0, Name: "Card 1", Bus: "00000000:0A:00.0", Total: 1e9},
		{Index: 1, Name: "Card 2", Bus: "00000000:0B:00.0", Total: 2e9},
	}
	if len(cards) != 2 || cards[0] != want[0] || cards[1] != want[1] {
		t.Errorf("got %+v, want %+v", cards, want)
	}
	if v, err := d.Version(); err != nil || v != "580.159.04" {
		t.Errorf("version %q, %v", v, err)
	}
}

func TestDriver_ReadsTotalFreeAndOurs(t *testing.T) {
	d := driver(t)
	t.Setenv("NVML_FREE", "700000000")
	t.Setenv("NVML_OURS", "120000000")
	r, err := d.Read("00000000:0B:00.0")
	if want := (gpu.Reading{Total: 2e9, Free: 700e6, Ours: 120e6}); err != nil || r != want {
		t.Errorf("got %+v, %v, want %+v", r, err, want)
	}
}

func TestDriver_SaysWhereOursIsNotKnown(t *testing.T) {
	d := driver(t)
	for name, variable := range map[string][2]string{
		"another container's process": {"NVML_STRANGER", "1"},
		"not supported":               {"NVML_PROCESSES", "3"},
		"not available":               {"NVML_OURS", "18446744073709551615"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(variable[0], variable[1])
			if r, err := d.Read("00000000:0A:00.0"); err != nil || r.Ours != -1 {
				t.Errorf("got %+v, %v, want -1", r, err)
			}
		})
	}
}

func TestDriver_NamesWhatFails(t *testing.T) {
	d := driver(t)
	t.Setenv("NVML_MEMORY", "15")
	_, lost := d.Read("00000000:0A:00.0")
	_, list := d.Cards()
	_, none := d.Read("nowhere")
	for name, err := range map[string]error{"NVML error 15": lost, "card 0 does not answer": list, "no card at nowhere": none} {
		if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q, got %v", name, err)
		}
	}
}

func TestOpen_NamesAMissingDriver(t *testing.T) {
	_, err := gpu.Open(gpu.Config{Library: filepath.Join(t.TempDir(), "libnvidia-ml.so.1")})
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "no NVIDIA driver is installed") {
		t.Errorf("got %v", err)
	}
	if _, err := gpu.Open(gpu.Config{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v, want fault.Invalid", err)
	}
}

// The default library is the real one or is missing: either way it is said.
func TestOpen_ByTheNameThatDriversInstall(t *testing.T) {
	d, err := gpu.Open(gpu.DefaultConfig())
	if _, here := os.Stat("/proc/driver/nvidia/version"); here == nil {
		if err != nil {
			t.Fatal(err)
		}
		if cards, err := d.Cards(); err != nil || len(cards) == 0 {
			t.Errorf("a driver without cards: %v, %v", cards, err)
		}
		return
	}
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want fault.Unavailable", err)
	}
}
