// Package gpu reads the memory of NVIDIA cards by the driver's own library
// (NVML), which it looks for when it is opened: the program runs without one.
//
// It must not know models, sessions or ONNX Runtime; only integers and names
// leave it. It starts no goroutine. The driver's library stays open until Close.
package gpu

import (
	"bytes"
	"fmt"
	"os"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"focal/core/fault"
)

// Config says where the driver's library is.
type Config struct {
	// Library is the path or the name of NVML; a name is looked for as the
	// loader does.
	Library string
}

// DefaultConfig names the library as the driver installs it.
func DefaultConfig() Config { return Config{Library: "libnvidia-ml.so.1"} }

// Validate reports a Config that nothing could be opened by.
func (c Config) Validate() error {
	if c.Library == "" {
		return fault.New(fault.Invalid, "gpu.Config", "no name of NVML")
	}
	return nil
}

// Driver is an NVIDIA driver with its cards. It is safe for concurrent use.
type Driver struct{ lib nvml.Interface }

// Card is one card of this machine.
type Card struct {
	Index int    // as nvidia-smi counts
	Name  string // as its maker calls it
	Bus   string // PCI address, the one name that the driver and CUDA share
	Total int64  // bytes
}

// Reading is the memory of a card, in bytes.
type Reading struct {
	Total, Free int64
	// Ours is what this process holds, its context included; -1 where the
	// driver does not say, as in a container with processes of its own.
	Ours int64
}

// Open finds the driver. Errors are fault.Unavailable and say what is missing.
func Open(c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d := &Driver{nvml.New(nvml.WithLibraryPath(c.Library))}
	switch status := d.lib.Init(); status {
	case nvml.SUCCESS:
		return d, nil
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return nil, fault.New(fault.Unavailable, "gpu.Open",
			"no NVIDIA driver is installed here (%s is not found; in a container the NVIDIA container toolkit brings it)", c.Library)
	default:
		return nil, failed("gpu.Open", "the NVIDIA driver does not start", status)
	}
}

// Close lets go of the driver's library.
func (d *Driver) Close() error {
	if status := d.lib.Shutdown(); status != nvml.SUCCESS {
		return failed("gpu.Close", "the driver does not shut down", status)
	}
	return nil
}

// Version is the driver's version, such as 580.159.04.
func (d *Driver) Version() (string, error) {
	v, status := d.lib.SystemGetDriverVersion()
	if status != nvml.SUCCESS {
		return "", failed("gpu.Version", "the driver does not tell its version", status)
	}
	return v, nil
}

// Cards lists the cards that the driver sees.
func (d *Driver) Cards() ([]Card, error) {
	const op = "gpu.Cards"
	n, status := d.lib.DeviceGetCount()
	if status != nvml.SUCCESS {
		return nil, failed(op, "the driver does not count its cards", status)
	}
	cards := make([]Card, n)
	for i := range cards {
		device, status := d.lib.DeviceGetHandleByIndex(i)
		if status != nvml.SUCCESS {
			return nil, failed(op, fmt.Sprintf("card %d does not answer", i), status)
		}
		name, s1 := device.GetName()
		pci, s2 := device.GetPciInfo()
		memory, s3 := device.GetMemoryInfo()
		for _, status := range []nvml.Return{s1, s2, s3} {
			if status != nvml.SUCCESS {
				return nil, failed(op, fmt.Sprintf("card %d does not answer", i), status)
			}
		}
		cards[i] = Card{Index: i, Name: name, Bus: text(pci.BusId[:]), Total: int64(memory.Total)}
	}
	return cards, nil
}

// Read reads the memory of the card at a PCI address.
func (d *Driver) Read(bus string) (Reading, error) {
	const op = "gpu.Read"
	device, status := d.lib.DeviceGetHandleByPciBusId(bus)
	if status != nvml.SUCCESS {
		return Reading{}, failed(op, "no card at "+bus, status)
	}
	memory, status := device.GetMemoryInfo()
	if status != nvml.SUCCESS {
		return Reading{}, failed(op, "the card does not tell its memory", status)
	}
	return Reading{Total: int64(memory.Total), Free: int64(memory.Free), Ours: ours(device)}, nil
}

// ours is what this process holds, or -1.
func ours(device nvml.Device) int64 {
	const notAvailable = 1<<64 - 1 // what NVML writes where it does not know
	processes, status := device.GetComputeRunningProcesses()
	if status != nvml.SUCCESS {
		return -1
	}
	for _, p := range processes {
		if int(p.Pid) == os.Getpid() && p.UsedGpuMemory != notAvailable {
			return int64(p.UsedGpuMemory)
		}
	}
	return -1
}

// text is a string of C in an array.
func text(c []uint8) string {
	s, _, _ := bytes.Cut(c, []byte{0})
	return string(s)
}

// failed says what NVML said, in its own words where its library has any.
func failed(op, what string, status nvml.Return) error {
	return fault.New(fault.Unavailable, op, "%s: NVML error %d: %s", what, int(status), nvml.ErrorString(status))
}
