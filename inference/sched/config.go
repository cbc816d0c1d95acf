package sched

import (
	"fmt"
	"time"

	"focal/inference"
)

// Priorities run from 1, the highest, to LowestPriority.
const (
	DefaultPriority = 4
	LowestPriority  = 8
)

const classes = int(inference.ClassDirect) + 1

// Config bounds a Scheduler.
type Config struct {
	// Budget is the bytes that all models may hold together, at rest and
	// running (--memory-budget).
	Budget int64
	// Slots is the number of runs at the same time on the device.
	Slots int
	// Loads is the number of models that may be loading at the same time.
	Loads int
	// QueueLimit bounds the requests that wait for one model, for each class
	// (--inference-queue).
	QueueLimit int
	// Weights are the shares of the classes, by inference.Class.
	Weights [classes]int
	// PriorityStep is the head start that one level of priority buys. Because
	// it is a head start, a low priority waits longer and never for ever.
	PriorityStep time.Duration
	// Turn bounds collation: while others wait for its room, a model that has
	// work keeps its place for a Turn after it was loaded, and a request waits
	// at most a Turn before a busy model is drained for it.
	Turn time.Duration
	// MaxWait is how long classes, turns and residence may keep a request
	// waiting for memory: a queue whose head has waited longer goes before all
	// others, and any model is drained for it. Priorities add at most their head
	// start.
	MaxWait time.Duration
	// MinResidence is how long a loaded model stays when another wants its
	// room, even idle; where its load time is known, at most twice that.
	MinResidence time.Duration
	// KeepAlive is how long an unused model stays when nobody wants its room;
	// 0 means for ever.
	KeepAlive time.Duration
	// ProbeAfter is how long the device has to be idle before batch sizes that
	// nobody has asked for are measured; 0 means never. ProbeLimit is the longest
	// run that is tried: whoever comes meanwhile may have to wait for it.
	ProbeAfter, ProbeLimit time.Duration
	// StuckFloor and StuckFactor are the watchdog's: a run is stopped that takes
	// longer than the floor and the factor times its profile. A floor of 0
	// switches it off.
	StuckFloor  time.Duration
	StuckFactor int
	// LoadLimit is how long a load may take before it is given up
	// (--load-timeout), if the factor times what it usually takes is not more;
	// 0 means for ever.
	LoadLimit time.Duration
	// BlameRefuse is how long an input, or a model's load, is refused after the
	// process has ended over it for the second time; BlameForget is how long a crash
	// counts.
	BlameRefuse, BlameForget time.Duration
	// RateHalfLife is how fast past requests stop counting for a model's worth.
	RateHalfLife time.Duration
	// Backoff is the wait after a first failed load; it doubles up to
	// MaxBackoff.
	Backoff, MaxBackoff time.Duration
}

// DefaultConfig returns the defaults: a budget of 1 GiB and two slots.
func DefaultConfig() Config {
	return Config{
		Budget: 1 << 30, Slots: 2, Loads: 2, QueueLimit: 256,
		Weights:      [classes]int{inference.ClassServer: 4, inference.ClassDirect: 1},
		PriorityStep: 500 * time.Millisecond,
		// Turn and MinResidence are short by simulation (focal-bench simulate): a
		// place that is kept for an idle model costs more than swaps do.
		Turn: 500 * time.Millisecond, MaxWait: 10 * time.Second, MinResidence: 100 * time.Millisecond, RateHalfLife: time.Minute,
		ProbeLimit: time.Second,
		StuckFloor: 30 * time.Second, StuckFactor: 10, LoadLimit: 5 * time.Minute,
		BlameRefuse: 10 * time.Minute, BlameForget: time.Hour,
		Backoff: time.Second, MaxBackoff: time.Minute,
	}
}

// Validate reports a Config that nothing could work with.
func (c Config) Validate() error {
	switch {
	case c.Budget <= 0:
		return fmt.Errorf("memory budget of %d bytes (--memory-budget): want more than 0", c.Budget)
	case c.Slots < 1 || c.Loads < 1 || c.QueueLimit < 1:
		return fmt.Errorf("%d slots, %d loads, queue limit %d: want at least 1 of each", c.Slots, c.Loads, c.QueueLimit)
	case c.PriorityStep < 0 || c.Turn < 0 || c.MaxWait < 0 || c.MinResidence < 0 || c.KeepAlive < 0 || c.ProbeAfter < 0 || c.ProbeLimit < 0:
		return fmt.Errorf("a negative duration in the scheduler's configuration")
	case c.StuckFloor < 0 || c.StuckFactor < 1:
		return fmt.Errorf("runs are stopped after %s and %d times their profile: want 0 (never) or more, and at least once", c.StuckFloor, c.StuckFactor)
	case c.LoadLimit < 0:
		return fmt.Errorf("loads are given up after %s (--load-timeout): want 0 (never) or more", c.LoadLimit)
	case c.BlameRefuse < 0 || c.BlameForget < c.BlameRefuse:
		return fmt.Errorf("blame for a crash refuses for %s and is forgotten after %s: want 0 or more, and not less", c.BlameRefuse, c.BlameForget)
	case c.RateHalfLife <= 0 || c.Backoff <= 0 || c.MaxBackoff < c.Backoff:
		return fmt.Errorf("rate half-life %s, back-off %s up to %s: want positive and rising", c.RateHalfLife, c.Backoff, c.MaxBackoff)
	}
	for class, w := range c.Weights {
		if w < 1 {
			return fmt.Errorf("class %d has weight %d: want at least 1", class, w)
		}
	}
	return nil
}
