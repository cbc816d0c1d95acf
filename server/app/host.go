package app

import (
	"os"
	"strings"

	"focal/core/fault"
	"focal/inference"
	"focal/inference/host"
	"focal/inference/ort"
	"focal/models"
	"focal/models/face"
	"focal/models/foreground"

	"github.com/prometheus/client_golang/prometheus"
)

// Inference is all of inference in one process: the models, the engine, and the
// scheduler's host over both. The harness measures its parts one by one.
type Inference struct {
	*host.Host
	Engine     inference.Engine
	Repository *models.Repository
}

func openHost(c InferenceConfig, metrics prometheus.Registerer) (*host.Host, error) {
	i, err := OpenInference(c, metrics)
	if err != nil {
		return nil, err
	}
	return i.Host, nil
}

// OpenInference builds all of inference in this process, once per process.
// Closing the host closes it.
func OpenInference(c InferenceConfig, metrics prometheus.Registerer) (*Inference, error) {
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
	h.OnLost = func(error) { os.Exit(exitLost) } // a supervisor starts it again; the host has logged why
	if h.Profiles, err = profilesOf(repository); err != nil {
		return nil, err
	}
	built, err := host.New(h, engine, repository)
	if err != nil {
		return nil, err
	}
	return &Inference{Host: built, Engine: engine, Repository: repository}, nil
}

// exitLost is the status of a process whose device is lost: EX_UNAVAILABLE of
// sysexits.h.
const exitLost = 69

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
