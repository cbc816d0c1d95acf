package reference

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"focal/bench/measure"
	"focal/core/pixel"
	"focal/models"
	"focal/models/vision"
)

// Whole says that a Sample is all.
const Whole = stride == 1

// Sample is what a test looks at of a set: all with the tag real, else one in
// eight.
func Sample[T any](all []T) []T {
	var some []T
	for i := 0; i < len(all); i += stride {
		some = append(some, all[i])
	}
	return some
}

// Look makes a picture as vision sees it, at most 1024 on its long side, and
// returns its size before that. The server's own look is made by libvips.
func Look(t testing.TB, path string) (pixel.Buffer, pixel.Size) {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(read(t, path)))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
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

func read(t testing.TB, path string) []byte {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// DecodeMask reads an 8-bit grey PNG, and no other.
func DecodeMask(file []byte) (pixel.Mask, error) {
	img, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		return pixel.Mask{}, err
	}
	grey, ok := img.(*image.Gray)
	if !ok || grey.Stride != grey.Rect.Dx() {
		return pixel.Mask{}, fmt.Errorf("the mask is a %T, want plain 8-bit grey", img)
	}
	return pixel.Mask{Width: grey.Rect.Dx(), Height: grey.Rect.Dy(), Pix: grey.Pix}, nil
}

// Pair is a picture whose mask was drawn by people.
type Pair struct {
	Stem         string
	Image, Truth string // paths
}

// IoU compares a mask of the picture's size with the truth.
func (p Pair) IoU(mask pixel.Mask) (float64, error) {
	file, err := os.ReadFile(p.Truth)
	if err != nil {
		return 0, err
	}
	truth, err := DecodeMask(file)
	if err != nil {
		return 0, err
	}
	c, err := measure.Count(mask, truth, measure.Threshold)
	return c.IoU(), err
}

// Pairs are those of humans or objects, by name; without soft_*, whose truth a
// network drew.
func Pairs(t testing.TB, set string) []Pair {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(Shared(t, "data", set, "images"), "*.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	var all []Pair
	for _, file := range files {
		if stem := strings.TrimSuffix(filepath.Base(file), ".jpg"); !strings.HasPrefix(stem, "soft_") {
			all = append(all, Pair{stem, file, Shared(t, "data", set, "masks", stem+".png")})
		}
	}
	return all
}

// Rows reads a table of ../shared/data/reference as maps by column.
func Rows(t testing.TB, name string) []map[string]string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(read(t, Shared(t, "data", "reference", name)))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for _, row := range rows[1:] {
		m := map[string]string{}
		for i, name := range rows[0] {
			m[name] = row[i]
		}
		all = append(all, m)
	}
	return all
}

// IoUs are what other code reached with a model and recipe R, by stem.
func IoUs(t testing.TB, set, model string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for _, row := range Rows(t, "foreground.csv") {
		if row["set"] == set && row["model"] == model && row["recipe"] == "R" {
			all[strings.TrimSuffix(row["image"], ".jpg")] = Number(t, row["iou"])
		}
	}
	return all
}

// Number reads one of a table.
func Number(t testing.TB, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Portrait is a picture with marked faces, in pixels.
type Portrait struct {
	File   string
	Image  string // path
	Size   pixel.Size
	Truth  []pixel.Box
	Ignore []pixel.Box
}

// Portraits are those of faces, in their order.
func Portraits(t testing.TB) []Portrait {
	t.Helper()
	var file struct {
		Images []struct {
			File          string
			Width, Height int
			Boxes, Ignore [][4]float64
		}
	}
	if err := json.Unmarshal(read(t, Shared(t, "data", "faces", "annotations.json")), &file); err != nil {
		t.Fatal(err)
	}
	var all []Portrait
	for _, i := range file.Images {
		all = append(all, Portrait{
			i.File, Shared(t, "data", "faces", "images", i.File), pixel.Size{Width: i.Width, Height: i.Height}, boxes(i.Boxes), boxes(i.Ignore),
		})
	}
	return all
}

func boxes(list [][4]float64) []pixel.Box {
	out := make([]pixel.Box, len(list))
	for i, b := range list {
		out[i] = pixel.Box{X: b[0], Y: b[1], W: b[2], H: b[3]}
	}
	return out
}

// Judged are the portrait's boxes with what was found, in fractions of it.
func (p Portrait) Judged(faces []pixel.Face) measure.Boxes {
	judged := measure.Boxes{Truth: p.Truth, Ignored: p.Ignore}
	w, h := float64(p.Size.Width), float64(p.Size.Height)
	for _, f := range faces {
		judged.Found = append(judged.Found, measure.Detection{Box: pixel.Box{X: f.Box.X * w, Y: f.Box.Y * h, W: f.Box.W * w, H: f.Box.H * h}, Score: f.Score})
	}
	return judged
}

// Detections are what other code found with a model at a long side, from a score
// of 0.5, by file.
func Detections(t testing.TB, model, longSide string) map[string][]measure.Detection {
	t.Helper()
	all := map[string][]measure.Detection{}
	for _, row := range Rows(t, "faces.csv") {
		if row["model"] != model || row["long_side"] != longSide {
			continue
		}
		for text := range strings.SplitSeq(row["boxes50"], ";") {
			if f := strings.Fields(text); len(f) == 5 {
				box := pixel.Box{X: Number(t, f[0]), Y: Number(t, f[1]), W: Number(t, f[2]), H: Number(t, f[3])}
				all[row["image"]] = append(all[row["image"]], measure.Detection{Box: box, Score: Number(t, f[4])})
			}
		}
	}
	return all
}

// Precision is the average precision at an overlap of 0.5 of what was found from
// a score upwards.
func Precision(all []measure.Boxes, from float64) float64 {
	var verdicts []measure.Verdict
	marked := 0
	for _, b := range all {
		found := b.Found
		b.Found = nil
		for _, d := range found {
			if d.Score >= from {
				b.Found = append(b.Found, d)
			}
		}
		v, n := measure.Judge(b, 0.5, measure.AllSizes)
		verdicts, marked = append(verdicts, v...), marked+n
	}
	return measure.AveragePrecision(verdicts, marked)
}

// AllInside reports whether the centre of every marked face is in the smallest
// box round all that were found from a score upwards
// (shared/data/reference/README.md).
func AllInside(b measure.Boxes, from float64) bool {
	var left, top, right, bottom float64
	any := false
	for _, d := range b.Found {
		if d.Score < from {
			continue
		}
		x, y := d.Box.X+d.Box.W, d.Box.Y+d.Box.H
		if !any {
			left, top, right, bottom, any = d.Box.X, d.Box.Y, x, y, true
		}
		left, top, right, bottom = min(left, d.Box.X), min(top, d.Box.Y), max(right, x), max(bottom, y)
	}
	return any && measure.CentresInside(pixel.Box{X: left, Y: top, W: right - left, H: bottom - top}, b.Truth) == 1
}

// Hills is the output of a model that sees some subjects with soft edges.
func Hills(r models.Recipe) models.Tensor {
	out := models.Tensor{Shape: []int64{1, 1, int64(r.Height), int64(r.Width)}}
	for y := range r.Height {
		for x := range r.Width {
			v := 12 * math.Sin(float64(7*x)/float64(r.Width)) * math.Sin(float64(9*y)/float64(r.Height))
			if !r.Sigmoid {
				v = 1 / (1 + math.Exp(-v))
			}
			out.Data = append(out.Data, float32(v))
		}
	}
	return out
}
