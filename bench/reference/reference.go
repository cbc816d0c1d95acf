// Package reference is what tests share to judge models by: the development
// pictures of ../shared with their truth, the results that other code reached on
// them, and an engine to run models with.
//
// It knows no recipe and no decoder. The engine is opened once per process and
// stays open.
package reference

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"focal/inference"
	"focal/inference/ort"
	"focal/models"
)

// root is the folder of the repository: tests run in the folder of their package.
var root = sync.OnceValue(func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	panic("reference: no go.mod above the tests")
})

// Root returns the absolute path of a file of the repository.
func Root(parts ...string) string { return filepath.Join(append([]string{root()}, parts...)...) }

// Shared returns the absolute path of a file in ../shared. A test that needs one
// which is not there is skipped, and counted.
func Shared(t testing.TB, parts ...string) string {
	t.Helper()
	path := Root(append([]string{"..", "shared"}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs ../shared: " + filepath.Join(parts...))
	}
	return path
}

// Library is the ONNX Runtime that scripts/deps puts into place.
func Library(t testing.TB) string {
	t.Helper()
	path := Root(".deps", "lib", "libonnxruntime.so")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v (scripts/deps fetches it)", err)
	}
	return path
}

// Catalogued is a model as the catalogue has it, with its file of ../shared.
func Catalogued(t testing.TB, name string) models.Model {
	t.Helper()
	all := models.Catalog()
	i := slices.IndexFunc(all, func(m models.Manifest) bool { return m.Name == name })
	if i < 0 {
		t.Fatalf("the catalogue has no %s", name)
	}
	return models.Model{Manifest: all[i], Path: Shared(t, "models", all[i].Artefacts[0].File)}
}

// Pull fills a repository in dir with models of ../shared.
func Pull(t testing.TB, dir string, names ...string) *models.Repository {
	t.Helper()
	mirror := Shared(t, "models")
	r, err := models.OpenRepository(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := r.Pull(t.Context(), name, models.PullOptions{Mirror: mirror}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// engine is opened by the first test that asks: once, as ONNX Runtime demands.
var engine = sync.OnceValues(func() (*ort.Engine, error) {
	c := ort.DefaultConfig()
	c.Library = Root(".deps", "lib", "libonnxruntime.so")
	return ort.Open(c)
})

// Engine returns the engine, on the CPU.
func Engine(t testing.TB) *ort.Engine {
	t.Helper()
	Library(t)
	e, err := engine()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Load loads a model for one test.
func Load(t testing.TB, m models.Model) inference.Session {
	t.Helper()
	s, err := Engine(t).Load(context.WithoutCancel(t.Context()), m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Live counts the C objects of the engine, for Main.
func Live() int64 {
	e, err := engine()
	if err != nil {
		return 0 // the tests that need it have failed
	}
	return e.Live()
}

// Main is a TestMain that fails where C objects are left alive: what count counts.
func Main(m *testing.M, count ...func() int64) {
	code := m.Run()
	live := int64(0)
	for _, c := range count {
		live += c()
	}
	if live != 0 {
		fmt.Fprintf(os.Stderr, "%d C objects left alive\n", live)
		code = 1
	}
	os.Exit(code)
}
