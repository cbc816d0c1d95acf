// Package cache keeps values by digest within a byte budget, and lets many
// askers share one making of a value that is not there yet.
//
// It must not know what it keeps, nor any clock but that of a context. Values
// are shared between everybody who asks: they must never be changed after they
// were handed in. Keys name content, so two values of one key are equal and it
// does not matter which of them stays.
//
// A flight runs on a goroutine that ends when its fill function returns; the
// cache starts no other, and needs no closing.
package cache

import (
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"focal/core/fault"
	"focal/core/pixel"
)

// Config is how much a Cache may keep.
type Config struct {
	// Bytes is the budget: what values say they hold, and EntryOverhead for
	// each. With 0 nothing is kept, and flights are shared all the same.
	Bytes int64
}

// DefaultConfig returns the budget of --cache-size.
func DefaultConfig() Config { return Config{Bytes: 256 << 20} }

// Validate reports a budget below zero.
func (c Config) Validate() error {
	if c.Bytes < 0 {
		return fault.New(fault.Invalid, "cache.Config", "cache of %d bytes: want 0 or more (--cache-size)", c.Bytes)
	}
	return nil
}

// EntryOverhead is what an entry costs besides its value, in bytes: the slot
// of the map with its 32-byte key, the list element with another, allocator
// rounding.
const EntryOverhead = 192

// entry remembers the size under which a value was booked, so that what is
// given back is what was taken, whatever size says later.
type entry[V any] struct {
	value V
	bytes int64
}

// Cache keeps the most recently used values. It is safe for concurrent use.
type Cache[V any] struct {
	budget int64
	size   func(V) int64

	// mu protects everything below. It is never held while a function of the
	// caller runs.
	mu      sync.Mutex
	lru     *simplelru.LRU[pixel.Digest, entry[V]]
	flights map[pixel.Digest]*flight[V] // the newest flight of a key
	stats   Stats

	flying sync.WaitGroup // flights under way, those that left the table too
}

// Stats are counts since New, and what is kept now. A lookup, by Get or Do,
// is one hit or one miss; a caller who joined a flight missed.
type Stats struct {
	Hits, Misses uint64
	Evictions    uint64 // entries that left to make room
	Entries      int
	Bytes        int64 // booked, overhead included
}

// New makes an empty cache. size says how many bytes a value holds; it is
// asked once for each value that is put in.
func New[V any](cfg Config, size func(V) int64) (*Cache[V], error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	// Entries are bounded by their bytes, so the library's bound is out of reach.
	lru, err := simplelru.NewLRU[pixel.Digest, entry[V]](math.MaxInt, nil)
	if err != nil {
		return nil, err
	}
	return &Cache[V]{budget: cfg.Bytes, size: size, lru: lru, flights: make(map[pixel.Digest]*flight[V])}, nil
}

// Get returns the value of k, if it is kept, and marks it as used.
func (c *Cache[V]) Get(k pixel.Digest) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lookup(k)
}

// lookup is Get with mu held.
func (c *Cache[V]) lookup(k pixel.Digest) (V, bool) {
	e, ok := c.lru.Get(k)
	if ok {
		c.stats.Hits++
	} else {
		c.stats.Misses++
	}
	return e.value, ok
}

// Put keeps v under k, and drops the longest unused entries until it fits. A
// value larger than the whole budget is not kept, nor is what it replaces.
func (c *Cache[V]) Put(k pixel.Digest, v V) {
	e := c.weigh(v)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store(k, e)
}

// Remove drops the value of k, if it is kept. A flight under way is not ended,
// and stores what it makes.
func (c *Cache[V]) Remove(k pixel.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.lru.Peek(k); ok {
		c.stats.Bytes -= old.bytes
		c.lru.Remove(k)
	}
}

// RemoveAll drops every kept value that match picks, and returns how many it
// dropped.
func (c *Cache[V]) RemoveAll(match func(V) bool) int {
	c.mu.Lock()
	keys, entries := c.lru.Keys(), c.lru.Values()
	c.mu.Unlock()
	n := 0
	for i, e := range entries {
		if match(e.value) {
			c.Remove(keys[i])
			n++
		}
	}
	return n
}

// Wait waits until no flight is under way. Nobody may ask meanwhile.
func (c *Cache[V]) Wait() { c.flying.Wait() }

// weigh asks for the size of v, so it is called without mu.
func (c *Cache[V]) weigh(v V) entry[V] {
	n := max(c.size(v), 0)
	if n > math.MaxInt64-EntryOverhead {
		return entry[V]{v, math.MaxInt64}
	}
	return entry[V]{v, n + EntryOverhead}
}

// store is Put with mu held.
func (c *Cache[V]) store(k pixel.Digest, e entry[V]) {
	if old, ok := c.lru.Peek(k); ok {
		c.stats.Bytes -= old.bytes
		c.lru.Remove(k)
	}
	if e.bytes > c.budget {
		return
	}
	for c.stats.Bytes > c.budget-e.bytes {
		_, old, ok := c.lru.RemoveOldest()
		if !ok {
			break
		}
		c.stats.Bytes -= old.bytes
		c.stats.Evictions++
	}
	c.lru.Add(k, e)
	c.stats.Bytes += e.bytes
}

// Stats returns the counts.
func (c *Cache[V]) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Entries = c.lru.Len()
	return s
}
