package source

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"focal/core/fault"
	"focal/core/pixel"
)

// memory is the budget of bytes that originals hold together. A reader takes
// the most that it can need in one piece, before it holds anything, and gives
// back what it did not need: nobody waits for more while holding some, so
// nobody can wait for somebody who waits.
type memory struct {
	total int64
	sem   *semaphore.Weighted
	taken atomic.Int64 // for the gauge only
}

func newMemory(total int64) *memory {
	return &memory{total: total, sem: semaphore.NewWeighted(total)}
}

func (m *memory) reserve(ctx context.Context, n int64) error {
	if err := m.sem.Acquire(ctx, n); err != nil {
		return fault.New(fault.KindOf(err), "source.Fetch", "waiting for memory to hold the source (--source-memory): %w", err)
	}
	m.taken.Add(n)
	return nil
}

// try reserves without waiting.
func (m *memory) try(n int64) bool {
	if !m.sem.TryAcquire(n) {
		return false
	}
	m.taken.Add(n)
	return true
}

func (m *memory) release(n int64) {
	m.taken.Add(-n)
	m.sem.Release(n)
}

var (
	errTooLong = errors.New("longer than announced")
	errCut     = errors.New("shorter than announced")
)

// read takes body into memory, size bytes of it, or as much as comes where
// size is negative. An unknown size is booked at the limit while it is read.
// The errors of body come back as they are.
func (f *Fetcher) read(ctx context.Context, body io.Reader, size int64) (*Original, error) {
	limit := min(f.cfg.MaxBytes, f.cfg.Memory)
	if size > limit {
		return nil, f.tooLarge()
	}
	booked := size
	if size < 0 {
		booked = limit
	}
	if err := f.memory.reserve(ctx, booked); err != nil {
		return nil, err
	}
	buf, digest, err := readAll(ctx, body, size, limit)
	if err != nil {
		f.memory.release(booked)
		if size < 0 && errors.Is(err, errTooLong) {
			return nil, f.tooLarge()
		}
		return nil, err
	}
	f.memory.release(booked - int64(cap(buf)))
	return f.memory.hold(buf, digest), nil
}

func (f *Fetcher) tooLarge() error {
	if f.cfg.Memory < f.cfg.MaxBytes {
		return fault.New(fault.TooLarge, "source.Fetch", "source is larger than the %d bytes of --source-memory", f.cfg.Memory)
	}
	return fault.New(fault.TooLarge, "source.Fetch", "source is larger than the %d bytes of --max-source-bytes", f.cfg.MaxBytes)
}

// readAll reads until the end and hashes on the way. It allocates size bytes,
// or grows up to limit; capacity beyond either is never made.
func readAll(ctx context.Context, r io.Reader, size, limit int64) ([]byte, pixel.Digest, error) {
	const first, piece = 64 << 10, 256 << 10
	room := size
	if size < 0 {
		room = min(first, limit)
	}
	buf := make([]byte, 0, room)
	hash := sha256.New()
	var beyond [1]byte
	for {
		if err := ctx.Err(); err != nil {
			return nil, pixel.Digest{}, err
		}
		if int64(len(buf)) == room && size < 0 && room < limit {
			room = min(2*room, limit)
			buf = append(make([]byte, 0, room), buf...)
		}
		into := buf[len(buf):min(room, int64(len(buf))+piece)]
		full := len(into) == 0
		if full {
			into = beyond[:] // everything is here: is this the end?
		}
		n, err := r.Read(into)
		switch {
		case full && n > 0:
			return nil, pixel.Digest{}, errTooLong
		case !full:
			hash.Write(into[:n])
			buf = buf[:len(buf)+n]
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, pixel.Digest{}, err
		}
	}
	if int64(len(buf)) < size {
		return nil, pixel.Digest{}, errCut
	}
	return buf, pixel.Digest(hash.Sum(nil)), nil
}
