package app

import (
	"strings"

	"focal/core/fault"
	"focal/inference/host"
	"focal/inference/ort"
	"focal/models"
	"focal/models/face"
	"focal/models/foreground"

	"github.com/prometheus/client_golang/prometheus"
)

// openHost builds the models, the engine and the scheduler's host: all of
// inference, in this process.
func openHost(c InferenceConfig, metrics prometheus.Registerer) (*host.Host, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	device, reason, err := chooseDevice(c.Device)
	if err != nil {
		return nil, err
	}
	repository, err := models.OpenRepository(c.Models)
	if err != nil {
		return nil, err
	}
	budget := c.MemoryBudget
	if budget == 0 {
		budget = cpuBudget
	}
	engine, err := ort.Open(ort.Config{Library: c.Library, Threads: 1, Device: device, Arena: budget})
	if err != nil {
		return nil, err
	}
	h := host.DefaultConfig()
	h.Budget, h.CacheBytes, h.Slots = budget, c.CacheSize, c.Workers
	h.QueueLimit = c.Queue
	h.Adapters = host.Adapters{Face: face.New, Foreground: foreground.New}
	h.DefaultFace, h.DefaultForeground = c.FaceModel, c.ForegroundModel
	h.Metrics, h.Reason = metrics, reason
	return host.New(h, engine, repository)
}

// chooseDevice says where models run, and why where that was not asked for. An
// explicit card that cannot be used is an error, never a slow surprise.
func chooseDevice(device string) (provider, reason string, err error) {
	switch {
	case device == "cpu":
		return "cpu", "", nil
	case device == "auto":
		return "cpu", "this build runs models on the CPU only", nil
	case device == "cuda" || strings.HasPrefix(device, "cuda:"):
		return "", "", fault.New(fault.Unavailable, "app.chooseDevice", "--device %s: this build runs models on the CPU only", device)
	default:
		return "", "", fault.New(fault.Invalid, "app.chooseDevice", "--device %q: want auto, cpu, cuda or cuda:N", device)
	}
}
