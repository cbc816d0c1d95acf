// Package ort is the inference engine on ONNX Runtime.
//
// It knows tensors and manifests; it must not know pixels, queues or HTTP, and
// nothing of onnxruntime_go leaves it. It starts no goroutine that outlives a
// call. C memory belongs to the sessions, which their owners close, and to one
// arena that the sessions of a process share; whoever calls C waits for C and
// frees what it made.
//
// ONNX Runtime can be started once in a process, so there is an Open, called
// by main or TestMain, and nothing that closes.
package ort

import (
	"fmt"
	"sync"
	"sync/atomic"

	onnx "github.com/yalue/onnxruntime_go"

	"focal/core/fault"
	"focal/inference"
)

// Config is how ONNX Runtime is opened.
type Config struct {
	// Library is the path of libonnxruntime; empty: FindLibrary looks for it.
	Library string
	// Threads is how many threads one run uses. One is best where several run
	// side by side: on the CPU single-thread runs beside each other give more
	// pictures a second than one run on as many threads.
	Threads int
	// Arena caps the memory, in bytes, that all sessions of the process take
	// for the values inside a running model; 0 is no cap. Weights do not count.
	Arena int64
	// Device is where models run: "cpu".
	Device string
}

// DefaultConfig runs on the CPU with one thread and no cap.
func DefaultConfig() Config { return Config{Threads: 1, Device: "cpu"} }

// Validate reports a value that cannot work.
func (c Config) Validate() error {
	const maxThreads = 256
	switch {
	case c.Threads < 1 || c.Threads > maxThreads:
		return fmt.Errorf("ort: %d threads: want 1 to %d", c.Threads, maxThreads)
	case c.Arena < 0:
		return fmt.Errorf("ort: arena of %d bytes: want 0 (no cap) or more", c.Arena)
	case c.Device != "cpu":
		return fmt.Errorf("ort: device %q: want cpu", c.Device)
	}
	return nil
}

// Engine loads models. It is safe for concurrent use and is never closed:
// what it holds besides its sessions lasts as long as the process.
type Engine struct {
	config   Config
	arena    *arena
	atOpen   int64 // C heap before the first session
	live     atomic.Int64
	activity activity
}

var (
	_ inference.Engine   = (*Engine)(nil)
	_ inference.Named    = (*Engine)(nil)
	_ inference.Measured = (*session)(nil)
)

// opening protects the process's one ONNX Runtime while it is started; whether
// it was is the binding's own state.
var opening sync.Mutex

// Open starts ONNX Runtime and returns the engine on it. A second call in one
// process is fault.Internal, a library that is missing fault.NotFound, and one
// that does not fit fault.Unsupported.
func Open(c Config) (*Engine, error) {
	const op = "ort.Open"
	if err := c.Validate(); err != nil {
		return nil, fault.New(fault.Invalid, op, "%w", err)
	}
	library, err := FindLibrary(c.Library)
	if err != nil {
		return nil, err
	}
	opening.Lock()
	defer opening.Unlock()
	if onnx.IsInitialized() {
		return nil, fault.New(fault.Internal, op, "ONNX Runtime is open already: it can be started once in a process")
	}
	if err := disableTelemetry(); err != nil {
		return nil, fault.New(fault.Internal, op, "%w", err)
	}
	onnx.SetSharedLibraryPath(library)
	// Every error comes back from its call; ONNX Runtime would print it as well.
	if err := onnx.InitializeEnvironment(onnx.WithLogLevelFatal()); err != nil {
		return nil, fault.New(fault.Unsupported, op, "%s does not start: %w", library, err)
	}
	// Beside the environment variable: the two switches are not the same one.
	if err := onnx.DisableTelemetry(); err != nil {
		return nil, fault.New(fault.Internal, op, "telemetry: %w", err)
	}
	a, err := newArena(c.Arena)
	if err != nil {
		return nil, fault.New(fault.Internal, op, "%w", err)
	}
	return &Engine{config: c, arena: a, atOpen: heapInUse()}, nil
}

// Version is the version of the ONNX Runtime that was opened.
func Version() string { return onnx.GetVersion() }

// Provider names the device that runs.
func (e *Engine) Provider() string { return e.config.Device }

// Device names the processor and the threads of a run.
func (e *Engine) Device() string {
	return fmt.Sprintf("%s, %d threads a run: %s", e.config.Device, e.config.Threads, processor())
}

// Runtime names the library and its version.
func (e *Engine) Runtime() string { return "onnxruntime " + Version() }

// Used is what the C heap holds beyond what it held when ONNX Runtime had just
// opened, or -1 where the C library does not say. The binding does not give
// the arena's own numbers. Unlike resident memory it does not move with Go's
// heap, where results are kept; it does count what other C libraries of the
// process hold at the moment, such as a picture that libvips decodes.
func (e *Engine) Used() int64 {
	now := heapInUse()
	if now < 0 {
		return -1
	}
	return max(0, now-e.atOpen)
}

// Live is how many C objects (sessions, tensors, options) are held. It is zero
// when every session is closed; tests end with it.
func (e *Engine) Live() int64 { return e.live.Load() }

// activity tells whether a piece of work was alone from start to end: only
// then is a difference of two readings its own.
type activity struct {
	started, running atomic.Int64
}

// begin returns a function that ends the work and reports whether no other
// was under way meanwhile.
func (a *activity) begin() func() (alone bool) {
	first := a.running.Add(1) == 1
	mine := a.started.Add(1)
	return func() bool {
		a.running.Add(-1)
		return first && a.started.Load() == mine
	}
}
