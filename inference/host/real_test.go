package host_test

import (
	"context"
	"crypto/sha256"
	"math"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

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
// nothing: what comes out must be the same all the same. Where line is set a model is
// loaded when it is closed.
type batching struct {
	*models.Repository
	line chan struct{}
}

func (b batching) Holds(m models.Model) bool {
	if b.line != nil {
		<-b.line
	}
	return b.Repository.Holds(m)
}

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

// found is an answer as numbers.
type found struct {
	inference.Facts
	numbers []float64
}

// faces and mask ask m about s, and for all that it sees.
func faces(ctx context.Context, h *host.Host, m string, s inference.Subject) (found, error) {
	everything := 0.0
	f, err := h.Faces(ctx, inference.FacesRequest{Subject: s, Model: m, Threshold: &everything})
	var numbers []float64
	for _, face := range f.Faces {
		numbers = append(numbers, face.Score, face.Box.X, face.Box.Y, face.Box.W, face.Box.H)
	}
	return found{f.Facts, numbers}, err
}

func mask(ctx context.Context, h *host.Host, m string, s inference.Subject) (found, error) {
	f, err := h.Foreground(ctx, inference.ForegroundRequest{Subject: s, Model: m})
	numbers := make([]float64, len(f.Mask.Pix))
	for i, v := range f.Mask.Pix {
		numbers[i] = float64(v) / 255
	}
	return found{f.Facts, numbers}, err
}

// A picture's result in a batch equals its result alone, to 1e-5; of a mask in
// bytes that may be the difference between two of them.
func TestHost_GivesTheSameInABatchAsAlone(t *testing.T) {
	for _, c := range []struct {
		model  string
		ask    func(context.Context, *host.Host, string, inference.Subject) (found, error)
		within float64
	}{
		{"retinaface-mobilenet025", faces, 1e-5},
		{"yunet", faces, 1e-5},
		{"ultralight-320", faces, 1e-5},
		{"ultralight-640", faces, 1e-5},
		{"u2netp", mask, 1e-5 + 1.0/255},
		{"prisma-portrait", mask, 1e-5 + 1.0/255},
	} {
		t.Run(c.model, func(t *testing.T) {
			repo, subjects := batching{Repository: reference.Pull(t, t.TempDir(), c.model)}, photos(t, 10)
			if c.within > 1e-5 {
				subjects = subjects[:4] // a mask has a hundred thousand numbers
			}
			alone, together := make([]found, len(subjects)), make([]found, len(subjects))
			h := real(t, repo, 4<<30)
			for i, s := range subjects {
				var err error
				if alone[i], err = c.ask(t.Context(), h, c.model, s); err != nil {
					t.Fatal(err)
				}
			}
			shut(t, h)

			repo.line = make(chan struct{})
			h = real(t, repo, 4<<30) // with an empty cache
			defer shut(t, h)
			group, ctx := errgroup.WithContext(t.Context())
			for i, s := range subjects {
				group.Go(func() (err error) {
					together[i], err = c.ask(ctx, h, c.model, s)
					return err
				})
			}
			// Pictures take longer to decode than some models to run: none runs before
			// all wait, or on a busy machine nothing would be batched.
			inLine(ctx, t, h, len(subjects))
			close(repo.line)
			if err := group.Wait(); err != nil {
				t.Fatal(err)
			}
			largest := 0
			for i := range subjects {
				if together[i].How != inference.Run || alone[i].Batch != 1 {
					t.Fatalf("photo %d: %+v alone, %+v together", i, alone[i].Facts, together[i].Facts)
				}
				largest = max(largest, together[i].Batch)
				same(t, alone[i].numbers, together[i].numbers, c.within)
			}
			if largest < 2 {
				t.Error("nothing was batched")
			}
		})
	}
}

// inLine returns when so many items wait for models, or ctx ends.
func inLine(ctx context.Context, t *testing.T, h *host.Host, n int) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(h.Collectors()...)
	for wait := 0.0; wait < float64(n) && ctx.Err() == nil; {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		wait = 0
		for _, f := range families {
			if f.GetName() != "focal_inference_queue_length" {
				continue
			}
			for _, m := range f.GetMetric() {
				wait += m.GetGauge().GetValue()
			}
		}
	}
}

func same(t *testing.T, alone, together []float64, within float64) {
	t.Helper()
	if len(alone) != len(together) || len(alone) == 0 {
		t.Fatalf("%d numbers alone, %d in a batch", len(alone), len(together))
	}
	for i := range alone {
		if math.Abs(alone[i]-together[i]) > within {
			t.Fatalf("number %d is %v alone, %v in a batch", i, alone[i], together[i])
		}
	}
}

// The numbers behind a mask, which bytes would hide: what a model makes of one
// picture in a batch equals what it makes of it alone, to 1e-5.
func TestHost_GivesTheSameNumbersInABatchAsAlone(t *testing.T) {
	for name, side := range map[string]int64{"u2netp": 320, "prisma-portrait": 256} {
		t.Run(name, func(t *testing.T) {
			h := real(t, batching{Repository: reference.Pull(t, t.TempDir(), name)}, 4<<30)
			defer shut(t, h)
			const n = 3
			each := 3 * side * side
			all := models.Tensor{Shape: []int64{n, 3, side, side}, Data: make([]float32, n*each)}
			for i := range all.Data {
				all.Data[i] = float32(math.Sin(float64(i) * 0.37)) // other numbers in each picture
			}
			ask := func(in models.Tensor) inference.Tensors {
				got, err := h.Infer(t.Context(), inference.TensorsRequest{Model: name, Inputs: []models.Tensor{in}})
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			together := ask(all)
			if together.Batch < 2 {
				t.Errorf("ran in batches of %d", together.Batch)
			}
			for i := range int64(n) {
				one := ask(models.Tensor{Shape: []int64{1, 3, side, side}, Data: all.Data[i*each : (i+1)*each]})
				for o, out := range one.Outputs {
					part := together.Outputs[o].Data[i*int64(len(out.Data)):][:len(out.Data)]
					same(t, float64s(out.Data), float64s(part), 1e-5)
				}
			}
		})
	}
}

func float64s(all []float32) []float64 {
	wide := make([]float64, len(all))
	for i, v := range all {
		wide[i] = float64(v)
	}
	return wide
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
