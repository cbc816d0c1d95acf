package results

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"focal/core/fault"
)

func TestMake_ManyAtOnceAreMadeOnce(t *testing.T) {
	const callers = 10
	m := newMaker()
	m.enter, m.release = make(chan struct{}, callers), make(chan struct{})
	k := keeper(t, m, nil)
	defer shut(t, k)
	got := make(chan Result, callers)
	for range callers {
		go func() { got <- ask(t, k, request(t, "photo", "gravity=face,zoom=1")) }()
	}
	<-m.enter
	await(t, func() bool { return k.memory.Stats().Misses == callers })
	close(m.release)
	statuses := map[Status]int{}
	for range callers {
		r := <-got
		statuses[r.Status]++
		want := "coalesced"
		if r.Status == "fwd=miss" {
			want = "run"
		}
		if len(r.Facts) != 1 || r.Facts[0].How != want {
			t.Errorf("%s: %+v", r.Status, r.Facts)
		}
	}
	if statuses["fwd=miss"] != 1 || statuses["fwd=miss; collapsed"] != callers-1 || m.made.Load() != 1 {
		t.Errorf("%v, %d made", statuses, m.made.Load())
	}
	// No store was asked for, so nothing is kept.
	if r := ask(t, k, request(t, "photo", "gravity=face,zoom=1")); r.Status != "fwd=miss" || m.made.Load() != 2 {
		t.Errorf("later: %s, %d made", r.Status, m.made.Load())
	}
}

// The first caller's source is used by the flight: he must stay as long as it
// does, and whoever joined has a source of his own.
func TestMake_WhoeverRunsOutOfTimeCostsNobodyElse(t *testing.T) {
	m := newMaker()
	m.enter, m.release = make(chan struct{}, 2), make(chan struct{})
	k := keeper(t, m, func(c *Config) { c.Memory = 1 << 20 })
	defer shut(t, k)
	short, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	var inside atomic.Bool
	inside.Store(true)
	go func() {
		_, err := k.Make(short, request(t, "photo", "width=5"))
		if inside.Load() {
			t.Error("the caller left while his source was in use")
		}
		first <- err
	}()
	<-m.enter
	second := make(chan Result, 1)
	go func() { second <- ask(t, k, request(t, "photo", "width=5")) }()
	await(t, func() bool { return k.memory.Stats().Misses == 2 })
	cancel()
	inside.Store(false)
	close(m.release)
	if err := <-first; !fault.Is(err, fault.Canceled) {
		t.Errorf("the first got %v", err)
	}
	if r := <-second; string(r.Body) == "" {
		t.Error("the second got nothing")
	}
}

func TestMake_WhoJoinedAFlightThatWasLateTriesHimself(t *testing.T) {
	m := newMaker()
	m.enter = make(chan struct{}, 2)
	m.late.Store(true)
	k := keeper(t, m, nil)
	defer shut(t, k)
	first, leave := context.WithTimeout(t.Context(), time.Minute)
	defer leave()
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := k.Make(first, request(t, "photo", "width=5")); !fault.Is(err, fault.Canceled) {
			t.Errorf("the first got %v", err)
		}
	})
	<-m.enter
	leave() // the flight has nobody left, but does not know yet
	wg.Go(func() {
		if r := ask(t, k, request(t, "photo", "width=5")); len(r.Body) == 0 {
			t.Error("the second got nothing")
		}
	})
	wg.Wait()
	if m.made.Load() != 2 {
		t.Errorf("%d made, want one for each", m.made.Load())
	}
}

// A flight has its first caller's time. Who joined it has more.
func TestMake_TimeOfAFlightIsNotThatOfWhoJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMaker()
		m.late.Store(true)
		k := keeper(t, m, nil)
		defer shut(t, k)
		var wg sync.WaitGroup
		for n, limit := range []time.Duration{time.Second, time.Minute} {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				_, err := k.Make(ctx, request(t, "photo", "width=5"))
				if n == 0 && !fault.Is(err, fault.Timeout) || n == 1 && err != nil {
					t.Errorf("caller %d got %v", n, err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if m.made.Load() != 2 {
			t.Errorf("%d made, want one for each", m.made.Load())
		}
	})
}

func TestMake_ErrorsAndPanicsAreThoseOfTheMaker(t *testing.T) {
	m := newMaker()
	k := keeper(t, m, func(c *Config) { c.Memory, c.Log = 1<<20, slog.New(slog.DiscardHandler) })
	defer shut(t, k)
	m.err = fault.New(fault.Corrupt, "test", "damaged")
	for range 2 {
		if _, err := k.Make(t.Context(), request(t, "photo", "width=5")); !fault.Is(err, fault.Corrupt) {
			t.Errorf("got %v", err)
		}
	}
	m.err = nil
	if r := ask(t, k, request(t, "photo", "width=5")); r.Status != "fwd=miss" {
		t.Errorf("after an error: %s", r.Status)
	}
	m.panics = true
	if _, err := k.Make(t.Context(), request(t, "photo", "width=6")); !fault.Is(err, fault.Internal) {
		t.Errorf("a panic: %v", err)
	}
}
