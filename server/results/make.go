package results

import (
	"context"
	"errors"
	"sync"
	"time"

	"focal/core/cache"
	"focal/core/fault"
	"focal/core/pipeline"
	"focal/core/pixel"
)

// kept is a finished picture in memory. It is shared, so nobody changes it.
type kept struct {
	pipeline.Result
	content, place pixel.Digest
	tier           string // where it was found; empty: it was made
}

func (p *kept) size() int64 {
	const self, fact = 512, 160
	n := int64(self) + int64(cap(p.Body)) + int64(len(p.Facts))*fact
	for _, w := range p.Warnings {
		n += int64(len(w))
	}
	return n
}

// errLeft answers a flight whose first caller left before it began.
var errLeft = errors.New("the caller whose source was to be used has left")

// Make returns the picture that r asks for, from a store or made.
//
//  1. It is in memory: that.
//  2. Somebody is at it: what he gets. If his time was up, we try ourselves.
//  3. It is in a store: that.
//  4. It is made, and kept.
func (k *Keeper) Make(ctx context.Context, r Request) (Result, error) {
	r.Accept = r.Accept.For(r.Options)
	for {
		q := k.question(ctx, r)
		var turn turn
		p, outcome, err := k.memory.Do(ctx, q.key, left(ctx), func(ctx context.Context) (*kept, bool, error) {
			if !turn.begin() {
				return nil, false, errLeft
			}
			defer turn.end()
			return k.fill(ctx, q)
		})
		turn.close()
		if err == nil {
			k.note(r)
			return answer(p, outcome), nil
		}
		if outcome != cache.Joined || ctx.Err() != nil || !expired(err) {
			return Result{}, k.explain(err)
		}
	}
}

// turn keeps a flight from using the first caller's source after he has left,
// since its memory is given back then.
type turn struct {
	mu   sync.Mutex // held while the source is used
	over bool
}

func (t *turn) begin() bool {
	t.mu.Lock()
	if t.over {
		t.mu.Unlock()
		return false
	}
	return true
}

func (t *turn) end() { t.mu.Unlock() }

// close waits for a turn under way and bars any other.
func (t *turn) close() {
	t.mu.Lock()
	t.over = true
	t.mu.Unlock()
}

// left is how much time ctx has, 0 for no end. A flight has no more than its
// first caller, who must wait for it.
func left(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return max(time.Until(deadline), 1)
}

// expired says that a flight failed for want of its first caller's time.
func expired(err error) bool {
	return errors.Is(err, errLeft) || fault.Is(err, fault.Timeout) || fault.Is(err, fault.Canceled)
}

// explain gives the errors of contexts a kind, and logs the stacks of panics.
func (k *Keeper) explain(err error) error {
	var p *cache.PanicError
	if errors.As(err, &p) {
		k.config.Log.Error("panic", "op", "results.Make", "panic", p.Value, "stack", string(p.Stack))
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	return fault.New(fault.KindOf(err), "results.Make", "waiting for the picture: %w", err)
}

// fill finds or makes the picture of q. The second result says whether it is
// kept in memory under q's key.
func (k *Keeper) fill(ctx context.Context, q question) (*kept, bool, error) {
	purges := k.purges.Load()
	if q.known {
		for i, t := range k.tiers {
			if p := t.get(ctx, q); p != nil {
				k.put(k.tiers[:i], q, p, purges)
				return p, k.purges.Load() == purges, nil
			}
		}
	}
	made, err := k.maker.Make(ctx, q.Request.Request)
	if err != nil {
		return nil, false, err
	}
	p := &kept{Result: made, content: q.Source.Digest, place: q.Place}
	p.Findings = pipeline.Findings{Degraded: made.Findings.Degraded} // masks are not worth their memory
	exact, ok := q.answered(p.Facts)
	if !ok || q.Private || p.Findings.Degraded != nil || made.Fleeting || k.purges.Load() != purges {
		return p, false, nil
	}
	k.put(k.tiers, exact, p, purges)
	if exact.key != q.key { // the models have changed, or were not known yet
		k.memory.Put(exact.key, p)
		return p, false, nil
	}
	return p, true, nil
}

// put has a picture written to stores.
func (k *Keeper) put(tiers []*tier, q question, p *kept, purges uint64) {
	if len(tiers) == 0 || len(p.Body) > largest {
		return
	}
	j := job{q.folder(), q.file(), seal(q.key, p.Result), func() bool { return k.purges.Load() == purges }}
	for _, t := range tiers {
		t.put(j)
	}
}
