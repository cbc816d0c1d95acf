package results

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// run sweeps at the start, and whenever the directory has become full.
func (d *directory) run() {
	defer close(d.ended)
	for {
		if err := d.sweep(); err != nil {
			d.log.Warn("the directory of results could not be swept", "error", err)
		}
		select {
		case <-d.wake:
		case <-d.leave:
			return
		}
	}
}

// file is what a sweep knows of one.
type file struct {
	path string
	used time.Time
	cost int64
}

// sweep counts the files and deletes those that were used longest ago, until
// there is room for what had none, and a tenth of the limit: so that it need
// not come back for every write.
func (d *directory) sweep() error {
	d.mu.Lock()
	room := max(d.limit/10, d.short)
	d.since, d.short = 0, 0
	d.mu.Unlock()
	var files []file
	var total int64
	err := filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		select {
		case <-d.leave:
			return fs.SkipAll
		default:
		}
		if err != nil || e.IsDir() {
			return ignoreGone(err)
		}
		info, err := e.Info()
		if err != nil {
			return ignoreGone(err)
		}
		f := file{path, info.ModTime(), cost(info.Size())}
		if filepath.Dir(path) == filepath.Join(d.root, temporary) {
			if time.Since(f.used) > time.Hour { // left by a process that died
				return ignoreGone(os.Remove(path))
			}
			return nil
		}
		files, total = append(files, f), total+f.cost
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b file) int { return a.used.Compare(b.used) })
	for _, f := range files {
		if total <= d.limit-room {
			break
		}
		if err := ignoreGone(os.Remove(f.path)); err != nil {
			return err
		}
		_ = os.Remove(filepath.Dir(f.path)) // where it is empty
		total -= f.cost
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used = total + d.since
	return nil
}

// ignoreGone takes it as no error that somebody else was faster.
func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
