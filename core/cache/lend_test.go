package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// loan is a value that must be given back: out counts who has it.
type loan struct{ out *atomic.Int32 }

func (l loan) share() loan {
	if l.out.Add(1) == 1 {
		panic("shared after it was given back")
	}
	return l
}

func (l loan) drop() { l.out.Add(-1) }

func newLoans(t *testing.T) *Cache[loan] {
	t.Helper()
	c, err := New(Config{}, func(loan) int64 { return 1 })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLend_EachCallerGetsAShareAndNoneIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLoans(t)
		var out atomic.Int32
		release := make(chan struct{})
		lend := func(context.Context) (loan, error) {
			<-release
			out.Add(1)
			return loan{&out}, nil
		}
		var got atomic.Int32
		var wg sync.WaitGroup
		ask := func(ctx context.Context) {
			wg.Go(func() {
				l, _, err := c.Lend(ctx, key(1), 0, lend, loan.share, loan.drop)
				if err != nil {
					return
				}
				got.Add(1)
				l.drop()
			})
		}
		leaver, leave := context.WithCancel(t.Context())
		for range 5 {
			ask(t.Context())
			ask(leaver)
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(release)
		wg.Wait()
		c.Wait()
		if got.Load() != 5 || out.Load() != 0 {
			t.Errorf("%d callers got it, %d shares are out: want 5 and 0", got.Load(), out.Load())
		}
	})
}

func TestLend_WhatNobodyWaitedForIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLoans(t)
		var out atomic.Int32
		ctx, leave := context.WithCancel(t.Context())
		release := make(chan struct{})
		left := make(chan error, 1)
		go func() {
			_, _, err := c.Lend(ctx, key(1), 0, func(context.Context) (loan, error) {
				<-release // does not listen
				out.Add(1)
				return loan{&out}, nil
			}, loan.share, loan.drop)
			left <- err
		}()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		close(release)
		c.Wait()
		if out.Load() != 0 {
			t.Errorf("%d shares are out", out.Load())
		}
	})
}

func TestLend_ADropNeverComesBeforeAShare(t *testing.T) {
	c := newLoans(t)
	var out atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range 2000 {
				ctx, cancel := context.WithCancel(t.Context())
				if n%3 == 0 {
					cancel()
				}
				l, _, err := c.Lend(ctx, key(1), 0, func(context.Context) (loan, error) {
					var mine atomic.Int32
					mine.Add(1)
					out.Add(1)
					return loan{&mine}, nil
				}, loan.share, func(l loan) {
					l.drop()
					out.Add(-1)
				})
				if err == nil {
					l.drop()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	c.Wait()
	if out.Load() != 0 {
		t.Errorf("%d values were made and never dropped", out.Load())
	}
}

func TestRemoveAll_DropsWhatMatches(t *testing.T) {
	c := newStrings(t, 10*(EntryOverhead+8))
	for i, v := range []string{"a", "b", "ab", "c"} {
		c.Put(key(uint64(i)), v)
	}
	n := c.RemoveAll(func(v string) bool { return v[0] == 'a' })
	if s := c.Stats(); n != 2 || s.Entries != 2 || s.Bytes != 2*(EntryOverhead+1) {
		t.Errorf("%d dropped, %+v", n, s)
	}
	hit(t, c, key(1), "b")
}
