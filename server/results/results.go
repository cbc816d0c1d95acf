// Package results keeps finished pictures and hands them out again, and makes
// one that many ask for at the same time only once.
//
// A picture is known by everything that it depends on: the digest of its source,
// the options in their canonical form, what of the client's Accept makes a
// difference, the digests of the models that were asked, and who made it. So a
// kept picture is never stale; nothing ever needs to be compared with a clock.
// What a ladder has degraded, and what an origin calls private, is not kept.
//
// The package must not know HTTP, nor how a picture is made. A store that is
// full, slow, dead or damaged costs time and is counted; it never changes an
// answer, and none waits for a write. A Keeper owns the goroutines that write,
// and those of flights; Close ends them.
package results

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"focal/core/cache"
	"focal/core/fault"
	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/server/bucket"
)

// Config says where pictures are kept. The zero value keeps none.
type Config struct {
	Memory   int64  // bytes of memory (--results memory:SIZE)
	Dir      string // a directory (--results dir:PATH)
	DirLimit int64  // bytes that its files may have (--results-limit)
	Bucket   string // s3://bucket[/prefix] (--results s3://…)
	S3       bucket.Config
	// Maker names all that a picture depends on and no request says: the
	// program, its libraries, its limits. Pictures of another maker are not
	// found.
	Maker string
	Log   *slog.Logger
}

// DefaultConfig keeps nothing, and would keep 10 GiB in a directory.
func DefaultConfig() Config {
	return Config{DirLimit: 10 << 30, S3: bucket.DefaultConfig(), Log: slog.New(slog.DiscardHandler)}
}

// leastDir is the least that a directory may be limited to: one large picture.
const leastDir = 1 << 20

// Validate reports unusable values.
func (c Config) Validate() error {
	const op = "results.Config"
	switch {
	case c.Memory < 0:
		return fault.New(fault.Invalid, op, "--results memory:%d: want 0 or more bytes", c.Memory)
	case c.Dir != "" && c.DirLimit < leastDir:
		return fault.New(fault.Invalid, op, "--results-limit %d: want at least %d bytes", c.DirLimit, leastDir)
	case c.Log == nil:
		return fault.New(fault.Invalid, op, "results: Log must be set")
	}
	if c.Bucket != "" {
		if _, _, err := bucket.Parse(c.Bucket); err != nil {
			return fault.New(fault.Invalid, op, "--results: %w", err)
		}
	}
	return nil
}

// Maker makes pictures.
type Maker interface {
	Make(ctx context.Context, r pipeline.Request) (pipeline.Result, error)
}

// Models knows which models would be asked.
type Models interface {
	// Digest returns the digest of the model that a task is given to, as far as
	// has been heard; false: nothing has.
	Digest(ctx context.Context, task pipeline.Task) (pixel.Digest, bool)
}

// Request asks for one picture.
type Request struct {
	pipeline.Request
	Place   pixel.Digest // where the source came from; what Purge names
	Private bool         // the origin wants nothing of it kept
}

// Result is a picture and how it was come by.
type Result struct {
	pipeline.Result
	Status Status
}

// Keeper keeps pictures. It is safe for concurrent use.
type Keeper struct {
	config Config
	maker  Maker
	models Models
	memory *cache.Cache[*kept] // of no bytes where memory keeps none: it has the flights
	tiers  []*tier
	noted  *cache.Cache[struct{}] // which sources have been noted lately
	purges atomic.Uint64          // how many; what was begun before one is not kept after it
}

// New makes a Keeper of maker's pictures, and opens its stores.
func New(c Config, maker Maker, models Models) (*Keeper, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	memory, err := cache.New(cache.Config{Bytes: c.Memory}, (*kept).size)
	if err != nil {
		return nil, err
	}
	noted, err := cache.New(cache.Config{Bytes: 4 << 20}, func(struct{}) int64 { return 0 })
	if err != nil {
		return nil, err
	}
	k := &Keeper{config: c, maker: maker, models: models, memory: memory, noted: noted}
	if c.Dir != "" {
		d, err := openDirectory(c.Dir, c.DirLimit, c.Log)
		if err != nil {
			return nil, err
		}
		k.tiers = append(k.tiers, newTier("results-dir", d, c.Log))
	}
	if c.Bucket != "" {
		b, err := openObjects(c.S3, c.Bucket)
		if err != nil {
			return nil, errors.Join(err, k.Close(context.Background()))
		}
		k.tiers = append(k.tiers, newTier("results-s3", b, c.Log))
	}
	return k, nil
}

// Close waits for flights and writes, the writes until ctx ends.
func (k *Keeper) Close(ctx context.Context) error {
	k.memory.Wait()
	var errs []error
	for _, t := range k.tiers {
		errs = append(errs, t.close(ctx))
	}
	return errors.Join(errs...)
}

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
	if !ok || q.Private || p.Findings.Degraded != nil || k.purges.Load() != purges {
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
