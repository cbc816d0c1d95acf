package sched

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"focal/inference"
)

// serial is a card: its runs take turns, each as long as measured on an H100, and the
// first of a size half a second more.
type serial struct {
	w     *world
	takes map[int]time.Duration // by batch
	tuned map[int]bool
	line  []turn
}

type turn struct {
	id    RunID
	began time.Time // has its slot from then on
	ends  time.Time
}

// What a bare loop took on an H100, 320² pixels (docs/gpu.md).
var (
	u2netp     = map[int]time.Duration{1: 4700, 2: 6524, 4: 8886, 8: 13789, 16: 24995, 32: 47303}
	retinaface = map[int]time.Duration{1: 1871, 2: 1901, 4: 2915, 8: 3860, 16: 3878, 32: 7738}
)

func newSerial(t *testing.T, micros map[int]time.Duration) *serial {
	a := Spec{ID: "a", MaxBatch: 32, Rest: 100, Run: 1, Buckets: true}
	w := newWorld(t, func(c *Config) { c.Slots, c.QueueLimit = 2, 4096 }, a)
	w.resident("a")
	s := &serial{w: w, takes: map[int]time.Duration{}, tuned: map[int]bool{}}
	for n, t := range micros {
		s.takes[n] = t * time.Microsecond
	}
	return s
}

// until lets time pass to at: runs that end before have ended, and those that are new
// stand in the card's line.
func (s *serial) until(at time.Time) {
	for {
		s.queue()
		if len(s.line) == 0 || s.line[0].ends.After(at) {
			break
		}
		first := s.line[0]
		s.line = s.line[1:]
		s.w.now = first.ends
		s.w.done(first.id, Done{Time: first.ends.Sub(first.began)})
	}
	s.w.now = at
}

// queue puts the runs that have begun behind those in the card's line.
func (s *serial) queue() {
	for _, id := range s.w.underWay() {
		if slices.ContainsFunc(s.line, func(t turn) bool { return t.id == id }) {
			continue
		}
		free := s.w.now
		if n := len(s.line); n > 0 {
			free = s.line[n-1].ends
		}
		r := s.w.runs[id]
		n := max(r.n, len(r.requests))
		takes := s.takes[n]
		if !s.tuned[n] {
			s.tuned[n], takes = true, takes+500*ms
		}
		s.line = append(s.line, turn{id, s.w.now, free.Add(takes)})
	}
}

// tune floods the card until it is tuned to all sizes and everything is answered.
func (s *serial) tune() {
	for range 400 {
		s.w.arrive(Request{Model: "a", Canvas: "first"})
	}
	s.until(s.w.now.Add(20 * second))
}

// Where larger batches look slower than they are, a card that has time enough serves
// small ones and falls behind. Measured beside others they do: a run waits for its turn.
func TestBuckets_KeepUpWithWhatTheCardCanDo(t *testing.T) {
	for name, curve := range map[string]map[int]time.Duration{"u2netp": u2netp, "retinaface": retinaface} {
		for _, share := range []float64{.1, .3, .5, .7, .8, .9} {
			s := newSerial(t, curve)
			s.tune()
			random, rate, end := rand.New(rand.NewPCG(1, 2)), share*best(curve), s.w.now.Add(10*second)
			for s.w.now.Before(end) {
				s.until(s.w.now.Add(time.Duration(random.ExpFloat64() / rate * float64(second))))
				s.w.arrive(Request{Model: "a", Canvas: "first"})
			}
			// Those of a quarter of a second: two of the longest runs are a tenth.
			if most := int(max(8, rate/4)); len(s.w.open) > most || len(s.w.refused) > 0 {
				t.Errorf("%s, %.0f %% of what the card can do: %d wait at the end, want at most %d; %d were refused", name, 100*share, len(s.w.open), most, len(s.w.refused))
			}
		}
	}
}

// A flood gets nearly the rate of the best batch: 5 % are left for shorter runs, and
// some for the last ones.
func TestBuckets_AFloodGetsTheRateOfTheBestBatch(t *testing.T) {
	for name, curve := range map[string]map[int]time.Duration{"u2netp": u2netp, "retinaface": retinaface} {
		s := newSerial(t, curve)
		s.tune()
		const items = 40 * 32
		began := s.w.now
		for range items {
			s.w.arrive(Request{Model: "a", Canvas: "first"})
		}
		for len(s.w.open) > 0 {
			s.queue()
			s.until(s.line[0].ends)
		}
		if rate, best := items/s.w.now.Sub(began).Seconds(), best(curve); rate < .93*best {
			t.Errorf("%s: %.0f/s, the best batch gives %.0f/s", name, rate, best)
		}
	}
}

// A line that is too long must not fall back to pairs, each as small as the next deadline
// wants it: it gets nearly what the largest batch gives that fits. Of U²-Net-p in 60 ms
// those are batches of 8 (14 ms each, two at a time, and one to wait for).
func TestBuckets_TooManyWithShortDeadlinesGetTheBatchThatFits(t *testing.T) {
	const lasts = 5
	for _, c := range []struct {
		curve map[int]time.Duration
		in    time.Duration
		fits  int
	}{{u2netp, 60 * ms, 8}, {retinaface, 60 * ms, 16}, {retinaface, second, 16}} {
		gives := float64(c.fits) / (c.curve[c.fits] * time.Microsecond).Seconds()
		for _, share := range []float64{.9, 1.5, 3} {
			s := newSerial(t, c.curve)
			s.tune()
			before := len(s.w.answered)
			random, rate, end := rand.New(rand.NewPCG(1, 2)), share*best(c.curve), s.w.now.Add(lasts*second)
			for s.w.now.Before(end) {
				s.until(s.w.now.Add(time.Duration(random.ExpFloat64() / rate * float64(second))))
				s.w.arrive(Request{Model: "a", Canvas: "first", Deadline: s.w.now.Add(c.in)})
			}
			if got := float64(len(s.w.answered)-before-len(s.w.refused)) / lasts; got < .9*min(rate, gives) {
				t.Errorf("%.0f a second, each in %v: %.0f are answered, want most of what batches of %d give, %.0f", rate, c.in, got, c.fits, gives)
			}
		}
	}
}

// Who is in a hurry goes first, in a batch as small as he wants, where the others have time.
func TestBuckets_WhoHurriesIsServedWhereTheOthersCanWait(t *testing.T) {
	s := newSerial(t, u2netp)
	s.tune()
	for range 2 {
		s.w.arrive(Request{Model: "a", Canvas: "first"}) // the card is busy for 9.4 ms
	}
	hurried := s.w.arrive(Request{Model: "a", Canvas: "first", Deadline: s.w.now.Add(25 * ms)})
	for range 15 {
		s.w.arrive(Request{Model: "a", Canvas: "first", Deadline: s.w.now.Add(second)})
	}
	s.until(s.w.now.Add(25 * ms))
	if !s.w.answered[hurried] || len(s.w.refused) > 0 {
		t.Errorf("answered %v, refused %v: want him answered in time", s.w.answered[hurried], s.w.refused)
	}
}

// The image server has a fifth of what a card can do, far less than its share, and is
// served however many direct callers would like a larger batch than its deadlines leave.
func TestBuckets_GivesNobodyUpForAClassThatWeighsLess(t *testing.T) {
	s := newSerial(t, u2netp)
	s.tune()
	random, rate, end := rand.New(rand.NewPCG(1, 2)), best(u2netp), s.w.now.Add(5*second)
	server := map[RequestID]bool{}
	for s.w.now.Before(end) {
		s.until(s.w.now.Add(time.Duration(random.ExpFloat64() / rate * float64(second))))
		if random.Float64() < .2 {
			server[s.w.arrive(Request{Model: "a", Canvas: "first", Class: inference.ClassServer, Deadline: s.w.now.Add(60 * ms)})] = true
		} else {
			s.w.arrive(Request{Model: "a", Canvas: "first", Class: inference.ClassDirect, Deadline: s.w.now.Add(300 * ms)})
		}
	}
	refused := 0
	for id := range s.w.refused {
		if server[id] {
			refused++
		}
	}
	if refused > len(server)/10 {
		t.Errorf("%d of %d of the image server's were refused, want at most a tenth", refused, len(server))
	}
}

// best is the rate of the best batch, in items a second.
func best(curve map[int]time.Duration) float64 {
	rate := 0.0
	for n, micros := range curve {
		rate = max(rate, float64(n)/(micros*time.Microsecond).Seconds())
	}
	return rate
}
