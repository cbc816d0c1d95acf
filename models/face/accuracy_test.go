package face_test

import (
	"encoding/json"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"focal/core/pixel"
	"focal/inference"
	"focal/inference/ort"
	"focal/models"
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

// TestDetectors_ReachTheReferencePrecision holds preparation, canvases and
// decoding to shared/data/reference/README.md: AP@0.5 at a long side of 1024,
// where the pictures were resized with Lanczos and RetinaFace's not padded.
func TestDetectors_ReachTheReferencePrecision(t *testing.T) {
	detectors := []*trial{
		begin(t, "retinaface-mobilenet025", 0.8809),
		begin(t, "yunet", 0.9052),
		begin(t, "ultralight-640", 0.8768),
	}
	marked := 0
	for _, truth := range annotations(t) {
		look, size := look(t, shared(t, "data", "faces", "images", truth.File))
		for _, d := range detectors {
			d.found = append(d.found, judge(d.faces(t, look), size, truth)...)
		}
		marked += len(truth.Boxes)
	}
	for _, d := range detectors {
		got := averagePrecision(d.found, marked)
		t.Logf("%s: AP@0.5 %.4f, reference %.4f (%s)", d.name, got, d.want, vision.Backend())
		if got < d.want-0.01 || got > d.want+0.01 {
			t.Errorf("%s: AP@0.5 is %.4f, want %.4f ± 0.01", d.name, got, d.want)
		}
	}
}

// trial is one detector on its way through the pictures.
type trial struct {
	name    string
	want    float64
	adapter models.Adapter[[]pixel.Face]
	session inference.Session
	found   []detection
}

// begin takes a model as the catalogue has it.
func begin(t *testing.T, name string, want float64) *trial {
	t.Helper()
	all := models.Catalog()
	m := all[slices.IndexFunc(all, func(m models.Manifest) bool { return m.Name == name })]
	return &trial{name: name, want: want, adapter: adapter(t, m), session: load(t, m, shared(t, "models", m.Artefacts[0].File))}
}

func (d *trial) faces(t *testing.T, look pixel.Buffer) []pixel.Face {
	t.Helper()
	prepared, err := d.adapter.Prepare(look)
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.session.Run(t.Context(), []models.Tensor{prepared.Tensor})
	if err != nil {
		t.Fatal(err)
	}
	faces, err := d.adapter.Decode(prepared, out)
	if err != nil {
		t.Fatal(err)
	}
	return faces
}

func load(t *testing.T, m models.Manifest, path string) inference.Session {
	t.Helper()
	e, err := engine()
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Load(t.Context(), models.Model{Manifest: m, Path: path})
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

type marks struct {
	File   string
	Boxes  [][4]float64
	Ignore [][4]float64
}

func annotations(t *testing.T) []marks {
	t.Helper()
	data, err := os.ReadFile(shared(t, "data", "faces", "annotations.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Images []marks }
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all.Images
}

// look makes a picture as vision sees it, at most 1024 on its long side, and
// returns its size before that.
func look(t *testing.T, path string) (pixel.Buffer, pixel.Size) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := jpeg.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	full := rgb(img)
	size := full.Size()
	if long := max(size.Width, size.Height); long > pixel.LookSide {
		to := pixel.Size{Width: (size.Width*pixel.LookSide + long/2) / long, Height: (size.Height*pixel.LookSide + long/2) / long}
		if full, err = vision.Resize(full, to, vision.Area); err != nil {
			t.Fatal(err)
		}
	}
	return full, size
}

func rgb(img image.Image) pixel.Buffer {
	rgba := image.NewRGBA(image.Rectangle{Max: img.Bounds().Size()})
	draw.Draw(rgba, rgba.Rect, img, img.Bounds().Min, draw.Src)
	out := pixel.Buffer{Width: rgba.Rect.Dx(), Height: rgba.Rect.Dy(), Channels: 3}
	for p := range slices.Chunk(rgba.Pix, 4) {
		out.Pix = append(out.Pix, p[:3]...)
	}
	return out
}

type detection struct {
	score float64
	hit   bool
}

// judge matches faces, best first, each with the free true box of the largest
// IoU if that is at least 0.5; what meets only an ignored box is left out
// (shared/data/reference/README.md, step 5).
func judge(faces []pixel.Face, size pixel.Size, truth marks) []detection {
	boxes := func(list [][4]float64) []pixel.Box {
		out := make([]pixel.Box, len(list))
		for i, b := range list {
			w, h := float64(size.Width), float64(size.Height)
			out[i] = pixel.Box{X: b[0] / w, Y: b[1] / h, W: b[2] / w, H: b[3] / h}
		}
		return out
	}
	free, ignored := boxes(truth.Boxes), boxes(truth.Ignore)
	var out []detection
	for _, f := range faces {
		best, at := 0.0, -1
		for i, b := range free {
			if iou := vision.IoU(f.Box, b); iou > best {
				best, at = iou, i
			}
		}
		switch {
		case best >= 0.5:
			free = slices.Delete(free, at, at+1)
			out = append(out, detection{f.Score, true})
		case !slices.ContainsFunc(ignored, func(b pixel.Box) bool { return vision.IoU(f.Box, b) >= 0.5 }):
			out = append(out, detection{f.Score, false})
		}
	}
	return out
}

// averagePrecision is the area under the precision envelope at every step of
// recall.
func averagePrecision(all []detection, marked int) float64 {
	slices.SortStableFunc(all, func(a, b detection) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	var precision []float64 // at each hit
	hits := 0
	for i, d := range all {
		if d.hit {
			hits++
			precision = append(precision, float64(hits)/float64(i+1))
		}
	}
	area, envelope := 0.0, 0.0
	for _, p := range slices.Backward(precision) {
		envelope = max(envelope, p)
		area += envelope
	}
	return area / float64(marked)
}

func TestAveragePrecision_MatchesHandCalculation(t *testing.T) {
	// Hit, miss, hit, of four marked: (1 + 2/3) / 4.
	got := averagePrecision([]detection{{0.5, true}, {0.9, true}, {0.7, false}}, 4)
	if want := (1 + 2.0/3) / 4; got-want > 1e-12 || want-got > 1e-12 {
		t.Errorf("got %v, want %v", got, want)
	}
}
