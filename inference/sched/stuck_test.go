package sched

import (
	"errors"
	"slices"
	"testing"

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
