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
	buckets bool // batches are powers of two, as the device was tuned to them

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
	alone int       // runs with nothing else running; 0: time is a first guess
	seen  time.Time // of the latest run
}

const (
	refine     = 4                // a run moves what is known of its size by one part in so many
	trust      = 10 * time.Second // half-life of a slowdown, how long estimates refuse requests, and how long a guess counts
	paysWithin = 1.05             // a larger batch that is not faster by more than this does not pay
	maxSizes   = 32               // remembered of one canvas
)

// observed is how a run went.
type observed struct {
	n     int           // items
	time  time.Duration // on the device
	slot  time.Duration // for which it had its slot: somebody fills and empties it
	bytes int64         // held; 0: not measured
	alone bool          // nothing else ran or loaded
	most  int           // runs at a time, itself among them
}

// observe learns from a run. What is learnt alone becomes the profile; what ran
// beside others only says how much slower things are at the moment.
func (p *profile) observe(now time.Time, o observed) {
	at, known := p.at(o.n)
	expected, guessed := p.alone(o.n)
	guess := p.guess(o)
	switch {
	case !known && len(p.sizes) < maxSizes:
		p.sizes = slices.Insert(p.sizes, at, size{n: o.n, time: guess})
		known = true
	case known && o.alone && p.sizes[at].alone == 0:
		p.sizes[at].time = o.time
	case known && (o.alone || p.sizes[at].alone == 0): // on a busy device guesses are all there is
		p.sizes[at].time += (guess - p.sizes[at].time) / refine
	}
	if known {
		p.sizes[at].seen = now
	}
	if known && o.alone {
		p.sizes[at].alone++
	}
	p.hold(o.n, o.bytes)
	switch {
	case o.alone:
		p.slow.add(now.Sub(p.last), float64(max(o.slot, 1))/float64(max(o.time, 1)))
	case guessed && expected > 0:
		p.slow.add(now.Sub(p.last), float64(o.slot)/float64(expected))
	}
	p.last = now
}

// guess is how long a run would have taken alone. On a card runs take turns. On a CPU
// each has a core, and the latest ones say how much that is worth.
func (p *profile) guess(o observed) time.Duration {
	switch {
	case o.alone:
		return o.time
	case p.buckets:
		return o.time / time.Duration(o.most)
	}
	return time.Duration(float64(o.time) / p.slow.mean())
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
	p.tuned, p.last = max(p.tuned, n), now
	p.hold(n, bytes)
}

// doubt forgets guesses of buckets that no run has touched lately. What has been
// guessed too high is not run any more: it would never be found out.
func (p *profile) doubt(now time.Time) {
	if p.buckets {
		p.sizes = slices.DeleteFunc(p.sizes, func(s size) bool { return s.alone == 0 && now.Sub(s.seen) >= trust })
	}
}

// alone estimates how long a batch of n takes with nothing else running: as
// measured, between two sizes in proportion, beyond the largest along the last
// two. Where only one size is known, more is taken to cost in proportion, and
// less as much: both err on the late side. False if nothing is known.
func (p *profile) alone(n int) (time.Duration, bool) {
	at, known := p.at(n)
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
// held against, then n; of buckets each, for twice the items may take much the
// same time.
func (p *profile) pays(n int) int {
	n = p.size(n)
	_, known := p.at(n)
	switch {
	case len(p.sizes) == 0 || p.sizes[0].n > 1:
		return min(n, 1)
	case len(p.sizes) == 1 || p.buckets && !known:
		return n
	}
	perItem := func(n int) float64 {
		d, _ := p.alone(n)
		return float64(d) / float64(n)
	}
	for k := 1; k < n && perItem(n) > 0; k++ {
		if p.size(k) == k && perItem(k) <= paysWithin*perItem(n) {
			return k
		}
	}
	return n
}

// at is where the size n stands, or would stand, and whether it is known.
func (p *profile) at(n int) (int, bool) {
	return slices.BinarySearchFunc(p.sizes, n, func(s size, n int) int { return s.n - n })
}

// size is the largest batch of at most n that may run.
func (p *profile) size(n int) int {
	if p.buckets && n > 0 {
		return bucket(n)
	}
	return n
}

// bucket is the largest power of two of at most n; of less than one it is one.
func bucket(n int) int {
	b := 1
	for 2*b <= n {
		b *= 2
	}
	return b
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

// ready is the largest batch that may run for requests: limit, or what the device
// is tuned to.
func (p *profile) ready(most int) int {
	most = p.limit(most)
	if p.buckets {
		return bucket(min(most, p.tuned))
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
