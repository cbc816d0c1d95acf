// Package blackbox keeps what is on the device where it outlives the process: a
// small file names every run and every load under way, so that the next start
// knows what this one died of.
//
// It knows keys only: what they stand for, and what follows from them, is its
// user's business. An entry costs two writes of a few bytes into the page cache,
// which outlives a process that crashes; nothing is synced, since a machine that
// crashes takes its suspects along. Where the file cannot be written the log says
// so once, and everything goes on without it. It starts no goroutine.
package blackbox

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"focal/core/fault"
)

// Key names something that may end the process, alike in every process.
type Key = [32]byte

// Crash is what is known of a key that was on the device when a process ended.
type Crash struct {
	Key   Key
	Count int // how often
	Last  time.Time
}

// Forget is how long a crash counts.
const Forget = time.Hour

// Box is an open file. It is safe for concurrent use, and a nil one keeps
// nothing.
type Box struct {
	log *slog.Logger

	mu      sync.Mutex // protects the rest
	file    *os.File   // nil: nothing is written any more
	crashes []Crash    // as they lie in the file
	taken   []bool     // slots in use
}

// Open reads what the last process left at path, counts a crash for everything
// that was on its device, and starts anew. A file that is none of ours is
// replaced. It is one process's at a time.
func Open(path string, now time.Time, log *slog.Logger) (*Box, error) {
	const op = "blackbox.Open"
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fault.New(fault.Unavailable, op, "%w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.New(fault.Unavailable, op, "%w", err)
	}
	b := &Box{log: log, file: f}
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err == nil {
		b.crashes, err = parse(data, now)
	}
	if err != nil {
		log.Warn("what the last process died of is not known", "path", path, "err", err)
	}
	// One write: a process that ends here has either the old file or the new.
	if _, err := f.WriteAt(fresh(b.crashes), 0); err != nil {
		return nil, errors.Join(fault.New(fault.Unavailable, op, "%w", err), f.Close())
	}
	return b, nil
}

// Crashes returns what processes before this one may have died of, the newest
// first.
func (b *Box) Crashes() []Crash {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.crashes)
}

// Enter writes down that keys are on the device from now on, and returns how to
// say that they have come back: then they have ended no process, and what was
// held against them is forgotten. Zero keys are not written.
func (b *Box) Enter(keys ...Key) (leave func()) {
	keys = slices.DeleteFunc(slices.Clone(keys), func(k Key) bool { return k == Key{} })
	if b == nil || len(keys) == 0 {
		return func() {}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var slots []int
	for part := range slices.Chunk(keys, slotKeys) {
		at := b.slot()
		slots = append(slots, at)
		b.write(slotOf(part), slotAt(at))
	}
	return func() { b.leave(slots, keys) }
}

// slot takes the first free slot.
func (b *Box) slot() int {
	at := slices.Index(b.taken, false)
	if at < 0 {
		at = len(b.taken)
		b.taken = append(b.taken, false)
	}
	b.taken[at] = at < maxSlots // beyond them nothing is kept
	return at
}

func (b *Box) leave(slots []int, keys []Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, at := range slots {
		b.taken[at] = false
		b.write(make([]byte, 4), slotAt(at))
	}
	known := len(b.crashes)
	b.crashes = slices.DeleteFunc(b.crashes, func(c Crash) bool { return slices.Contains(keys, c.Key) })
	if len(b.crashes) < known {
		b.write(header(b.crashes), 0)
	}
}

// Clear says that of what is on the device only guilty is to blame for what comes
// now: the process is about to end for another reason than the rest. Nothing is
// written any more.
func (b *Box) Clear(guilty ...Key) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file == nil {
		return
	}
	for at := range b.taken {
		b.write(make([]byte, 4), slotAt(at))
	}
	guilty = slices.DeleteFunc(slices.Clone(guilty), func(k Key) bool { return k == Key{} })
	at := 0
	for part := range slices.Chunk(guilty, slotKeys) {
		b.write(slotOf(part), slotAt(at))
		at++
	}
	b.shut()
}

// Close lets go of the file, which keeps what it says. If that is nothing, it is
// removed.
func (b *Box) Close() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file != nil && len(b.crashes) == 0 && !slices.Contains(b.taken, true) {
		if err := os.Remove(b.file.Name()); err != nil {
			b.log.Warn("blackbox", "err", err)
		}
	}
	b.shut()
}

// write is called with mu held.
func (b *Box) write(data []byte, at int64) {
	if b.file == nil || at >= slotAt(maxSlots) {
		return
	}
	if _, err := b.file.WriteAt(data, at); err != nil {
		b.log.Warn("what is on the device is not written down any more", "err", err)
		b.shut()
	}
}

// shut is called with mu held.
func (b *Box) shut() {
	if b.file == nil {
		return
	}
	if err := b.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		b.log.Warn("blackbox", "err", err)
	}
	b.file = nil
}
