package sched

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
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

// hangBound is that where loads and runs hang as well: before each of those turns
// one more load may have to be given up (1 s and the 20 ms that it takes to stop),
// and a run (0.6 s and 20 ms), whose model is then loaded again (320 ms): 7 × 4.9 s.
const hangBound = 47800 * time.Millisecond

// The seeds of walks on which processes have ended, and on which loads and runs hang.
const (
	crashing = 5
	hanging  = 6
)

func TestScheduler_KeepsItsPromisesOnALongRandomWalk(t *testing.T) {
	events, seeds := walkEvents, []uint64{0, 2, 3, 31, crashing, hanging}
	if testing.Short() {
		events = 20_000
	}
	sent := make([]map[string]bool, len(seeds))
	t.Run("seeds", func(t *testing.T) {
		for i, seed := range seeds { // 3 and 31 have starved somebody before
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				sent[i] = walk(t, seed, events/len(seeds))
			})
		}
	})
	// An event that no walk sends is held to nothing.
	for m := range reflect.TypeFor[*Scheduler]().Methods() {
		if !strings.HasPrefix(m.Name, "On") {
			continue
		}
		if !slices.ContainsFunc(sent, func(events map[string]bool) bool { return events[m.Name] }) {
			t.Errorf("no walk sends %s", m.Name)
		}
	}
}

// walker sends random events to a world whose engine lives by itself.
type walker struct {
	*engine
	seed    uint64
	current []Spec // the versions that new requests go to
	asked   []RequestID
}

// walk returns the events that it has sent.
func walk(t *testing.T, seed uint64, events int) map[string]bool {
	w := newWorld(t, func(c *Config) {
		c.Slots, c.QueueLimit = 1+int(seed%3), 20
		c.KeepAlive = time.Duration(seed%2) * 5 * second
		c.ProbeAfter = time.Duration(seed%2) * 20 * time.Millisecond
		c.StuckFloor, c.StuckFactor, c.LoadLimit = 200*time.Millisecond, 3, second
	}, zoo()...)
	k := &walker{engine: newEngine(w, seed), seed: seed, current: zoo()}
	k.failing = 0.02
	bound := starveBound
	switch seed {
	case crashing:
		bound = suspectBound
	case hanging:
		bound, k.hanging = hangBound, 0.01
	}
	for i := range events {
		k.event(i)
		k.step(time.Duration(k.rng.IntN(20)) * time.Millisecond)
		w.oldest(t, bound)
	}
	w.s.OnReading(w.now, 0) // what lies beside stays as it is: nobody starves for it
	w.s.OnFree(w.now, w.budget)
	k.failing, k.hanging = 0, 0
	k.step(2 * bound)
	if len(w.open) > 0 {
		t.Fatalf("%d requests were never answered: %v", len(w.open), w.open)
	}
	if len(w.answered) != len(k.asked) {
		t.Fatalf("%d answers to %d requests", len(w.answered), len(k.asked))
	}
	t.Logf("%d requests, %d runs, %d refused, longest wait %s", len(k.asked), len(w.started), len(w.refused), w.waited)
	w.s.OnClose(w.now)
	w.sent("OnClose")
	k.step(10 * second)
	if !w.s.Ended() || w.s.Snapshot().Reserved != 0 {
		t.Fatalf("not ended after closing: %+v", w.s.Snapshot())
	}
	if len(w.lost) > 0 {
		t.Fatal("the device is lost, on which everything stops")
	}
	return w.events
}

// event sends the i-th event.
func (k *walker) event(i int) {
	for n, spec := range k.current {
		if next, ok := k.replaced[spec.ID]; ok {
			k.current[n].ID = next
		}
	}
	if k.seed == crashing && i%100 == 99 && k.s.quiet() {
		k.crashed(Key{byte(i/100 + 1), byte(i % 7), 1}, 1+i%3) // of requests to come
		k.crashed(LoadKey(k.current[i%6].ID), 1)
	}
	switch n := k.rng.IntN(20); {
	case i%3000 == 2999: // a file has changed
		next := k.current[k.rng.IntN(6)]
		old := next.ID
		next.ID = ModelID(fmt.Sprintf("%.2s.%d", old, i))
		k.version(old, next)
		k.measured(next.ID, k.s.Measured(old))
	case i%700 == 699: // somebody unloads a model, and has it loaded again
		spec := k.current[k.rng.IntN(6)]
		k.retire(spec.ID)
		k.step(time.Duration(k.rng.IntN(200)) * time.Millisecond)
		k.declare(spec)
		k.asked = append(k.asked, k.load(spec.ID))
	case i%50 == 49:
		k.asked = append(k.asked, k.load(k.current[k.rng.IntN(6)].ID))
	case n < 12:
		k.request(i)
	case n < 14 && len(k.asked) > 0:
		k.cancel(k.asked[len(k.asked)-1-k.rng.IntN(min(40, len(k.asked)))])
	case n < 15:
		k.reading(int64(k.rng.IntN(1300)))
		k.beside(int64(k.rng.IntN(1300) - 300))
	case n < 16:
		k.free(int64(k.rng.IntN(4000))) // mostly others leave all that is ours
	}
}

// request has somebody arrive, who may have asked before; of those who ask only
// the others come, and some who do not come say so.
func (k *walker) request(i int) {
	r := Request{
		Model: k.current[min(k.rng.IntN(6), k.rng.IntN(6))].ID, Canvas: Canvas(fmt.Sprint(k.rng.IntN(3))),
		Class: bothClasses[k.rng.IntN(2)], Priority: k.rng.IntN(9),
	}
	if k.seed == crashing {
		r.Key = Key{byte(i / 100), byte(i % 7), 1}
	}
	if k.rng.IntN(3) == 0 {
		r.Deadline = k.now.Add(time.Duration(k.rng.IntN(3000)-5) * time.Millisecond)
	}
	guest := k.rng.IntN(2) == 0
	if guest {
		if k.seed != crashing {
			r.Key = Key{1, byte(i), byte(i >> 8)}
		}
		k.invite(r)
	}
	switch {
	case k.rng.IntN(8) > 0:
		k.asked = append(k.asked, k.arrive(r))
	case guest && k.rng.IntN(2) == 0:
		k.away(r.Key)
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
			"retire":  func(rt *rapid.T) { w.retire(zoo()[rapid.IntRange(0, 5).Draw(rt, "model")].ID) },
			"declare": func(rt *rapid.T) { w.declare(zoo()[rapid.IntRange(0, 5).Draw(rt, "model")]) },
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
			"free":    func(rt *rapid.T) { w.free(rapid.Int64Range(-1, 1500).Draw(rt, "free")) },
			"beside":  func(rt *rapid.T) { w.beside(rapid.Int64Range(-1, 1500).Draw(rt, "beside")) },
			"reading": func(rt *rapid.T) { w.reading(rapid.Int64Range(0, 1500).Draw(rt, "used")) },
		})
	})
}
