package device

import (
	"context"
	"errors"
	"time"

	"focal/inference/ort"
	"focal/models"
)

// Swap is what it costs to bring a model in, and what is left when it is gone.
type Swap struct {
	// BareLoad, BareFirst and BareRun are of a bare session: made, its first run,
	// its second.
	BareLoad, BareFirst, BareRun time.Duration
	// Load is the engine's: the session, and a first run at the smallest canvas.
	// First is the run after it.
	Load, First time.Duration
	Runs        []time.Duration // after it
	Evict       time.Duration   // until the session is closed and its memory given back
	Rest, Run   int64           // bytes: of the loaded session, of a run beyond it
	Process     int64           // bytes that this process held of the device while it was loaded
	Left        int64           // bytes that it holds more than before
}

// Change loads m and unloads it again, a bare session first. in is one item.
func Change(ctx context.Context, e *ort.Engine, m models.Model, in []models.Tensor) (s Swap, err error) {
	if err := s.bare(e, m, in); err != nil {
		return s, err
	}
	before := e.Held()
	began := time.Now()
	loaded, err := e.Load(ctx, m)
	if err != nil {
		return s, err
	}
	s.Load = time.Since(began)
	began = time.Now()
	if _, err := loaded.Run(ctx, in); err != nil {
		return s, errors.Join(err, loaded.Close())
	}
	s.First = time.Since(began)
	s.Runs, s.Run, err = Timed(ctx, loaded, in)
	s.Rest, s.Process = loaded.Rest(), e.Held()
	began = time.Now()
	err = errors.Join(err, loaded.Close(), e.Trim())
	s.Evict, s.Left = time.Since(began), e.Held()-before
	return s, err
}

func (s *Swap) bare(e *ort.Engine, m models.Model, in []models.Tensor) error {
	b, err := e.OpenBare(m)
	if err != nil {
		return err
	}
	runs, err := b.Loop(in, Count(2))
	if err = errors.Join(err, b.Close()); err != nil {
		return err
	}
	s.BareLoad, s.BareFirst, s.BareRun = b.Load, runs[0], runs[1]
	return nil
}
