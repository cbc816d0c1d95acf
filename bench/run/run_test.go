package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"maps"

	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"focal/bench/dataset"
	"focal/bench/reference"
	"focal/bench/report"
	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/core/vips"
	"focal/models"
	"focal/models/vision"
	"focal/server/app"
)

func TestMain(m *testing.M) {
	if err := vips.Open(vips.DefaultConfig()); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := closeHouse(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if vips.Live() != 0 || vision.Live() != 0 {
		fmt.Fprintf(os.Stderr, "%d pictures and %d matrices left alive\n", vips.Live(), vision.Live())
		code = 1
	}
	os.Exit(code)
}

// pairs writes a set of n pictures whose masks are their left halves.
func pairs(t *testing.T, n int) *dataset.Pairs {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "set")
	for i := range n {
		picture, mask := image.NewGray(image.Rect(0, 0, 8, 8)), image.NewGray(image.Rect(0, 0, 8, 8))
		for j := range mask.Pix {
			picture.Pix[j] = byte(10*i + j)
			if j%8 < 4 {
				mask.Pix[j] = 255
			}
		}
		for folder, img := range map[string]image.Image{"images": picture, "masks": mask} {
			write(t, filepath.Join(dir, folder, fmt.Sprintf("p%d.png", i)), pngOf(t, img))
		}
	}
	s, err := dataset.OpenPairs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pngOf(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// painter finds everything to be foreground, and fails on one picture.
type painter struct {
	bad   string
	asked map[string]int
}

func (p *painter) Describe() report.Model { return report.Model{Model: "painter", Engine: "test"} }
func (p *painter) Origin() Origin         { return Origin{[]string{"SET"}, []string{"other"}} }
func (p *painter) Memory(context.Context) Memory {
	return Memory{Resident: 7, Booked: 5, Device: int64(len(p.asked))}
}
func (p *painter) Segment(_ context.Context, s Source) (Cut, error) {
	name := filepath.Base(s.Path)
	p.asked[name]++
	if name == p.bad {
		return Cut{}, errors.New("no paint")
	}
	m := pixel.Mask{Width: 8, Height: 8, Pix: bytes.Repeat([]byte{255}, 64)}
	return Cut{Mask: m, PNG: []byte("mask"), Times: report.Times{Total: 2}}, nil
}

type silent struct{}

func (silent) Add(int) error { return nil }
func (silent) Finish() error { return nil }

func options(t *testing.T, out string) Options {
	t.Helper()
	return Options{Out: out, Threshold: 128, Seed: 1, Clients: 1, Timeout: time.Minute, Progress: func(string, int) Progress { return silent{} }}
}

func journal(t *testing.T, out string) *Journal {
	t.Helper()
	j, err := OpenJournal(filepath.Join(out, "journal.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func TestSegment_CountsFailuresAndGoesOnWhereItStopped(t *testing.T) {
	set, out := pairs(t, 4), t.TempDir()
	p := &painter{bad: "p2.png", asked: map[string]int{}}
	m, pictures, d, err := Segment(t.Context(), p, set, journal(t, out), options(t, out))
	if err != nil || len(pictures) != 4 || d.Measured != 4 || d.LeftOut != 0 || m.PeakRSS != 7 || m.ModelBytes != 5 || m.PeakDevice != 4 {
		t.Fatalf("%+v, %d, %+v, %v", m, len(pictures), d, err)
	}
	if len(m.Leak) != 1 { // it was trained on SET, and this is set
		t.Errorf("leak %v", m.Leak)
	}
	rows := report.Segments(m, pictures, 128, 1)
	if rows[0].Failed != 1 || rows[0].Images != 3 || rows[0].IoU.Mean != 0.5 || rows[0].Accuracy.Mean != 0.5 {
		t.Errorf("row %+v", rows[0])
	}
	if p.asked["p0.png"] != 2 || p.asked["p1.png"] != 1 { // the first is also the cold one
		t.Errorf("asked %v", p.asked)
	}
	// A run broken off: the last line is half there.
	path := filepath.Join(out, "journal.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	write(t, path, []byte(strings.Join(lines[:2], "")+lines[3][:40]))
	p = &painter{asked: map[string]int{}}
	_, pictures, _, err = Segment(t.Context(), p, set, journal(t, out), options(t, out))
	if err != nil || len(pictures) != 4 || p.asked["p0.png"]+p.asked["p1.png"] != 0 || p.asked["p3.png"] == 0 {
		t.Errorf("%d pictures, asked %v, %v", len(pictures), p.asked, err)
	}
	if j := journal(t, out); len(j.pictures) != 4 {
		t.Errorf("the journal holds %d pictures", len(j.pictures))
	}
}

// What is wrong with files is in no mean, is named by file, and counted.
func TestSegment_NamesAndCountsBadFiles(t *testing.T) {
	set, out := pairs(t, 3), t.TempDir()
	write(t, filepath.Join(set.Dir, "images", "alone.png"), pngOf(t, image.NewGray(image.Rect(0, 0, 8, 8))))
	write(t, filepath.Join(set.Dir, "masks", "p1.png"), pngOf(t, image.NewGray(image.Rect(0, 0, 9, 8))))
	write(t, filepath.Join(set.Dir, "images", "p2.png"), []byte("no picture"))
	set, err := dataset.OpenPairs(set.Dir)
	if err != nil {
		t.Fatal(err)
	}
	m, pictures, d, err := Segment(t.Context(), &painter{asked: map[string]int{}}, set, journal(t, out), options(t, out))
	if err != nil || len(pictures) != 1 || d.Pictures != 3 || d.Measured != 1 || d.LeftOut != 3 {
		t.Fatalf("%d pictures, %+v, %v", len(pictures), d, err)
	}
	if want := map[dataset.Kind]int{dataset.Unpaired: 1, dataset.SizesDiffer: 1, dataset.Unreadable: 1}; !maps.Equal(d.Counts, want) {
		t.Errorf("counted %v, want %v", d.Counts, want)
	}
	if rows := report.Segments(m, pictures, 128, 1); rows[0].Images != 1 || rows[0].Failed != 0 || rows[0].IoU.Mean != 0.5 {
		t.Errorf("row %+v", rows[0])
	}
	r := report.Results{Datasets: []report.Dataset{d}}
	if w := strings.Join(r.Warnings(), "\n"); !strings.Contains(w, "1 size, 1 unpaired, 1 unreadable") || !strings.Contains(w, "3 were left out") {
		t.Errorf("warned of %q", w)
	}
}

func TestDraw_TakesTheSamePicturesForOneSeed(t *testing.T) {
	items := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	a, b, c := draw(items, 4, 1), draw(items, 4, 1), draw(items, 4, 2)
	if fmt.Sprint(a) != fmt.Sprint(b) || fmt.Sprint(a) == fmt.Sprint(c) || len(a) != 4 || a[0] >= a[1] {
		t.Errorf("%v, %v, %v", a, b, c)
	}
	if len(draw(items, 0, 1)) != 10 || len(draw(items, 99, 1)) != 10 {
		t.Error("no limit")
	}
}

// house has the models u2netp and yunet; ONNX Runtime opens once per process.
var house = sync.OnceValues(func() (*House, error) {
	dir, err := os.MkdirTemp("", "focal-run-test-")
	if err != nil {
		return nil, err
	}
	repository, err := models.OpenRepository(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"u2netp", "yunet"} {
		if _, err := repository.Pull(context.Background(), name, models.PullOptions{Mirror: filepath.Join("..", "..", "..", "shared", "models")}); err != nil {
			return nil, err
		}
	}
	c := app.DefaultInferenceConfig()
	c.Models, c.Device, c.Library = dir, "cpu", filepath.Join("..", "..", ".deps", "lib", "libonnxruntime.so")
	return Open(c, pipeline.DefaultConfig())
})

// closeHouse closes it where a test has opened it.
func closeHouse() error {
	h, err := house()
	if err != nil {
		return nil // no test had it
	}
	return errors.Join(h.Close(context.Background()), os.RemoveAll(h.inference.Repository.Dir()))
}

func open(t *testing.T) *House {
	t.Helper()
	reference.Shared(t, "models")
	h, err := house()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// The real model on real pictures: per-picture IoU of recipe R from
// shared/data/reference/foreground.csv. Other kernels move one picture in ten by
// more than 0.017.
func TestHouse_MeasuresTheReferencePictures(t *testing.T) {
	h := open(t)
	expectMask(t, h, "ccp_0031", 0.9)
	expectFaces(t, h)
	rates, err := h.Batches(t.Context(), "yunet", []int{1, 2}, reference.Shared(t, "data", "faces", "images", "facemask_000.jpg"))
	if err != nil || len(rates) != 2 || rates[1].Images <= 0 {
		t.Errorf("rates %v, %v", rates, err)
	}
}

func expectMask(t *testing.T, h *House, stem string, least float64) {
	t.Helper()
	set, err := dataset.OpenPairs(reference.Shared(t, "data", "humans"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range set.Pairs {
		if p.Stem == stem {
			set.Pairs = []dataset.Pair{p}
		}
	}
	s, err := h.Segmenter("u2netp")
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	m, pictures, _, err := Segment(t.Context(), s, set, journal(t, out), options(t, out))
	if err != nil || len(pictures) != 1 || pictures[0].Error != "" {
		t.Fatalf("%+v, %v", pictures, err)
	}
	p := pictures[0]
	counts := p.Counts(128)
	if counts.IoU() < least || m.Provider != "cpu" || m.Cold <= 0 || m.ModelBytes <= 0 {
		t.Errorf("IoU %v, %+v", counts.IoU(), m)
	}
	parts := p.Times.Decode + p.Times.Pre + p.Times.Queue + p.Times.Run + p.Times.Post + p.Times.Encode
	if d := p.Times.Total - parts; d < -0.1 || d > 0.1 {
		t.Errorf("the parts come to %v ms of %v", parts, p.Times.Total)
	}
	if _, err := os.Stat(filepath.Join(out, p.Mask)); err != nil {
		t.Error(err)
	}
	if _, err := h.Segmenter("yunet"); err == nil {
		t.Error("a face model makes masks")
	}
}

func expectFaces(t *testing.T, h *House) {
	t.Helper()
	set, err := dataset.OpenFaces(reference.Shared(t, "data", "faces"))
	if err != nil {
		t.Fatal(err)
	}
	set.Portraits = set.Portraits[:3]
	d, err := h.Finder("yunet")
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	m, portraits, _, err := Faces(t.Context(), d, set, journal(t, out), options(t, out))
	if err != nil {
		t.Fatal(err)
	}
	rows := report.FacesRows(m, portraits, d.Threshold(), d.Threshold(), 1)
	if rows[0].Images != 3 || rows[0].AP50 < 0.8 || len(m.Leak) != 0 {
		t.Errorf("%+v", rows[0])
	}
}
