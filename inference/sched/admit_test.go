package sched

import (
	"testing"
	"time"

	"focal/core/fault"
)

// busyOn is a world of two slots and two models, a run of which takes 100 ms, with
// two runs of a under way and as many waiting for it, and others for b.
func busyOn(t *testing.T, others int) *world {
	a, b := small("a"), small("b")
	a.MaxBatch, b.MaxBatch = 1, 1
	w := newWorld(t, func(c *Config) { c.Slots = 2 }, a, b)
	w.resident("a", "b")
	hundred := Measured{Runs: []MeasuredRun{{Canvas: "c", Batch: 1, Time: 100 * ms, Runs: 1}}}
	w.measured("a", hundred)
	w.measured("b", hundred)
	for range 4 {
		w.ask("a")
	}
	for range others {
		w.ask("b")
	}
	return w
}

func TestScheduler_DividesALineByTheRunsThatGoSideBySide(t *testing.T) {
	for name, tt := range map[string]struct {
		others int
		want   time.Duration
	}{
		"Alone": {0, 300 * ms},
		// One of b's is 50 ms, and as much of a's line as that is long is not divided: 50.
		"BesideAShorterLine": {1, 400 * ms},
		// Two of b's are 100 ms, and a's line of 200 is not divided.
		"BesideOneAsLong": {2, 500 * ms},
		"BesideALonger":   {4, 600 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			w := busyOn(t, tt.others)
			if why, err := w.s.WouldRefuse(w.now, Request{Model: "a", Canvas: "c", Deadline: w.now.Add(tt.want)}); err != nil {
				t.Errorf("in %s: %s, %v", tt.want, why, err)
			}
			why, err := w.s.WouldRefuse(w.now, Request{Model: "a", Canvas: "c", Deadline: w.now.Add(tt.want - ms)})
			if why != RefusedLate || !fault.Is(err, fault.Busy) {
				t.Errorf("in %s: %s, %v, want it to be late", tt.want-ms, why, err)
			}
		})
	}
}

func TestScheduler_DividesNoLineOfAModelThatRunsOnce(t *testing.T) {
	a := small("a")
	a.MaxBatch, a.Instances = 1, 1
	w := newWorld(t, func(c *Config) { c.Slots = 2 }, a)
	w.resident("a")
	w.measured("a", Measured{Runs: []MeasuredRun{{Canvas: "c", Batch: 1, Time: 100 * ms, Runs: 1}}})
	for range 3 {
		w.ask("a")
	}
	// What runs is taken to leave half of the device free; two wait.
	for within, want := range map[time.Duration]Reason{349 * ms: RefusedLate, 350 * ms: ""} {
		if why, _ := w.s.WouldRefuse(w.now, Request{Model: "a", Canvas: "c", Deadline: w.now.Add(within)}); why != want {
			t.Errorf("the third in line, in %s: %q", within, why)
		}
	}
}
