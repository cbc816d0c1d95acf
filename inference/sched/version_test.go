package sched

import (
	"errors"
	"testing"

	"focal/core/fault"
)

func TestScheduler_LoadsANewVersionBeforeTheOldOneLeaves(t *testing.T) {
	w := newWorld(t, nil, small("a1"))
	w.resident("a1")
	w.ask("a1") // runs
	w.version("a1", small("a2"))
	w.ask("a1") // nobody has been told otherwise
	w.expect(t, "run a1 [2]", "load a2")
	w.loaded("a2", Loaded{})
	w.ask("a2")
	w.doneAll()
	w.expect(t, "replace a1 a2", "run a1 [3]")
	w.doneAll()
	w.expect(t, "unload a1 new_version", "run a2 [4]")
	w.unloaded("a1")
	if w.s.Knows("a1") || !w.s.Knows("a2") {
		t.Fatal("want the old version forgotten, and the new one known")
	}
}

func TestScheduler_DrainsTheOldVersionFirstWhereBothDoNotFit(t *testing.T) {
	w := newWorld(t, nil, large("a1"))
	w.resident("a1")
	w.ask("a1")
	w.version("a1", large("a2"))
	w.ask("a2")
	w.doneAll()
	w.expect(t, "run a1 [2]", "replace a1 a2", "unload a1 new_version")
	w.unloaded("a1")
	w.expect(t, "load a2")
	w.loaded("a2", Loaded{})
	w.doneAll()
	if len(w.open) != 0 || len(w.refused) != 0 {
		t.Fatalf("%d open, %d refused", len(w.open), len(w.refused))
	}
}

func TestScheduler_KeepsTheOldVersionWhereTheNewOneDoesNotLoad(t *testing.T) {
	w := newWorld(t, nil, small("a1"))
	w.resident("a1")
	w.version("a1", small("a2"))
	w.loaded("a2", Loaded{Err: fault.New(fault.Corrupt, "test", "truncated")})
	w.ask("a1")
	w.expect(t, "load a2", "run a1 [2]")
	if w.s.Knows("a2") {
		t.Fatal("a version that does not load is remembered")
	}
}

func TestScheduler_SwitchesAtOnceWhereTheOldVersionIsNotLoaded(t *testing.T) {
	w := newWorld(t, nil, small("a1"))
	w.version("a1", small("a2"))
	w.ask("a2")
	w.expect(t, "replace a1 a2", "load a2")
}

func TestScheduler_DropsAVersionThatIsOvertaken(t *testing.T) {
	w := newWorld(t, nil, small("a1"))
	w.resident("a1")
	w.version("a1", small("a2"))
	w.version("a1", small("a3"))
	w.loaded("a2", Loaded{})
	w.loaded("a3", Loaded{})
	w.expect(t, "load a2", "load a3", "unload a2 new_version", "replace a1 a3", "unload a1 new_version")
}

func TestScheduler_SwitchesWhenTheOldVersionIsSentAwayMeanwhile(t *testing.T) {
	w := newWorld(t, nil, Spec{ID: "a1", Rest: 400, Run: 10}, Spec{ID: "b", Rest: 400, Run: 10})
	w.resident("a1")
	w.pass(10 * second)
	w.version("a1", Spec{ID: "a2", Rest: 400, Run: 10})
	w.ask("b")
	w.expect(t, "load a2", "replace a1 a2", "unload a1 memory")
	w.unloaded("a1")
	w.loaded("a2", Loaded{Err: errors.New("bad luck")})
	w.expect(t, "load b")
}

func TestScheduler_UnloadsByTheModelsOwnKeepAlive(t *testing.T) {
	brief := small("a")
	brief.KeepAlive = 3 * second
	w := newWorld(t, nil, brief, small("b"))
	w.resident("a", "b")
	w.pass(3 * second)
	w.expect(t, "unload a unused")
}
