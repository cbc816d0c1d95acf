package sched

import (
	"testing"

	"focal/core/fault"
	"focal/inference"
)

// load asks for a model and nothing else.
func (w *world) load(m ModelID) RequestID { return w.arrive(Request{Model: m, Load: true}) }

func TestScheduler_LoadsOnRequestAndRunsNothing(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	first, second := w.load("a"), w.load("a")
	w.expect(t, "load a")
	w.loaded("a", Loaded{})
	w.expect(t, "ready 1", "ready 2")
	if !w.answered[first] || !w.answered[second] || len(w.started) > 0 {
		t.Fatal("want both answered and nothing run")
	}
	w.load("a")
	w.expect(t, "ready 3") // at once: it is there
}

func TestScheduler_SaysReadyWhileTheDeviceIsBusy(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	w.ask("a")
	w.load("a")
	w.expect(t, "run a [2]", "ready 3")
}

func TestScheduler_MakesRoomForAModelLoadedOnRequest(t *testing.T) {
	w := newWorld(t, nil, large("a"), large("b"))
	w.resident("a")
	w.pass(10 * second)
	w.load("b")
	w.expect(t, "unload a memory")
	w.unloaded("a")
	w.expect(t, "load b")
	w.loaded("b", Loaded{})
	w.expect(t, "ready 2")
}

func TestScheduler_TellsWhyAModelIsNotLoadedOnRequest(t *testing.T) {
	w := newWorld(t, nil, small("a"), Spec{ID: "huge", Rest: 2000, Run: 10})
	w.expectRefused(t, w.load("huge"), RefusedTooLarge, fault.TooLarge, "--memory-budget")
	w.expectRefused(t, w.load("nobody"), RefusedUnknown, fault.Invalid, "nobody")
	id := w.load("a")
	w.loaded("a", Loaded{Err: fault.New(fault.Corrupt, "test", "truncated")})
	w.expectRefused(t, id, RefusedLoad, fault.Unavailable, "truncated")
	if after := w.expectRefused(t, w.load("a"), RefusedLoad, fault.Unavailable, "truncated"); after <= 0 {
		t.Fatal("no Retry-After while it backs off")
	}
	w.pass(second)
	w.log = nil
	id = w.arrive(Request{Model: "a", Load: true, Deadline: w.now.Add(second)})
	w.pass(second)
	w.expectRefused(t, id, RefusedLate, fault.Busy, "too late")
	w.loaded("a", Loaded{}) // it goes on
	if id = w.load("a"); !w.answered[id] {
		t.Fatal("it is there and nobody says so")
	}
}

func TestScheduler_ForgetsALoadThatNobodyWaitsFor(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	if id := w.load("a"); !w.cancel(id) {
		t.Fatal("a waiting request was not withdrawn")
	}
	w.loaded("a", Loaded{})
	w.expect(t, "load a")
}

func TestScheduler_CountsLoadsOnRequestInTheQueueLimit(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.QueueLimit = 2 }, small("a"))
	w.load("a")
	w.load("a")
	w.expectRefused(t, w.load("a"), RefusedFull, fault.Busy, "--inference-queue")
	w.arrive(Request{Model: "a", Load: true, Class: inference.ClassDirect}) // has a queue of its own
	if len(w.open) != 3 {
		t.Fatalf("%d wait, want 3", len(w.open))
	}
}

func TestScheduler_AnswersWhoWaitsBeforeAModelIsUnloadedOnRequest(t *testing.T) {
	pinned := small("a")
	pinned.Pinned = true
	w := newWorld(t, nil, pinned)
	w.resident("a")
	w.ask("a")
	w.ask("a")
	w.s.OnRetire(w.now, "a", EvictedOrder)
	w.doneAll()
	w.expect(t, "run a [2]", "run a [3]")
	w.doneAll()
	w.expect(t, "unload a unloaded") // although it was pinned
	w.unloaded("a")
	if w.s.Knows("a") {
		t.Fatal("it is remembered")
	}
}

func TestScheduler_TakesAModelBackThatIsOnItsWayOut(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	w.ask("a")
	w.s.OnRetire(w.now, "a", EvictedOrder)
	w.s.OnModel(w.now, Spec{ID: "a", Name: "a", MaxBatch: 8, Rest: 100, Run: 10})
	w.load("a")
	w.doneAll()
	w.pass(second)
	w.expect(t, "run a [2]", "ready 3") // and it stays

	w.s.OnRetire(w.now, "a", EvictedOrder) // idle: it goes at once
	w.s.OnModel(w.now, small("a"))
	w.load("a")
	w.expect(t, "unload a unloaded")
	w.unloaded("a")
	w.expect(t, "load a")
}

func TestScheduler_DropsTheVersionToComeOfAModelThatIsUnloaded(t *testing.T) {
	w := newWorld(t, nil, small("a1"))
	w.resident("a1")
	w.version("a1", small("a2"))
	w.s.OnRetire(w.now, "a2", EvictedOrder)
	w.s.OnRetire(w.now, "a1", EvictedOrder)
	w.loaded("a2", Loaded{})
	w.expect(t, "load a2", "unload a1 unloaded", "unload a2 unloaded")
}

func TestScheduler_ReportsTheNewVersionThatWasLoadedOnRequest(t *testing.T) {
	w := newWorld(t, nil, small("a1"))
	w.resident("a1")
	w.version("a1", small("a2"))
	id := w.load("a2")
	w.loaded("a2", Loaded{Err: fault.New(fault.Corrupt, "test", "truncated")})
	w.expectRefused(t, id, RefusedLoad, fault.Unavailable, "truncated")
	w.ask("a1") // the old one goes on serving
	w.expect(t, "load a2", "refuse 2 load_failed", "run a1 [3]")
}

func TestScheduler_SaysWhatCanNeverBeLoadedBeforeAnybodyAsks(t *testing.T) {
	pinned := large("a")
	pinned.Pinned = true
	w := newWorld(t, nil, pinned, large("b"))
	if err := w.s.Never(large("b")); err != nil {
		t.Fatal(err)
	}
	w.resident("a")
	for _, spec := range []Spec{large("b"), {ID: "new", Name: "new", Rest: 500, Run: 10}} {
		if err := w.s.Never(spec); !fault.Is(err, fault.TooLarge) {
			t.Errorf("%s beside a pinned model of 600 bytes in 1000: %v", spec.ID, err)
		}
	}
}
