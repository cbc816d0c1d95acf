package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"focal/inference/host"
	"focal/inference/ort"
	"focal/inference/redis"
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
	shared     *redis.Results // nil without --redis
}

// Close closes the host, then writes down what it has still found.
func (i *Inference) Close(ctx context.Context) error {
	err := i.Host.Close(ctx)
	if i.shared != nil {
		err = errors.Join(err, i.shared.Close(ctx))
	}
	return err
}

// OpenInference builds all of inference in this process, once per process.
func OpenInference(c InferenceConfig, metrics prometheus.Registerer) (*Inference, error) {
	return openInference(c, metrics, nil)
}

// openInference counts what beside says, where it is not nil and models share the
// host's memory.
func openInference(c InferenceConfig, metrics prometheus.Registerer, beside func() int64) (*Inference, error) {
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
	h.Beside = beside
	if engine.Provider() != "cpu" {
		h.Budget, h.Slots = engine.CardBudget(), 0 // the host knows how many runs a card takes
		h.Beside = nil
	}
	h.QueueLimit, h.LoadLimit = c.Queue, c.loadLimit(h.LoadLimit)
	h.Adapters = host.Adapters{Face: face.New, Foreground: foreground.New}
	h.DefaultFace, h.DefaultForeground = c.FaceModel, c.ForegroundModel
	h.Metrics, h.Reason = metrics, engine.Reason()
	h.OnLost = func(error) { os.Exit(exitLost) } // a supervisor starts it again; the host has logged why
	h.Blackbox = openBlackbox(c.Blackbox)
	if h.Profiles, err = profilesOf(repository); err != nil {
		return nil, err
	}
	shared, err := c.shared(metrics)
	if err != nil {
		return nil, err
	}
	if shared != nil {
		h.Shared = shared
	}
	built, err := host.New(h, engine, repository)
	if err != nil {
		return nil, err
	}
	return &Inference{Host: built, Engine: engine, Repository: repository, shared: shared}, nil
}

// buildLimit is how long TensorRT may take to build the engine of a model, which it
// does while the model loads.
const buildLimit = time.Hour

// loadLimit is how long a model may take to load where usually it has so long.
func (c InferenceConfig) loadLimit(usual time.Duration) time.Duration {
	switch {
	case c.LoadTimeout > 0:
		return c.LoadTimeout
	case c.TensorRT:
		return buildLimit
	}
	return usual
}

// exitLost is the status of a process whose device is lost: EX_UNAVAILABLE of
// sysexits.h.
const exitLost = 69

// shared is the second tier of results; nil where none was asked for.
func (c InferenceConfig) shared(metrics prometheus.Registerer) (*redis.Results, error) {
	if c.Redis == "" {
		return nil, nil
	}
	return redis.New(c.redis(), metrics)
}

func (c InferenceConfig) redis() redis.Config {
	r := redis.DefaultConfig()
	r.URL, r.TTL = c.Redis, c.RedisTTL
	return r
}

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
