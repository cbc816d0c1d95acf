package simulate

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"focal/inference"
)

// kind is a model of the simulation.
type kind struct {
	rest, item int64         // bytes
	load       time.Duration // to load it
	fixed, per time.Duration // a batch of n takes fixed + n·per
	maxBatch   int
}

func (k kind) run(n int) time.Duration { return k.fixed + time.Duration(n)*k.per }

// request is one of the trace.
type request struct {
	id       int
	model    int
	picture  int
	class    inference.Class
	came     time.Time
	deadline time.Time
}

// world is the device and the trace of a Config.
type world struct {
	Config
	clock  clock
	kinds  []kind
	budget int64
	start  time.Time
	end    time.Time // of the last arrival
}

func newWorld(c Config) *world {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := &world{Config: c, start: start, clock: clock{now: start}}
	rng := rand.New(rand.NewPCG(c.Seed, 1))
	total, largest := int64(0), int64(0)
	for range c.Models {
		// From a few megabytes to a few hundred, most of them small, as vision
		// models are; reading and building takes its time by size.
		mib := 4 * math.Exp(rng.Float64()*4)
		k := kind{
			rest: int64(mib * (1 << 20)), item: int64((5 + rng.Float64()*30) * (1 << 20)),
			load: 30*time.Millisecond + time.Duration(mib*float64(4*time.Millisecond)), maxBatch: 8,
		}
		one := time.Duration(4+rng.Float64()*30) * time.Millisecond
		if rng.IntN(2) == 0 { // half of them gain by batches, half do not
			k.fixed = one * 6 / 10
		}
		k.per = one - k.fixed
		w.kinds = append(w.kinds, k)
		total += k.rest
		largest = max(largest, k.rest+int64(c.Slots*k.maxBatch)*k.item)
	}
	w.budget = max(int64(c.Memory*float64(total)), largest)
	return w
}

// zipf draws from 0 to n-1, the first the most often.
type zipf struct{ sums []float64 }

func newZipf(n int, s float64) zipf {
	z, sum := zipf{make([]float64, n)}, 0.0
	for i := range n {
		sum += math.Pow(float64(i+1), -s)
		z.sums[i] = sum
	}
	return z
}

func (z zipf) draw(rng *rand.Rand) int {
	at, _ := slices.BinarySearch(z.sums, rng.Float64()*z.sums[len(z.sums)-1])
	return min(at, len(z.sums)-1)
}

func (z zipf) share(i int) float64 {
	before := 0.0
	if i > 0 {
		before = z.sums[i-1]
	}
	return (z.sums[i] - before) / z.sums[len(z.sums)-1]
}

// play lets the trace arrive, one request after the other, and runs on until
// all is done.
func (w *world) play(arrive func(now time.Time, r *request)) {
	rng := rand.New(rand.NewPCG(w.Seed, 2))
	models, pictures := newZipf(w.Models, w.Zipf), newZipf(w.Pictures, w.Zipf)
	rank := rng.Perm(w.Models) // rank[i] is the model of popularity i
	mean := 0.0
	for i, m := range rank {
		mean += models.share(i) * w.kinds[m].run(1).Seconds()
	}
	rate := w.Load * float64(w.Slots) / mean // a second
	shift := w.start.Add(w.Shift)
	left, hot := 0, 0 // requests left of a burst, and its model
	sent := 0
	var next func(now time.Time)
	next = func(now time.Time) {
		if w.Shift > 0 && !now.Before(shift) {
			a, b := rng.IntN(min(4, w.Models)), rng.IntN(w.Models)
			rank[a], rank[b] = rank[b], rank[a]
			shift = shift.Add(w.Shift)
		}
		const length = 100 // requests of a burst, in the mean
		if left == 0 && rng.Float64() < w.BurstShare/(1-w.BurstShare)/length {
			left, hot = 1+rng.IntN(2*length), models.draw(rng)
		}
		r := &request{id: sent, model: rank[models.draw(rng)], picture: pictures.draw(rng), came: now}
		pace := rate
		if left > 0 {
			left--
			r.model, pace = rank[hot], rate*w.Burst
		}
		r.deadline = now.Add(w.Deadline)
		if rng.IntN(5) == 0 {
			r.class, r.deadline = inference.ClassDirect, now.Add(5*w.Deadline)
		}
		w.end = now
		arrive(now, r)
		if sent++; sent < w.Requests {
			w.clock.after(time.Duration(rng.ExpFloat64()/pace*float64(time.Second)), next)
		}
	}
	w.clock.at(w.start, next)
	w.clock.run()
}
