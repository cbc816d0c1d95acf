package source

import (
	"context"
	"crypto/sha256"
	"io"

	"focal/core/fault"
	"focal/core/pixel"
)

// receiveFirst is what an upload books before anything of it is read.
const receiveFirst = 256 << 10

// Receive takes an upload into memory, under the limits of every original. It
// books as it goes: who sends slowly holds no more than twice what he has sent.
// It waits for its first piece only, since nobody waits for more while he holds
// some; where there is no more, the upload is refused as Busy.
//
// Kinds: TooLarge, Busy, Timeout, Canceled; the errors of body come back as they
// are.
func (f *Fetcher) Receive(ctx context.Context, body io.Reader) (*Original, error) {
	limit := min(f.cfg.MaxBytes, f.cfg.Memory)
	room := min(receiveFirst, limit)
	if err := f.memory.reserve(ctx, room); err != nil {
		return nil, err
	}
	buf, err := f.receive(ctx, body, room, limit)
	if err != nil {
		f.memory.release(int64(cap(buf)))
		return nil, err
	}
	return f.memory.hold(buf, pixel.Digest(sha256.Sum256(buf))), nil
}

// receive reads until the end, into room bytes that are booked, or up to limit.
// What it returns has the capacity that is booked, whatever comes of it.
func (f *Fetcher) receive(ctx context.Context, body io.Reader, room, limit int64) ([]byte, error) {
	buf := make([]byte, 0, room)
	var beyond [1]byte
	for {
		if err := ctx.Err(); err != nil {
			return buf, err
		}
		into := buf[len(buf):cap(buf)]
		full := len(into) == 0
		if full {
			into = beyond[:] // all that is booked is here: is this the end?
		}
		n, err := body.Read(into)
		switch {
		case !full:
			buf = buf[:len(buf)+n]
		case n > 0 && room == limit:
			return buf, f.tooLarge()
		case n > 0:
			next := min(2*room, limit)
			if !f.memory.try(next - room) {
				return buf, fault.New(fault.Busy, "source.Receive", "there is no memory for more of this upload now (--source-memory)")
			}
			room = next
			buf = append(append(make([]byte, 0, room), buf...), beyond[0])
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}
