// Package profile keeps on disk what was measured of models on a device, so
// that the next start begins where the last one ended, and people can read it.
//
// A profile is one small JSON file, named by the bytes of the model, the device
// and the runtime: of another file, card or version nothing is believed. It
// knows no scheduler and no engine, owns no goroutine, and may be lost at any
// time: whoever measured it measures again.
package profile

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
)

// schema is raised when old files would be misread.
const schema = 1

// What a file may say at most; a larger number is damage.
const (
	maxFile  = 1 << 20
	maxRuns  = 4096
	maxBatch = 1 << 16
	maxTime  = 24 * time.Hour
	maxBytes = 1 << 50
)

// Key is what a profile is of.
type Key struct {
	Model   pixel.Digest // SHA-256 of the model file
	Session string       // switches of the runtime that the model was loaded with
	Device  string       // as the engine names it
	Runtime string       // library and version
}

// Profile is what was measured with nothing else running.
type Profile struct {
	Key
	Name     string // of the model, for people
	LoadTime time.Duration
	Rest     int64 // bytes while loaded; 0: not measured
	Runs     []Run // by canvas, then by batch
}

// Run is one batch size on one canvas.
type Run struct {
	Canvas string // shape of one item
	Batch  int
	Time   time.Duration // of the whole batch
	Memory int64         // bytes that the run held at most; 0: not measured
	Runs   int           // that this was learnt from
}

// file is a profile as it is written: times in microseconds.
type file struct {
	Schema  int       `json:"schema"`
	Name    string    `json:"name"`
	Model   string    `json:"model_sha256"`
	Session string    `json:"session"`
	Device  string    `json:"device"`
	Runtime string    `json:"runtime"`
	Load    int64     `json:"load_us"`
	Rest    int64     `json:"rest_bytes"`
	Runs    []fileRun `json:"runs"`
}

type fileRun struct {
	Canvas string `json:"canvas"`
	Batch  int    `json:"batch"`
	Time   int64  `json:"time_us"`
	Memory int64  `json:"memory_bytes"`
	Runs   int    `json:"runs"`
}

// Store is a folder of profiles. It is safe for concurrent use, also by several
// processes: a file is replaced as a whole, and the last one stays.
type Store struct{ dir string }

// Open returns the Store in dir, which is made when something is written.
func Open(dir string) (*Store, error) {
	if dir == "" {
		return nil, fault.New(fault.Invalid, "profile.Open", "no folder for profiles")
	}
	return &Store{dir}, nil
}

func (s *Store) path(k Key) string {
	name := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%s", k.Model, k.Session, k.Device, k.Runtime))
	return filepath.Join(s.dir, fmt.Sprintf("%x.json", name[:16]))
}

// Get returns the profile of k. Errors: fault.NotFound where there is none,
// fault.Corrupt for one that cannot be read, which is as good as none.
func (s *Store) Get(k Key) (Profile, error) {
	p, err := read(s.path(k))
	if err == nil && p.Key != k {
		err = fault.New(fault.Corrupt, "profile.Get", "%s is of another model or device", s.path(k))
	}
	if err != nil {
		return Profile{}, err
	}
	return p, nil
}

// All returns the profiles of a model on every device, by device and runtime,
// and with an error those that can be read.
func (s *Store) All(model pixel.Digest) ([]Profile, error) {
	paths, err := filepath.Glob(filepath.Join(s.dir, "*.json"))
	if err != nil {
		return nil, fault.New(fault.Internal, "profile.All", "%w", err)
	}
	var all []Profile
	var errs []error
	for _, path := range paths {
		p, err := read(path)
		if err != nil {
			errs = append(errs, err)
		} else if p.Model == model {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b Profile) int {
		return cmp.Or(strings.Compare(a.Device, b.Device), strings.Compare(a.Runtime, b.Runtime), strings.Compare(a.Session, b.Session))
	})
	return all, errors.Join(errs...)
}

// Put writes p in place of what was known.
func (s *Store) Put(p Profile) error {
	const op = "profile.Put"
	f := file{
		Schema: schema, Name: p.Name, Model: p.Model.String(), Session: p.Session, Device: p.Device, Runtime: p.Runtime,
		Load: p.LoadTime.Microseconds(), Rest: p.Rest,
	}
	for _, r := range p.Runs {
		f.Runs = append(f.Runs, fileRun{r.Canvas, r.Batch, r.Time.Microseconds(), r.Memory, r.Runs})
	}
	text, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return fault.New(fault.Internal, op, "%w", err)
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fault.New(fault.Unavailable, op, "%w", err)
	}
	if err := replace(s.path(p.Key), text); err != nil {
		return fault.New(fault.Unavailable, op, "%w", err)
	}
	return nil
}

// replace writes a file beside path and moves it there, so that a reader finds
// the old one or the new one, whatever happens.
func replace(path string, text []byte) error {
	fresh, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = fresh.Write(text)
	if err = errors.Join(err, fresh.Close()); err == nil {
		err = os.Rename(fresh.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(fresh.Name()))
	}
	return nil
}

func read(path string) (Profile, error) {
	const op = "profile.Get"
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Profile{}, fault.New(fault.NotFound, op, "no profile")
	case err != nil:
		return Profile{}, fault.New(fault.Unavailable, op, "%w", err)
	case info.Size() > maxFile:
		return Profile{}, fault.New(fault.Corrupt, op, "%s has %d bytes", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Profile{}, fault.New(fault.Unavailable, op, "%w", err)
	}
	p, err := Parse(text)
	if err != nil {
		return Profile{}, fault.New(fault.Corrupt, op, "%s: %w", path, err)
	}
	return p, nil
}

// Parse reads a file. What is out of all bounds is an error: these numbers
// decide who is refused.
func Parse(text []byte) (Profile, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return Profile{}, err
	}
	model, err := pixel.ParseDigest(f.Model)
	switch {
	case f.Schema != schema:
		return Profile{}, fmt.Errorf("schema %d, want %d", f.Schema, schema)
	case err != nil:
		return Profile{}, err
	case f.Load < 0 || f.Load > maxTime.Microseconds() || f.Rest < 0 || f.Rest > maxBytes:
		return Profile{}, fmt.Errorf("load of %d µs, %d bytes at rest", f.Load, f.Rest)
	case len(f.Runs) > maxRuns:
		return Profile{}, fmt.Errorf("%d runs", len(f.Runs))
	}
	p := Profile{
		Key:  Key{Model: model, Session: f.Session, Device: f.Device, Runtime: f.Runtime},
		Name: f.Name, LoadTime: time.Duration(f.Load) * time.Microsecond, Rest: f.Rest,
	}
	for _, r := range f.Runs {
		if r.Batch < 1 || r.Batch > maxBatch || r.Time < 1 || r.Time > maxTime.Microseconds() || r.Memory < 0 || r.Memory > maxBytes || r.Runs < 1 {
			return Profile{}, fmt.Errorf("canvas %s: a batch of %d that took %d µs and %d bytes in %d runs", r.Canvas, r.Batch, r.Time, r.Memory, r.Runs)
		}
		p.Runs = append(p.Runs, Run{r.Canvas, r.Batch, time.Duration(r.Time) * time.Microsecond, r.Memory, r.Runs})
	}
	return p, nil
}
