package sched

import (
	"math"
	"slices"
	"time"
)

// profile is what is known of the runs of one model on one canvas: for each
// batch size how long it takes and what it holds with nothing else running,
// and how much longer than that the latest runs had their slots.
type profile struct {
	sizes []size        // whose time is known, by rising n
	held  map[int]int64 // measured bytes by batch size
	slow  decayed
	last  time.Time // of the latest run
	cap   int       // the largest batch that memory let through; 0 where none failed
	avoid int       // the smallest batch whose trial failed; 0 where none did
	tuned int       // the largest batch run since the model was loaded
}

// size is a batch size that has run.
type size struct {
	n     int
	time  time.Duration
	alone int // runs with nothing else running; 0: time is a first guess
}

const (
	refine     = 4                // a run moves what is known of its size by one part in so many
	trust      = 10 * time.Second // half-life of a slowdown, and how long estimates refuse requests
	paysWithin = 1.05             // a larger batch that is not faster by more than this does not pay
	maxSizes   = 32               // remembered of one canvas
)

// observe learns that n items took d on the device, had their slot for longer
// than that because somebody filled and emptied it, were alone or not, and held
// bytes (0: not measured). What is learnt alone becomes the profile; what ran
// beside others only says how much slower things are at the moment.
func (p *profile) observe(now time.Time, n int, d, slot time.Duration, bytes int64, alone bool) {
	at, known := slices.BinarySearchFunc(p.sizes, n, func(s size, n int) int { return s.n - n })
	expected, guessed := p.alone(n)
	switch {
	case !known && len(p.sizes) < maxSizes:
		s := size{n: n, time: d}
		if !alone {
			s.time = time.Duration(float64(d) / p.slow.mean())
		}
		p.sizes = slices.Insert(p.sizes, at, s)
		known = true
	case known && alone && p.sizes[at].alone == 0:
		p.sizes[at].time = d
	case known && p.sizes[at].alone == 0: // on a busy device guesses are all there is
		guess := time.Duration(float64(d) / p.slow.mean())
		p.sizes[at].time += (guess - p.sizes[at].time) / refine
	case known && alone:
		p.sizes[at].time += (d - p.sizes[at].time) / refine
	}
	if known && alone {
		p.sizes[at].alone++
	}
	p.hold(n, bytes)
	switch {
	case alone:
		p.slow.add(now.Sub(p.last), float64(max(slot, 1))/float64(max(d, 1)))
	case guessed && expected > 0:
		p.slow.add(now.Sub(p.last), float64(slot)/float64(expected))
	}
	p.last = now
}

// hold learns that a run of n items held bytes (0: not measured).
func (p *profile) hold(n int, bytes int64) {
	if bytes <= p.held[n] || p.held[n] == 0 && len(p.held) >= maxSizes {
		return
	}
	if p.held == nil {
		p.held = map[int]int64{}
	}
	p.held[n] = bytes
}

// tune learns of the run that tuned the device to batches of n: what it held. How
// long it took says nothing of those to come.
func (p *profile) tune(now time.Time, n int, bytes int64) {
	p.tuned, p.last = n, now
	p.hold(n, bytes)
}

// alone estimates how long a batch of n takes with nothing else running: as
// measured, between two sizes in proportion, beyond the largest along the last
// two. Where only one size is known, more is taken to cost in proportion, and
// less as much: both err on the late side. False if nothing is known.
func (p *profile) alone(n int) (time.Duration, bool) {
	at, known := slices.BinarySearchFunc(p.sizes, n, func(s size, n int) int { return s.n - n })
	last := len(p.sizes) - 1
	switch {
	case known || at == 0 && last >= 0:
		return p.sizes[at].time, true
	case last < 0:
		return 0, false
	case last == 0:
		return p.sizes[0].time * time.Duration(n) / time.Duration(p.sizes[0].n), true
	}
	at = min(at, last)
	a, b := p.sizes[at-1], p.sizes[at]
	return max(a.time, a.time+(b.time-a.time)*time.Duration(n-a.n)/time.Duration(b.n-a.n)), true
}

// runTime estimates how long a batch of n takes now; false if nothing is known.
func (p *profile) runTime(n int) (time.Duration, bool) {
	d, known := p.alone(n)
	return time.Duration(float64(d) * p.slow.mean()), known
}

// pays returns the smallest batch of at most n that is about as fast an item
// as one of n. It learns by trying: first one item, which everything else is
// held against, then n.
func (p *profile) pays(n int) int {
	switch {
	case len(p.sizes) == 0 || p.sizes[0].n > 1:
		return min(n, 1)
	case len(p.sizes) == 1:
		return n
	}
	perItem := func(n int) float64 {
		d, _ := p.alone(n)
		return float64(d) / float64(n)
	}
	for k := 1; k < n && perItem(n) > 0; k++ {
		if perItem(k) <= paysWithin*perItem(n) {
			return k
		}
	}
	return n
}

// bytes estimates what a run of n items holds: as measured, else by the item
// that took most, but no more than a larger batch was measured to take. 0 if
// nothing was measured.
func (p *profile) bytes(n int) int64 {
	if b := p.held[n]; b > 0 {
		return b
	}
	item, larger := int64(0), 0
	for k, b := range p.held {
		item = max(item, (b+int64(k)-1)/int64(k))
		if k > n && (larger == 0 || k < larger) {
			larger = k
		}
	}
	sum := item * int64(n)
	if larger > 0 {
		return min(sum, p.held[larger])
	}
	return sum
}

// fresh says that the estimates are recent enough to refuse somebody by them.
// Stale ones let requests through, whose runs then correct them.
func (p *profile) fresh(now time.Time) bool { return len(p.sizes) > 0 && now.Sub(p.last) < trust }

// limit is the largest batch: most, or fewer if memory has said so.
func (p *profile) limit(most int) int {
	if p.cap > 0 {
		return min(p.cap, most)
	}
	return most
}

// decayed is a mean in which a sample counts less with every newer one and
// with age. Of nothing it is 1.
type decayed struct{ weight, sum float64 }

func (d *decayed) add(age time.Duration, x float64) {
	const keepEach = 0.9 // weight of a sample for each newer one
	keep := keepEach * math.Exp2(-age.Seconds()/trust.Seconds())
	d.weight, d.sum = d.weight*keep+1, d.sum*keep+x
}

func (d decayed) mean() float64 {
	if d.weight == 0 {
		return 1
	}
	return d.sum / d.weight
}
