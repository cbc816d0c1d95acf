// Package source fetches originals: pictures in a directory, behind http(s) or
// in S3, whole and hashed, within the operator's limits.
//
// It is where requests of strangers become connections of ours, so every hop
// is checked: the text of the address before it is used, the host against the
// allow-list, and the IP at the moment of connecting. It must not know
// pictures, options, nor the HTTP server in front of it.
//
// A Fetcher owns the goroutines of its fetches and of its idle connections,
// which Close ends. The bytes of an Original are its caller's until Release.
package source

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"focal/core/cache"
	"focal/core/fault"
	"focal/core/pixel"
	"focal/server/bucket"
)

// Config says where originals may come from and how large they may be.
type Config struct {
	// Root is a directory that path sources are read from. Origins are where
	// they come from when Root is empty or does not have them: `[/prefix=]base`
	// each, where base is an http(s) URL or s3://bucket[/prefix] and takes the
	// place of the prefix. The longest prefix wins. The operator names all of
	// these, so all may be private.
	Root    string   // --root
	Origins []string // --origin
	S3      bucket.Config
	// AllowOrigins are the hosts that absolute URLs and redirects may name
	// (see parsePattern). AllowPrivate lets them be private addresses.
	AllowOrigins []string // --allow-origin
	AllowPrivate bool     // --allow-private
	// MaxBytes bounds one original, Memory all that are held at once.
	MaxBytes int64 // --max-source-bytes
	Memory   int64 // --source-memory
	// Cache is how many bytes of answers are kept for their next use, besides
	// Memory; 0 keeps none.
	Cache int64 // --source-cache
	// Timeout bounds one Fetch, waiting for memory included.
	Timeout      time.Duration // --timeout
	MaxRedirects int
	UserAgent    string
}

// DefaultConfig returns the defaults of the flags. It names no source.
func DefaultConfig() Config {
	return Config{
		MaxBytes:     100_000_000,
		Memory:       256 << 20,
		Cache:        64 << 20,
		S3:           bucket.DefaultConfig(),
		Timeout:      30 * time.Second,
		MaxRedirects: 5,
		UserAgent:    "focal",
	}
}

// Validate reports values that cannot work, by the name of their flag.
func (c Config) Validate() error {
	const op = "source.Config"
	bad := func(flag, format string, args ...any) error {
		return fault.New(fault.Invalid, op, "%s: %s", flag, fmt.Sprintf(format, args...))
	}
	if c.Root != "" {
		if info, err := os.Stat(c.Root); err != nil {
			return fault.New(fault.Invalid, op, "--root: %w", err)
		} else if !info.IsDir() {
			return bad("--root", "%s is not a directory", c.Root)
		}
	}
	if err := checkOrigins(c.Origins); err != nil {
		return bad("--origin", "%v", err)
	}
	if err := c.S3.Validate(); err != nil {
		return err
	}
	if _, err := parseAllowList(c.AllowOrigins); err != nil {
		return bad("--allow-origin", "%v", err)
	}
	switch {
	case c.MaxBytes <= 0:
		return bad("--max-source-bytes", "%d: want more than 0", c.MaxBytes)
	case c.Memory <= 0:
		return bad("--source-memory", "%d: want more than 0", c.Memory)
	case c.Cache < 0:
		return bad("--source-cache", "%d: want 0 or more", c.Cache)
	case c.Timeout <= 0:
		return bad("--timeout", "%v: want more than 0", c.Timeout)
	case c.MaxRedirects < 0:
		return bad("redirects", "%d: want 0 or more", c.MaxRedirects)
	}
	return nil
}

// Fetcher fetches originals. It is safe for concurrent use.
type Fetcher struct {
	cfg     Config
	origins []*origin // longest prefix first
	allow   allowList
	memory  *memory
	kept    *cache.Cache[*kept]
	flights *cache.Cache[*Original] // keeps nothing: one flight an address
	counts  counts
	purges  atomic.Uint64 // how many; what was asked for before one is not kept after it
	now     func() time.Time
	// own connects to the operator's origin, wherever that is; guarded to
	// everything else. They are two, so that a connection once made for the
	// operator is never reused for a stranger.
	own, guarded *http.Transport
}

// New makes a Fetcher.
func New(cfg Config) (*Fetcher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	origins, err := openOrigins(cfg.Origins, cfg.S3)
	if err != nil {
		return nil, err
	}
	kept, err := newKept(cfg.Cache)
	if err != nil {
		return nil, err
	}
	allow, err := parseAllowList(cfg.AllowOrigins)
	if err != nil {
		return nil, err
	}
	own, guarded := newTransport(nil), newTransport(refuseNonPublic)
	if cfg.AllowPrivate {
		guarded = newTransport(nil)
	}
	flights, err := cache.New(cache.Config{}, func(*Original) int64 { return 0 })
	if err != nil {
		return nil, err
	}
	return &Fetcher{
		cfg: cfg, origins: origins, allow: allow, own: own, guarded: guarded,
		memory: newMemory(cfg.Memory), kept: kept, flights: flights, now: time.Now,
	}, nil
}

// Close waits for fetches that everybody has left, and ends idle connections.
// Originals that are out stay valid.
func (f *Fetcher) Close(ctx context.Context) error {
	f.flights.Wait()
	f.own.CloseIdleConnections()
	f.guarded.CloseIdleConnections()
	var errs []error
	for _, o := range f.origins {
		if o.bucket != nil {
			errs = append(errs, o.bucket.Close(ctx))
		}
	}
	return errors.Join(errs...)
}

// Reserved returns how many bytes of the source-memory budget are taken, and
// the budget.
func (f *Fetcher) Reserved() (taken, budget int64) { return f.memory.taken.Load(), f.memory.total }

// Fetch gets the original that ref names: the SOURCE part of a transform URL
// as it came over the wire, an absolute http(s) URL or a path, with its query.
//
//  1. An absolute URL is fetched if the allow-list has it.
//  2. A path is looked for under Root,
//  3. and, if it is not there, at the origin of its longest prefix.
//
// What comes from an origin, 1 and 3, may come from the source cache (see
// remember). Who asks for what is being fetched waits for that (see together).
//
// Kinds: BadURL for an address that is malformed or climbs out, Loop for a
// transform URL, Forbidden for a host or IP that is not allowed, NotFound,
// Denied (any other 4xx), TooLarge, Upstream (unreachable, 5xx, cut short),
// Timeout, Canceled. The texts name no host and no IP; Detail does.
func (f *Fetcher) Fetch(ctx context.Context, ref string) (*Original, error) {
	r, err := parseReference(ref)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	place := f.place(r)
	return f.together(ctx, place, func(ctx context.Context) (*Original, error) {
		o, err := f.fetch(ctx, r, place)
		if err == nil {
			o.Place = place
		}
		return o, err
	})
}

// fetch is Fetch for one who asks alone.
func (f *Fetcher) fetch(ctx context.Context, r reference, place pixel.Digest) (*Original, error) {
	if r.url != nil {
		return f.remember(ctx, place, func(ctx context.Context, known version) (*Original, error) {
			return f.fetchURL(ctx, r.url, nil, known) // 1
		})
	}
	from, below := f.originOf(r)
	if f.cfg.Root != "" {
		o, err := f.fetchFile(ctx, r.path) // 2
		if err == nil || from == nil || !fault.Is(err, fault.NotFound) {
			return o, err
		}
	}
	if from == nil {
		return nil, fault.New(fault.NotFound, "source.Fetch", "no directory and no origin to take this path from (--root, --origin)")
	}
	return f.remember(ctx, place, func(ctx context.Context, known version) (*Original, error) { // 3
		if from.bucket != nil {
			return f.fetchObject(ctx, from.bucket, below.path, known)
		}
		return f.fetchURL(ctx, below.under(from.base), from.base, known)
	})
}

// place is the digest of the one spelling of a reference: what a source is
// known by. A path and an absolute URL never share one: they are not let go to
// the same places. The query of a path means something to a server only.
func (f *Fetcher) place(r reference) pixel.Digest {
	address := "/" + r.raw + "?" + r.query
	if r.url != nil {
		address = r.url.String()
	} else if from, _ := f.originOf(r); from == nil || from.bucket != nil {
		address = "/" + r.path
	}
	return sha256.Sum256([]byte(address))
}
