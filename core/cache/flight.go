package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
)

// Outcome says how Do came by its answer.
type Outcome uint8

// The outcomes.
const (
	Ran    Outcome = iota // this caller's function was started
	Hit                   // the value was kept
	Joined                // another caller's function answers this one too
)

// String returns the outcome in a word.
func (o Outcome) String() string {
	switch o {
	case Hit:
		return "hit"
	case Joined:
		return "joined"
	default:
		return "ran"
	}
}

// PanicError is what the waiters of a flight get whose function panicked.
// Stack is for the log.
type PanicError struct {
	Value any
	Stack []byte
}

// Error names the panic, without its stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// errExited answers the waiters of a function that called runtime.Goexit.
var errExited = errors.New("the function ended its goroutine")

// flight is one making of one key's value.
type flight[V any] struct {
	ctx     context.Context // the flight's own
	cancel  context.CancelFunc
	waiters int           // callers that wait, or have not taken the value yet; protected by Cache.mu
	drop    func(V)       // called when the last of them has gone; nil for Do
	ended   bool          // protected by Cache.mu
	done    chan struct{} // closed after the three below were set
	value   V
	err     error
	hit     bool // value was found in the cache after all
}

// Do answers k from the cache, else from the one flight for k, which runs make
// on a context of its own: it carries the values of the first caller's, is
// detached from any caller's cancellation, and ends when every waiter has left
// or limit has passed (0 means no limit). With keep=false the value is handed
// to the waiters and not stored.
//
// A caller whose ctx ends gets its error at once. A panic of make is an error
// of kind fault.Internal for every waiter. A flight that goes on although it
// was cancelled, and succeeds, is stored.
//
// The order in which a caller is answered:
//
//  1. The value is kept: Hit.
//  2. The caller has already left: its error, and nothing starts.
//  3. A flight is under way that was not cancelled: Joined.
//  4. A new flight: Ran.
//
// 1, 3 and 4 stand under one lock, and a flight stores its value and leaves
// the table under the same, so nobody can miss the value and the flight both.
// What a lock cannot prevent is this:
//
//	A: Do starts flight 1.
//	A: leaves; flight 1 has no waiter, is cancelled, and does not listen.
//	B: Do finds flight 1 cancelled. Joining it would most likely mean A's
//	   cancellation for B, so B starts flight 2, which takes 1's place.
//	1: succeeds, stores its value. It must not remove 2 from the table.
//	2: gets to run. Without another look at the cache it makes a value that
//	   is there.
//
// So a flight looks again before it calls make, and its waiters get Hit.
func (c *Cache[V]) Do(ctx context.Context, k pixel.Digest, limit time.Duration,
	make func(ctx context.Context) (v V, keep bool, err error),
) (V, Outcome, error) {
	return c.do(ctx, k, limit, make, func(v V) V { return v }, nil)
}

// Lend is Do for values that must be given back: none is kept, each caller gets
// share(v), and drop(v) is called once, when every caller has what he gets or
// has left. A caller gives back his share by himself.
func (c *Cache[V]) Lend(ctx context.Context, k pixel.Digest, limit time.Duration,
	make func(ctx context.Context) (V, error), share func(V) V, drop func(V),
) (V, Outcome, error) {
	once := func(ctx context.Context) (V, bool, error) {
		v, err := make(ctx)
		return v, false, err
	}
	return c.do(ctx, k, limit, once, share, drop)
}

func (c *Cache[V]) do(ctx context.Context, k pixel.Digest, limit time.Duration,
	make func(ctx context.Context) (v V, keep bool, err error), share func(V) V, drop func(V),
) (V, Outcome, error) {
	var zero V
	c.mu.Lock()
	if v, ok := c.lookup(k); ok { // 1
		c.mu.Unlock()
		return v, Hit, nil
	}
	if err := ctx.Err(); err != nil { // 2
		c.mu.Unlock()
		return zero, Ran, err
	}
	outcome := Joined
	f := c.flights[k]
	if f == nil || f.ctx.Err() != nil { // not 3
		outcome = Ran // 4
		f = newFlight[V](ctx, limit)
		f.drop = drop
		c.flights[k] = f
		c.flying.Go(func() { c.fly(k, f, make) })
	}
	f.waiters++
	c.mu.Unlock()

	defer c.leave(f)
	select {
	case <-f.done:
		if f.hit {
			outcome = Hit
		}
		if f.err != nil {
			return zero, outcome, f.err
		}
		return share(f.value), outcome, nil
	case <-ctx.Done():
		return zero, outcome, ctx.Err()
	}
}

func newFlight[V any](ctx context.Context, limit time.Duration) *flight[V] {
	f := &flight[V]{done: make(chan struct{})}
	ctx = context.WithoutCancel(ctx)
	if limit > 0 {
		f.ctx, f.cancel = context.WithTimeout(ctx, limit)
	} else {
		f.ctx, f.cancel = context.WithCancel(ctx)
	}
	return f
}

// leave takes one waiter from f; the last one cancels it. That happens under
// mu, so that whoever comes next sees a flight with waiters or a cancelled one.
func (c *Cache[V]) leave(f *flight[V]) {
	c.mu.Lock()
	f.waiters--
	last := f.waiters == 0
	if last {
		f.cancel()
	}
	over := last && f.ended
	c.mu.Unlock()
	if over {
		f.over()
	}
}

// over drops the value of a flight that has ended and has no waiter. Whoever
// sees both first calls it: the last waiter, or the flight itself.
func (f *flight[V]) over() {
	if f.drop != nil && f.err == nil {
		f.drop(f.value)
	}
}

// fly runs f to its end: what it makes is stored before f leaves the table,
// and its waiters wake after both.
func (c *Cache[V]) fly(k pixel.Digest, f *flight[V], fill func(context.Context) (V, bool, error)) {
	var e entry[V]
	keep := false
	// Deferred, because Goexit runs nothing else.
	defer func() {
		c.mu.Lock()
		if keep {
			c.store(k, e)
		}
		if c.flights[k] == f { // a newer flight may have taken the place of a cancelled one
			delete(c.flights, k)
		}
		f.ended = true
		abandoned := f.waiters == 0
		c.mu.Unlock()
		f.cancel()
		close(f.done)
		if abandoned {
			f.over()
		}
	}()
	c.mu.Lock()
	e, f.hit = c.lru.Get(k)
	c.mu.Unlock()
	if f.hit {
		f.value = e.value
		return
	}
	f.err = errExited
	e, keep, f.err = c.call(f.ctx, fill)
	f.value = e.value
}

// call runs fill and weighs its value; a panic of either becomes an error.
func (c *Cache[V]) call(ctx context.Context, fill func(context.Context) (V, bool, error)) (e entry[V], keep bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			e, keep = entry[V]{}, false
			err = fault.New(fault.Internal, "cache.Do", "%w", &PanicError{Value: r, Stack: debug.Stack()})
		}
	}()
	v, keep, err := fill(ctx)
	if err != nil {
		return entry[V]{}, false, err
	}
	if !keep {
		return entry[V]{value: v}, false, nil
	}
	return c.weigh(v), true, nil
}
