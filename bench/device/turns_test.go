package device_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"focal/bench/device"
)

// slow is a side whose calls take so long, one item each; begun counts its loops.
func slow(name string, loops int, took time.Duration, begun *atomic.Int64) device.Side {
	return device.Side{Name: name, Loops: loops, Items: 1, Loop: func(_ context.Context, more func() bool) error {
		begun.Add(1)
		for more() {
			time.Sleep(took)
		}
		return nil
	}}
}

// Two loops of 10 ms a call are 200 calls a second; one of 20 ms is 50. Three
// turns of a second each.
func TestTurns_HoldSidesAgainstEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fast, other atomic.Int64
		rates, err := device.Turns(t.Context(), 3, time.Second, slow("fast", 2, 10*time.Millisecond, &fast), slow("slow", 1, 20*time.Millisecond, &other))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []float64{200, 50} {
			if len(rates[i]) != 3 || slices.Min(rates[i]) < want-0.1 || slices.Max(rates[i]) > want+0.1 {
				t.Errorf("side %d has rates %v, want 3 of %v", i, rates[i], want)
			}
		}
		if r := device.RatioOf(rates[1], rates[0]); r.Turns != 3 || r.Median < 0.249 || r.Most > 0.251 {
			t.Errorf("ratio %v", r)
		}
		if other.Load() != 5 || fast.Load() != 10 { // two to find the length
			t.Errorf("%d and %d loops begun", fast.Load(), other.Load())
		}
	})
}

func TestTurns_TellWhoseCallFailed(t *testing.T) {
	broken := errors.New("broken")
	_, err := device.Turns(t.Context(), 1, time.Millisecond, device.Side{Name: "bad", Loops: 2, Items: 1, Loop: func(context.Context, func() bool) error { return broken }})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// The middle of an even number is halfway: 0.5, 1, 2, 4 have 1.5.
func TestRatioOf_IsTheMedianOfTheTurns(t *testing.T) {
	if r := device.RatioOf([]float64{1, 1, 1, 1}, []float64{2, 1, 0.5, 0.25}); r != (device.Ratio{Median: 1.5, Least: 0.5, Most: 4, Turns: 4}) {
		t.Errorf("got %+v", r)
	}
	if r := device.RatioOf(nil, nil); r != (device.Ratio{}) {
		t.Errorf("of nothing %+v", r)
	}
}
