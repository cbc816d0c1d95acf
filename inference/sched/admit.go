package sched

import (
	"time"

	"focal/core/fault"
	"focal/inference"
)

// admit decides whether a request may wait, and if not, why:
//
//  1. The service is closing.
//  2. Nobody knows the model, or the class.
//  3. The model failed to load and is left alone for a while.
//  4. The process has ended twice over this very request. (blame.go)
//  5. The model can never run within the budget, or not within what others left of it.
//  6. Its class has the full number waiting for this model, with the guests before it. (guests.go)
//  7. Its answer is predicted to be late; that of a guest, later than he may be.
func (s *Scheduler) admit(now time.Time, r Request) (Reason, error) {
	const op = "sched.Arrive"
	if s.closing { // 1
		return RefusedClosing, closingError()
	}
	m := s.byID[r.Model]
	if m == nil || int(r.Class) >= classes { // 2
		return RefusedUnknown, fault.New(fault.Invalid, op, "model %q of class %d is not known", r.Model, r.Class)
	}
	if now.Before(m.retryAt) { // 3
		return RefusedLoad, m.failed(now)
	}
	if why, err := s.crashed(now, m, r); err != nil { // 4
		return why, err
	}
	if why, err := s.never(m, r.Canvas); err != nil { // 5
		return why, err
	}
	ahead := s.ahead(now, r.Key)
	wait, known := s.predictBehind(now, m, r.Canvas, r.Class, ahead)
	if m.waiting(int(r.Class))+expected(ahead, m, r.Class) >= s.cfg.QueueLimit { // 6
		return RefusedFull, fault.New(fault.Busy, op, "%d requests wait for model %s (--inference-queue)", s.cfg.QueueLimit, m.Name).After(retryAfter(wait))
	}
	if over := lateBy(now, r.Deadline, wait, known); over > s.grace(now, r) { // 7
		return RefusedLate, late(m, over)
	}
	return "", nil
}

// lateBy is by how much an answer after wait would miss the deadline.
func lateBy(now, deadline time.Time, wait time.Duration, known bool) time.Duration {
	if deadline.IsZero() {
		return 0
	}
	if !known {
		wait = 0
	}
	if over := wait - deadline.Sub(now); over > 0 {
		return over
	}
	if !now.Before(deadline) {
		return 1
	}
	return 0
}

// WouldRefuse returns why a request that came now would be refused, or "" and
// nil. An empty canvas stands for the slowest that has run lately. It changes
// nothing and promises nothing: it is for saying so before anything is
// decoded. A model that is not known yet is not refused.
func (s *Scheduler) WouldRefuse(now time.Time, r Request) (Reason, error) {
	m := s.byID[r.Model]
	if m == nil {
		return "", nil
	}
	if r.Canvas == "" {
		r.Canvas = m.slowest(now)
	}
	return s.admit(now, r)
}

func (m *model) slowest(now time.Time) Canvas {
	var slowest Canvas
	var most time.Duration
	for c, p := range m.profiles {
		if d, known := p.runTime(1); known && p.fresh(now) && (d > most || d == most && c < slowest) {
			slowest, most = c, d
		}
	}
	return slowest
}

// predict estimates how long a request of the given class that arrived now
// would wait for its answer: the load that is under way, the device time that
// goes before it divided by the slots, the batches of its own queue before the
// one that it is in divided by its runs side by side, and that one. False means
// that nobody can say: its run time is unknown or stale, or the request would be
// the one to start a load, which it must not be refused for, else nobody would
// ever start it.
//
// Before it goes everything that runs and its own class; of another class only
// what that one's weight buys in the meantime. Its own queue counts whole, not
// divided, as far as other models' queues are as long: so the longest is refused
// first, and no model pushes out the others.
func (s *Scheduler) predict(now time.Time, m *model, c Canvas, class inference.Class) (time.Duration, bool) {
	return s.predictBehind(now, m, c, class, nil)
}

// predictBehind is predict with guests ahead, who count as if they waited, each for
// the slowest canvas of his model.
func (s *Scheduler) predictBehind(now time.Time, m *model, c Canvas, class inference.Class, ahead []guest) (time.Duration, bool) {
	var mine, others time.Duration
	for _, o := range s.models {
		for _, q := range o.order {
			item := o.itemTime(q.canvas)
			for i, w := range q.waiting {
				switch {
				case i != int(class):
					others += item * time.Duration(len(w))
				case o != m || q.canvas != c:
					mine += item * time.Duration(len(w))
				}
			}
		}
	}
	for _, g := range ahead {
		switch item := g.model.itemTime(g.model.slowest(now)); {
		case g.class != class:
			others += item
		case g.model != m:
			mine += item
		}
	}
	line, last := m.queueTime(c, int(class), expected(ahead, m, class))
	share, rest := s.cfg.Weights[class], 0
	for i, w := range s.cfg.Weights {
		if i != int(class) {
			rest += w
		}
	}
	others = min(others, (mine+line+last)*time.Duration(rest)/time.Duration(share))
	side := time.Duration(min(s.cfg.Slots, m.Instances))
	own := (line + (side-1)*min(line, mine)) / side
	wait := (s.busy(now)+mine+others)/time.Duration(s.cfg.Slots) + own + last

	p := m.profiles[c]
	if p == nil || !p.fresh(now) || m.state == absent && len(m.queues) == 0 {
		return wait, false
	}
	switch m.state {
	case loading:
		wait += max(0, m.expectedLoad()-now.Sub(m.since))
	case absent, unloading:
		wait += m.expectedLoad()
	}
	return wait, true
}

// busy is the device time that the runs under way still need.
func (s *Scheduler) busy(now time.Time) time.Duration {
	var sum time.Duration
	for _, u := range s.runs {
		if p := u.model.profiles[u.canvas]; p != nil {
			whole, _ := p.runTime(u.n)
			sum += max(0, whole-now.Sub(u.started))
		}
	}
	return sum
}

// queueTime is the device time of the batches before the one that a newcomer of
// the given class would be in, behind so many guests, and of that one.
func (m *model) queueTime(c Canvas, class, guests int) (before, last time.Duration) {
	p := m.profiles[c]
	if p == nil {
		return 0, 0
	}
	ahead := guests
	if q := m.queues[c]; q != nil {
		ahead += len(q.waiting[class])
	}
	most := p.pays(p.ready(m.MaxBatch))
	full, _ := p.runTime(most)
	last, _ = p.runTime(ahead%most + 1)
	return full * time.Duration(ahead/most), last
}

// itemTime is the device time of one item in the largest batch that is made.
func (m *model) itemTime(c Canvas) time.Duration {
	p := m.profiles[c]
	if p == nil {
		return 0
	}
	n := p.pays(p.ready(m.MaxBatch))
	d, _ := p.runTime(n)
	return d / time.Duration(n)
}
