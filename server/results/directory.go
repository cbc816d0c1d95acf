package results

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"focal/core/fault"
)

// directory is a shelf of files: <root>/<folder>/<two digits>/<folder>/<name>,
// so that no directory grows endlessly. A file appears whole or not at all.
//
// Its files, each rounded up to blocks, never hold more than limit as far as
// this process writes: it counts what it writes on top of what the last sweep
// found. A sweep deletes the files that were not used for longest; it comes at
// the start, before which nothing is written, and when the limit is reached.
type directory struct {
	root  string
	limit int64
	log   *slog.Logger

	mu    sync.Mutex // protects the three below
	used  int64      // bytes, at most; -1 until the first sweep has ended
	since int64      // written since the last sweep began
	short int64      // the most that was not to be had since then

	wake  chan struct{} // asks for a sweep
	leave chan struct{}
	ended chan struct{}
}

const (
	temporary = "tmp"
	// block is what a file costs at least, its entry included.
	block = 4 << 10
	// A file's time of change is that of its last use, give or take this.
	useGrain = time.Minute
)

func openDirectory(root string, limit int64, log *slog.Logger) (*directory, error) {
	const op = "results.openDirectory"
	if err := os.MkdirAll(filepath.Join(root, temporary), 0o700); err != nil {
		return nil, fault.New(fault.Invalid, op, "--results dir: %w", err)
	}
	probe, err := os.CreateTemp(filepath.Join(root, temporary), "")
	if err == nil {
		err = errors.Join(probe.Close(), os.Remove(probe.Name()))
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "--results dir: %w", err)
	}
	d := &directory{
		root: root, limit: limit, log: log, used: -1,
		wake: make(chan struct{}, 1), leave: make(chan struct{}), ended: make(chan struct{}),
	}
	go d.run()
	return d, nil
}

// close ends the sweeper.
func (d *directory) close(ctx context.Context) error {
	close(d.leave)
	select {
	case <-d.ended:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Timeout, "results.Close", "the directory of results is still being swept: %w", ctx.Err())
	}
}

// path returns where a name of ours lies.
func (d *directory) path(name string) string {
	of, rest, _ := strings.Cut(name, "/")
	return filepath.Join(d.root, of, rest[:2], filepath.FromSlash(rest))
}

func (d *directory) get(_ context.Context, name string) ([]byte, error) {
	f, err := os.Open(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNone
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > largestSealed {
		return nil, fmt.Errorf("%s: want a file of at most %d bytes", f.Name(), largestSealed)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, err
	}
	if now := time.Now(); now.Sub(info.ModTime()) > useGrain {
		// Without it the file is swept a little early, which is no harm.
		_ = os.Chtimes(f.Name(), time.Time{}, now)
	}
	return data, nil
}

func (d *directory) put(_ context.Context, name string, data []byte) error {
	need := cost(int64(len(data)))
	if !d.book(need) {
		return errFull
	}
	if err := d.write(d.path(name), data); err != nil {
		d.book(-need)
		return err
	}
	return nil
}

func (d *directory) write(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Join(d.root, temporary), "")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = settle(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// settle moves a finished file to where it belongs. The sweeper may take an
// empty directory away in between, once.
func settle(from, to string) error {
	var err error
	for range 2 {
		if err = os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err = os.Rename(from, to); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// cost is what a file of n bytes takes.
func cost(n int64) int64 { return (n/block + 1) * block }

// book takes n bytes, or gives them back where n is negative. If they are not
// left, it asks for a sweep.
func (d *directory) book(n int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.used < 0 || n > d.limit {
		return false
	}
	if n > 0 && d.used+n > d.limit {
		d.short = max(d.short, n)
		select {
		case d.wake <- struct{}{}:
		default:
		}
		return false
	}
	d.used += n
	d.since += n
	return true
}

func (d *directory) list(_ context.Context, folder string) ([]string, error) {
	entries, err := os.ReadDir(d.path(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d *directory) deleteBelow(_ context.Context, folder string) error {
	return os.RemoveAll(d.path(folder))
}

func (d *directory) held() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used
}
