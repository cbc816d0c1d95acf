package host_test

import (
	"context"
	"crypto/sha256"
	"math"
	"sync"
	"testing"

	"focal/bench/reference"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/host"
	"focal/models"
	"focal/models/face"
	"focal/models/foreground"
	"focal/models/vision"
)

func TestMain(m *testing.M) { reference.Main(m, reference.Live, vision.Live) }

// repository holds the two models of the house.
func repository(t *testing.T) *models.Repository {
	t.Helper()
	return reference.Pull(t, t.TempDir(), "retinaface-mobilenet025", "u2netp")
}

// batching is a repository whose models batch on the CPU too, where it gains
// nothing: what comes out must be the same all the same.
type batching struct{ *models.Repository }

func (b batching) Models() ([]models.Model, error) {
	all, err := b.Repository.Models()
	for i := range all {
		all[i].MaxBatchCPU = all[i].MaxBatch
	}
	return all, err
}

func real(t *testing.T, r host.Repository, budget int64) *host.Host {
	t.Helper()
	c := host.DefaultConfig()
	c.Budget, c.Slots = budget, 1
	c.Adapters = host.Adapters{Face: face.New, Foreground: foreground.New}
	h, err := host.New(c, reference.Engine(t), r)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func shut(t *testing.T, h *host.Host) {
	t.Helper()
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// photos reads the first n photographs with faces.
func photos(t *testing.T, n int) []inference.Subject {
	t.Helper()
	var subjects []inference.Subject
	for _, p := range reference.Portraits(t)[:n] {
		subjects = append(subjects, inference.Subject{
			Content: sha256.Sum256([]byte(p.File)),
			Look: func(context.Context) (pixel.Buffer, error) {
				look, _ := reference.Look(t, p.Image)
				return look, nil
			},
		})
	}
	return subjects
}

// A picture's result in a batch equals its result alone, to 1e-5.
func TestHost_GivesTheSameFacesInABatchAsAlone(t *testing.T) {
	repo, subjects := batching{repository(t)}, photos(t, 10)
	everything := 0.0
	ask := func(h *host.Host, s inference.Subject) (inference.Faces, error) {
		return h.Faces(t.Context(), inference.FacesRequest{Subject: s, Threshold: &everything})
	}
	alone := make([]inference.Faces, len(subjects))
	h := real(t, repo, 2<<30)
	for i, s := range subjects {
		var err error
		if alone[i], err = ask(h, s); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, h)

	h = real(t, repo, 2<<30) // with an empty cache
	defer shut(t, h)
	together, errs := make([]inference.Faces, len(subjects)), make([]error, len(subjects))
	var wg sync.WaitGroup
	for i, s := range subjects {
		wg.Go(func() { together[i], errs[i] = ask(h, s) })
	}
	wg.Wait()
	largest := 0
	for i := range subjects {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if together[i].How != inference.Run || alone[i].Batch != 1 {
			t.Fatalf("photo %d: %+v alone, %+v together", i, alone[i].Facts, together[i].Facts)
		}
		largest = max(largest, together[i].Batch)
		same(t, alone[i].Faces, together[i].Faces)
	}
	if largest < 2 {
		t.Error("nothing was batched")
	}
}

func same(t *testing.T, a, b []pixel.Face) {
	t.Helper()
	if len(a) != len(b) || len(a) == 0 {
		t.Fatalf("%d faces alone, %d in a batch", len(a), len(b))
	}
	for i := range a {
		p, q := a[i].Box, b[i].Box
		for _, d := range []float64{a[i].Score - b[i].Score, p.X - q.X, p.Y - q.Y, p.W - q.W, p.H - q.H} {
			if math.Abs(d) > 1e-5 {
				t.Fatalf("face %d: %+v alone, %+v in a batch", i, a[i], b[i])
			}
		}
	}
}

// declared gives every model the same declared memory.
type declared struct {
	*models.Repository
	memory models.Memory
}

func (d declared) Models() ([]models.Model, error) {
	all, err := d.Repository.Models()
	for i := range all {
		all[i].Memory = d.memory
	}
	return all, err
}

// A budget for one model as declared: the first leaves for the second, and
// comes back.
func TestHost_SwapsRealModelsInATightBudget(t *testing.T) {
	repo := declared{repository(t), models.Memory{Rest: 100 << 20, Run: 160 << 20}}
	h := real(t, repo, 261<<20)
	defer shut(t, h)
	subjects := photos(t, 2)
	for i, s := range subjects {
		if f, err := h.Faces(t.Context(), inference.FacesRequest{Subject: s}); err != nil || len(f.Faces) == 0 {
			t.Fatalf("%d faces, %v", len(f.Faces), err)
		}
		if i > 0 {
			break
		}
		m, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: s})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Mask.Validate(); err != nil {
			t.Fatal(err)
		}
		for _, m := range h.Status(t.Context()).Models {
			if resident := m.State == "resident"; resident != (m.Task == models.TaskForeground) {
				t.Fatalf("%s is %s", m.Name, m.State)
			}
		}
	}
}
