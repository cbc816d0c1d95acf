package inference

import (
	"context"
	"errors"

	"focal/models"
)

// ErrDeviceLost is in the chain of an error after which nothing works on the
// device until the process starts again. No request is to blame for it.
var ErrDeviceLost = errors.New("the device is lost")

// Engine loads models on one device. Load, Run and Close are called from
// outside the scheduler's run loop; an Engine is safe for concurrent use.
type Engine interface {
	// Provider names the device that runs: "cpu" or "cuda".
	Provider() string
	// Load makes a session of m's file and checks its inputs and outputs
	// against the manifest, by position. It runs batch 1 once, to see that it
	// runs and so that the first request pays for nothing; an engine on which a
	// first run costs no more than another may leave it out for a file that it
	// has seen run. A bad file is fault.Unsupported or
	// fault.Corrupt, want of memory is fault.Busy. ctx ending asks it to stop
	// (shutdown and the watchdog only); it may come back late, or with a session.
	Load(ctx context.Context, m models.Model) (Session, error)
	// Used is the reading: bytes of device memory that sessions hold now, without
	// what is only kept for runs to come; -1 where nothing can be read.
	Used() int64
}

// Session is one loaded model. Run may be called from several goroutines.
type Session interface {
	// Run runs one batch: inputs by position, all with the same first axis.
	// The outputs come by position, owned by the caller. It returns only when
	// C has let go of the inputs; ctx ending asks C to stop (shutdown and the
	// watchdog only).
	Run(ctx context.Context, inputs []models.Tensor) ([]models.Tensor, error)
	// Rest is the memory that the loaded session was measured to hold, or 0.
	Rest() int64
	// Close frees everything. No Run may be under way.
	Close() error
}

// Crowded is an Engine on a device that other processes use too.
type Crowded interface {
	// Free is how many bytes of the device nobody holds, or -1 where nobody knows.
	Free() int64
}

// Measured is a Session that can say what a run takes.
type Measured interface {
	// RunMeasured is Run within room, and the most bytes of device memory that
	// the run held beyond the loaded session, its inputs and outputs among them
	// where they lie there; 0 where that is not known, because others used the
	// device meanwhile.
	RunMeasured(ctx context.Context, inputs []models.Tensor, room Room) (outputs []models.Tensor, bytes int64, err error)
}

// Room is the device memory, in bytes, that the books give to runs. What a run
// leaves of it an engine may keep for the next one, which is much faster than
// to ask the system for memory each time.
type Room struct {
	Run int64 // booked for this run
	All int64 // for all runs together, and for what is kept of those that have ended
}

// Trimmer is an Engine that keeps memory of runs that have ended.
type Trimmer interface {
	// Trim gives all of it back.
	Trim() error
}

// Lender is an Engine with memory of its own for the inputs of runs. Go's collector
// would let a batch of pictures lie long after its run, beyond what the books say.
type Lender interface {
	// Lend returns room for n numbers, whose values are any, and what gives it back
	// at once: to be called when no run uses it any more. Want of memory is fault.Busy.
	Lend(n int) (room []float32, back func(), err error)
}

// Named is an Engine whose measurements are worth keeping: it can say what they
// hold for.
type Named interface {
	// Device names the hardware as it is used, Runtime the library and its
	// version: of other names no measurement is believed.
	Device() string
	Runtime() string
}
