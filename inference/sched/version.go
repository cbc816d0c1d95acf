package sched

import (
	"slices"
	"time"
)

// OnVersion makes next known as the new version of old. It takes over, by the
// effect Replace, as soon as that makes nobody wait:
//
//  1. old is not loaded: next takes over now and is loaded when it is asked for.
//  2. next fits beside everything that is loaded: it is loaded now while old
//     serves, and takes over once it is loaded, or once old has to leave for
//     another; if it does not load, never.
//  3. It does not fit: next takes over now. old answers who waits for it, and
//     leaves before next is loaded.
//
// A version that was to take over from old and has not yet is dropped.
func (s *Scheduler) OnVersion(now time.Time, old ModelID, next Spec) {
	for _, m := range s.models {
		if m.replaces != nil && m.replaces.ID == old && m.ID != next.ID {
			m.retire(EvictedRetired)
		}
	}
	m, was := s.declare(now, next), s.byID[old]
	m.Retired = false
	switch {
	case was == nil:
		s.do.Replace(old, next.ID)
	case was.state != resident: // 1
		m.replaces = was
		s.takeOver(m)
	case m.state == absent && !s.closing && !s.alone && !s.suspect(now, LoadKey(m.ID)) && s.loading() < s.cfg.Loads && s.fits(m, m.restBytes()+m.warmBytes()): // 2
		m.replaces = was
		s.load(now, m)
	case m.state == loading:
		m.replaces = was
	default: // 3
		m.replaces = was
		s.takeOver(m)
	}
	s.settle(now)
}

// OnRetire lets a version go that nobody will ask for any more: who waits for
// it is still answered. OnModel takes it back.
func (s *Scheduler) OnRetire(now time.Time, id ModelID, why Reason) {
	if m := s.byID[id]; m != nil {
		m.retire(why)
	}
	s.settle(now)
}

// Knows reports whether a model is known and not forgotten.
func (s *Scheduler) Knows(id ModelID) bool { return s.byID[id] != nil }

func (m *model) retire(why Reason) {
	m.Retired, m.Pinned, m.replaces, m.leaves = true, false, nil, why
}

// takeOver lets m serve instead of the version that it replaces, if any.
func (s *Scheduler) takeOver(m *model) {
	if m.replaces == nil {
		return
	}
	old := m.replaces
	m.replaces = nil
	m.rate = old.rate // as popular as it was
	old.retire(EvictedRetired)
	s.do.Replace(old.ID, m.ID)
}

// takeOverFrom lets the new version of a model that is sent away serve already.
func (s *Scheduler) takeOverFrom(old *model) {
	for _, m := range s.models {
		if m.replaces == old {
			s.takeOver(m)
		}
	}
}

// forgetRetired forgets what is retired and gone.
func (s *Scheduler) forgetRetired() {
	s.models = slices.DeleteFunc(s.models, func(m *model) bool {
		gone := m.Retired && m.state == absent && len(m.queues) == 0
		if gone {
			delete(s.byID, m.ID)
		}
		return gone
	})
}
