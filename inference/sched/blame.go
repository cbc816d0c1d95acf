package sched

import (
	"crypto/sha256"
	"fmt"
	"time"

	"focal/core/fault"
)

// Key names what may be to blame when the process ends without warning: it is
// the same in every process. The zero Key is never to blame.
type Key = [sha256.Size]byte

// RunKey is that of a run of a model on one subject, however its caller tells
// subjects apart.
func RunKey(m ModelID, subject []byte) Key { return keyOf("run", string(m), string(subject)) }

// LoadKey is that of loading a model.
func LoadKey(m ModelID) Key { return keyOf("load", string(m), "") }

// HangKey is that of loads of a model that do not end. It is another than LoadKey:
// who hung is known, and is not tried with the device to himself.
func HangKey(m ModelID) Key { return keyOf("hang", string(m), "") }

// ProbeKey is that of running n empty items.
func ProbeKey(m ModelID, c Canvas, n int) Key {
	return keyOf("probe", string(m), fmt.Sprint(n, " ", c))
}

func keyOf(what, model, of string) Key {
	return sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s", what, model, of))
}

// crash is what is held against a Key.
type crash struct {
	count int
	last  time.Time
	hung  bool // the last time its run had to be stopped
}

// OnCrash hears that a process before this one ended, the last time at last,
// while key was on the device, count times in all. It comes before anything
// else is known.
//
//	once: it runs, or loads, with the device to itself, so that it is known who is to
//	blame if that ends the process too, and nobody else's run is lost.
//	twice: it is refused for BlameRefuse after the last crash. Then it may try again, alone.
//	It came back, however it went: it is cleared. A run that had to be stopped counts
//	as a crash for who was alone in it.
//	BlameForget after the last crash: it is forgotten.
func (s *Scheduler) OnCrash(key Key, count int, last time.Time) {
	if s.crashes == nil {
		s.crashes = map[Key]crash{}
	}
	s.crashes[key] = crash{count: count, last: last}
}

// onHang holds it against key that its run, of nobody else, had to be stopped:
// it has cost the device as much as a crash.
func (s *Scheduler) onHang(now time.Time, key Key) {
	if key == (Key{}) {
		return
	}
	count := 0
	if s.suspect(now, key) {
		count = s.crashes[key].count
	}
	s.OnCrash(key, count+1, now)
	c := s.crashes[key]
	c.hung = true
	s.crashes[key] = c
}

// suspect reports whether something is held against key.
func (s *Scheduler) suspect(now time.Time, key Key) bool {
	c := s.crashes[key]
	return c.count > 0 && now.Before(c.last.Add(s.cfg.BlameForget))
}

// banned returns until when key is refused, if it is.
func (s *Scheduler) banned(now time.Time, key Key) (until time.Time, yes bool) {
	c := s.crashes[key]
	until = c.last.Add(s.cfg.BlameRefuse)
	return until, c.count >= 2 && now.Before(until)
}

// clear forgets what was held against key: it came back.
func (s *Scheduler) clear(key Key) { delete(s.crashes, key) }

// cameBack hears that a run has ended: nobody in it is a suspect, but who had to
// be stopped alone.
func (s *Scheduler) cameBack(now time.Time, u *run, err error) {
	s.alone = false // this run, or nothing: a suspect has no company
	if keys := u.keys(); err != nil && u.stopped && len(keys) == 1 {
		s.onHang(now, keys[0])
		return
	}
	if len(s.crashes) == 0 {
		return
	}
	for _, key := range u.keys() {
		s.clear(key)
	}
}

// killer reports whether a process ended while n empty items ran: nobody needs
// them to run again.
func (s *Scheduler) killer(now time.Time, m *model, c Canvas, n int) bool {
	return len(s.crashes) > 0 && s.suspect(now, ProbeKey(m.ID, c, n))
}

// crashed is the answer to a request that is to blame.
func (s *Scheduler) crashed(now time.Time, m *model, r Request) (Reason, error) {
	until, yes := s.banned(now, r.Key)
	if !yes {
		return "", nil
	}
	c, what := s.crashes[r.Key], "the inference process has ended"
	if c.hung {
		what = "a run had to be stopped, or the inference process has ended,"
	}
	return RefusedCrashed, fault.New(fault.Corrupt, "sched.Arrive", "model %s: %s %d times over this input; it is not tried again for %s",
		m.Name, what, c.count, until.Sub(now).Round(time.Second))
}

// backOff leaves a model alone whose load has ended the process twice, or has hung
// twice, as one that does not load.
func (s *Scheduler) backOff(now time.Time, m *model) {
	if len(s.crashes) == 0 {
		return
	}
	for _, held := range []struct {
		key  Key
		what string
	}{
		{LoadKey(m.ID), "the inference process has ended %d times while it was loaded"},
		{HangKey(m.ID), "it has been given up %d times, since its load did not end (--load-timeout)"},
	} {
		if until, yes := s.banned(now, held.key); yes && until.After(m.retryAt) {
			m.retryAt = until
			m.failure = fault.New(fault.Unavailable, "sched.Load", held.what, s.crashes[held.key].count)
		}
	}
}

// quiet reports whether nothing runs or loads.
func (s *Scheduler) quiet() bool { return len(s.runs) == 0 && s.loading() == 0 }

// suspected reports whether what q would start next is a suspect: it starts when
// the device is quiet, and nothing starts beside it.
func (s *Scheduler) suspected(now time.Time, q *queue) bool {
	if len(s.crashes) == 0 {
		return false
	}
	switch m := q.model; {
	case m.state == absent:
		return s.suspect(now, LoadKey(m.ID))
	case m.state != resident || m.sick || q.canvas == toLoad || s.claim.takes(m):
		return false
	default:
		return s.suspect(now, s.line(q, 1)[0].Key)
	}
}
