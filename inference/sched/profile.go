package sched

import (
	"math"
	"time"
)

// profile is what is known of the runs of one model on one canvas: their time
// as a line over the batch size, fitted by least squares in which a sample
// counts less with every newer one and with age, and the memory they took.
type profile struct {
	weight, n, nn, t, nt float64 // decayed sums over samples (n items, t seconds)
	last                 time.Time
	itemBytes            int64 // measured; 0 until then
	cap                  int   // the largest batch that memory let through; 0 where none failed
}

const (
	sampleDecay = 0.9              // weight of a sample for each newer one
	trust       = 10 * time.Second // half-life of a sample, and how long estimates refuse requests
	paysWithin  = 1.05             // a larger batch that is not faster by more than this does not pay
)

// observe learns that n items took d.
func (p *profile) observe(now time.Time, n int, d time.Duration) {
	keep := 0.0
	if p.weight > 0 {
		keep = sampleDecay * math.Exp2(-now.Sub(p.last).Seconds()/trust.Seconds())
	}
	x, y := float64(n), d.Seconds()
	p.weight = p.weight*keep + 1
	p.n = p.n*keep + x
	p.nn = p.nn*keep + x*x
	p.t = p.t*keep + y
	p.nt = p.nt*keep + x*y
	p.last = now
}

// slope fits seconds = a·n + b; false while one batch size is all that is known.
func (p *profile) slope() (a, b float64, known bool) {
	if p.weight == 0 {
		return 0, 0, false
	}
	mean, meanT := p.n/p.weight, p.t/p.weight
	variance := p.nn/p.weight - mean*mean
	if variance < 0.01 {
		return 0, 0, false
	}
	a = (p.nt/p.weight - mean*meanT) / variance
	return a, meanT - a*mean, a > 0
}

// runTime estimates how long a batch of n takes; false if nothing is known.
// Where only one size is known, more is taken to cost in proportion, and less
// as much: both err on the late side.
func (p *profile) runTime(n int) (time.Duration, bool) {
	if p.weight == 0 {
		return 0, false
	}
	mean, meanT := p.n/p.weight, p.t/p.weight
	seconds := meanT * max(1, float64(n)/mean)
	if a, b, known := p.slope(); known {
		seconds = max(a*float64(n)+b, a)
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// pays returns the smallest batch of at most n that is about as fast an item
// as one of n. While only one size is known it is n: trying is how it learns.
func (p *profile) pays(n int) int {
	a, b, known := p.slope()
	if !known {
		return n
	}
	perItem := func(n int) float64 { return a + b/float64(n) }
	for k := 1; k < n; k++ {
		if perItem(k) <= paysWithin*perItem(n) {
			return k
		}
	}
	return n
}

// fresh says that the estimates are recent enough to refuse somebody by them.
// Stale ones let requests through, whose runs then correct them.
func (p *profile) fresh(now time.Time) bool { return p.weight > 0 && now.Sub(p.last) < trust }

// limit is the largest batch: most, or fewer if memory has said so.
func (p *profile) limit(most int) int {
	if p.cap > 0 {
		return min(p.cap, most)
	}
	return most
}
