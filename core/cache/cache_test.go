package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"focal/core/fault"
	"focal/core/pixel"
)

func key(n uint64) (k pixel.Digest) {
	binary.LittleEndian.PutUint64(k[:], n)
	return k
}

func newStrings(t testing.TB, budget int64) *Cache[string] {
	t.Helper()
	c, err := New(Config{Bytes: budget}, func(s string) int64 { return int64(len(s)) })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNew_RefusesNegativeBudget(t *testing.T) {
	if _, err := New(Config{Bytes: -1}, func(string) int64 { return 0 }); !fault.Is(err, fault.Invalid) {
		t.Fatalf("error %v: want invalid", err)
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestCache_EvictsLongestUnusedByBytes(t *testing.T) {
	c := newStrings(t, 3*(EntryOverhead+10))
	for n := range uint64(3) {
		c.Put(key(n), "0123456789")
	}
	c.Get(key(0)) // 1 is now the longest unused
	c.Put(key(3), "0123456789")
	for n, want := range map[uint64]bool{0: true, 1: false, 2: true, 3: true} {
		if _, ok := c.Get(key(n)); ok != want {
			t.Errorf("entry %d kept: %v, want %v", n, ok, want)
		}
	}
	want := Stats{Hits: 4, Misses: 1, Evictions: 1, Entries: 3, Bytes: 3 * (EntryOverhead + 10)}
	if got := c.Stats(); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

func TestCache_ReplacingAdjustsBytes(t *testing.T) {
	c := newStrings(t, 1000)
	c.Put(key(1), "0123456789")
	c.Put(key(1), "01234")
	if got := c.Stats(); got.Bytes != EntryOverhead+5 || got.Entries != 1 || got.Evictions != 0 {
		t.Fatalf("stats %+v", got)
	}
	if v, _ := c.Get(key(1)); v != "01234" {
		t.Fatalf("value %q", v)
	}
}

func TestCache_DoesNotKeepWhatExceedsTheBudget(t *testing.T) {
	for _, size := range []int64{1001 - EntryOverhead, math.MaxInt64} {
		c, err := New(Config{Bytes: 1000}, func(n int64) int64 { return n })
		if err != nil {
			t.Fatal(err)
		}
		c.Put(key(1), 1)
		c.Put(key(2), 2)
		c.Put(key(2), size)
		if _, ok := c.Get(key(2)); ok {
			t.Errorf("%d bytes: kept, or its older value was", size)
		}
		if _, ok := c.Get(key(1)); !ok {
			t.Errorf("%d bytes: drove out another entry for nothing", size)
		}
	}
}

func TestCache_BooksWhatItHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		budget := rapid.Int64Range(0, 5000).Draw(t, "budget")
		c, err := New(Config{Bytes: budget}, func(n int) int64 { return int64(n) })
		if err != nil {
			t.Fatal(err)
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				c.Put(key(rapid.Uint64Range(0, 30).Draw(t, "key")), rapid.IntRange(-5, 3000).Draw(t, "size"))
			},
			"get": func(t *rapid.T) { c.Get(key(rapid.Uint64Range(0, 30).Draw(t, "key"))) },
			"": func(t *rapid.T) {
				var held int64
				for _, e := range c.lru.Values() {
					held += int64(max(e.value, 0)) + EntryOverhead
				}
				if s := c.Stats(); s.Bytes != held || held > budget || s.Entries != c.lru.Len() {
					t.Fatalf("books say %+v, held %d of %d", s, held, budget)
				}
			},
		})
	})
}

func TestCache_GetHitAllocatesNothing(t *testing.T) {
	c := newStrings(t, 1000)
	c.Put(key(1), "value")
	k := key(1)
	if n := testing.AllocsPerRun(100, func() { c.Get(k) }); n != 0 {
		t.Fatalf("%v allocations for a hit", n)
	}
}

type ctxKey struct{}

// hit calls Do with a function that must not run.
func hit(t *testing.T, c *Cache[string], k pixel.Digest, want string) {
	t.Helper()
	v, outcome, err := c.Do(t.Context(), k, 0, func(context.Context) (string, bool, error) {
		t.Error("ran although the value is kept")
		return "", false, nil
	})
	if v != want || outcome != Hit || err != nil {
		t.Errorf("got %q, %v, %v: want %q, hit", v, outcome, err, want)
	}
}

func TestRemove_GivesItsBytesBack(t *testing.T) {
	c := newStrings(t, 1000)
	c.Put(key(1), "one")
	c.Put(key(2), "two")
	before := c.Stats().Bytes
	c.Remove(key(1))
	c.Remove(key(1))
	c.Remove(key(3))
	if s := c.Stats(); s.Entries != 1 || s.Bytes != before/2 {
		t.Errorf("stats %+v, want half of %d bytes", s, before)
	}
	if _, ok := c.Get(key(1)); ok {
		t.Error("a removed value is there")
	}
	hit(t, c, key(2), "two")
}

func TestDo_RunsOnceForAllWaitersAndKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStrings(t, 1000)
		var runs, ran, joined atomic.Int32
		ctx := context.WithValue(t.Context(), ctxKey{}, "request 1")
		release := make(chan struct{})
		fill := func(ctx context.Context) (string, bool, error) {
			runs.Add(1)
			if ctx.Value(ctxKey{}) != "request 1" {
				t.Error("the first caller's values do not flow into the flight")
			}
			<-release
			return "value", true, nil
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				v, outcome, err := c.Do(ctx, key(1), 0, fill)
				if v != "value" || err != nil {
					t.Errorf("got %q, %v", v, err)
				}
				switch outcome {
				case Ran:
					ran.Add(1)
				case Joined:
					joined.Add(1)
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if runs.Load() != 1 || ran.Load() != 1 || joined.Load() != 9 {
			t.Errorf("%d runs, %d ran, %d joined: want 1, 1, 9", runs.Load(), ran.Load(), joined.Load())
		}
		hit(t, c, key(1), "value")
		if s := c.Stats(); s.Hits != 1 || s.Misses != 10 {
			t.Errorf("stats %+v: want 1 hit, 10 misses", s)
		}
	})
}

func TestDo_HandsOutButDoesNotKeep(t *testing.T) {
	c := newStrings(t, 1000)
	for range 2 {
		v, outcome, err := c.Do(t.Context(), key(1), 0, func(context.Context) (string, bool, error) { return "v", false, nil })
		if v != "v" || outcome != Ran || err != nil {
			t.Fatalf("got %q, %v, %v", v, outcome, err)
		}
	}
	if s := c.Stats(); s.Entries != 0 || s.Bytes != 0 {
		t.Fatalf("stats %+v", s)
	}
}

func TestDo_SharesErrorsAndKeepsNone(t *testing.T) {
	c := newStrings(t, 1000)
	cause := errors.New("no")
	v, outcome, err := c.Do(t.Context(), key(1), 0, func(context.Context) (string, bool, error) { return "half", true, cause })
	if v != "" || outcome != Ran || !errors.Is(err, cause) {
		t.Fatalf("got %q, %v, %v", v, outcome, err)
	}
	if _, ok := c.Get(key(1)); ok {
		t.Fatal("kept a failed value")
	}
}

func TestDo_FirstCallerLeavingCancelsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStrings(t, 1000)
		first, leave := context.WithCancel(t.Context())
		release := make(chan struct{})
		fill := func(ctx context.Context) (string, bool, error) {
			select {
			case <-release:
				return "value", true, nil
			case <-ctx.Done():
				return "", false, ctx.Err()
			}
		}
		left := make(chan error, 1)
		go func() {
			_, _, err := c.Do(first, key(1), 0, fill)
			left <- err
		}()
		synctest.Wait()
		stays := make(chan string, 1)
		go func() {
			v, _, _ := c.Do(t.Context(), key(1), 0, fill)
			stays <- v
		}()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller who left got %v", err)
		}
		synctest.Wait()
		close(release)
		if v := <-stays; v != "value" {
			t.Errorf("the caller who stayed got %q", v)
		}
	})
}

func TestDo_LastWaiterLeavingCancelsTheFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStrings(t, 1000)
		ended := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, outcome, err := c.Do(ctx, key(1), 0, func(ctx context.Context) (string, bool, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return "", false, ctx.Err()
		})
		if outcome != Ran || !fault.Is(err, fault.Timeout) {
			t.Errorf("got %v, %v: want the caller's own deadline", outcome, err)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the flight ended with %v: want cancelled", err)
		}
	})
}

func TestDo_LimitEndsTheFlightForItsWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStrings(t, 1000)
		start := time.Now()
		_, _, err := c.Do(t.Context(), key(1), 3*time.Second, func(ctx context.Context) (string, bool, error) {
			<-ctx.Done()
			return "", false, ctx.Err()
		})
		if !fault.Is(err, fault.Timeout) || time.Since(start) != 3*time.Second {
			t.Errorf("got %v after %v: want timeout after 3s", err, time.Since(start))
		}
	})
}

func TestDo_NewCallerAfterAbandonedFlightGetsAFreshOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStrings(t, 1000)
		ctx, cancel := context.WithCancel(t.Context())
		listens := make(chan struct{})
		go func() {
			_, _, _ = c.Do(ctx, key(1), 0, func(ctx context.Context) (string, bool, error) {
				<-ctx.Done()
				<-listens // winds down slowly, still in the table
				return "", false, ctx.Err()
			})
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		v, outcome, err := c.Do(t.Context(), key(1), 0, func(context.Context) (string, bool, error) { return "fresh", true, nil })
		if v != "fresh" || outcome != Ran || err != nil {
			t.Errorf("got %q, %v, %v: want a fresh flight", v, outcome, err)
		}
		close(listens)
		synctest.Wait()
		hit(t, c, key(1), "fresh")
		if len(c.flights) != 0 {
			t.Errorf("%d flights left in the table", len(c.flights))
		}
	})
}

// The interleaving written out above Do.
func TestDo_AbandonedFlightThatSucceedsIsStoredAndLeavesTheNewOneAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStrings(t, 1000)
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan struct{}), make(chan struct{})
		go func() {
			_, _, _ = c.Do(ctx, key(1), 0, func(context.Context) (string, bool, error) {
				<-first
				return "first", true, nil
			})
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		got := make(chan string, 2)
		go func() {
			v, _, _ := c.Do(t.Context(), key(1), 0, func(context.Context) (string, bool, error) {
				<-second
				return "second", true, nil
			})
			got <- v
		}()
		synctest.Wait()
		close(first)
		synctest.Wait()
		hit(t, c, key(1), "first")
		if c.flights[key(1)] == nil {
			t.Error("flight 1 removed flight 2 from the table")
		}
		close(second)
		if v := <-got; v != "second" {
			t.Errorf("flight 2 answered %q", v)
		}
	})
}

func TestDo_FlightLooksAgainBeforeItRuns(t *testing.T) {
	c := newStrings(t, 1000)
	f := newFlight[string](t.Context(), 0)
	c.Put(key(1), "late") // what flight 1 stores between B's lookup and flight 2's start
	c.fly(key(1), f, func(context.Context) (string, bool, error) {
		t.Error("made a value that is there")
		return "", false, nil
	})
	<-f.done
	if f.value != "late" || !f.hit || f.err != nil {
		t.Fatalf("value %q, hit %v, error %v", f.value, f.hit, f.err)
	}
}

func TestDo_CallerWhoLeftAlreadyStartsNothing(t *testing.T) {
	c := newStrings(t, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := c.Do(ctx, key(1), 0, func(context.Context) (string, bool, error) {
		t.Error("ran for nobody")
		return "", false, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	c.Put(key(1), "kept")
	if v, outcome, err := c.Do(ctx, key(1), 0, nil); v != "kept" || outcome != Hit || err != nil {
		t.Fatalf("got %q, %v, %v: a kept value costs nothing", v, outcome, err)
	}
}

func TestDo_PanicIsAnErrorForEveryWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStrings(t, 1000)
		release := make(chan struct{})
		errs := make(chan error, 3)
		for range 3 {
			go func() {
				_, _, err := c.Do(t.Context(), key(1), 0, func(context.Context) (string, bool, error) {
					<-release
					panic("boom")
				})
				errs <- err
			}()
		}
		synctest.Wait()
		close(release)
		for range 3 {
			err := <-errs
			var p *PanicError
			if !fault.Is(err, fault.Internal) || !errors.As(err, &p) || p.Value != "boom" || len(p.Stack) == 0 {
				t.Errorf("got %v", err)
			}
		}
		if v, _, err := c.Do(t.Context(), key(1), 0, func(context.Context) (string, bool, error) { return "ok", true, nil }); v != "ok" || err != nil {
			t.Errorf("after the panic: %q, %v", v, err)
		}
	})
}

func TestDo_GoexitStrandsNobody(t *testing.T) {
	c := newStrings(t, 1000)
	_, _, err := c.Do(t.Context(), key(1), 0, func(context.Context) (string, bool, error) {
		runtime.Goexit()
		return "", false, nil
	})
	if !fault.Is(err, fault.Internal) {
		t.Fatalf("got %v", err)
	}
}

func TestDo_ManyCallersManyKeys(t *testing.T) {
	c := newStrings(t, 8*(EntryOverhead+8))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				n := uint64(i*7+g) % 20
				want := fmt.Sprint(n)
				ctx, cancel := context.WithCancel(context.Background())
				if i%5 == 0 {
					cancel()
				}
				v, _, err := c.Do(ctx, key(n), time.Minute, func(ctx context.Context) (string, bool, error) {
					return want, i%3 != 0, ctx.Err()
				})
				if err == nil && v != want || err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("key %d: %q, %v", n, v, err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if s := c.Stats(); s.Bytes > 8*(EntryOverhead+8) || s.Hits+s.Misses != 4000 {
		t.Errorf("stats %+v", s)
	}
}

func BenchmarkGetHit(b *testing.B) {
	c := newStrings(b, 1<<20)
	k := key(1)
	c.Put(k, "value")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Get(k)
		}
	})
}

func BenchmarkDoMiss(b *testing.B) {
	c := newStrings(b, 1<<20)
	b.ReportAllocs()
	for n := range b.N {
		_, _, _ = c.Do(context.Background(), key(uint64(n)), 0, func(context.Context) (string, bool, error) { return "v", true, nil })
	}
}
