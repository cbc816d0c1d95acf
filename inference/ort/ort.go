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
	"errors"
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
	// Device is where models run: "cpu"; "cuda" or "cuda:N", and nothing else;
	// or "auto", a card where one can be used.
	Device string
	// CardMemory bounds, in bytes, what the arena of one session takes on a card;
	// 0 is 80 % of what is free when it is opened.
	CardMemory int64
	// CUDA are options of ONNX Runtime's CUDA provider, by its own keys, for all
	// models; a manifest's go over them.
	CUDA map[string]string
	// TensorRT has models run by TensorRT as far as it can. It builds an engine
	// for each, which takes minutes, and keeps it in the folder EngineCache.
	TensorRT    bool
	EngineCache string
}

// DefaultConfig runs on the CPU with one thread and no cap.
func DefaultConfig() Config { return Config{Threads: 1, Device: "cpu"} }

// Validate reports a value that cannot work.
func (c Config) Validate() error {
	const maxThreads = 256
	if _, err := parseDevice(c.Device); err != nil {
		return err
	}
	switch {
	case c.Threads < 1 || c.Threads > maxThreads:
		return fmt.Errorf("ort: %d threads: want 1 to %d", c.Threads, maxThreads)
	case c.Arena < 0:
		return fmt.Errorf("ort: arena of %d bytes: want 0 (no cap) or more", c.Arena)
	case c.CardMemory < 0:
		return fmt.Errorf("ort: %d bytes of a card: want 0 (most of what is free) or more", c.CardMemory)
	case c.TensorRT && c.EngineCache == "":
		return errors.New("ort: TensorRT needs a folder for its engines")
	}
	return checkOptions("--cuda-option", c.CUDA)
}

// Engine loads models. It is safe for concurrent use and is never closed:
// what it holds besides its sessions lasts as long as the process.
type Engine struct {
	config   Config
	card     *card  // nil: models run on the CPU
	reason   string // why they do, where a card was hoped for
	library  string
	arena    *arena
	atOpen   int64 // C heap before the first session
	proven   proven
	live     atomic.Int64
	activity activity
}

var (
	_ inference.Engine   = (*Engine)(nil)
	_ inference.Named    = (*Engine)(nil)
	_ inference.Trimmer  = (*Engine)(nil)
	_ inference.Lender   = (*Engine)(nil)
	_ inference.Crowded  = (*Engine)(nil)
	_ inference.Measured = (*session)(nil)
)

// opening protects the process's one ONNX Runtime while it is started; whether
// it was is the binding's own state.
var opening sync.Mutex

// Open starts ONNX Runtime and returns the engine on it. A second call in one
// process is fault.Internal, a library that is missing fault.NotFound, one that
// does not fit fault.Unsupported, and a card that was asked for and cannot be
// used fault.Unavailable: what is missing, and how to get it. Where the device is
// "auto" that is no error, and Reason says it.
func Open(c Config) (*Engine, error) {
	const op = "ort.Open"
	if err := c.Validate(); err != nil {
		return nil, fault.New(fault.Invalid, op, "%w", err)
	}
	opening.Lock()
	defer opening.Unlock()
	if onnx.IsInitialized() {
		return nil, fault.New(fault.Internal, op, "ONNX Runtime is open already: it can be started once in a process")
	}
	e := &Engine{config: c}
	var err error
	if e.library, err = e.choose(); err != nil {
		return nil, err
	}
	if err := initialize(e.library); err != nil {
		return nil, err
	}
	if e.card != nil {
		if err := e.startCard(); err != nil {
			return nil, err
		}
	}
	if e.arena, err = newArena(c.Arena); err != nil {
		return nil, fault.New(fault.Internal, op, "%w", err)
	}
	e.atOpen = heapInUse()
	return e, nil
}

// choose finds the card, if one is to be used, and the library.
func (e *Engine) choose() (library string, err error) {
	want, err := parseDevice(e.config.Device)
	if err != nil {
		return "", err
	}
	if want.cuda || want.auto {
		if library, err = FindLibrary(e.config.Library, "cuda"); err != nil {
			return "", err
		}
		if e.card, err = e.findCard(library, want); err != nil || e.card != nil {
			return library, err
		}
	}
	return FindLibrary(e.config.Library, "cpu")
}

// findCard returns no card, and no error, where that may be.
func (e *Engine) findCard(library string, want target) (*card, error) {
	defer processSignals.keep()()
	card, err := findCard(e.config, library, want.index)
	if err != nil && want.auto {
		e.reason = err.Error()
		return nil, nil
	}
	return card, err
}

// initialize starts the library.
func initialize(library string) error {
	const op = "ort.Open"
	if err := disableTelemetry(); err != nil {
		return fault.New(fault.Internal, op, "%w", err)
	}
	onnx.SetSharedLibraryPath(library)
	// Every error comes back from its call; ONNX Runtime would print it as well.
	if err := onnx.InitializeEnvironment(onnx.WithLogLevelFatal()); err != nil {
		return fault.New(fault.Unsupported, op, "%s does not start: %w", library, err)
	}
	// Beside the environment variable: the two switches are not the same one.
	if err := onnx.DisableTelemetry(); err != nil {
		return fault.New(fault.Internal, op, "telemetry: %w", err)
	}
	return nil
}

// startCard gives a card up that does not start, where that may be.
func (e *Engine) startCard() error {
	err := e.card.start()
	if err != nil && e.config.Device == "auto" && !fault.Is(err, fault.Invalid) {
		e.card, e.reason = nil, err.Error()
		return nil
	}
	return err
}

// Version is the version of the ONNX Runtime that was opened.
func Version() string { return onnx.GetVersion() }

// Provider names the device that runs.
func (e *Engine) Provider() string {
	if e.card != nil {
		return "cuda"
	}
	return "cpu"
}

// Reason is why models run on the CPU where the device was "auto", else empty.
func (e *Engine) Reason() string { return e.reason }

// Device names the hardware and how it is used: the processor and the threads
// of a run, or the card and its options.
func (e *Engine) Device() string {
	if e.card != nil {
		name := "cuda: " + e.card.name + ", " + written(e.config.CUDA)
		if e.config.TensorRT {
			name += ", TensorRT"
		}
		return name
	}
	return fmt.Sprintf("cpu, %d threads a run: %s", e.config.Threads, processor())
}

// Library is the path of the ONNX Runtime that was opened.
func (e *Engine) Library() string { return e.library }

// CardBudget is what models may hold on the card, in bytes: Config.CardMemory,
// or what is reasonable. 0 on the CPU.
func (e *Engine) CardBudget() int64 {
	if e.card == nil {
		return 0
	}
	return e.card.budget
}

// Free is what nobody holds of the card, in bytes, with what is only kept for
// runs to come; -1: not known, or no card.
func (e *Engine) Free() int64 {
	if e.card == nil {
		return -1
	}
	work := e.activity.idle()
	r, err := e.card.read()
	if err != nil {
		return -1
	}
	if work != e.activity.idle() {
		work = -1
	}
	e.card.others.notice(r.Total-r.Free, work)
	return r.Free + e.card.shares.spare()
}

// Runtime names the library and its version.
func (e *Engine) Runtime() string { return "onnxruntime " + Version() }

// Used is what models hold: on a card what the driver says of this process,
// less the context; on the CPU what the C heap holds beyond what it held when
// ONNX Runtime had just opened and beyond what is kept for runs to come. -1 where
// nobody says.
//
// The binding does not give the arena's own numbers. Unlike resident memory the
// heap does not move with Go's, where results are kept; it does count what other
// C libraries of the process hold at the moment, such as a picture that libvips
// decodes.
func (e *Engine) Used() int64 {
	if e.card != nil {
		if used := e.card.grown(); e.card.told && used >= 0 {
			return max(0, used-e.card.shares.spare())
		}
		return -1
	}
	now := heapInUse()
	if now < 0 {
		return -1
	}
	return max(0, now-e.atOpen-e.arena.spare())
}

// Trim gives back the memory that is kept for runs to come.
func (e *Engine) Trim() error {
	if e.card != nil {
		if err := e.card.shares.trim(); err != nil {
			return err
		}
	}
	if err := e.arena.trim(); err != nil {
		return fault.New(fault.Internal, "ort.Trim", "%w", err)
	}
	return nil
}

// Live is how many C objects (sessions, tensors, options, lent memory) are held. It is zero
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

// idle is how much work has begun where none is under way, else -1.
func (a *activity) idle() int64 {
	started := a.started.Load()
	if a.running.Load() > 0 {
		return -1
	}
	return started
}

// disturb says that the device's memory has moved in a moment: no work that is
// under way was alone.
func (a *activity) disturb() { a.started.Add(1) }
