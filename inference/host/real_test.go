package host_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"focal/core/pixel"
	"focal/inference"
	"focal/inference/host"
	"focal/inference/ort"
	"focal/models"
	"focal/models/face"
	"focal/models/foreground"
	"focal/models/vision"
)

var root = filepath.Join("..", "..")

// engine opens ONNX Runtime for the first test that asks: once, as it demands.
var engine = sync.OnceValues(func() (*ort.Engine, error) {
	c := ort.DefaultConfig()
	c.Library = filepath.Join(root, ".deps", "lib", "libonnxruntime.so")
	e, err := ort.Open(c)
	if err != nil {
		return nil, fmt.Errorf("%w (scripts/deps fetches it)", err)
	}
	return e, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	live := vision.Live()
	if e, err := engine(); err == nil {
		live += e.Live()
	}
	if live != 0 {
		fmt.Fprintf(os.Stderr, "%d C objects left alive\n", live)
		code = 1
	}
	os.Exit(code)
}

func shared(t *testing.T, parts ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{root, "..", "shared"}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs ../shared: " + filepath.Join(parts...))
	}
	return path
}

// repository holds the two models of the house.
func repository(t *testing.T) *models.Repository {
	t.Helper()
	mirror := shared(t, "models")
	r, err := models.OpenRepository(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"retinaface-mobilenet025", "u2netp"} {
		if _, err := r.Pull(t.Context(), name, models.PullOptions{Mirror: mirror}); err != nil {
			t.Fatal(err)
		}
	}
	return r
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
	e, err := engine()
	if err != nil {
		t.Fatal(err)
	}
	c := host.DefaultConfig()
	c.Budget, c.Slots = budget, 1
	c.Adapters = host.Adapters{Face: face.New, Foreground: foreground.New}
	h, err := host.New(c, e, r)
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
	files, err := filepath.Glob(filepath.Join(shared(t, "data", "faces", "images"), "*.jpg"))
	if err != nil || len(files) < n {
		t.Fatalf("%d photographs, want %d: %v", len(files), n, err)
	}
	var subjects []inference.Subject
	for _, file := range files[:n] {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		subjects = append(subjects, inference.Subject{
			Content: sha256.Sum256(data),
			Look:    func(context.Context) (pixel.Buffer, error) { return look(file) },
		})
	}
	return subjects
}

func look(file string) (pixel.Buffer, error) {
	f, err := os.Open(file)
	if err != nil {
		return pixel.Buffer{}, err
	}
	defer f.Close()
	img, err := jpeg.Decode(f)
	if err != nil {
		return pixel.Buffer{}, err
	}
	rgba := image.NewRGBA(image.Rectangle{Max: img.Bounds().Size()})
	draw.Draw(rgba, rgba.Rect, img, img.Bounds().Min, draw.Src)
	full := pixel.Buffer{Width: rgba.Rect.Dx(), Height: rgba.Rect.Dy(), Channels: 3}
	for p := range slices.Chunk(rgba.Pix, 4) {
		full.Pix = append(full.Pix, p[:3]...)
	}
	long := max(full.Width, full.Height)
	if long <= pixel.LookSide {
		return full, nil
	}
	to := pixel.Size{Width: full.Width * pixel.LookSide / long, Height: full.Height * pixel.LookSide / long}
	return vision.Resize(full, to, vision.Area)
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
