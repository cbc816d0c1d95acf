package sched

import (
	"fmt"
	"math"
	"time"

	"focal/core/fault"
)

// state is where a model stands. The only ways are round the circle:
// absent → loading → resident → unloading → absent, and back from a load that
// failed.
type state uint8

const (
	absent state = iota
	loading
	resident
	unloading
)

func (s state) String() string {
	return [...]string{"absent", "loading", "resident", "unloading"}[s]
}

// model is what is known of one model.
type model struct {
	Spec
	state    state
	queues   map[Canvas]*queue   // those with someone waiting
	order    []*queue            // the same, the oldest queue first
	profiles map[Canvas]*profile // bounded by maxProfiles
	running  int                 // runs under way, probes among them
	probing  int                 // of those, the ones nobody waits for
	booked   int64               // in the books: rest while loaded, and the warm-up while loading

	rate     rate
	lastUsed time.Time
	since    time.Time     // when the present state began
	loadTime time.Duration // measured, moving; 0 until then
	rest     int64         // measured; 0 until then

	replaces *model // the version that serves until this one is loaded; nil for most
	leaves   Reason // why it is Retired; "" where its Spec says so

	coming decayed // seconds from being let in to arriving (guests.go)

	watchdog       // of its load, or the end of its session
	sick     bool  // a run had to be stopped: the session is not trusted any more
	failure  error // of the last load
	fails    int   // loads failed in a row
	retryAt  time.Time
}

// maxProfiles bounds the canvases remembered of one model: callers with raw
// tensors choose shapes as they like.
const maxProfiles = 64

// run is a batch on the device.
type run struct {
	id       RunID
	model    *model
	canvas   Canvas
	n        int        // items
	requests []*request // of a probe none
	started  time.Time
	booked   int64
	alone    bool // nothing else has run or loaded since it started
	probe    bool
	tunes    bool // the device to its size
	delayed  bool // by a run beside it that tunes, which may take many times as long
	most     int  // runs at a time while it was under way, itself among them

	watchdog
}

// restBytes is the booking of a loaded model.
func (m *model) restBytes() int64 {
	if m.rest > 0 {
		return m.rest
	}
	return m.Rest
}

// runBytes is the booking of a run of n items on canvas c.
func (m *model) runBytes(c Canvas, n int) int64 {
	if p := m.profiles[c]; p != nil {
		if measured := p.bytes(n); measured > 0 {
			return measured
		}
	}
	return m.Run * int64(n)
}

// warmBytes is the booking of the engine's first run of one item. It stays the
// declared number: the engine chooses the canvas, and one huge canvas measured
// later must not keep the model from loading for small ones.
func (m *model) warmBytes() int64 { return m.Run }

// expectedLoad is how long a load takes, as far as anybody knows.
func (m *model) expectedLoad() time.Duration {
	if m.loadTime > 0 {
		return m.loadTime
	}
	return m.LoadTime
}

// worth is what is lost per byte by sending m away: the time to load it again
// times how often it is asked for.
func (m *model) worth(now time.Time) float64 {
	reload := m.expectedLoad()
	if reload <= 0 {
		reload = time.Second
	}
	return reload.Seconds() * m.rate.at(now) / float64(max(m.booked, 1))
}

// idle says that m could leave without anybody noticing now.
func (m *model) idle() bool { return m.running == m.probing && len(m.queues) == 0 }

func (m *model) profile(c Canvas) *profile {
	p := m.profiles[c]
	if p != nil {
		return p
	}
	if len(m.profiles) >= maxProfiles {
		var oldest Canvas
		for c, p := range m.profiles {
			if o := m.profiles[oldest]; o == nil || p.last.Before(o.last) || p.last.Equal(o.last) && c < oldest {
				oldest = c
			}
		}
		delete(m.profiles, oldest)
	}
	p = &profile{buckets: m.Buckets}
	m.profiles[c] = p
	return p
}

// waiting counts the requests of class c that wait for m.
func (m *model) waiting(c int) int {
	n := 0
	for _, q := range m.order {
		n += len(q.waiting[c])
	}
	return n
}

// load books room for m at rest and for its warm-up, then loads it.
func (s *Scheduler) load(now time.Time, m *model) {
	m.booked = m.restBytes() + m.warmBytes()
	s.books.take(m.booked)
	s.crowd()
	m.state, m.since = loading, now
	s.watchLoad(now, m)
	s.alone = s.suspect(now, LoadKey(m.ID))
	s.claim = s.claim.without(m)
	s.do.Load(m.ID)
}

// Loaded is how a load went.
type Loaded struct {
	Rest int64 // measured bytes; 0 where nothing was measured
	Err  error
}

// OnLoaded hears how a load went.
//
//  1. It failed: the room is given back, who waits is told why, and the model
//     is left alone for a while that doubles with every failure, and for longer
//     where it had to be stopped for the second time. A new version that does
//     not load never takes over.
//  2. It is larger than was booked, and there is no room for the difference:
//     it leaves again, and what was learnt is booked the next time.
//  3. It is resident, and its warm-up is over; a new version takes over.
func (s *Scheduler) OnLoaded(now time.Time, id ModelID, l Loaded) {
	m := s.byID[id]
	if m == nil || m.state != loading {
		return
	}
	took := now.Sub(m.since)
	s.alone = false // this load, or nothing
	s.clear(LoadKey(id))
	hung := m.stopped && l.Err != nil
	if !hung {
		s.clear(HangKey(id))
	}
	s.books.give(m.booked)
	m.booked = 0
	if l.Err != nil { // 1
		m.state, m.since = absent, now
		m.fails++
		m.failure = l.Err
		m.retryAt = now.Add(backoff(s.cfg.Backoff, s.cfg.MaxBackoff, m.fails))
		if hung {
			m.failure = m.hangs(took)
			s.onHang(now, HangKey(id))
			s.backOff(now, m)
		}
		s.refuseAll(m, RefusedLoad, m.failed(now))
		if m.replaces != nil {
			m.retire(EvictedRetired)
		}
		s.settle(now)
		return
	}
	m.fails, m.failure, m.retryAt = 0, nil, time.Time{}
	m.loadTime = blend(m.loadTime, took)
	if l.Rest > 0 {
		m.rest = l.Rest
	}
	m.sick = false
	for _, p := range m.profiles {
		p.cap, p.avoid, p.tuned = 0, 0, 0
	}
	m.state, m.since, m.lastUsed = resident, now, now
	s.idleSince = now
	s.takeOver(m)
	m.booked = max(0, min(m.restBytes(), s.books.free()))
	s.books.take(m.booked)
	if m.booked < m.restBytes() { // 2
		s.unload(now, m, EvictedOver)
	}
	s.settle(now) // 3
}

// unload sends m away; its room is free when OnUnloaded says so.
func (s *Scheduler) unload(now time.Time, m *model, why Reason) {
	m.state, m.since = unloading, now
	s.watchUnload(now, m)
	s.takeOverFrom(m)
	s.do.Unload(m.ID, why)
}

// OnUnloaded hears that a model is gone.
func (s *Scheduler) OnUnloaded(now time.Time, id ModelID) {
	m := s.byID[id]
	if m == nil || m.state != unloading {
		return
	}
	s.books.give(m.booked)
	m.booked = 0
	m.state, m.since = absent, now
	if m.stopped { // whoever was refused for it may come back
		m.failure, m.retryAt = nil, time.Time{}
	}
	s.settle(now)
}

// loading counts the loads under way.
func (s *Scheduler) loading() int {
	n := 0
	for _, m := range s.models {
		if m.state == loading {
			n++
		}
	}
	return n
}

// failed is the answer while m backs off.
func (m *model) failed(now time.Time) error {
	kind := fault.Unavailable
	if fault.Is(m.failure, fault.Busy) { // want of memory is nobody's mistake
		kind = fault.Busy
	}
	return fault.New(kind, "sched.Load", "model %s does not load: %w", m.Name, m.failure).After(m.retryAt.Sub(now))
}

func closingError() error {
	return fault.New(fault.Unavailable, "sched.Close", "inference is shutting down")
}

func backoff(first, most time.Duration, fails int) time.Duration {
	d := first
	for range fails - 1 {
		if d >= most {
			break
		}
		d *= 2
	}
	return min(d, most)
}

// blend moves an estimate halfway to what was seen.
func blend(known, seen time.Duration) time.Duration {
	if known == 0 {
		return max(seen, 1)
	}
	return (known + seen) / 2
}

// rate counts events, each forgotten by half every halfLife.
type rate struct {
	halfLife time.Duration
	count    float64
	seen     time.Time
}

func (r *rate) at(now time.Time) float64 {
	return r.count * math.Exp2(-now.Sub(r.seen).Seconds()/r.halfLife.Seconds())
}

func (r *rate) add(now time.Time) { r.count, r.seen = r.at(now)+1, now }

// human writes bytes for people.
func human(b int64) string {
	if b < 1<<20 {
		return fmt.Sprintf("%d bytes", b)
	}
	return fmt.Sprintf("%.0f MiB", math.Ceil(float64(b)/(1<<20)))
}
