package models

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gopkg.in/yaml.v3"

	"focal/core/fault"
	"focal/core/pixel"
)

// The names of a repository: <dir>/<model>/model.yaml and
// <dir>/<model>/<version>/model.onnx, which is Triton's layout. Folders that
// start with a dot are the repository's own.
const (
	manifestFile = "model.yaml"
	weightsFile  = "model.onnx"
	partialDir   = ".partial"
)

// Repository is a folder of models, and the models of the program behind it. It
// may change under a running server, by hand or by another process: nothing is
// remembered of it but file digests. It is safe for concurrent use.
type Repository struct {
	dir     string
	builtin []Model

	mu    sync.Mutex // protects known
	known map[string]stamp
}

// stamp is the digest of a file as long as its size and time stay.
type stamp struct {
	size     int64
	modified time.Time
	digest   pixel.Digest
}

// OpenRepository opens the repository in dir, and makes the folder if there is
// none. The models of builtin are there too, behind the folder's: one of the
// folder with the same name hides it.
func OpenRepository(dir string, builtin ...Model) (*Repository, error) {
	if dir == "" {
		return nil, fault.New(fault.Invalid, "models.OpenRepository", "model repository has no folder (--models)")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fault.New(fault.Unavailable, "models.OpenRepository", "model repository (--models): %w", err)
	}
	return &Repository{dir: dir, builtin: builtin, known: make(map[string]stamp)}, nil
}

// Dir returns the repository's folder.
func (r *Repository) Dir() string { return r.dir }

// Models returns the newest version of every model, by name, and after them the
// builtin ones. A model that cannot be read is left out and named in the error;
// the others are returned with it.
func (r *Repository) Models() ([]Model, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "models.Models", "model repository (--models): %w", err)
	}
	var found []Model
	var errs []error
	hidden := map[string]bool{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := os.Stat(filepath.Join(r.dir, e.Name())); err != nil || !info.IsDir() {
			continue
		}
		hidden[e.Name()] = true
		m, err := r.Model(e.Name())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, m)
	}
	for _, m := range r.builtin {
		if !hidden[m.Name] {
			found = append(found, m)
		}
	}
	return found, errors.Join(errs...)
}

// Model returns the newest version of one model. Errors: fault.NotFound where
// there is no such folder or no file in it, fault.Invalid for a bad manifest.
func (r *Repository) Model(name string) (Model, error) {
	const op = "models.Model"
	if err := checkName(name); err != nil {
		return Model{}, fault.New(fault.Invalid, op, "model name %w", err)
	}
	m, err := r.manifest(name)
	if at := r.builtinAt(name); at >= 0 && fault.Is(err, fault.NotFound) {
		return r.builtin[at], nil
	}
	if err != nil {
		return Model{}, err
	}
	versions, err := r.versions(name)
	if err != nil {
		return Model{}, err
	}
	if len(versions) == 0 {
		return Model{}, fault.New(fault.NotFound, op, "model %s has no <version>/%s", name, weightsFile)
	}
	version := strconv.Itoa(versions[len(versions)-1])
	path := r.weights(name, version)
	digest, err := r.digest(path)
	if err != nil {
		return Model{}, fault.New(fault.Unavailable, op, "model %s: %w", name, err)
	}
	if a, ok := m.artefact(digest); ok && a.FixedBatch {
		m = m.oneAtATime()
	}
	return Model{Manifest: m, Version: version, Path: path, File: digest}, nil
}

// builtinAt returns the place of a builtin model, or -1.
func (r *Repository) builtinAt(name string) int {
	return slices.IndexFunc(r.builtin, func(m Model) bool { return m.Name == name })
}

// manifest reads the manifest of a folder.
func (r *Repository) manifest(name string) (Manifest, error) {
	const op = "models.Model"
	path := filepath.Join(r.dir, name, manifestFile)
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Manifest{}, fault.New(fault.NotFound, op, "no model %s in the repository: %s does not exist", name, path)
	case err != nil:
		return Manifest{}, fault.New(fault.Unavailable, op, "model %s: %w", name, err)
	}
	m, err := ParseManifest(path, data)
	if err != nil {
		return Manifest{}, err
	}
	if m.Name != name {
		return Manifest{}, fault.New(fault.Invalid, op, "%s: name %q is not that of its folder", path, m.Name)
	}
	return m, nil
}

// versions returns the numbers of the folders that hold weights, rising.
// Numbers are written without leading zeros, so that each has one folder.
func (r *Repository) versions(name string) ([]int, error) {
	entries, err := os.ReadDir(filepath.Join(r.dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Unavailable, "models.Model", "model %s: %w", name, err)
	}
	var versions []int
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil || n <= 0 || strconv.Itoa(n) != e.Name() {
			continue
		}
		if info, err := os.Stat(r.weights(name, e.Name())); err == nil && info.Mode().IsRegular() {
			versions = append(versions, n)
		}
	}
	slices.Sort(versions)
	return versions, nil
}

func (r *Repository) weights(name, version string) string {
	return filepath.Join(r.dir, name, version, weightsFile)
}

// digest returns the SHA-256 of a file, from memory where size and time are
// those of the last reading.
func (r *Repository) digest(path string) (pixel.Digest, error) {
	info, err := os.Stat(path)
	if err != nil {
		return pixel.Digest{}, err
	}
	r.mu.Lock()
	s, ok := r.known[path]
	r.mu.Unlock()
	if ok && s.size == info.Size() && s.modified.Equal(info.ModTime()) {
		return s.digest, nil
	}
	d, err := fileDigest(context.Background(), path)
	if err != nil {
		return d, err
	}
	r.mu.Lock()
	r.known[path] = stamp{info.Size(), info.ModTime(), d}
	r.mu.Unlock()
	return d, nil
}

func fileDigest(ctx context.Context, path string) (pixel.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return pixel.Digest{}, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, reader{ctx, f}); err != nil {
		return pixel.Digest{}, err
	}
	return pixel.Digest(h.Sum(nil)), nil
}

// reader reads until ctx ends.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// artefact returns the artefact that a file with this digest is.
func (m Manifest) artefact(d pixel.Digest) (Artefact, bool) {
	for _, a := range m.Artefacts {
		if strings.EqualFold(a.SHA256, d.String()) {
			return a, true
		}
	}
	return Artefact{}, false
}

// oneAtATime returns m as it is for a file whose batch axis is 1.
func (m Manifest) oneAtATime() Manifest {
	fix := func(ports []Port) []Port {
		fixed := slices.Clone(ports)
		for i := range fixed {
			fixed[i].Shape = slices.Clone(fixed[i].Shape)
			fixed[i].Shape[0] = 1
		}
		return fixed
	}
	m.Inputs, m.Outputs = fix(m.Inputs), fix(m.Outputs)
	m.MaxBatch, m.MaxBatchCPU = 1, 0
	return m
}

// Default returns the model that is used for task on a provider ("cpu" or
// "cuda") when none is named: the first of Preferred that is present, else the
// first of any: of the folder's, then of the builtin ones. Where there is none, ok is false and name is the one to pull.
func (r *Repository) Default(task Task, provider string) (name string, ok bool) {
	preferred := Preferred(task, provider)
	present, _ := r.Models() // those that cannot be read cannot be used either
	present = slices.DeleteFunc(present, func(m Model) bool { return m.Task != task })
	for _, name := range preferred {
		if slices.ContainsFunc(present, func(m Model) bool { return m.Name == name }) {
			return name, true
		}
	}
	if len(present) > 0 {
		return present[0].Name, true
	}
	if len(preferred) == 0 {
		return "", false
	}
	return Preferred(task, "cpu")[0], false
}

// Verify reads the newest version of a model again and compares it with its
// manifest. Errors: fault.Corrupt if no artefact has that digest.
func (r *Repository) Verify(ctx context.Context, name string) (Model, error) {
	const op = "models.Verify"
	m, err := r.Model(name)
	if err != nil {
		return Model{}, err
	}
	d := pixel.Digest(sha256.Sum256(m.Data))
	if m.Data == nil {
		d, err = fileDigest(ctx, m.Path)
	}
	if err != nil {
		return m, fault.New(fault.KindOf(err), op, "model %s: %w", name, err)
	}
	m.File = d
	if _, ok := m.artefact(d); !ok {
		return m, fault.New(fault.Corrupt, op, "model %s: %s has SHA-256 %s, which is none of its manifest's", name, cmp.Or(m.Path, "its file"), d)
	}
	return m, nil
}

// Remove deletes a model with all its versions.
func (r *Repository) Remove(name string) error {
	const op = "models.Remove"
	if err := checkName(name); err != nil {
		return fault.New(fault.Invalid, op, "model name %w", err)
	}
	dir := filepath.Join(r.dir, name)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		if r.builtinAt(name) >= 0 {
			return fault.New(fault.Invalid, op, "model %s is part of the program; another model of the repository takes its place", name)
		}
		return fault.New(fault.NotFound, op, "no model %s in the repository", name)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fault.New(fault.Unavailable, op, "%w", err)
	}
	return nil
}

// Import copies a model file into the repository as the newest version of m,
// and adds its SHA-256 to the manifest.
func (r *Repository) Import(ctx context.Context, path string, m Manifest) (Model, error) {
	const op = "models.Import"
	if err := m.Validate(); err != nil {
		return Model{}, err
	}
	part, err := r.partial("import-" + m.Name)
	if err != nil {
		return Model{}, err
	}
	defer part.discard()
	source, err := os.Open(path)
	if err != nil {
		return Model{}, fault.New(fault.NotFound, op, "%w", err)
	}
	defer source.Close()
	if err := part.restart(); err != nil {
		return Model{}, err
	}
	if _, err := io.Copy(part, reader{ctx, source}); err != nil {
		return Model{}, fault.New(fault.KindOf(err), op, "%s: %w", path, err)
	}
	d := pixel.Digest(part.sha.Sum(nil))
	if _, ok := m.artefact(d); !ok {
		m.Artefacts = append(slices.Clone(m.Artefacts), Artefact{File: m.Name + ".onnx", SHA256: d.String(), Bytes: part.size})
	}
	text, err := yaml.Marshal(m)
	if err != nil {
		return Model{}, fault.New(fault.Internal, op, "%w", err)
	}
	return r.install(part, m.Name, text)
}

// install moves a finished part into place as the newest version, the manifest
// after it: whoever reads between the two sees the model as it was, or none.
func (r *Repository) install(part *part, name string, manifest []byte) (Model, error) {
	const op = "models.install"
	versions, err := r.versions(name)
	if err != nil {
		return Model{}, err
	}
	next := 1
	if len(versions) > 0 {
		next = versions[len(versions)-1] + 1
	}
	path := r.weights(name, strconv.Itoa(next))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return Model{}, fault.New(fault.Unavailable, op, "%w", err)
	}
	if err := part.moveTo(path); err != nil {
		return Model{}, err
	}
	if err := r.writeManifest(name, manifest); err != nil {
		return Model{}, err
	}
	return r.Model(name)
}

func (r *Repository) writeManifest(name string, text []byte) error {
	path := filepath.Join(r.dir, name, manifestFile)
	fresh := path + ".new"
	if err := os.WriteFile(fresh, text, 0o644); err != nil {
		return fault.New(fault.Unavailable, "models.install", "%w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fault.New(fault.Unavailable, "models.install", "%w", err)
	}
	return nil
}
