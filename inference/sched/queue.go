package sched

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"focal/core/fault"
)

// request is a Request on its way.
type request struct {
	Request
	queue     *queue
	arrived   time.Time
	rank      time.Time // its place among its class; earlier goes first
	impatient time.Time // from then on busy models are drained for it
	running   bool
	alone     bool // it was in a batch that failed: it runs by itself
	abandoned bool // its caller left while it ran: no second try
	starved   bool // it ran alone and memory ran out: what is idle leaves for its second run
}

// rank is the time of arrival with a head start for priority. It never
// changes: whoever waits is passed only by those that come within his steps.
func rank(now time.Time, priority int, step time.Duration) time.Time {
	if priority <= 0 {
		priority = DefaultPriority
	}
	return now.Add(time.Duration(min(priority, LowestPriority)-1) * step)
}

// impatience is when a request stops waiting for a busy model to fall idle:
// after a turn, or a quarter of its time if that is sooner.
func impatience(now, deadline time.Time, turn time.Duration) time.Time {
	if !deadline.IsZero() {
		turn = min(turn, deadline.Sub(now)/4)
	}
	return now.Add(turn)
}

// queue holds who waits for one model on one canvas. It exists while somebody does.
type queue struct {
	model   *model
	canvas  Canvas
	waiting [classes][]*request // by rank
}

func (q *queue) len() int {
	n := 0
	for _, w := range q.waiting {
		n += len(w)
	}
	return n
}

func byRank(a, b *request) int {
	return cmp.Or(a.rank.Compare(b.rank), cmp.Compare(a.ID, b.ID))
}

// impatient returns when the first in q stops waiting for busy models.
func (q *queue) impatient() time.Time {
	var t time.Time
	for _, w := range q.waiting {
		for _, r := range w {
			if t.IsZero() || r.impatient.Before(t) {
				t = r.impatient
			}
		}
	}
	return t
}

// queue returns m's queue for canvas c, new if nobody waits there.
func (m *model) queue(c Canvas) *queue {
	q := m.queues[c]
	if q == nil {
		q = &queue{model: m, canvas: c}
	}
	return q
}

// enqueue lets r wait.
func (s *Scheduler) enqueue(r *request) {
	q, m := r.queue, r.queue.model
	if q.len() == 0 { // a queue that ran empty has left m; another may be in its place
		q = m.queue(r.Canvas)
		r.queue = q
		if m.queues[r.Canvas] == nil {
			m.queues[r.Canvas] = q
			m.order = append(m.order, q)
		}
	}
	if s.shares.waiting[r.Class] == 0 {
		s.shares.enter(int(r.Class))
	}
	s.shares.waiting[r.Class]++
	w := &q.waiting[r.Class]
	at, _ := slices.BinarySearchFunc(*w, r, byRank)
	*w = slices.Insert(*w, at, r)
	if !r.Deadline.IsZero() {
		heap.Push(&s.expiries, r)
	}
}

// dequeue takes r out of the line.
func (s *Scheduler) dequeue(r *request) {
	q, m := r.queue, r.queue.model
	w := &q.waiting[r.Class]
	at, found := slices.BinarySearchFunc(*w, r, byRank)
	if !found {
		return
	}
	*w = slices.Delete(*w, at, at+1)
	s.shares.waiting[r.Class]--
	if q.len() == 0 {
		delete(m.queues, q.canvas)
		m.order = slices.DeleteFunc(m.order, func(o *queue) bool { return o == q })
	}
}

// forget takes r out of the line and out of the world.
func (s *Scheduler) forget(r *request) {
	s.dequeue(r)
	delete(s.requests, r.ID)
}

// refuse answers a waiting request with err.
func (s *Scheduler) refuse(r *request, why Reason, err error) {
	s.forget(r)
	s.do.Refuse(r.ID, why, err)
}

// refuseQueue answers everybody who waits in q with err.
func (s *Scheduler) refuseQueue(q *queue, why Reason, err error) {
	for c := range q.waiting {
		for len(q.waiting[c]) > 0 {
			s.refuse(q.waiting[c][0], why, err)
		}
	}
}

// refuseAll answers everybody who waits for m with err.
func (s *Scheduler) refuseAll(m *model, why Reason, err error) {
	for len(m.order) > 0 {
		s.refuseQueue(m.order[0], why, err)
	}
}

// ready answers everybody in q, who wanted nothing but the model.
func (s *Scheduler) ready(now time.Time, q *queue) {
	q.model.lastUsed = now
	for c := range q.waiting {
		for len(q.waiting[c]) > 0 {
			r := q.waiting[c][0]
			s.forget(r)
			s.do.Ready(r.ID)
		}
	}
}

// expire refuses the requests whose deadline has passed while they waited.
func (s *Scheduler) expire(now time.Time) {
	for len(s.expiries) > 0 {
		r := s.expiries[0]
		waits := s.requests[r.ID] == r && !r.running
		if waits && now.Before(r.Deadline) {
			s.wakeAt(r.Deadline)
			return
		}
		heap.Pop(&s.expiries)
		if waits {
			after, _ := s.predict(now, r.queue.model, r.Canvas, r.Class)
			s.refuse(r, RefusedLate, late(r.queue.model, after))
		}
	}
}

func late(m *model, after time.Duration) error {
	return fault.New(fault.Busy, "sched.Arrive", "model %s is busy: the answer would come too late", m.Name).After(retryAfter(after))
}

// retryAfter keeps a computed wait useful: nobody should come back at once.
func retryAfter(d time.Duration) time.Duration { return max(d, 10*time.Millisecond) }

// expiries is a heap of requests by deadline. Requests that have left their
// queue stay in it until they come to the top.
type expiries []*request

func (e expiries) Len() int           { return len(e) }
func (e expiries) Less(i, j int) bool { return e[i].Deadline.Before(e[j].Deadline) }
func (e expiries) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *expiries) Push(x any) { *e = append(*e, x.(*request)) }

// Pop implements heap.Interface.
func (e *expiries) Pop() any {
	last := len(*e) - 1
	r := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	return r
}

// shares is start-time fair queueing over the classes (Goyal, Vin, Cheng 1996):
// every class has a virtual clock that advances by device time over weight as
// it is served, and the class that is furthest behind goes first.
type shares struct {
	weights [classes]int
	clock   [classes]float64 // seconds of device time over weight
	now     float64          // the clock of the class served last, when it was
	waiting [classes]int
}

// maxCredit is how far behind, in virtual seconds, a class may fall while what
// it waits for cannot run: beyond it, it would come back and shut out the rest.
const maxCredit = 1.0

// enter sets the clock of a class that had nobody waiting: time in which it
// wanted nothing earns nothing.
func (h *shares) enter(class int) { h.clock[class] = max(h.clock[class], h.now) }

// charge advances the clock of class by seconds of device time.
func (h *shares) charge(class int, seconds float64) {
	h.now = max(h.now, h.clock[class])
	h.clock[class] += seconds / float64(h.weights[class])
	for c := range h.clock {
		h.clock[c] = max(h.clock[c], h.now-maxCredit)
	}
}

// overdue reports whether the head of q has waited MaxWait, and since when.
func (s *Scheduler) overdue(now time.Time, q *queue) (since time.Time, yes bool) {
	for _, w := range q.waiting {
		if len(w) > 0 && (since.IsZero() || w[0].arrived.Before(since)) {
			since = w[0].arrived
		}
	}
	return since, now.Sub(since) >= s.cfg.MaxWait
}

// owed returns the queues with somebody waiting in the order in which they are
// served:
//
//  1. Those whose head has waited MaxWait and lacks memory, the longest first.
//     (For a place on the device shares are enough: they starve nobody.)
//  2. Those whose class is furthest behind.
//  3. Models to be loaded: those whose callers have waited longest, all together.
//     (hunger) A load is dear, and serves them all.
//  4. The others by the rank of their head.
func (s *Scheduler) owed(now time.Time) []*queue {
	type place struct {
		q       *queue
		overdue time.Time // when its head came; zero if it can wait
		clock   float64
		first   *request
		rank    time.Time
	}
	var places []place
	for _, m := range s.models {
		hunger := s.hunger(now, m)
		for _, q := range m.order {
			p := place{q: q}
			if since, yes := s.overdue(now, q); yes && (m.state != resident || !s.fits(m, m.runBytes(q.canvas, 1))) {
				p.overdue = since
			}
			for c, w := range q.waiting {
				if len(w) > 0 && (p.first == nil || s.shares.clock[c] < p.clock || s.shares.clock[c] == p.clock && byRank(w[0], p.first) < 0) {
					p.clock, p.first = s.shares.clock[c], w[0]
				}
			}
			p.rank = p.first.rank
			if m.state == absent {
				p.rank = hunger // 3
			}
			places = append(places, p)
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		switch {
		case !a.overdue.IsZero() && !b.overdue.IsZero(): // 1
			return cmp.Or(a.overdue.Compare(b.overdue), byRank(a.first, b.first))
		case !a.overdue.IsZero():
			return -1
		case !b.overdue.IsZero():
			return 1
		}
		return cmp.Or(cmp.Compare(a.clock, b.clock), a.rank.Compare(b.rank), cmp.Compare(a.first.ID, b.first.ID)) // 2, 3, 4
	})
	queues := make([]*queue, len(places))
	for i, p := range places {
		queues[i] = p.q
	}
	return queues
}

// hunger is the rank of a model to be loaded: that of a caller who has waited
// as long as all of its callers together. Where only one waits it is his rank.
func (s *Scheduler) hunger(now time.Time, m *model) time.Time {
	fresh := rank(now, DefaultPriority, s.cfg.PriorityStep)
	if m.state != absent || s.loading() >= s.cfg.Loads {
		return fresh // nobody asks
	}
	var sum time.Duration
	for _, q := range m.order {
		for _, w := range q.waiting {
			for _, r := range w {
				sum += max(0, fresh.Sub(r.rank))
			}
		}
	}
	return fresh.Add(-sum)
}

// giveUp refuses those at the heads of q, whose model is absent, that cannot be
// answered in time any more: a load would be for nothing. Who could not have
// been from the start stays: he warms the model for those who come after him.
func (s *Scheduler) giveUp(now time.Time, q *queue) {
	need := q.model.expectedLoad()
	if p := q.model.profiles[q.canvas]; p != nil {
		took, _ := p.runTime(1)
		need += took
	}
	for class := range q.waiting {
		for len(q.waiting[class]) > 0 {
			r := q.waiting[class][0]
			latest := r.Deadline.Add(-need)
			if r.Deadline.IsZero() || r.arrived.After(latest) {
				break
			}
			if !now.After(latest) {
				s.wakeAt(latest.Add(1))
				break
			}
			after, _ := s.predict(now, q.model, q.canvas, r.Class)
			s.refuse(r, RefusedLate, late(q.model, after))
		}
	}
}
