package sched

import (
	"testing"
	"time"

	"focal/core/fault"
)

var (
	poison = RunKey("a", []byte("poison"))
	other  = RunKey("a", []byte("other"))
)

func TestKeys_TellEverythingApart(t *testing.T) {
	seen := map[Key]string{}
	for name, k := range map[string]Key{
		"run": RunKey("a", []byte("x")), "run other": RunKey("a", []byte("y")), "run elsewhere": RunKey("b", []byte("x")),
		"load": LoadKey("a"), "load other": LoadKey("b"), "hang": HangKey("a"), "run nothing": RunKey("a", nil),
		"probe": ProbeKey("a", "c", 2), "probe more": ProbeKey("a", "c", 3), "probe other": ProbeKey("a", "d", 2),
	} {
		if k == (Key{}) || seen[k] != "" {
			t.Errorf("%s has the key of %q, or none", name, seen[k])
		}
		seen[k] = name
	}
}

func TestScheduler_RunsASuspectWithTheDeviceToItself(t *testing.T) {
	batched := small("a")
	batched.MaxBatch = 4
	w := newWorld(t, func(c *Config) { c.Slots = 3 }, batched, small("b"))
	w.resident("a", "b")
	w.crashed(poison, 1)
	w.ask("b")                                 // 3 runs
	w.arrive(Request{Model: "a", Key: poison}) // 4 waits until 3 has ended
	w.ask("b")                                 // 5
	w.arrive(Request{Model: "a", Key: other})  // 6
	w.arrive(Request{Model: "a", Canvas: "d"}) // 7: all wait with it
	w.expect(t, "run b [3]")
	w.pass(ms)
	w.doneAll()
	w.expect(t, "run a [4]")
	w.pass(ms)
	w.ask("b") // 8
	w.expect(t)
	w.doneAll()
	if n := len(w.runs); n != 3 {
		t.Errorf("%d runs after it, want all slots taken: %v", n, w.log)
	}
	// It came back: nothing is held against it.
	w.doneAll()
	w.doneAll()
	w.log = nil
	w.ask("b")
	w.arrive(Request{Model: "a", Key: poison})
	w.expect(t, "run b [9]", "run a [10]")
}

// It comes to the head of its line because who was before it is refused, in the
// moment in which a place is free.
func TestScheduler_RunsASuspectAloneBehindOneWhoIsLate(t *testing.T) {
	one := small("a")
	one.Instances = 1
	w := newWorld(t, func(c *Config) { c.Slots = 2 }, one, small("b"))
	w.resident("a", "b")
	w.ask("a") // 3
	w.pass(100 * ms)
	w.doneAll() // it takes 100 ms
	w.crashed(poison, 1)
	w.ask("a")                                                   // 4
	w.arrive(Request{Model: "a", Deadline: w.now.Add(250 * ms)}) // 5
	w.arrive(Request{Model: "a", Key: poison})                   // 6
	w.ask("b")                                                   // 7
	w.pass(200 * ms)                                             // 5 needs 100 and has 50
	w.done(w.underWay()[0], Done{})
	w.expect(t, "run a [3]", "run a [4]", "run b [7]", "refuse 5 late")
	w.doneAll()
	w.expect(t, "run a [6]")
}

func TestScheduler_ClearsASuspectThatFails(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	w.crashed(poison, 1)
	id := w.arrive(Request{Model: "a", Key: poison})
	w.done(w.underWay()[0], Done{Err: fault.New(fault.Internal, "test", "no")})
	w.expectRefused(t, id, RefusedRun, fault.Internal, "no")
	if w.s.suspect(w.now, poison) {
		t.Error("a run that failed is taken for one that ended the process")
	}
}

func TestScheduler_RefusesWhatHasEndedTheProcessTwice(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	w.crashed(poison, 2)
	refused := Request{Model: "a", Key: poison}
	if why, err := w.s.WouldRefuse(w.now, refused); why != RefusedCrashed || !fault.Is(err, fault.Corrupt) {
		t.Errorf("before it is looked at: %s %v", why, err)
	}
	w.expectRefused(t, w.arrive(refused), RefusedCrashed, fault.Corrupt, "model a: the inference process has ended 2 times over this input; it is not tried again for 10m0s")
	w.pass(10*time.Minute - ms)
	w.expectRefused(t, w.arrive(refused), RefusedCrashed, fault.Corrupt, "")
	w.arrive(Request{Model: "a", Key: other})
	w.expect(t, "refuse 2 crashed", "refuse 3 crashed", "run a [4]")
	w.doneAll()
	w.pass(ms) // and once more, alone
	w.arrive(refused)
	w.ask("a")
	w.expect(t, "run a [5]")
	w.doneAll()
	w.expect(t, "run a [6]")
}

func TestScheduler_ForgetsACrashAfterAnHour(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Slots = 2 }, small("a"))
	w.resident("a")
	w.crashed(poison, 7)
	w.pass(time.Hour)
	w.ask("a")
	w.arrive(Request{Model: "a", Key: poison})
	if n := len(w.runs); n != 2 {
		t.Errorf("%d runs, want 2: %v", n, w.log)
	}
}

func TestScheduler_LoadsASuspectWithTheDeviceToItself(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Slots = 2 }, small("b"), small("c"))
	w.resident("b")
	w.crashed(LoadKey("a"), 1)
	w.s.OnModel(w.now, small("a"))
	w.ask("b") // 2
	w.ask("a") // 3
	w.ask("b") // 4
	w.ask("c") // 5
	w.expect(t, "run b [2]")
	w.pass(ms)
	w.doneAll()
	w.expect(t, "load a")
	w.pass(ms)
	w.ask("b") // 6
	w.expect(t)
	w.loaded("a", Loaded{})
	w.expect(t, "run a [3]", "run b [4 6]", "load c")
	if w.s.suspect(w.now, LoadKey("a")) {
		t.Error("a load that came back is held against the model")
	}
}

func TestScheduler_LeavesAModelAloneWhoseLoadHasEndedTheProcessTwice(t *testing.T) {
	w := newWorld(t, nil, small("b"))
	w.crashed(LoadKey("a"), 2)
	spec := small("a")
	spec.Name = "a"
	w.s.OnModel(w.now, spec)
	id := w.ask("a")
	w.expectRefused(t, id, RefusedLoad, fault.Unavailable, "model a does not load: the inference process has ended 2 times while it was loaded")
	if wait := fault.RetryAfter(w.refused[id].err); wait != 10*time.Minute {
		t.Errorf("comes back after %v, want 10m", wait)
	}
	w.ask("b")
	w.expect(t, "refuse 1 load_failed", "load b")
	w.loaded("b", Loaded{})
	w.doneAll()
	w.pass(10 * time.Minute)
	w.log = nil
	w.ask("a")
	w.expect(t, "load a")
}

// A new version is not loaded beside what serves if its load is a suspect.
func TestScheduler_LoadsNoSuspectVersionOnItsOwnAccount(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	w.crashed(LoadKey("a2"), 1)
	w.version("a", small("a2"))
	if w.state["a2"] != "" {
		t.Errorf("a2 is %s", w.state["a2"])
	}
}

func TestScheduler_ProbesNothingThatHasEndedAProcess(t *testing.T) {
	spec := small("a")
	spec.MaxBatch = 4
	w := newWorld(t, func(c *Config) { c.ProbeAfter = second }, spec)
	w.crashed(ProbeKey("a", "c", 2), 1)
	w.ask("a")
	w.loaded("a", Loaded{})
	w.doneAll()
	w.log = nil
	for range 10 {
		w.pass(2 * second)
		w.doneAll()
	}
	w.expect(t, "probe a c 1")
}
