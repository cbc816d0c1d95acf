package sched

import (
	"time"

	"focal/inference"
)

// Snapshot is the state of a Scheduler for metrics and status pages.
type Snapshot struct {
	Budget   int64 // bytes
	Reserved int64 // bytes booked now; never above Budget
	Drift    int64 // bytes that the device holds beyond what is booked
	Slots    int
	Running  int // runs under way
	Models   []ModelSnapshot
}

// ModelSnapshot is one model, in the order in which they became known.
type ModelSnapshot struct {
	ID         ModelID
	Name       string
	State      string // absent, loading, resident, unloading
	Pinned     bool
	Booked     int64         // bytes at rest (and of the warm-up while loading)
	Running    int           // runs under way
	RunBytes   int64         // bytes booked for them
	Queued     int           // requests waiting, all canvases and classes
	QueueLimit int           // for each class
	LoadTime   time.Duration // measured; 0 until then
	Since      time.Time     // when State began
	LastUsed   time.Time
	Err        error     // of the last load, if it failed
	RetryAt    time.Time // no load before then
}

// Snapshot returns the state now.
func (s *Scheduler) Snapshot() Snapshot {
	snap := Snapshot{
		Budget: s.books.budget, Reserved: s.books.reserved(), Drift: s.books.lost(),
		Slots: s.cfg.Slots, Running: len(s.runs), Models: make([]ModelSnapshot, len(s.models)),
	}
	runBytes := map[*model]int64{}
	for _, u := range s.runs {
		runBytes[u.model] += u.booked
	}
	for i, m := range s.models {
		snap.Models[i] = ModelSnapshot{
			ID: m.ID, Name: m.Name, State: m.state.String(), Pinned: m.Pinned, Booked: m.booked,
			Running: m.running, RunBytes: runBytes[m],
			Queued:     m.waiting(int(inference.ClassServer)) + m.waiting(int(inference.ClassDirect)),
			QueueLimit: s.cfg.QueueLimit, LoadTime: m.loadTime, Since: m.since, LastUsed: m.lastUsed,
			Err: m.failure, RetryAt: m.retryAt,
		}
	}
	return snap
}
