package sched

import (
	"maps"
	"slices"
	"time"

	"focal/core/fault"
)

// overrun is how long a run of n items may take before it is taken for stuck:
// StuckFactor times what is expected, and never less than StuckFloor. Of what
// has never run nothing is expected: it has StuckFactor times the floor.
func (s *Scheduler) overrun(m *model, c Canvas, n int) time.Duration {
	factor := time.Duration(s.cfg.StuckFactor)
	if p := m.profiles[c]; p != nil {
		if took, known := p.runTime(n); known {
			return max(s.cfg.StuckFloor, factor*took)
		}
	}
	return factor * s.cfg.StuckFloor
}

// watch looks for runs that are stuck:
//
//  1. Within its time: look again when that is over.
//  2. Beyond it: it is asked to stop, and its session is not trusted any more:
//     the model starts nothing new, leaves when nothing runs on it, and is
//     loaded again for who waits.
//  3. Beyond it by another StuckFloor, though it was asked to stop: the device
//     is lost, and what ran is held to have ended the process.
func (s *Scheduler) watch(now time.Time) {
	if s.cfg.StuckFloor <= 0 {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(s.runs)) { // in order, so that decisions repeat
		switch u := s.runs[id]; {
		case now.Before(u.due): // 1
			s.wakeAt(u.due)
		case !u.stopped: // 2
			u.stopped, u.model.sick = true, true
			u.due = now.Add(s.cfg.StuckFloor)
			s.wakeAt(u.due)
			s.do.Stop(id)
		case !u.lost: // 3
			u.lost = true
			s.do.Lost(u.model.ID, u.keys(), now.Sub(u.started))
		}
	}
}

// keys are of what runs.
func (u *run) keys() []Key {
	if u.probe {
		return []Key{ProbeKey(u.model.ID, u.canvas, u.n)}
	}
	keys := make([]Key, len(u.requests))
	for i, r := range u.requests {
		keys[i] = r.Key
	}
	return keys
}

// stuck is what the one hears whose run was stopped.
func stuck(m *model, took time.Duration) error {
	return fault.New(fault.Timeout, "sched.Run", "model %s: the run was stopped after %s, far longer than it ever takes", m.Name, took.Round(time.Millisecond))
}

// evictSick sends off models whose session is not trusted, once nothing runs on
// them.
func (s *Scheduler) evictSick(now time.Time) {
	for _, m := range s.models {
		if m.sick && m.state == resident && m.running == 0 {
			s.unload(now, m, EvictedStuck)
		}
	}
}
