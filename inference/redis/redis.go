// Package redis keeps results in a Redis server, for all sidecars that share
// it: a second tier behind the memory of each.
//
// It knows keys and bytes, never what they mean. It must not slow or fail a
// request: a server that does not answer at once counts as one that knows
// nothing, and is left alone for a while.
//
// Goroutines: writers put what is handed over, and end in Close; go-redis owns
// those of its connections.
package redis

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"focal/core/cache"
	"focal/core/fault"
	"focal/core/pixel"
)

// Config says which server, and how long it is waited for.
type Config struct {
	// URL is redis://[user:password@]host:port[/db], rediss:// for TLS, or
	// unix:///path (--redis).
	URL string
	// TTL is how long a result is kept that nobody asks for; each reading
	// begins it anew (--redis-ttl).
	TTL time.Duration
	// Wait bounds one reading, connecting included. It is what a request can
	// lose when the server does not answer.
	Wait time.Duration
	// Rest is how long a server that did not answer is left alone.
	Rest time.Duration
	// Queue is how many results may wait to be written; what comes when it is
	// full is not written.
	Queue int
	// Log hears when the server stops and starts to answer; nil: slog.Default.
	Log *slog.Logger
}

// DefaultConfig returns everything but the URL.
func DefaultConfig() Config {
	return Config{TTL: 7 * 24 * time.Hour, Wait: 100 * time.Millisecond, Rest: 2 * time.Second, Queue: 256}
}

// Validate reports the first field that cannot work. It never repeats the URL,
// which may hold a password.
func (c Config) Validate() error {
	const op = "redis.Config"
	if _, err := options(c.URL); err != nil {
		return err
	}
	switch {
	case c.TTL < time.Second:
		return fault.New(fault.Invalid, op, "--redis-ttl %v: want at least a second", c.TTL)
	case c.Wait <= 0 || c.Rest <= 0 || c.Queue <= 0:
		return fault.New(fault.Invalid, op, "wait %v, rest %v, queue %d: want more than 0", c.Wait, c.Rest, c.Queue)
	}
	return nil
}

func options(address string) (*goredis.Options, error) {
	o, err := goredis.ParseURL(address)
	if err == nil {
		return o, nil
	}
	var broken *url.Error // it quotes the whole URL
	if errors.As(err, &broken) {
		err = broken.Err
	}
	return nil, fault.New(fault.Invalid, "redis.Config", "--redis: want redis://host:port[/db], rediss:// or unix:///path: %w", err)
}

// silence keeps go-redis from printing each failed connection: Results says
// once what it means. The library has one log for the whole process.
var silence = sync.OnceFunc(logging.Disable)

// Results are the results that a Redis server keeps. It is safe for concurrent
// use.
type Results struct {
	cfg     Config
	client  *goredis.Client
	queue   chan entry
	writers sync.WaitGroup
	resting atomic.Int64 // until when, in Unix nanoseconds

	hits, misses      atomic.Uint64
	failures, dropped prometheus.Counter

	mu     sync.RWMutex // protects closed: nobody sends on queue after it
	closed bool
}

type entry struct {
	key   string
	value []byte
}

// writers is how many results are written at once: one slow writing must not
// hold up the next.
const writers = 2

// New gets ready; the server is met at the first use, and need not be there.
// metrics, which may be nil, gets focal_redis_failures_total and
// focal_redis_dropped_total.
func New(c Config, metrics prometheus.Registerer) (*Results, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	o, err := options(c.URL)
	if err != nil {
		return nil, err
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = c.Wait, c.Wait, c.Wait, c.Wait
	o.MaxRetries, o.DialerRetries = -1, 1
	o.ContextTimeoutEnabled = true
	silence()
	counter := func(name, help string) prometheus.Counter {
		return promauto.With(metrics).NewCounter(prometheus.CounterOpts{Namespace: "focal", Subsystem: "redis", Name: name, Help: help})
	}
	r := &Results{
		cfg: c, client: goredis.NewClient(o), queue: make(chan entry, c.Queue),
		failures: counter("failures_total", "Commands that the Redis server did not answer in time, or refused."),
		dropped:  counter("dropped_total", "Results not written to the Redis server since too many waited."),
	}
	for range writers {
		r.writers.Go(r.write)
	}
	return r, nil
}

// Get returns what was put under key, or nil where nothing is known or nobody
// answers in time.
func (r *Results) Get(ctx context.Context, key pixel.Digest) []byte {
	if r.rests() {
		r.misses.Add(1)
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, r.cfg.Wait)
	defer cancel()
	value, err := r.client.GetEx(limited, name(key), r.cfg.TTL).Bytes()
	if !errors.Is(err, goredis.Nil) {
		r.heard(ctx, err)
	}
	if err != nil {
		r.misses.Add(1)
		return nil
	}
	r.hits.Add(1)
	return value
}

// Put hands over a value, which nobody may change any more, and returns at
// once. It is written when its turn comes, if the server answers.
func (r *Results) Put(key pixel.Digest, value []byte) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed || r.rests() {
		return
	}
	select {
	case r.queue <- entry{name(key), value}:
	default:
		r.dropped.Inc()
	}
}

func (r *Results) write() {
	for e := range r.queue {
		if r.rests() {
			continue
		}
		ctx := context.Background()
		limited, cancel := context.WithTimeout(ctx, r.cfg.Wait)
		r.heard(ctx, r.client.Set(limited, e.key, e.value, r.cfg.TTL).Err())
		cancel()
	}
}

// name is the key as the server has it. The number is the version of what
// values look like.
func name(key pixel.Digest) string { return "focal:1:" + key.String() }

func (r *Results) rests() bool { return time.Now().UnixNano() < r.resting.Load() }

// heard notes whether the server answered, and says so when that changes. It
// learns nothing from a caller who left: ctx is the caller's.
func (r *Results) heard(ctx context.Context, err error) {
	switch {
	case err == nil:
		if r.resting.Swap(0) != 0 {
			r.cfg.Log.Info("the Redis server answers again")
		}
	case ctx.Err() != nil:
	default:
		r.failures.Inc()
		if r.resting.Swap(time.Now().Add(r.cfg.Rest).UnixNano()) == 0 {
			r.cfg.Log.Warn("the Redis server does not answer: results are kept in memory alone", "err", err)
		}
	}
}

// Stats returns the hits and misses since New; what the server holds is its own
// business.
func (r *Results) Stats() cache.Stats {
	return cache.Stats{Hits: r.hits.Load(), Misses: r.misses.Load()}
}

// Close writes what waits to be written, until ctx ends, and hangs up.
func (r *Results) Close(ctx context.Context) error {
	r.mu.Lock()
	first := !r.closed
	r.closed = true
	r.mu.Unlock()
	if !first {
		return nil
	}
	close(r.queue)
	written := make(chan struct{})
	go func() { r.writers.Wait(); close(written) }()
	var err error
	select {
	case <-written:
	case <-ctx.Done():
		err = fault.New(fault.Timeout, "redis.Close", "closed before all results were written: %w", ctx.Err())
		r.resting.Store(1<<63 - 1) // the writers pass over the rest
		<-written
	}
	return errors.Join(err, r.client.Close())
}
