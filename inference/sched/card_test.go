package sched

import (
	"slices"
	"testing"

	"focal/core/fault"
)

func onCard(m ModelID) Spec {
	return Spec{ID: m, MaxBatch: 8, Rest: 100, Run: 10, Buckets: true}
}

func TestBuckets_NoRequestPaysForTuning(t *testing.T) {
	w := newWorld(t, nil, onCard("a"))
	w.ask("a")
	w.loaded("a", Loaded{})
	for range 13 {
		w.ask("a")
	}
	for len(w.runs) > 0 {
		w.doneAll()
	}
	// Thirteen wait: two, four and eight are tried out before they run; one runs alone,
	// which the others are held against; what is left runs in the buckets below.
	want := []string{"run a [1]", "probe a c 2", "probe a c 4", "probe a c 8", "run a [2]", "run a [3 4 5 6 7 8 9 10]", "run a [11 12 13 14]"}
	if got := w.log[1:]; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// On an H100 the first run of a size took RetinaFace 300 ms, the next ones 3 ms.
func TestBuckets_TheRunThatTunesSaysNothingOfTime(t *testing.T) {
	w := newWorld(t, nil, onCard("a"))
	w.resident("a")
	for range 30 {
		w.arrive(Request{Model: "a", Canvas: "first"})
	}
	w.done(w.underWay()[0], Done{Time: 2 * ms})
	for range 3 { // the trials of two, four and eight
		w.done(w.underWay()[0], Done{Time: 300 * ms, Memory: 5})
	}
	for range 3 {
		w.done(w.underWay()[0], Done{Time: 3 * ms})
	}
	want := []string{
		"probe a first 2", "probe a first 4", "probe a first 8",
		"run a [3 4 5 6 7 8 9 10]", "run a [11 12 13 14 15 16 17 18]", "run a [19 20 21 22 23 24 25 26]", "run a [27 28 29 30]",
	}
	if got := w.log[1:]; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, r := range w.s.Measured("a").Runs {
		if r.Time > 3*ms {
			t.Errorf("a batch of %d is said to take %v", r.Batch, r.Time)
		}
	}
}

func TestBuckets_AreTunedAgainAfterALoad(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.ProbeAfter = second }, onCard("a"))
	w.resident("a")
	idle := func() {
		w.pass(second)
		for range 20 {
			w.pass(10 * ms)
			w.doneAll()
		}
	}
	idle()
	probes := []string{"probe a first 1", "probe a first 2", "probe a first 2", "probe a first 4", "probe a first 4", "probe a first 8", "probe a first 8"}
	if got := w.log; !slices.Equal(got, probes) {
		t.Fatalf("%q, want %q", got, probes)
	}
	w.s.OnRetire(w.now, "a", EvictedOrder)
	w.s.OnModel(w.now, onCard("a"))
	w.unloaded("a")
	w.resident("a")
	idle()
	if want := []string{"probe a first 2", "probe a first 4", "probe a first 8"}; !slices.Equal(w.log, want) {
		t.Errorf("%q, want %q: each once, though all are measured", w.log, want)
	}
}

func TestBuckets_TuneBesideTheRunsOfRequests(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Slots = 2 }, onCard("a"))
	w.resident("a")
	for range 4 {
		w.arrive(Request{Model: "a", Canvas: "first"})
	}
	w.done(w.underWay()[0], Done{})
	w.done(w.underWay()[0], Done{})
	// Two wait when the first place comes free: it tunes, the other goes on.
	if want := []string{"run a [2]", "run a [3]", "probe a first 2", "run a [4]"}; !slices.Equal(w.log, want) {
		t.Errorf("%q, want %q", w.log, want)
	}
}

func TestFree_AnotherProcessShrinksTheBudget(t *testing.T) {
	w := newWorld(t, nil, small("a"), small("b"), large("l"))
	w.resident("a", "b")
	w.pass(10 * second)
	w.s.OnReading(w.now, 210) // 200 of models, 10 of who knows what
	w.s.OnFree(w.now, 2000)
	if got := w.s.Snapshot().Budget; got != 1000 {
		t.Fatalf("budget %d while all of it is free, want 1000", got)
	}
	w.s.OnFree(w.now, 30)
	if got := w.s.Snapshot().Budget; got != 240 {
		t.Fatalf("budget %d, want the 210 that are ours and the 30 that are free", got)
	}
	if len(w.log) > 0 {
		t.Fatalf("%q: want both to stay, they have room", w.log)
	}
	w.expectRefused(t, w.ask("l"), RefusedTaken, fault.Busy, "other processes have left")
	w.s.OnReading(w.now, 150)
	w.s.OnFree(w.now, -1)
	if got := len(w.log); got != 2 || w.state["a"] != "unloading" && w.state["b"] != "unloading" {
		t.Fatalf("%q: want one to leave, 200 are more than the 150 that are there", w.log)
	}
	w.s.OnReading(w.now, 100)
	w.s.OnFree(w.now, 5000)
	w.ask("l")
	if w.state["l"] != "loading" {
		t.Errorf("%q: want what was refused to load once others have let go", w.log)
	}
}

// In a container the driver may not tell this process from its neighbours. Two
// models are booked with 100 each, of 1000.
func TestFree_ANeighbourIsNotTakenForOurs(t *testing.T) {
	w := newWorld(t, nil, small("a"), small("b"), large("l"))
	w.resident("a", "b")
	w.pass(10 * second)
	budget := func(used, free, want int64) {
		t.Helper()
		w.s.OnReading(w.now, used)
		w.s.OnFree(w.now, free)
		if got := w.s.Snapshot(); got.Budget != want || got.Reserved != 200 {
			t.Errorf("%d free: budget %d, booked %d, want %d and 200", free, got.Budget, got.Reserved, want)
		}
	}
	budget(-1, 5000, 1000)
	budget(-1, 300, 500) // a neighbour has come: what is booked and what is free
	w.expectRefused(t, w.ask("l"), RefusedTaken, fault.Busy, "other processes have left")
	budget(-1, 0, 200) // it has taken all: what is loaded stays
	if w.state["a"] != "resident" || w.state["b"] != "resident" {
		t.Fatalf("%q: want both to stay", w.log)
	}
	budget(-1, 5000, 1000)
	// A driver that has told and does not any more: its last word is not kept.
	budget(900, 0, 900)
	budget(-1, 300, 500)
	budget(-1, 5000, 1000)
	w.ask("l")
	if w.state["l"] != "loading" {
		t.Errorf("%q: want what was refused to load once the neighbour has let go", w.log)
	}
}

func TestStarved_OneAloneIsTriedAgainWhenTheIdleHaveLeft(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MinResidence = 0 }, small("a"), small("b"))
	w.resident("a", "b")
	id := w.ask("a")
	starved := Done{Err: fault.New(fault.Busy, "test", "out of memory")}
	w.done(w.underWay()[0], starved)
	if w.state["b"] != "unloading" || len(w.runs) > 0 {
		t.Fatalf("%q: want b to leave first", w.log)
	}
	w.unloaded("b")
	if got := w.started[len(w.started)-1].requests; !slices.Equal(got, []RequestID{id}) {
		t.Fatalf("%v runs, want %d again", got, id)
	}
	w.done(w.underWay()[0], starved)
	w.expectRefused(t, id, RefusedRun, fault.Busy, "out of memory")
}
