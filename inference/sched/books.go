package sched

import (
	"slices"
	"time"

	"focal/core/fault"
)

// books are the memory that is given out. Two things are booked: a model while
// it is loaded (and its warm-up while it loads), and a run while it runs. All
// of it together never exceeds the budget.
type books struct {
	budget int64 // what may be booked now: the configured budget, or what others have left of it
	booked int64
	drift  int64 // bytes that the device holds beyond what is booked
	used   int64 // the last reading; -1: none
	beside int64 // bytes of the same memory that the requests themselves hold
}

func (b *books) reserved() int64 { return b.booked }
func (b *books) free() int64     { return b.budget - b.booked }
func (b *books) take(n int64)    { b.booked += n }
func (b *books) give(n int64)    { b.booked -= n }

// claim is the right of one model to the next memory that comes free. While it
// stands nobody else takes what it counts on, so that large wishes are not
// starved by small ones. There is at most one: two could wait for each other.
type claim struct {
	model   *model
	need    int64
	victims []*model // resident; they start nothing new and leave when they have stopped running
}

// takes reports whether m has to leave for c.
func (c *claim) takes(m *model) bool { return c != nil && slices.Contains(c.victims, m) }

// without returns c, or nothing if it was m's: m has what it wanted.
func (c *claim) without(m *model) *claim {
	if c != nil && c.model == m {
		return nil
	}
	return c
}

// lost is what the budget holds of other things than models and runs.
func (b *books) lost() int64 { return b.drift + b.beside }

// limit is what may be booked when m wants need: the budget less what is lost of
// it, but never less than m has alone: that must not keep it out for ever.
func (s *Scheduler) limit(m *model, need int64) int64 {
	return min(s.books.budget, max(s.books.budget-s.books.lost(), s.fixed(m)+need))
}

// Room returns the bytes that are booked for a run under way, and those that
// all runs together may hold beside what is loaded now.
func (s *Scheduler) Room(id RunID) (run, all int64) {
	if u := s.runs[id]; u != nil {
		run = u.booked
	}
	return run, max(0, s.books.budget-s.books.beside-s.books.booked+s.running())
}

// fixed is the room that m can never make: that of the pinned, and its own.
func (s *Scheduler) fixed(m *model) int64 {
	sum := int64(0)
	for _, o := range s.models {
		if o == m || o.Pinned {
			sum += o.booked
		}
	}
	return sum
}

// Never returns why a model can never be loaded and run within the budget, or
// not while other processes hold what they do; nil: it can. Of one that is not
// known its Spec counts.
func (s *Scheduler) Never(spec Spec) error {
	m := s.byID[spec.ID]
	if m == nil {
		m = &model{Spec: spec}
	}
	_, err := s.never(m, toLoad)
	return err
}

// never reports, by name, a model that can never run on canvas c, or not while
// other processes hold what they do.
func (s *Scheduler) never(m *model, c Canvas) (Reason, error) {
	warm := m.warmBytes()
	if m.state == resident {
		warm = 0
	}
	need := m.restBytes() + max(warm, m.runBytes(c, 1))
	for _, o := range s.models {
		if o != m && o.Pinned {
			need += o.booked
		}
	}
	if need <= s.books.budget {
		return "", nil
	}
	if need <= s.cfg.Budget {
		return RefusedTaken, fault.New(fault.Busy, "sched.Room", "model %s cannot run now: it needs %s, and other processes have left %s of the device's memory",
			m.Name, human(need), human(s.books.budget)).After(time.Second)
	}
	return RefusedTooLarge, fault.New(fault.TooLarge, "sched.Room", "model %s cannot run: together with pinned models it needs %s and --memory-budget is %s",
		m.Name, human(need), human(s.cfg.Budget))
}

// fits reports whether need can be booked for m now without touching what
// another's claim counts on.
func (s *Scheduler) fits(m *model, need int64) bool {
	if s.books.booked+need > s.limit(m, need) {
		return false
	}
	if s.claim == nil || s.claim.model == m {
		return true
	}
	return s.books.booked-s.leaving()+s.claim.need+need <= s.limit(s.claim.model, s.claim.need)
}

// fitsRun is fits for a run. Runs are short: they may use what another's claim
// counts on for as long as it waits for more than runs, such as a load or a
// victim's end.
func (s *Scheduler) fitsRun(m *model, need int64) bool {
	if s.fits(m, need) {
		return true
	}
	if s.claim == nil || s.claim.model == m || s.books.booked+need > s.limit(m, need) {
		return false
	}
	return s.books.booked-s.running()+s.claim.need > s.limit(s.claim.model, s.claim.need)
}

// leaving is the memory on its way back: of models that unload, and of the
// claim's victims with their runs.
func (s *Scheduler) leaving() int64 {
	sum := int64(0)
	for _, m := range s.models {
		if m.state == unloading || s.claim.takes(m) {
			sum += m.booked
		}
	}
	for _, u := range s.runs {
		if s.claim.takes(u.model) {
			sum += u.booked
		}
	}
	return sum
}

// ending is leaving, and the memory of every run and warm-up under way.
func (s *Scheduler) ending() int64 {
	sum := int64(0)
	for _, m := range s.models {
		switch {
		case m.state == unloading || s.claim.takes(m):
			sum += m.booked
		case m.state == loading:
			sum += m.booked - m.restBytes()
		}
	}
	for _, u := range s.runs {
		sum += u.booked
	}
	return sum
}

// roomToLoad reports whether m can be loaded for who waits in q, and if not,
// does what leads there. Besides m at rest there must be room for runs: without
// that rule models at rest fill the memory, and none of them can run.
//
//  1. There must be room for m at rest, and for its warm-up or the runs that
//     can be side by side: make it. (room, workRoom)
//  2. There should be room for both at the same time, so that others run while
//     m loads: idle models leave for it, but nobody waits for that.
func (s *Scheduler) roomToLoad(now time.Time, q *queue) bool {
	m := q.model
	running, work := s.running(), s.workRoom(m)
	// What runs has its room already, and gives it back.
	most, least := s.books.budget-s.fixed(m), m.restBytes()+m.warmBytes()
	settled := max(least, min(most, m.restBytes()+work))
	if !s.room(now, q, max(least, settled-running), settled) { // 1
		return false
	}
	both := min(most, least+max(work-running, 0))
	short := s.books.booked - s.leaving() + both - s.limit(m, both)
	if short <= 0 { // 2
		return s.fits(m, both)
	}
	victims := s.victims(now, m, short, theIdle)
	if victims == nil {
		return true
	}
	s.claimFor(now, m, both, victims)
	return false
}

// workBytes is the largest run of one item that somebody waits for.
func (m *model) workBytes() int64 {
	most := int64(0)
	for _, q := range m.order {
		most = max(most, m.runBytes(q.canvas, 1))
	}
	return most
}

// workRoom is what runs need beside models at rest: one for each slot, the
// largest of those under way and of one item of each model that somebody waits
// for. With less, slots stay empty while work waits.
func (s *Scheduler) workRoom(m *model) int64 {
	var runs []int64
	for _, o := range s.models {
		if o == m || o.state == resident || o.state == loading {
			runs = append(runs, o.workBytes())
		}
	}
	for _, u := range s.runs {
		if len(u.model.queues) == 0 { // else the next run on its model counts for it
			runs = append(runs, u.booked)
		}
	}
	slices.Sort(runs)
	sum := int64(0)
	for _, r := range runs[max(0, len(runs)-s.cfg.Slots):] {
		sum += r
	}
	return sum
}

// running is the memory of the runs under way.
func (s *Scheduler) running() int64 {
	sum := int64(0)
	for _, u := range s.runs {
		sum += u.booked
	}
	return sum
}

// room reports whether need can be booked for q's model now, and if not, does
// what leads to settled bytes beside what is loaded when no run is under way:
//
//  1. It fits: yes.
//  2. Another has the claim: wait for his turn to end.
//  3. It never fits: everybody in q hears so.
//  4. What is leaving or running will make room when it ends: claim it, wait.
//  5. Idle models make room: the ones least worth keeping leave. (victims)
//  6. The first in q has lost patience: busy models are drained for it too.
//  7. Its head has waited MaxWait: so are those that have just come.
//  8. Wait, at most until 5, 6 or 7 may have changed.
func (s *Scheduler) room(now time.Time, q *queue, need, settled int64) bool {
	m := q.model
	if s.fits(m, need) { // 1
		return true
	}
	if s.claim != nil && s.claim.model != m { // 2
		return false
	}
	if why, err := s.never(m, q.canvas); err != nil { // 3
		s.refuseQueue(q, why, err)
		return false
	}
	short := s.books.booked - s.ending() + settled - s.limit(m, settled)
	if short <= 0 { // 4
		s.claimFor(now, m, settled, nil)
		return false
	}
	impatient := q.impatient()
	since, overdue := s.overdue(now, q)
	victims := s.victims(now, m, short, theIdle) // 5
	if victims == nil && !now.Before(impatient) {
		victims = s.victims(now, m, short, theBusy) // 6
	}
	if victims == nil && overdue {
		victims = s.victims(now, m, short, anybody) // 7
	}
	if victims == nil { // 8
		for _, t := range []time.Time{impatient, since.Add(s.cfg.MaxWait)} {
			if now.Before(t) {
				s.wakeAt(t)
			}
		}
		return false
	}
	s.claimFor(now, m, settled, victims)
	return false
}

// claimFor gives m the claim, adds victims to it and sends off those that can go.
func (s *Scheduler) claimFor(now time.Time, m *model, need int64, victims []*model) {
	if s.claim == nil {
		s.claim = &claim{model: m}
	}
	s.claim.need = need
	s.claim.victims = append(s.claim.victims, victims...)
	s.tendClaim(now)
}

// tendClaim drops a claim whose model nobody waits for, which reprieves its
// victims, and sends off the victims that have stopped running.
func (s *Scheduler) tendClaim(now time.Time) {
	if s.claim == nil {
		return
	}
	if len(s.claim.model.queues) == 0 {
		s.claim = nil
		return
	}
	// Whoever goes is a victim no more: he may come back while the claim stands.
	s.claim.victims = slices.DeleteFunc(s.claim.victims, func(v *model) bool {
		if v.running > 0 {
			return false
		}
		s.unload(now, v, EvictedMemory)
		return true
	})
}
