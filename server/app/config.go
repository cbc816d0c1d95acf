package app

import (
	"fmt"
	"time"

	"focal/core/fault"
	"focal/core/pipeline"
	"focal/inference/redis"
	"focal/server/results"
	"focal/server/source"
)

// InferenceConfig says how models run.
type InferenceConfig struct {
	Models          string // directory of the model repository
	FaceModel       string // empty: the repository's default for the device
	ForegroundModel string
	Device          string            // auto, cpu, cuda, cuda:N
	Library         string            // path of ONNX Runtime; empty: looked for
	CUDA            map[string]string // options of ONNX Runtime's CUDA provider
	TensorRT        bool              // models run by TensorRT as far as it can
	LoadTimeout     time.Duration     // for a model to load; 0: the default
	MemoryBudget    int64             // bytes; 0: the device's default
	CacheSize       int64             // bytes of results
	Redis           string            // URL of the server that shares results; empty: none
	RedisTTL        time.Duration     // how long it keeps one that nobody asks for
	Workers         int               // runs side by side on the CPU
	Blackbox        string            // a file that outlives a crash and says what was on the device; empty: none
	Queue           int               // requests that may wait for one model, for each class
}

// cpuBudget is the default memory budget of models on the CPU.
const cpuBudget = 1 << 30

// DefaultInferenceConfig returns automatic choice of the device.
func DefaultInferenceConfig() InferenceConfig {
	return InferenceConfig{Device: "auto", CacheSize: 256 << 20, RedisTTL: redis.DefaultConfig().TTL, Workers: 1, Queue: 256}
}

// Validate reports unusable values.
func (c InferenceConfig) Validate() error {
	const op = "app.InferenceConfig"
	switch {
	case c.Models == "":
		return fault.New(fault.Invalid, op, "--models: want a directory")
	case c.LoadTimeout < 0:
		return fault.New(fault.Invalid, op, "--load-timeout %s: want a time, or 0 for the default", c.LoadTimeout)
	case c.MemoryBudget < 0:
		return fault.New(fault.Invalid, op, "--memory-budget %d: want bytes", c.MemoryBudget)
	case c.CacheSize < 0:
		return fault.New(fault.Invalid, op, "--cache-size %d: want bytes", c.CacheSize)
	case c.Workers < 1:
		return fault.New(fault.Invalid, op, "--workers %d: want at least 1", c.Workers)
	case c.Queue < 1:
		return fault.New(fault.Invalid, op, "--inference-queue %d: want at least 1", c.Queue)
	case c.Redis != "":
		return c.redis().Validate()
	}
	return nil
}

// ServeConfig is everything that the image server is made of.
type ServeConfig struct {
	Version string
	Listen  string // host:port
	// Inference is where models run: spawn, embedded, off, or the addresses of
	// sidecars, unix:/path or http://host:port, with commas between.
	Inference string
	Token     string // sent to a sidecar over TCP as a bearer token; may be empty
	// Child is the command line of the sidecar that spawn starts, without the
	// flags that pass the listener; ChildEnv is added to its environment.
	Child    []string
	ChildEnv []string
	Models   InferenceConfig // used by embedded; spawn hands them to the child as Child
	Pictures pipeline.Config
	Sources  source.Config
	Results  results.Config // its Maker and Log are filled in
	SignKeys []string       // keys of which one must have signed a URL; none: no signatures
	// PurgeToken may purge, as any of SignKeys may; with neither nobody may.
	PurgeToken string
	// Presets are option lists by name; OnlyPresets serves no other.
	Presets     map[string]string
	OnlyPresets bool
	Timeout     time.Duration
	Queue       int // transform requests that may wait beyond the workers
}

// Validate reports unusable values.
func (c ServeConfig) Validate() error {
	if c.Listen == "" {
		return fault.New(fault.Invalid, "app.ServeConfig", "--listen: want host:port")
	}
	if err := c.Pictures.Validate(); err != nil {
		return fault.New(fault.Invalid, "app.ServeConfig", "%w", err)
	}
	if c.Inference == "embedded" || c.Inference == "spawn" { // a child would say it in its log only
		if err := c.Models.Validate(); err != nil {
			return err
		}
	}
	return c.Sources.Validate()
}

// SidecarConfig is everything that the inference sidecar is made of.
type SidecarConfig struct {
	Version string
	// Listen is unix:/path or host:port; Inherited takes the listener and the
	// life-line that a parent passed instead.
	Listen    string
	Inherited bool
	Extra     string // a second address, for direct callers; may be empty
	Token     string // bearer token that makes a TCP caller trusted; may be empty
	Models    InferenceConfig
	Pictures  pipeline.Config
	MaxBody   int64 // bytes of one request
	Memory    int64 // bytes of the bodies of callers that are not trusted
	Timeout   time.Duration
}

// Validate reports unusable values.
func (c SidecarConfig) Validate() error {
	if !c.Inherited && c.Listen == "" {
		return fault.New(fault.Invalid, "app.SidecarConfig", "--listen: want unix:/path or host:port")
	}
	if err := c.Pictures.Validate(); err != nil {
		return fmt.Errorf("%w", fault.New(fault.Invalid, "app.SidecarConfig", "%w", err))
	}
	return c.Models.Validate()
}
