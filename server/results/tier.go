package results

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"focal/core/fault"
)

// shelf is a store of bytes under names with slashes. Errors are whatever they
// are, but for errNone, errFull and those of contexts.
type shelf interface {
	get(ctx context.Context, name string) ([]byte, error)
	put(ctx context.Context, name string, data []byte) error
	list(ctx context.Context, folder string) ([]string, error)
	deleteBelow(ctx context.Context, folder string) error
	held() int64 // bytes; -1: not known
	close(ctx context.Context) error
}

var (
	errNone = errors.New("there is no such picture")
	errFull = errors.New("the directory is full (--results-limit)")
)

// How long a store is waited for, and how long it is then left alone.
const (
	readPatience  = 2 * time.Second
	writePatience = 30 * time.Second
	purgePatience = time.Minute
	pause         = 5 * time.Second
)

// The writes that may wait for one store; more are left out.
const (
	writers      = 4
	maxWaiting   = 1024
	waitingBytes = 2 * largestSealed
)

// tier is a store beyond memory: reads that fail are misses, writes happen
// later or not at all.
type tier struct {
	name   string
	shelf  shelf
	log    *slog.Logger
	reads  rest
	writes rest

	jobs    chan job
	waiting atomic.Int64 // bytes of jobs
	ended   sync.WaitGroup
	mu      sync.RWMutex // protects closed: a job is put while it is held for reading
	closed  bool

	hits, misses, failures, dropped atomic.Uint64
}

// job is a write of a file into a folder, unless current says at that time that
// the folder has been purged.
type job struct {
	folder, file string
	data         []byte
	current      func() bool
}

func newTier(name string, s shelf, log *slog.Logger) *tier {
	t := &tier{name: name, shelf: s, log: log.With("tier", name), jobs: make(chan job, maxWaiting)}
	for range writers {
		t.ended.Go(func() {
			for j := range t.jobs {
				t.write(j)
			}
		})
	}
	return t
}

// close ends the writers: what waits is still written, as long as ctx lives.
func (t *tier) close(ctx context.Context) error {
	t.mu.Lock()
	t.closed = true
	close(t.jobs)
	t.mu.Unlock()
	done := make(chan struct{})
	go func() {
		t.ended.Wait()
		close(done)
	}()
	select {
	case <-done:
		return t.shelf.close(ctx)
	case <-ctx.Done():
		return fault.New(fault.Timeout, "results.Close", "pictures still wait to be written: %w", ctx.Err())
	}
}

// get returns the picture of q, or nil.
func (t *tier) get(ctx context.Context, q question) *kept {
	if t.reads.on() {
		return nil
	}
	patient, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	data, err := t.shelf.get(patient, q.folder()+"/"+q.file())
	if err == nil {
		r, broken := unseal(q.key, data)
		if broken == nil {
			t.hits.Add(1)
			return &kept{Result: r, content: q.Source.Digest, place: q.Place, tier: t.name}
		}
		t.failures.Add(1)
		t.log.Warn("a kept picture is damaged and made anew", "source", q.Source.Digest.String(), "key", q.file(), "error", broken)
	}
	t.misses.Add(1)
	if err != nil && !errors.Is(err, errNone) && ctx.Err() == nil {
		t.failed(&t.reads, "read", err)
	}
	return nil
}

// failed counts an error, and leaves the store alone for a while.
func (t *tier) failed(r *rest, what string, err error) {
	t.failures.Add(1)
	if r.begin() {
		t.log.Warn("a store of results fails and is left alone for a while", "operation", what, "error", err, "pause", pause)
	}
}

// put has a job done later, if not too much waits already.
func (t *tier) put(j job) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed || t.writes.on() || !t.queue(j) {
		t.dropped.Add(1)
	}
}

func (t *tier) queue(j job) bool {
	n := int64(len(j.data))
	if t.waiting.Add(n) <= waitingBytes {
		select {
		case t.jobs <- j:
			return true
		default:
		}
	}
	t.waiting.Add(-n)
	return false
}

func (t *tier) write(j job) {
	defer t.waiting.Add(-int64(len(j.data)))
	if t.writes.on() {
		t.dropped.Add(1)
		return
	}
	if !j.current() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), writePatience)
	defer cancel()
	switch err := t.shelf.put(ctx, j.folder+"/"+j.file, j.data); {
	case errors.Is(err, errFull):
		t.dropped.Add(1)
	case err != nil:
		t.failed(&t.writes, "write", err)
	case !j.current(): // purged in the middle
		if err := t.shelf.deleteBelow(ctx, j.folder); err != nil {
			t.failed(&t.writes, "delete", err)
		}
	}
}

func (t *tier) stats() TierStats {
	return TierStats{
		Tier: t.name, Hits: t.hits.Load(), Misses: t.misses.Load(), Failures: t.failures.Load(), Dropped: t.dropped.Load(), Bytes: t.shelf.held(),
	}
}

// rest is the time that a store is left alone.
type rest struct{ until atomic.Int64 } // nanoseconds since 1970

func (r *rest) on() bool { return time.Now().UnixNano() < r.until.Load() }

// begin starts it, and says whether it was not on already.
func (r *rest) begin() bool {
	fresh := !r.on()
	r.until.Store(time.Now().Add(pause).UnixNano())
	return fresh
}
