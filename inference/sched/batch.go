package sched

import (
	"cmp"
	"slices"
	"time"

	"focal/core/fault"
)

// batch fixes what runs next from q, now that a slot is free. Nothing waits
// for company unless the model says so: the batch forms while the device is
// busy.
//
//  1. The first in line was in a batch that failed: it runs alone.
//  2. Else take from the line up to the model's largest batch, or the largest
//     that memory has let through, or that the device is tuned to.
//  3. No more than pays: the smallest that is about as fast an item.
//  4. While it would miss the earliest deadline in it: one fewer.
//  5. If even the first alone would be late, or the deadline of one in line keeps
//     it so small that the others cannot wait for it: refuse that one and look
//     again, unless a suspect comes to the head that way and the device is not quiet.
//  6. While there is no memory for it: one fewer; not even for one: ask for
//     room, and wait.
//  7. Not full, and nobody has waited MaxDelay or has to hurry: wait.
func (s *Scheduler) batch(now time.Time, q *queue) []*request {
	m := q.model
	p := m.profile(q.canvas)
	p.doubt(now)
	for q.len() > 0 {
		most := p.ready(m.MaxBatch)
		line := s.line(q, most) // 1, 2
		full := line[0].alone || len(line) >= p.pays(most)
		want := p.pays(len(line)) // 3
		n := want
		for n > 0 && p.fresh(now) && tooLate(now, line[:n], p) { // 4
			n, full = p.size(n-1), true
		}
		if r := s.hopeless(now, p, line, n, want); r != nil { // 5
			after, _ := s.predict(now, m, q.canvas, r.Class)
			s.refuse(r, RefusedLate, late(m, after))
			if q.len() > 0 && s.suspected(now, q) && !s.quiet() {
				return nil
			}
			continue
		}
		for n > 0 && !s.fitsRun(m, s.needs(q, line[:n])) { // 6
			n, full = p.size(n-1), true
		}
		if n == 0 {
			need := s.needs(q, line[:1])
			s.room(now, q, need, need)
			return nil
		}
		if due := delayEnd(line, m.MaxDelay, p); !full && now.Before(due) { // 7
			s.wakeAt(due)
			return nil
		}
		return line[:n]
	}
	return nil
}

// hopeless returns whom of a line to refuse so that the others get on, now that
// deadlines keep the batch at n instead of want; nil for nobody:
//
//  1. Not even the first alone would be in time: it.
//  2. Else the largest batch above n that would be in time without those who have
//     less time than it takes, if those are no more than it has. It is one of those
//     whose class weighs no less: for others nobody is given up.
//  3. Would it be late if those were served first, n at a time: the first of them.
//
// Without 3 a line that is too long stays so: each run is as small as the next
// deadline wants it, and all who follow come as close to theirs (Shen et al.,
// Nexus, SOSP 2019, call it early drop).
func (s *Scheduler) hopeless(now time.Time, p *profile, line []*request, n, want int) *request {
	if n == 0 { // 1
		return line[0]
	}
	for k := want; k > n; k = p.size(k - 1) { // 2
		took, _ := p.runTime(k)
		var hurried, others []*request
		for _, r := range line {
			if !r.Deadline.IsZero() && now.Add(took).After(r.Deadline) {
				hurried = append(hurried, r)
			} else {
				others = append(others, r)
			}
		}
		if len(hurried) == 0 || len(hurried) > k {
			continue
		}
		weight := s.cfg.Weights[hurried[0].Class]
		others = slices.DeleteFunc(others, func(r *request) bool { return s.cfg.Weights[r.Class] < weight })
		if len(others) < k {
			continue
		}
		small, _ := p.runTime(n)
		runs := (len(hurried) + n - 1) / n
		if tooLate(now.Add(small*time.Duration(runs)/time.Duration(s.cfg.Slots)), others[:k], p) { // 3
			return hurried[0]
		}
		return nil
	}
	return nil
}

// needs is the booking of a run of batch. One whose memory has run out before is
// given what idle models hold as well: they leave first.
func (s *Scheduler) needs(q *queue, batch []*request) int64 {
	need := q.model.runBytes(q.canvas, len(batch))
	if !batch[0].starved {
		return need
	}
	busy := s.running()
	for _, o := range s.models {
		if o == q.model || o.Pinned || o.state == loading || o.state == resident && !o.idle() {
			busy += o.booked
		}
	}
	return max(need, s.books.budget-busy)
}

// line returns the first n who wait in q, in the order in which their classes
// are owed. One who must run alone is a line of his own.
func (s *Scheduler) line(q *queue, n int) []*request {
	shares, cost := s.shares, s.itemCost(q)
	var next [classes]int
	var line []*request
	for len(line) < n {
		best := -1
		for c, w := range q.waiting {
			if next[c] < len(w) && (best < 0 || shares.clock[c] < shares.clock[best]) {
				best = c
			}
		}
		if best < 0 {
			break
		}
		r := q.waiting[best][next[best]]
		if r.alone && len(line) > 0 {
			break
		}
		line = append(line, r)
		if r.alone {
			break
		}
		next[best]++
		shares.charge(best, cost)
	}
	return line
}

// unknownCost is what an item is charged whose run time nobody knows yet.
const unknownCost = 10 * time.Millisecond

// itemCost is the device time in seconds that an item of q is charged.
func (s *Scheduler) itemCost(q *queue) float64 {
	p := q.model.profiles[q.canvas]
	if p == nil {
		return unknownCost.Seconds()
	}
	d, known := p.runTime(1)
	if !known {
		d = unknownCost
	}
	return max(d, time.Microsecond).Seconds() // nothing is free, or shares would not count
}

func tooLate(now time.Time, batch []*request, p *profile) bool {
	took, known := p.runTime(len(batch))
	if !known {
		return false
	}
	end := now.Add(took)
	for _, r := range batch {
		if !r.Deadline.IsZero() && end.After(r.Deadline) {
			return true
		}
	}
	return false
}

// delayEnd is when a batch that is not full has waited long enough.
func delayEnd(line []*request, delay time.Duration, p *profile) time.Time {
	end := line[0].arrived.Add(delay)
	took, _ := p.runTime(len(line) + 1)
	for _, r := range line {
		if t := r.arrived.Add(delay); t.Before(end) {
			end = t
		}
		if t := r.Deadline.Add(-took); !r.Deadline.IsZero() && t.Before(end) {
			end = t
		}
	}
	return end
}

// run takes batch out of the line and puts it on the device.
func (s *Scheduler) run(now time.Time, q *queue, batch []*request) {
	m, cost := q.model, s.itemCost(q)
	u := s.begin(now, m, q.canvas, len(batch), s.needs(q, batch))
	u.requests = batch
	ids := make([]RequestID, len(batch))
	for i, r := range batch {
		s.dequeue(r)
		s.shares.charge(int(r.Class), cost)
		r.running = true
		ids[i] = r.ID
	}
	m.lastUsed = now
	s.alone = s.suspect(now, batch[0].Key)
	s.claim = s.claim.without(m)
	s.do.Run(u.id, m.ID, q.canvas, ids)
}

// begin books a run of n items that needs so many bytes.
func (s *Scheduler) begin(now time.Time, m *model, c Canvas, n int, need int64) *run {
	s.crowd()
	s.lastRun++
	u := &run{id: s.lastRun, model: m, canvas: c, n: n, started: now, booked: need}
	if s.cfg.StuckFloor > 0 {
		u.due = now.Add(s.overrun(m, c, n))
		s.wakeAt(u.due)
	}
	u.alone = len(s.runs) == 0 && s.loading() == 0
	u.tunes, u.most = m.Buckets && n > m.profile(c).tuned, len(s.runs)+1
	for _, o := range s.runs {
		u.delayed = u.delayed || o.tunes
		o.delayed, o.most = o.delayed || u.tunes, max(o.most, u.most)
	}
	s.books.take(u.booked)
	s.runs[u.id] = u
	m.running++
	return u
}

// crowd notes that what runs is not alone any more.
func (s *Scheduler) crowd() {
	for _, u := range s.runs {
		u.alone = false
	}
}

// Done is how a run went.
type Done struct {
	Time   time.Duration // on the device; 0: all the time since it started
	Memory int64         // measured bytes that the run took; 0 where nothing was measured
	Err    error
}

// OnDone hears how a run went. After a success the requests are the owner's to
// answer; after a failure they are dealt with here:
//
//  1. Memory ran out and the batch was larger than one: no blame. All go back
//     into the line, and batches of this canvas are at most half as large
//     until the model is loaded again.
//  2. Memory ran out for one alone: it goes back too, once, and has the room of
//     what is idle. If that does not help it hears so.
//  3. A batch larger than one: each goes back to run alone, so that only the
//     guilty fail. Those whose callers have left are not tried again.
//  4. One alone: it is guilty, and hears why; so it does where its run had to
//     be stopped.
func (s *Scheduler) OnDone(now time.Time, id RunID, d Done) {
	u := s.runs[id]
	if u == nil {
		return
	}
	m, p, n, why := u.model, u.model.profile(u.canvas), u.n, RefusedRun
	delete(s.runs, id)
	s.books.give(u.booked)
	m.running--
	s.cameBack(now, u, d.Err)
	switch slot := now.Sub(u.started); {
	case d.Err != nil || u.stopped:
	case u.tunes:
		p.tune(now, n, d.Memory)
	case u.delayed:
		p.hold(n, d.Memory)
	default:
		p.observe(now, observed{n: n, time: cmp.Or(d.Time, slot), slot: slot, bytes: d.Memory, alone: u.alone, most: u.most})
	}
	if u.probe {
		m.probing--
		if d.Err != nil {
			p.avoid = n
		}
		s.settle(now)
		return
	}
	m.lastUsed, s.idleSince = now, now
	if d.Err != nil && u.stopped {
		d.Err, why = stuck(m, now.Sub(u.started)), RefusedStuck
	}
	starved := fault.Is(d.Err, fault.Busy)
	if starved && n > 1 {
		p.cap = n / 2
	}
	for _, r := range u.requests {
		switch {
		case d.Err == nil:
			delete(s.requests, r.ID)
		case (n > 1 || starved && !r.starved) && !r.abandoned && !s.closing: // 1, 2, 3
			r.running, r.alone, r.starved = false, !starved || n == 1, starved && n == 1
			s.enqueue(r)
		default: // 4
			delete(s.requests, r.ID)
			s.do.Refuse(r.ID, why, d.Err)
		}
	}
	s.settle(now)
}
