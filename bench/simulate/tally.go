package simulate

import (
	"slices"
	"time"

	"focal/inference"
)

// tally counts what became of requests.
type tally struct {
	asked, good, late int
	byModel           []struct{ asked, good int }
	byClass           [2]struct{ asked, good int }
	waits             [2][]float32 // milliseconds of those answered, by class
	loads, evicted    int
	runs, items       int
	running           time.Duration // of all runs
	loading           int           // under way
	loadSince         time.Time
	swapping          time.Duration // while something was loading
}

func newTally(w *world) *tally {
	return &tally{byModel: make([]struct{ asked, good int }, w.Models)}
}

func (t *tally) ask(r *request) {
	t.asked++
	t.byModel[r.model].asked++
	t.byClass[r.class].asked++
}

func (t *tally) answer(now time.Time, r *request) {
	t.waits[r.class] = append(t.waits[r.class], float32(now.Sub(r.came).Seconds()*1000))
	if now.After(r.deadline) {
		t.late++
		return
	}
	t.good++
	t.byModel[r.model].good++
	t.byClass[r.class].good++
}

func (t *tally) ran(n int, took time.Duration) {
	t.runs++
	t.items += n
	t.running += took
}

func (t *tally) loadBegins(now time.Time) {
	t.loads++
	if t.loading++; t.loading == 1 {
		t.loadSince = now
	}
}

func (t *tally) loadEnds(now time.Time) {
	if t.loading--; t.loading == 0 {
		t.swapping += now.Sub(t.loadSince)
	}
}

// result sums up what happened from the start of w until its last arrival.
func (t *tally) result(name string, w *world) Result {
	share := func(n int) float64 { return ratio(float64(n), float64(t.asked)) }
	lasted := w.clock.now.Sub(w.start).Seconds()
	r := Result{
		Policy: name, Requests: t.asked, Goodput: share(t.good), Late: share(t.late), Refused: share(t.asked - t.good - t.late),
		Loads: t.loads, Evicted: t.evicted, Swapping: ratio(t.swapping.Seconds(), lasted),
		Busy: ratio(t.running.Seconds(), lasted*float64(w.Slots)), Batch: ratio(float64(t.items), float64(t.runs)),
		Worst:  1,
		Server: ratio(float64(t.byClass[inference.ClassServer].good), float64(t.byClass[inference.ClassServer].asked)),
		Direct: ratio(float64(t.byClass[inference.ClassDirect].good), float64(t.byClass[inference.ClassDirect].asked)),
	}
	r.P50, r.P99 = quantiles(slices.Concat(t.waits[:]...))
	_, r.ServerP99 = quantiles(t.waits[inference.ClassServer])
	_, r.DirectP99 = quantiles(t.waits[inference.ClassDirect])
	sum, squares, n := 0.0, 0.0, 0.0
	for _, m := range t.byModel {
		if m.asked == 0 {
			continue
		}
		x := float64(m.good) / float64(m.asked)
		sum, squares, n = sum+x, squares+x*x, n+1
		if m.asked >= 100 {
			r.Worst = min(r.Worst, x)
		}
	}
	r.Fairness = ratio(sum*sum, n*squares)
	return r
}

// quantiles returns the half and the 99th percentile of waits, 0 of none.
func quantiles(waits []float32) (p50, p99 float64) {
	n := len(waits)
	if n == 0 {
		return 0, 0
	}
	slices.Sort(waits)
	return float64(waits[n/2]), float64(waits[n*99/100])
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
