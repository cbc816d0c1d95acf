package foreground_test

import (
	"bytes"
	"encoding/csv"
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

// One picture takes most of a second, so the test looks at every eighth, and
// holds their mean to that of the same pictures in
// shared/data/reference/foreground.csv. That was made with Lanczos both ways;
// area and linear move the mean over a set by 0.003 to 0.008, a single hard
// picture by up to 0.49.
const stride = 8

func TestU2NetP_ReachesTheReferenceIoU_OnEveryEighthPicture(t *testing.T) {
	expectIoU(t, "u2netp", "u2netp", "humans", "objects")
}

// It was made for people and is held to them.
func TestPrismaPortrait_ReachesTheReferenceIoU_OnEveryEighthPicture(t *testing.T) {
	expectIoU(t, "prisma-portrait", "prisma_portrait", "humans")
}

// Without the guard the stretch would make a subject of the network's noise.
func TestU2NetP_FindsNothingInABlankPicture(t *testing.T) {
	segmenter := adapter(t, manifest())
	session := load(t, manifest(), shared(t, "models", "u2netp.onnx"))
	blank := pixel.Buffer{Width: 64, Height: 48, Channels: 3, Pix: bytes.Repeat([]byte{128}, 64*48*3)}
	prepared, err := segmenter.Prepare(blank)
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.Run(t.Context(), []models.Tensor{prepared.Tensor})
	if err != nil {
		t.Fatal(err)
	}
	mask, err := segmenter.Decode(prepared, out)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Max(mask.Pix) != 0 || mask.Size() != (pixel.Size{Width: 320, Height: 320}) {
		t.Errorf("a mask of %v up to %d", mask.Size(), slices.Max(mask.Pix))
	}
}

// expectIoU holds a model of the catalogue to the reference called name.
func expectIoU(t *testing.T, model, name string, sets ...string) {
	t.Helper()
	const tolerance = 0.03
	all := models.Catalog()
	m := all[slices.IndexFunc(all, func(m models.Manifest) bool { return m.Name == model })]
	segmenter := adapter(t, m)
	session := load(t, m, shared(t, "models", m.Artefacts[0].File))
	for _, set := range sets {
		var got, want float64
		n := 0
		for i, r := range reference(t, set, name) {
			if i%stride != 0 {
				continue
			}
			look, size := look(t, shared(t, "data", set, "images", r.image))
			prepared, err := segmenter.Prepare(look)
			if err != nil {
				t.Fatal(err)
			}
			out, err := session.Run(t.Context(), []models.Tensor{prepared.Tensor})
			if err != nil {
				t.Fatal(err)
			}
			mask, err := segmenter.Decode(prepared, out)
			if err != nil {
				t.Fatal(err)
			}
			if mask, err = vision.ResizeMask(mask, size, vision.Linear); err != nil {
				t.Fatal(err)
			}
			iou := maskIoU(mask, truth(t, shared(t, "data", set, "masks", strings.TrimSuffix(r.image, ".jpg")+".png")))
			got, want, n = got+iou, want+r.iou, n+1
		}
		if n == 0 {
			t.Fatalf("no reference for %s on %s", name, set)
		}
		got, want = got/float64(n), want/float64(n)
		t.Logf("%s on %d %s: mean IoU %.4f, reference %.4f (%s)", name, n, set, got, want, vision.Backend())
		if math.Abs(got-want) > tolerance {
			t.Errorf("mean IoU on %s is %.4f, want %.4f ± %v", set, got, want, tolerance)
		}
	}
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

type result struct {
	image string
	iou   float64
}

// reference returns the results of recipe R on the pictures whose masks were
// drawn by people.
func reference(t *testing.T, set, model string) []result {
	t.Helper()
	f, err := os.Open(shared(t, "data", "reference", "foreground.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	var all []result
	for _, row := range rows[1:] {
		at := func(name string) string { return row[column[name]] }
		if at("set") != set || at("model") != model || at("recipe") != "R" || strings.HasPrefix(at("image"), "soft_") {
			continue
		}
		iou, err := strconv.ParseFloat(at("iou"), 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, result{at("image"), iou})
	}
	return all
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

func truth(t *testing.T, path string) pixel.Mask {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	grey, ok := img.(*image.Gray)
	if !ok || grey.Stride != grey.Rect.Dx() {
		t.Fatalf("%s is a %T", path, img)
	}
	return pixel.Mask{Width: grey.Rect.Dx(), Height: grey.Rect.Dy(), Pix: grey.Pix}
}

// maskIoU compares what is 128 and above.
func maskIoU(a, b pixel.Mask) float64 {
	both, either := 0, 0
	for i := range a.Pix {
		switch x, y := a.Pix[i] >= 128, b.Pix[i] >= 128; {
		case x && y:
			both++
			either++
		case x || y:
			either++
		}
	}
	if either == 0 {
		return 1
	}
	return float64(both) / float64(either)
}
