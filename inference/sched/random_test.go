package sched

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The invariants that both tests hold the Scheduler to stand in world: booked
// ≤ budget, the books add up, one answer a request, no effect on a model in
// the wrong state, nothing running is unloaded, runs ≤ slots.

// zoo is six models that do not fit together: rest 1800 in a budget of 1000.
func zoo() []Spec {
	var specs []Spec
	for i := range 6 {
		specs = append(specs, Spec{
			ID: ModelID(fmt.Sprintf("m%d", i)), MaxBatch: 1 + i, Instances: i % 3, Buckets: i == 4,
			Rest: int64(200 + 40*i), Run: int64(10 + 5*i), MaxDelay: time.Duration(i%2) * 5 * time.Millisecond,
		})
	}
	return specs
}

// starveBound is how long a request may wait in the walk below. After MaxWait
// (10 s), and 3.5 s that others may have had by their priority, its model goes
// before all that are not as late. Those that are, at most six and a version on
// its way out, have a turn of a second each, and between turns a run ends
// (50 ms), a model leaves (20 ms) and the next loads (300 ms), twice where it
// was measured larger than its room: 7 × 1.7 s.
const starveBound = 25500 * time.Millisecond

// suspectBound is that where processes have ended: before each of those loads
// what is under way may have to end (300 ms) and a suspect be loaded with the
// device to itself (300 ms), again twice: 7 × 2.9 s.
const suspectBound = 33800 * time.Millisecond

func TestScheduler_KeepsItsPromisesOnALongRandomWalk(t *testing.T) {
	events, seeds := walkEvents, []uint64{0, 2, 3, 31, crashing}
	if testing.Short() {
		events = 20_000
	}
	for _, seed := range seeds { // 3 and 31 have starved somebody before
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			walk(t, seed, events/len(seeds))
		})
	}
}

// crashing is the seed of a walk on which processes have ended.
const crashing = 5

func walk(t *testing.T, seed uint64, events int) {
	w := newWorld(t, func(c *Config) {
		c.Slots, c.QueueLimit = 1+int(seed%3), 20
		c.KeepAlive = time.Duration(seed%2) * 5 * second
		c.ProbeAfter = time.Duration(seed%2) * 20 * time.Millisecond
	}, zoo()...)
	e := newEngine(w, seed)
	e.failing = 0.02
	bound := starveBound
	if seed == crashing {
		bound = suspectBound
	}
	var asked []RequestID
	current := zoo() // the versions that new requests go to
	for i := range events {
		for k, spec := range current {
			if next, ok := w.replaced[spec.ID]; ok {
				current[k].ID = next
			}
		}
		if seed == crashing && i%100 == 99 && w.s.quiet() {
			w.crashed(Key{byte(i/100 + 1), byte(i % 7), 1}, 1+i%3) // of requests to come
			w.crashed(LoadKey(current[i%6].ID), 1)
		}
		switch k := e.rng.IntN(20); {
		case i%3000 == 2999: // a file has changed
			next := current[e.rng.IntN(6)]
			old := next.ID
			next.ID = ModelID(fmt.Sprintf("%.2s.%d", old, i))
			w.version(old, next)
		case i%700 == 699: // somebody unloads a model, and has it loaded again
			spec := current[e.rng.IntN(6)]
			w.s.OnRetire(w.now, spec.ID, EvictedOrder)
			w.check()
			e.step(time.Duration(e.rng.IntN(200)) * time.Millisecond)
			w.s.OnModel(w.now, spec)
			w.check()
			asked = append(asked, w.load(spec.ID))
		case i%50 == 49:
			asked = append(asked, w.load(current[e.rng.IntN(6)].ID))
		case k < 12:
			r := Request{
				Model: current[min(e.rng.IntN(6), e.rng.IntN(6))].ID, Canvas: Canvas(fmt.Sprint(e.rng.IntN(3))),
				Class: bothClasses[e.rng.IntN(2)], Priority: e.rng.IntN(9),
			}
			if seed == crashing {
				r.Key = Key{byte(i / 100), byte(i % 7), 1}
			}
			if e.rng.IntN(3) == 0 {
				r.Deadline = e.now.Add(time.Duration(e.rng.IntN(3000)-5) * time.Millisecond)
			}
			if e.rng.IntN(2) == 0 { // of some who ask only the others come
				if seed != crashing {
					r.Key = Key{1, byte(i), byte(i >> 8)}
				}
				_, _ = w.s.OnAsk(w.now, r)
			}
			if e.rng.IntN(8) > 0 {
				asked = append(asked, w.arrive(r))
			}
		case k < 14 && len(asked) > 0:
			w.cancel(asked[len(asked)-1-e.rng.IntN(min(40, len(asked)))])
		case k < 15:
			w.s.OnReading(w.now, int64(e.rng.IntN(1300)))
			w.s.OnBeside(w.now, int64(e.rng.IntN(1300)-300))
			w.check()
		}
		e.step(time.Duration(e.rng.IntN(20)) * time.Millisecond)
		w.oldest(t, bound)
	}
	w.s.OnReading(w.now, 0) // what lies beside stays as it is: nobody starves for it
	e.failing = 0
	e.step(2 * bound)
	if len(w.open) > 0 {
		t.Fatalf("%d requests were never answered: %v", len(w.open), w.open)
	}
	if len(w.answered) != len(asked) {
		t.Fatalf("%d answers to %d requests", len(w.answered), len(asked))
	}
	t.Logf("%d requests, %d runs, %d refused, longest wait %s", len(asked), len(w.started), len(w.refused), w.waited)
	w.s.OnClose(w.now)
	e.step(10 * second)
	if !w.s.Ended() || w.s.Snapshot().Reserved != 0 {
		t.Fatalf("not ended after closing: %+v", w.s.Snapshot())
	}
}

// oldest fails the test when somebody has waited beyond the bound.
func (w *world) oldest(t *testing.T, bound time.Duration) {
	for id, at := range w.open {
		if w.now.Sub(at) > bound {
			t.Fatalf("request %d has waited %s", id, w.now.Sub(at))
		}
	}
}

func TestScheduler_KeepsItsPromisesOnAnyEvents(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, func(c *Config) {
			c.Slots = rapid.IntRange(1, 3).Draw(rt, "slots")
			c.QueueLimit = rapid.IntRange(1, 8).Draw(rt, "limit")
			c.Turn = time.Duration(rapid.IntRange(0, 500).Draw(rt, "turn")) * time.Millisecond
		}, zoo()...)
		pick := func(what string) (string, bool) { // anything that could happen next, in any order
			e := newEngine(w, 0)
			e.schedule()
			var all []string
			for k := range e.due {
				if len(what) == 0 || k[:len(what)] == what {
					all = append(all, k)
				}
			}
			if len(all) == 0 {
				return "", false
			}
			return rapid.SampledFrom(slices.Sorted(slices.Values(all))).Draw(rt, "which"), true
		}
		rt.Repeat(map[string]func(*rapid.T){
			"arrive": func(rt *rapid.T) {
				r := Request{
					Model:    ModelID(fmt.Sprintf("m%d", rapid.IntRange(0, 5).Draw(rt, "model"))),
					Canvas:   Canvas(rapid.SampledFrom([]string{"s", "l"}).Draw(rt, "canvas")),
					Class:    rapid.SampledFrom(bothClasses).Draw(rt, "class"),
					Priority: rapid.IntRange(0, 9).Draw(rt, "priority"),
				}
				if ms := rapid.IntRange(-5, 2000).Draw(rt, "deadline"); ms > 500 {
					r.Deadline = w.now.Add(time.Duration(ms) * time.Millisecond)
				}
				w.arrive(r)
			},
			"load": func(rt *rapid.T) {
				w.load(ModelID(fmt.Sprintf("m%d", rapid.IntRange(0, 5).Draw(rt, "model"))))
			},
			"retire": func(rt *rapid.T) {
				w.s.OnRetire(w.now, zoo()[rapid.IntRange(0, 5).Draw(rt, "model")].ID, EvictedOrder)
				w.check()
			},
			"declare": func(rt *rapid.T) {
				w.s.OnModel(w.now, zoo()[rapid.IntRange(0, 5).Draw(rt, "model")])
				w.check()
			},
			"cancel": func(rt *rapid.T) {
				if w.lastID > 0 {
					w.cancel(RequestID(rapid.Uint64Range(1, uint64(w.lastID)).Draw(rt, "id")))
				}
			},
			"finish": func(rt *rapid.T) {
				what, ok := pick("")
				if !ok {
					rt.Skip("nothing under way")
				}
				e := newEngine(w, rapid.Uint64().Draw(rt, "how"))
				e.failing = 0.3
				e.finish(what)
			},
			"pass":    func(rt *rapid.T) { w.pass(time.Duration(rapid.IntRange(0, 3000).Draw(rt, "ms")) * time.Millisecond) },
			"free":    func(rt *rapid.T) { w.s.OnFree(w.now, rapid.Int64Range(-1, 1500).Draw(rt, "free")); w.check() },
			"beside":  func(rt *rapid.T) { w.s.OnBeside(w.now, rapid.Int64Range(-1, 1500).Draw(rt, "beside")); w.check() },
			"reading": func(rt *rapid.T) { w.s.OnReading(w.now, rapid.Int64Range(0, 1500).Draw(rt, "used")); w.check() },
		})
	})
}
