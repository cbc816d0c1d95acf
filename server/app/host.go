package app

import (
	"os"
	"path/filepath"

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
	Engine     *ort.Engine
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
	repository, err := models.OpenRepository(c.Models, models.Builtin()...)
	if err != nil {
		return nil, err
	}
	engine, err := ort.Open(c.engine(repository))
	if err != nil {
		return nil, err
	}
	h := host.DefaultConfig()
	h.Budget, h.CacheBytes, h.Slots = c.cpuMemory(), c.CacheSize, c.Workers
	if engine.Provider() != "cpu" {
		h.Budget, h.Slots = engine.CardBudget(), 0 // the host knows how many runs a card takes
	}
	h.QueueLimit = c.Queue
	h.Adapters = host.Adapters{Face: face.New, Foreground: foreground.New}
	h.DefaultFace, h.DefaultForeground = c.FaceModel, c.ForegroundModel
	h.Metrics, h.Reason = metrics, engine.Reason()
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

// engine is how ONNX Runtime is opened. Engines of TensorRT are kept beside the
// models, in a folder that the repository does not look into.
func (c InferenceConfig) engine(r *models.Repository) ort.Config {
	return ort.Config{
		Library: c.Library, Threads: 1, Device: c.Device, Arena: c.cpuMemory(), CardMemory: c.MemoryBudget,
		CUDA: c.CUDA, TensorRT: c.TensorRT, EngineCache: filepath.Join(r.Dir(), ".tensorrt"),
	}
}

// cpuMemory is what models may hold of the host's memory.
func (c InferenceConfig) cpuMemory() int64 {
	if c.MemoryBudget == 0 {
		return cpuBudget
	}
	return c.MemoryBudget
}
