package host

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/fake"
	"focal/models"
)

// changed is a model whose file has other bytes.
func changed(m models.Model) models.Model {
	m.File[31]++
	m.Version = "2"
	return m
}

func TestHost_ServesTheOldVersionUntilTheNewOneIsLoaded(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		h.faces(photo(1, 80))
		gate := fake.NewGate()
		h.engine.Set("detector", fake.Script{LoadGate: gate})
		h.shelf.put(nil, changed(detector), cutter)
		h.Refresh()
		gate.Came() // the new version loads
		if f := h.faces(photo(2, 80)); f.File != detector.File || f.How != inference.Run {
			t.Fatalf("answered by %v, %s: want a run of the old version", f.File, f.How)
		}
		gate.Open()
		synctest.Wait()
		if f := h.faces(photo(1, 80)); f.File != changed(detector).File || f.How != inference.Run {
			t.Fatalf("answered by %v, %s: want a run of the new version", f.File, f.How)
		}
		c := h.engine.Counts("detector")
		if c.Loads != 2 || c.Closes != 1 {
			t.Fatalf("%d loads, %d closes: want the old version closed", c.Loads, c.Closes)
		}
	})
}

func TestHost_KeepsTheOldVersionWhereTheNewOneIsBad(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		h.faces(photo(1, 80))
		h.engine.Set("detector", fake.Script{LoadErr: fault.New(fault.Corrupt, "fake.Load", "truncated file")})
		h.shelf.put(nil, changed(detector), cutter)
		h.Refresh()
		synctest.Wait()
		if f := h.faces(photo(2, 80)); f.File != detector.File {
			t.Fatalf("answered by %v", f.File)
		}
		h.shelf.put(errors.New("model detector: line 3"), cutter) // its manifest is being edited
		h.Refresh()
		if f := h.faces(photo(3, 80)); f.File != detector.File {
			t.Fatalf("answered by %v", f.File)
		}
	})
}

func TestHost_NoticesByItselfWhatHasStoppedChanging(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		h.faces(photo(1, 80))
		for range 3 { // it is being copied
			h.shelf.put(nil, changed(detector), cutter)
			time.Sleep(h.cfg.PollEvery) // virtual
			synctest.Wait()
			if f := h.faces(photo(1, 80)); f.How != inference.Hit {
				t.Fatal("a file was taken for a version while it changed")
			}
		}
		time.Sleep(h.cfg.PollEvery)
		synctest.Wait()
		if f := h.faces(photo(1, 80)); f.File != changed(detector).File {
			t.Fatal("a changed file was not noticed")
		}
	})
}

func TestHost_DrainsTheOldVersionFirstWhereBothDoNotFit(t *testing.T) {
	open(t, func(c *Config) { c.Budget = 150 }, func(t *testing.T, h *house) {
		for _, m := range []models.Model{detector, changed(detector)} {
			h.engine.Set("detector", fake.Script{Rest: 100})
			h.shelf.put(nil, m, cutter)
			h.Refresh()
			if f := h.faces(photo(1, 80)); f.File != m.File || h.engine.Used() != 100 {
				t.Fatalf("answered by %v with %d bytes held", f.File, h.engine.Used())
			}
		}
	})
}

func TestHost_ForgetsAModelThatHasGone(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		h.faces(photo(1, 80))
		h.shelf.put(nil, cutter)
		h.Refresh()
		_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(1, 80), Model: "detector"})
		expectKind(t, err, fault.Invalid, "not in the repository")
		synctest.Wait()
		if c := h.engine.Counts("detector"); c.Closes != 1 {
			t.Fatal("it is still loaded")
		}
	})
}

// The digest in an answer's key must be that of the bytes that ran.
func TestHost_LoadsNoFileThatIsNotTheOneItNames(t *testing.T) {
	open(t, func(c *Config) { c.PollEvery = 0 }, func(t *testing.T, h *house) {
		if _, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(1, 80)}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Faces(t.Context(), inference.FacesRequest{Subject: inference.Subject{Content: pixel.Digest{9}}}); !fault.Is(err, fault.NotFound) {
			t.Fatal(err) // now it is known by its digest
		}
		h.shelf.put(nil, changed(detector), cutter)
		_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(1, 80)})
		expectKind(t, err, fault.Unavailable, "has changed")
	})
}
