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
	// against the manifest, by position. It runs batch 1 once, so that the
	// first request pays for nothing. A bad file is fault.Unsupported or
	// fault.Corrupt, want of memory is fault.Busy.
	Load(ctx context.Context, m models.Model) (Session, error)
	// Used is the reading: bytes of device memory that sessions hold now, or
	// -1 where nothing can be read.
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

// Measured is a Session that can say what a run takes.
type Measured interface {
	// RunMeasured is Run, and the most bytes of device memory that the run held
	// beyond the loaded session; 0 where that is not known, because others used
	// the device meanwhile.
	RunMeasured(ctx context.Context, inputs []models.Tensor) (outputs []models.Tensor, bytes int64, err error)
}

// Named is an Engine whose measurements are worth keeping: it can say what they
// hold for.
type Named interface {
	// Device names the hardware as it is used, Runtime the library and its
	// version: of other names no measurement is believed.
	Device() string
	Runtime() string
}
