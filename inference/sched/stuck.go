package sched

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"focal/core/fault"
	"focal/inference"
)

// watchdog is what is known of a run, a load or the end of a session.
type watchdog struct {
	due           time.Time // beyond it, it is stuck; zero: it never is
	stopped, lost bool      // it was asked to stop; it did not
}

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
			s.lose(u.model, "a run of model %s does not stop", now.Sub(u.started), u.keys())
		}
	}
}

// lose gives the device up: what, which names a model, has taken so long.
func (s *Scheduler) lose(m *model, what string, took time.Duration, guilty []Key) {
	s.do.Lost(m.ID, fmt.Errorf("%w: "+what+" after %s", inference.ErrDeviceLost, m.Name, took.Round(time.Second)), guilty)
}

// watchLoad begins to watch the load of m. It may take longer than any run: a
// file comes from far away, a device is tuned to it.
func (s *Scheduler) watchLoad(now time.Time, m *model) {
	m.watchdog = watchdog{}
	if s.cfg.StuckFloor > 0 && s.cfg.LoadLimit > 0 {
		m.due = now.Add(max(s.cfg.LoadLimit, time.Duration(s.cfg.StuckFactor)*m.expectedLoad()))
		s.wakeAt(m.due)
	}
}

// watchUnload begins to watch the end of m's session. It may have to wait for runs
// on other models, so it has as long as a run of which nothing is known.
func (s *Scheduler) watchUnload(now time.Time, m *model) {
	m.watchdog = watchdog{}
	if s.cfg.StuckFloor > 0 {
		m.due = now.Add(time.Duration(s.cfg.StuckFactor) * s.cfg.StuckFloor)
		s.wakeAt(m.due)
	}
}

// watchLoads looks for loads that are stuck, and for sessions that do not close:
//
//  1. Within its time: look again when that is over.
//  2. Beyond it: who waits for the model is told so, and so is whoever comes. A
//     load is asked to stop; a session cannot be.
//  3. Beyond it by another StuckFloor: the device is lost. A load is held to
//     have hung, which is nobody's fault the first time.
func (s *Scheduler) watchLoads(now time.Time) {
	for _, m := range s.models {
		switch {
		case m.due.IsZero() || m.state != loading && m.state != unloading || m.lost:
		case now.Before(m.due): // 1
			s.wakeAt(m.due)
		case !m.stopped: // 2
			m.stopped, m.due = true, now.Add(s.cfg.StuckFloor)
			s.wakeAt(m.due)
			m.failure, m.retryAt = m.hangs(now.Sub(m.since)), m.due.Add(s.cfg.MaxBackoff)
			s.refuseAll(m, RefusedLoad, m.failed(now))
			if m.state == loading {
				s.do.StopLoad(m.ID)
			}
		default: // 3
			m.lost = true
			if m.state == loading {
				s.lose(m, "the load of model %s does not stop", now.Sub(m.since), []Key{HangKey(m.ID)})
			} else {
				s.lose(m, "the session of model %s does not close", now.Sub(m.since), nil)
			}
		}
	}
}

// hangs is why a model does not load that is stuck.
func (m *model) hangs(took time.Duration) error {
	if m.state == unloading {
		return fault.New(fault.Unavailable, "sched.Load", "its last session has not closed for %s", took.Round(time.Second))
	}
	return fault.New(fault.Unavailable, "sched.Load", "it was given up after %s (--load-timeout)", took.Round(time.Second))
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
