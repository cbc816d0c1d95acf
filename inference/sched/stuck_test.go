package sched

import (
	"errors"
	"slices"
	"testing"
	"time"

	"focal/core/fault"
)

func watched(c *Config) { c.StuckFloor, c.StuckFactor, c.Slots = second, 10, 2 }

var errStopped = errors.New("terminated")

func TestScheduler_StopsARunThatTakesFarTooLongAndLoadsTheModelAgain(t *testing.T) {
	w := newWorld(t, watched, small("a"), small("b"))
	w.resident("a", "b")
	w.ask("a")
	w.pass(200 * ms)
	w.doneAll()
	id := w.ask("a")
	w.pass(1999 * ms) // ten times what it takes
	w.expect(t, "run a [3]", "run a [4]")
	w.pass(ms)
	w.ask("a") // waits for a session that works
	w.ask("b")
	w.expect(t, "stop 4", "run b [6]")
	w.done(4, Done{Err: errStopped})
	w.expectRefused(t, id, RefusedStuck, fault.Timeout, "stopped after 2s")
	w.unloaded("a")
	w.loaded("a", Loaded{})
	w.expect(t, "refuse 4 stuck", "unload a stuck", "load a", "run a [5]")
}

func TestScheduler_NeverStopsARunBelowTheFloor(t *testing.T) {
	w := newWorld(t, watched, small("a"))
	w.resident("a")
	w.ask("a")
	w.pass(ms)
	w.doneAll()
	w.log = nil
	w.ask("a")
	w.pass(999 * ms)
	w.expect(t, "run a [3]")
}

func TestScheduler_GivesWhatHasNeverRunMoreTime(t *testing.T) {
	w := newWorld(t, watched, small("a"))
	w.resident("a")
	w.ask("a")
	w.pass(10*second - ms)
	w.expect(t, "run a [2]")
	w.pass(ms)
	w.expect(t, "stop 2")
}

func TestScheduler_TriesTheOthersOfAStuckBatchAlone(t *testing.T) {
	w := newWorld(t, func(c *Config) { watched(c); c.Slots = 1 }, small("a"))
	w.resident("a")
	w.ask("a")
	for range 2 {
		w.ask("a")
	}
	w.doneAll()
	w.pass(second)
	w.expect(t, "run a [2]", "run a [3 4]", "stop 3")
	w.done(3, Done{Err: errStopped})
	w.unloaded("a")
	w.loaded("a", Loaded{})
	w.doneAll()
	w.doneAll()
	w.expect(t, "unload a stuck", "load a", "run a [3]", "run a [4]")
}

func TestScheduler_SaysThatTheDeviceIsLostWhereARunDoesNotStop(t *testing.T) {
	w := newWorld(t, watched, small("a"))
	w.resident("a")
	w.arrive(Request{Model: "a", Key: poison})
	w.pass(11*second - ms)
	w.expect(t, "run a [2]", "stop 2")
	w.pass(second)
	w.expect(t, "lost a")
	if !slices.Equal(w.lost, []Key{poison}) {
		t.Errorf("%d keys are named, want that of the run", len(w.lost))
	}
}

// An input that hangs costs the device as much as one that crashes: the second
// time it runs alone, the third it is not tried.
func TestScheduler_RefusesWhatHasHungTwice(t *testing.T) {
	w := newWorld(t, watched, small("a"), small("b"))
	w.resident("a", "b")
	hang := func() {
		w.arrive(Request{Model: "a", Key: poison})
		id := w.underWay()[0]
		w.pass(10 * second)
		w.done(id, Done{Err: errStopped})
		w.unloaded("a")
	}
	hang()
	w.expect(t, "run a [3]", "stop 3", "refuse 3 stuck", "unload a stuck")
	w.ask("a") // 4
	w.loaded("a", Loaded{})
	w.doneAll()
	w.ask("b") // 5
	w.log = nil
	w.arrive(Request{Model: "a", Key: poison}) // 6
	w.expect(t)                                // it waits for b's to end
	w.doneAll()
	w.ask("b") // 7
	w.expect(t, "run a [6]")
	id := w.underWay()[0]
	w.pass(second) // a run takes no time at all, as far as it knows
	w.done(id, Done{Err: errStopped})
	w.expectRefused(t, 6, RefusedStuck, fault.Timeout, "stopped after")
	w.expectRefused(t, w.arrive(Request{Model: "a", Key: poison}), RefusedCrashed, fault.Corrupt, "had to be stopped, or the inference process has ended, 2 times over this input")
	w.doneAll()
	w.unloaded("a")
	w.ask("a") // another input is none the worse
	w.expect(t, "stop 6", "refuse 6 stuck", "unload a stuck", "run b [7]", "refuse 8 crashed", "load a")
}

// A model whose run hangs may be on its way out for another: it leaves once.
func TestScheduler_SendsAwayOnceWhatIsBothStuckAndInTheWay(t *testing.T) {
	w := newWorld(t, watched, large("a"), large("b"))
	w.resident("a")
	stuck := w.ask("a")
	w.pass(second)
	w.ask("b") // a is drained for it
	w.pass(9 * second)
	w.expect(t, "run a [2]", "stop 2")
	w.done(2, Done{Err: errStopped})
	w.expectRefused(t, stuck, RefusedStuck, fault.Timeout, "stopped after 10s")
	w.unloaded("a")
	w.expect(t, "refuse 2 stuck", "unload a memory", "load b")
}

func TestScheduler_BlamesNobodyOfABatchThatHangs(t *testing.T) {
	w := newWorld(t, func(c *Config) { watched(c); c.Slots = 1 }, small("a"))
	w.resident("a")
	w.ask("a")
	w.arrive(Request{Model: "a", Key: poison})
	w.arrive(Request{Model: "a", Key: other})
	w.doneAll()
	w.pass(second)
	w.expect(t, "run a [2]", "run a [3 4]", "stop 3")
	w.done(3, Done{Err: errStopped})
	for _, k := range []Key{poison, other} {
		if w.s.suspect(w.now, k) {
			t.Error("one of two is blamed before it has run alone")
		}
	}
}

// A batch of nobody's that hangs is not tried again when the model is loaded again:
// each time it would cost a session and half a minute of a slot.
func TestScheduler_ProbesNothingThatHasHung(t *testing.T) {
	spec := small("a")
	spec.MaxBatch = 2
	w := newWorld(t, func(c *Config) { watched(c); c.ProbeAfter = second }, spec)
	again := func() {
		w.ask("a")
		w.loaded("a", Loaded{})
		w.doneAll()
		w.pass(second)
	}
	again()
	w.doneAll() // the probe of one
	w.expect(t, "load a", "run a [1]", "probe a c 1", "probe a c 2")
	id := w.underWay()[0]
	w.pass(second)
	w.done(id, Done{Err: errStopped})
	w.unloaded("a")
	again()
	w.expect(t, "stop 3", "unload a stuck", "load a", "run a [2]")
}

// What loads is given up when it takes far longer than any load does. Who waits for
// the model is told so, and so is who comes while it still holds its place; the
// others go on.
func TestScheduler_GivesUpALoadThatDoesNotEnd(t *testing.T) {
	w := newWorld(t, nil, small("a"), small("b"))
	w.resident("b")
	first := w.ask("a")
	w.pass(5*time.Minute - ms)
	w.expect(t, "load a")
	w.pass(ms)
	w.expectRefused(t, first, RefusedLoad, fault.Unavailable, "model a does not load: it was given up after 5m0s (--load-timeout)")
	w.expectRefused(t, w.ask("a"), RefusedLoad, fault.Unavailable, "given up after 5m0s")
	w.ask("b")
	w.doneAll()
	w.expect(t, "refuse 2 load_failed", "stop load a", "refuse 3 load_failed", "run b [4]")
	w.pass(29 * second)
	w.loaded("a", Loaded{Err: errStopped})
	w.expectRefused(t, w.ask("a"), RefusedLoad, fault.Unavailable, "given up after 5m29s")
	w.pass(second) // as after any load that failed
	w.ask("a")
	w.loaded("a", Loaded{})
	w.expect(t, "refuse 5 load_failed", "load a", "run a [6]")
	if w.s.Snapshot().Reserved != 100+100+10 {
		t.Errorf("%d bytes are booked", w.s.Snapshot().Reserved)
	}
}

func TestScheduler_TakesALoadThatEndsWellAfterAll(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.ask("a")
	w.pass(5*time.Minute + second)
	w.loaded("a", Loaded{})
	w.ask("a")
	w.expect(t, "load a", "refuse 1 load_failed", "stop load a", "run a [2]")
	if len(w.s.crashes) > 0 {
		t.Error("something is held against it")
	}
}

// An engine that took four minutes to build may take forty the next time.
func TestScheduler_GivesALoadTenTimesWhatItUsuallyTakes(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.ask("a")
	w.pass(4 * time.Minute)
	w.loaded("a", Loaded{})
	w.doneAll()
	w.s.OnRetire(w.now, "a", EvictedOrder)
	w.unloaded("a")
	w.s.OnModel(w.now, small("a"))
	w.s.OnMeasured(w.now, "a", Measured{LoadTime: 4 * time.Minute})
	w.ask("a")
	w.pass(40*time.Minute - ms)
	w.expect(t, "load a", "run a [1]", "unload a unloaded", "load a")
	w.pass(ms)
	w.expect(t, "refuse 2 load_failed", "stop load a")
}

// Nobody is to blame the first time. The second time the model is left alone for as
// long as an input that hangs.
func TestScheduler_RefusesAModelWhoseLoadHasHungTwice(t *testing.T) {
	w := newWorld(t, nil, small("a"), small("b"))
	hang := func() {
		w.ask("a")
		w.pass(5 * time.Minute)
		w.loaded("a", Loaded{Err: errStopped})
		w.pass(2 * second)
	}
	hang()
	w.ask("b") // it has not the device to itself
	w.ask("a")
	w.expect(t, "load a", "refuse 1 load_failed", "stop load a", "load b", "load a")
	w.loaded("b", Loaded{})
	w.doneAll()
	w.pass(5 * time.Minute)
	w.loaded("a", Loaded{Err: errStopped})
	w.pass(10*time.Minute - ms)
	w.expectRefused(t, w.ask("a"), RefusedLoad, fault.Unavailable, "given up 2 times")
	w.pass(ms)
	w.log = nil
	w.ask("a")
	w.loaded("a", Loaded{})
	w.expect(t, "load a", "run a [5]")
	if len(w.s.crashes) > 0 {
		t.Error("something is still held against it")
	}
}

func TestScheduler_SaysThatTheDeviceIsLostWhereALoadDoesNotStop(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.ask("a")
	w.pass(5*time.Minute + 30*second - ms)
	w.expect(t, "load a", "refuse 1 load_failed", "stop load a")
	w.pass(10 * time.Minute)
	w.expect(t, "lost a")
	if !slices.Equal(w.lost, []Key{HangKey("a")}) {
		t.Errorf("%d keys are named, want that of the load", len(w.lost))
	}
	// The next process hears of it, and of another one that was lost so.
	for count, want := range []string{1: "load a", 2: "refuse 1 load_failed"} {
		if count > 0 {
			next := newWorld(t, nil)
			next.s.OnCrash(HangKey("a"), count, next.now)
			next.s.OnModel(next.now, small("a"))
			next.ask("a")
			next.expect(t, want)
		}
	}
}

func TestScheduler_SaysThatTheDeviceIsLostWhereASessionDoesNotClose(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	w.s.OnRetire(w.now, "a", EvictedOrder)
	w.s.OnModel(w.now, small("a"))
	id := w.ask("a")
	w.pass(5 * time.Minute)
	w.expectRefused(t, id, RefusedLoad, fault.Unavailable, "does not load: its last session has not closed for 5m0s")
	w.pass(30 * second)
	w.expect(t, "unload a unloaded", "refuse 2 load_failed", "lost a")
	if len(w.lost) > 0 {
		t.Error("somebody is to blame")
	}
	w.unloaded("a") // after all
	w.ask("a")
	w.expect(t, "load a")
}

func TestScheduler_WatchesNothingThatItIsToldNotTo(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.LoadLimit = 0 }, small("a"))
	w.ask("a")
	w.pass(24 * time.Hour)
	w.expect(t, "load a")
}
