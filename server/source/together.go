package source

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"

	"focal/core/cache"
	"focal/core/fault"
	"focal/core/pixel"
)

// together runs fetch once for all who ask for a place at the same time. Every
// request of ours for one address has the same headers and carries nobody's
// identity, so the answer to one is the answer to each, whether a cache might
// keep it or not. Its memory is booked once.
//
// Whoever joined a fetch whose time was up may have more himself: he asks again.
func (f *Fetcher) together(ctx context.Context, place pixel.Digest, fetch func(context.Context) (*Original, error)) (*Original, error) {
	// Who asks after a purge must not join who asked before.
	key := pixel.Digest(sha256.Sum256(binary.BigEndian.AppendUint64(place[:], f.purges.Load())))
	for {
		o, outcome, err := f.flights.Lend(ctx, key, f.cfg.Timeout, fetch, (*Original).share, (*Original).Release)
		joined := outcome == cache.Joined
		switch {
		case err == nil && joined:
			f.counts.joined.Add(1)
			return o, nil
		case err == nil:
			return o, nil
		case joined && ctx.Err() == nil && fault.Is(err, fault.Timeout):
		default:
			return nil, f.failure(ctx, err)
		}
	}
}

// counts are how often what happened.
type counts struct{ fresh, renewed, fetched, joined atomic.Uint64 }

// Stats are counts since New, and what the source cache holds.
type Stats struct {
	Fresh   uint64 // answered from the source cache alone
	Renewed uint64 // by it, after the origin said that nothing has changed
	Fetched uint64 // by the origin
	Joined  uint64 // by a fetch that somebody else had begun
	Bytes   int64  // in the source cache
	Entries int
}

// Stats returns the counts.
func (f *Fetcher) Stats() Stats {
	kept := f.kept.Stats()
	return Stats{
		Fresh: f.counts.fresh.Load(), Renewed: f.counts.renewed.Load(), Fetched: f.counts.fetched.Load(), Joined: f.counts.joined.Load(),
		Bytes: kept.Bytes, Entries: kept.Entries,
	}
}

// Purge forgets what the source cache has of ref, so that whoever asks from now
// on is answered by the origin. It returns the Place of the source's Originals,
// and the digests of what was forgotten.
func (f *Fetcher) Purge(ref string) (place pixel.Digest, forgotten []pixel.Digest, err error) {
	r, err := parseReference(ref)
	if err != nil {
		return pixel.Digest{}, nil, err
	}
	place = f.place(r)
	f.purges.Add(1)
	if k, ok := f.kept.Get(place); ok {
		forgotten = append(forgotten, k.digest)
		f.kept.Remove(place)
	}
	return place, forgotten, nil
}
