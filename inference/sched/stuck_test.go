package sched

import (
	"errors"
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
	w.ask("a")
	w.pass(11*second - ms)
	w.expect(t, "run a [2]", "stop 2")
	w.pass(second)
	w.expect(t, "lost a")
}
