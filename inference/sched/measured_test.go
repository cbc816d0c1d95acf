package sched

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"focal/core/fault"
	"focal/inference"
)

// learnt is what a model knows after runs of 1 and 4 that took 110 and 140 ms.
func learnt(t *testing.T) Measured {
	t.Helper()
	w := newWorld(t, nil, small("a"))
	w.ask("a")
	w.pass(300 * ms)
	w.loaded("a", Loaded{Rest: 120})
	for range 4 {
		w.ask("a")
	}
	w.pass(110 * ms)
	w.done(w.underWay()[0], Done{Memory: 30})
	w.pass(140 * ms)
	w.done(w.underWay()[0], Done{Memory: 60})
	return w.s.Measured("a")
}

func TestScheduler_SaysWhatItHasMeasured(t *testing.T) {
	want := Measured{LoadTime: 300 * ms, Rest: 120, Runs: []MeasuredRun{
		{Canvas: "c", Batch: 1, Time: 110 * ms, Memory: 30, Runs: 1},
		{Canvas: "c", Batch: 4, Time: 140 * ms, Memory: 60, Runs: 1},
	}}
	if got := learnt(t); !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, want %+v", got, want)
	}
}

// What was measured before a restart admits, cuts batches and books from the
// first request on.
func TestScheduler_UsesWhatWasMeasuredBeforeARestart(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.s.OnMeasured(w.now, "a", learnt(t))
	late := w.arrive(Request{Model: "a", Deadline: w.now.Add(100 * ms)})
	if _, refused := w.refused[late]; refused {
		t.Fatal("the one who starts a load was refused") // a load whose time may be wrong
	}
	w.expectRefused(t, w.arrive(Request{Model: "a", Deadline: w.now.Add(100 * ms)}), RefusedLate, fault.Busy, "too late")
	if got := w.s.Snapshot().Models[0].Booked; got != 120+10 { // at rest as measured, the warm-up as declared
		t.Fatalf("%d bytes booked for the load, want 130", got)
	}
	w.loaded("a", Loaded{}) // nor is it in time, now that the load is over
	for range 7 {
		w.ask("a")
	}
	w.doneAll()
	if got := w.s.Snapshot().Models[0].RunBytes; got != 30*6 { // by the item that took most
		t.Fatalf("%d bytes booked for a run of 6, want 180", got)
	}
}

// A slot is filled and emptied by somebody: that is no time of the model's, but
// whoever waits for the slot waits for it.
func TestScheduler_ProfilesTheDeviceAndPredictsTheSlot(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	w.ask("a")
	w.pass(120 * ms)
	w.done(w.underWay()[0], Done{Time: 100 * ms})
	if got := w.s.Measured("a").Runs[0].Time; got != 100*ms {
		t.Errorf("the profile says %s, want the 100 ms on the device", got)
	}
	if got, _ := w.s.byID["a"].profile("c").runTime(1); got != 120*ms {
		t.Errorf("a slot is expected to be taken for %s, want 120 ms", got)
	}
}

func TestScheduler_TellsASlowMomentFromASlowModel(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Slots = 2 }, small("a"), small("b"))
	w.resident("a", "b")
	run := func(m ModelID, d time.Duration) {
		w.ask(m)
		w.pass(d)
		w.doneAll()
	}
	run("a", 100*ms)
	w.ask("b")
	run("a", 200*ms) // beside b
	if got := w.s.Measured("a").Runs[0]; got.Time != 100*ms || got.Runs != 1 {
		t.Fatalf("%+v: a run beside another has changed the profile", got)
	}
	p := w.s.byID["a"].profile("c")
	// Two samples, 1 and 2; the older counts 0.9, and for 0.2 s of 10 s half-life.
	if now, _ := p.runTime(1); now < 150*ms || now > 155*ms {
		t.Fatalf("expects %s at the moment, want about 153 ms", now)
	}
	run("a", 120*ms) // alone again: a fourth of the way
	if got := w.s.Measured("a").Runs[0]; got.Time != 105*ms || got.Runs != 2 {
		t.Fatalf("%+v, want 105 ms from 2 runs", got)
	}
}

func probing(c *Config) { c.ProbeAfter = second }

func TestScheduler_MeasuresLargerBatchesWhileTheDeviceIsIdle(t *testing.T) {
	spec := small("a")
	spec.MaxBatch, spec.Probe = 1, 4
	w := newWorld(t, probing, spec)
	w.resident("a")
	w.pass(second - ms)
	w.expect(t)
	w.pass(ms)
	for n := time.Duration(1); n <= 16; n *= 2 {
		w.pass(n * 10 * ms)
		w.doneAll()
	}
	w.expect(t, "probe a first 1", "probe a first 2", "probe a first 2", "probe a first 4", "probe a first 4")
	w.pass(time.Hour)
	w.expect(t) // all is known
}

func TestScheduler_ProbesNothingWhileThereIsWork(t *testing.T) {
	w := newWorld(t, probing, small("a"), small("b"))
	w.resident("a")
	w.pass(second)
	w.ask("a") // waits for the one probe under way
	w.doneAll()
	w.expect(t, "probe a first 1", "run a [2]")
	w.ask("b")
	w.doneAll()
	w.pass(10 * second)
	w.expect(t, "load b") // b may begin to run any moment
}

func TestScheduler_ProbesNoBatchThatWouldHoldOthersUp(t *testing.T) {
	w := newWorld(t, probing, small("a"))
	w.resident("a")
	w.ask("a")
	w.pass(300 * ms)
	w.doneAll()
	w.pass(second)
	w.log = nil
	for range 20 {
		for _, id := range w.underWay() {
			w.pass(time.Duration(w.runs[id].n) * 300 * ms)
			w.done(id, Done{})
		}
		w.pass(second)
	}
	for _, line := range w.log {
		if line == "probe a c 4" { // 1.2 s
			t.Fatal("a probe of 1.2 s, the limit is 1 s")
		}
	}
}

func TestScheduler_TriesNoLargerBatchAfterOneThatFailed(t *testing.T) {
	w := newWorld(t, probing, small("a"))
	w.resident("a")
	w.pass(second)
	w.doneAll() // 1
	w.done(w.underWay()[0], Done{Err: errors.New("no kernel for this shape")})
	w.pass(time.Hour)
	w.expect(t, "probe a first 1", "probe a first 2")
	w.ask("a")
	w.doneAll()
	w.expect(t, "run a [2]") // and the model is none the worse
}

func TestScheduler_DrainsAProbeForAnotherModel(t *testing.T) {
	w := newWorld(t, probing, large("a"), large("b"))
	w.resident("a")
	w.pass(second)
	w.arrive(Request{Model: "b", Class: inference.ClassDirect})
	w.doneAll()
	w.expect(t, "probe a first 1", "unload a memory")
}
