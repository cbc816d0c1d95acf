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
	"sync/atomic"

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
