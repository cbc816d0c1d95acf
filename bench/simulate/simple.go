package simulate

import (
	"slices"
	"time"
)

// simple is what a server does that does not think: requests wait in one queue
// for each model, of bounded length; the model of the oldest request is loaded
// if there is room, and with lru the least recently used idle models make room,
// else whoever finds no room is refused. A free slot takes the oldest request
// whose model is loaded, with all that wait for the same model up to the
// largest batch. It refuses nobody for being late; who is too late when his
// turn comes is dropped, which is the kindest thing that can be said of it.
type simple struct {
	w      *world
	lru    bool
	t      *tally
	models []simpleModel
	free   int64 // bytes
	slots  int
	loads  int
}

type simpleModel struct {
	queue   []*request
	loaded  bool
	loading bool
	running int
	used    time.Time
}

const simpleQueue = 256

func newSimple(w *world, lru bool) *simple {
	return &simple{w: w, lru: lru, t: newTally(w), models: make([]simpleModel, w.Models), free: w.budget, slots: w.Slots}
}

func (s *simple) tally() *tally { return s.t }

func (s *simple) arrive(now time.Time, r *request) {
	s.t.ask(r)
	m := &s.models[r.model]
	if len(m.queue) >= simpleQueue {
		return
	}
	m.queue = append(m.queue, r)
	s.work(now)
}

// work starts what can start, the oldest first.
func (s *simple) work(now time.Time) {
	for {
		order := s.waiting(now)
		if !slices.ContainsFunc(order, func(i int) bool { return s.start(now, i) }) {
			return
		}
	}
}

// waiting returns the models with requests, the one of the oldest first, after
// dropping who is too late.
func (s *simple) waiting(now time.Time) []int {
	var order []int
	for i := range s.models {
		m := &s.models[i]
		for len(m.queue) > 0 && now.After(m.queue[0].deadline) {
			m.queue = m.queue[1:]
		}
		if len(m.queue) > 0 {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return s.models[a].queue[0].id - s.models[b].queue[0].id })
	return order
}

func (s *simple) start(now time.Time, i int) bool {
	m, k := &s.models[i], s.w.kinds[i]
	switch {
	case m.loading:
		return false
	case m.loaded:
		return s.run(now, i)
	case s.loads >= 2:
		return false
	case s.free < k.rest+k.item && !s.makeRoom(i, k.rest+k.item):
		if !s.lru { // it will never be loaded
			m.queue = nil
		}
		return false
	}
	s.free -= k.rest
	m.loading = true
	s.loads++
	s.t.loadBegins(now)
	s.w.clock.after(k.load, func(now time.Time) {
		s.t.loadEnds(now)
		s.loads--
		m.loading, m.loaded, m.used = false, true, now
		s.work(now)
	})
	return true
}

func (s *simple) run(now time.Time, i int) bool {
	m, k := &s.models[i], s.w.kinds[i]
	n := min(len(m.queue), k.maxBatch)
	for n > 0 && int64(n)*k.item > s.free {
		n--
	}
	if n == 0 {
		s.makeRoom(i, k.item)
		n = 1
	}
	if s.slots == 0 || int64(n)*k.item > s.free {
		return false
	}
	batch := slices.Clone(m.queue[:n])
	m.queue = m.queue[n:]
	m.running++
	m.used = now
	s.slots--
	s.free -= int64(n) * k.item
	s.t.ran(n, k.run(n))
	s.w.clock.after(k.run(n), func(now time.Time) {
		m.running--
		s.slots++
		s.free += int64(n) * k.item
		for _, r := range batch {
			s.t.answer(now, r)
		}
		s.work(now)
	})
	return true
}

// makeRoom lets idle models go, least recently used first, until there are need
// bytes; it does nothing where they would not be enough.
func (s *simple) makeRoom(keep int, need int64) bool {
	if !s.lru {
		return false
	}
	var idle []int
	sum := s.free
	for i, m := range s.models {
		if i != keep && m.loaded && m.running == 0 {
			idle = append(idle, i)
			sum += s.w.kinds[i].rest
		}
	}
	if sum < need {
		return false
	}
	slices.SortFunc(idle, func(a, b int) int { return s.models[a].used.Compare(s.models[b].used) })
	for _, i := range idle {
		if s.free >= need {
			break
		}
		s.models[i].loaded = false
		s.free += s.w.kinds[i].rest
		s.t.evicted++
	}
	return true
}
