package app

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	_ "image/jpeg"
	"image/png"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"focal/bench/reference"
	"focal/core/vips"
	"focal/inference"
	"focal/models"
)

// A bare machine: no model in the folder, and nothing outside answers. The
// models of the program do what they can, and every answer names them.
func TestBareMachine_AnswersWithTheModelsOfTheProgram(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1") // refuses everything; the sidecar inherits it
	}
	h := open(t, modelsConfig(t), nil)
	h.put(t, "photos/couple-beach.jpg", "photos/portrait-smile.jpg")

	status, ready := h.ready(t)
	if status != http.StatusOK || ready.Inference.State != inference.StateReady {
		t.Fatalf("/readyz: %d, %+v", status, ready)
	}
	// What `focal models pull` gets when it names nothing.
	wanted := map[models.Task]string{models.TaskFace: "retinaface-mobilenet025", models.TaskForeground: "u2netp"}
	for _, m := range models.Builtin() {
		if !slices.ContainsFunc(ready.Inference.Models, func(s inference.ModelStatus) bool {
			return s.Name == m.Name && s.Default && s.SHA256 == m.File.String() && s.Instead == wanted[m.Task]
		}) {
			t.Errorf("/readyz does not name %s as a default instead of %s: %+v", m.Name, wanted[m.Task], ready.Inference.Models)
		}
		if !slices.Contains(ready.Inference.Missing, wanted[m.Task]) {
			t.Errorf("/readyz does not miss %s: %v", wanted[m.Task], ready.Inference.Missing)
		}
	}

	d, f := h.describe(t, "gravity=face", "couple-beach.jpg")
	if got := f.header.Get("Focal-Inference"); !strings.Contains(got, "face; model=builtin-face; provider=cpu; result=run; count=2") || len(d.Faces) != 2 {
		t.Errorf("Focal-Inference is %q, the faces %v; a person sees two", got, d.Faces)
	}

	a, m := h.picture(t, "segment=foreground,background=white,format=png", "portrait-smile.jpg")
	if got := a.header.Get("Focal-Inference"); !strings.Contains(got, "foreground; model=builtin-foreground; provider=cpu; result=run") {
		t.Errorf("Focal-Inference is %q", got)
	}
	if w := whiteness(m, m.Bounds()); w < 0.1 || w > 0.9 {
		t.Errorf("%.0f %% of the cut-out are white", 100*w)
	}
}

// A person in grey, half transparent or in a strip of 1:20 is still one person,
// or at least an answer.
func TestBareMachine_SeesAPersonInStrangePictures(t *testing.T) {
	photo, _, err := image.Decode(bytes.NewReader(read(t, reference.Shared(t, "data", "samples", "photos", "portrait-smile.jpg"))))
	if err != nil {
		t.Fatal(err)
	}
	size := photo.Bounds()
	grey, veiled := image.NewGray(size), image.NewNRGBA(size)
	draw.Draw(grey, size, photo, size.Min, draw.Src)
	draw.DrawMask(veiled, size, photo, size.Min, image.NewUniform(color.Alpha{A: 200}), image.Point{}, draw.Src)
	strip := image.NewGray(image.Rect(0, 0, size.Dx(), size.Dx()/20))
	draw.Draw(strip, strip.Bounds(), photo, image.Pt(0, size.Dy()/2), draw.Src)
	h := open(t, modelsConfig(t), nil)
	for name, c := range map[string]struct {
		picture image.Image
		persons int
	}{"grey.png": {grey, 1}, "veiled.png": {veiled, 1}, "strip.png": {strip, 0}} {
		h.write(t, name, pngOf(t, c.picture))
		d, _ := h.describe(t, "gravity=face,segment=foreground", name)
		if len(d.Faces) < c.persons || len(d.Faces) > 1 {
			t.Errorf("%s: faces at %v", name, d.Faces)
		}
		if c.persons > 0 && d.Foreground.Coverage < 0.1 {
			t.Errorf("%s: the foreground is %+v", name, d.Foreground)
		}
	}
}

func pngOf(t *testing.T, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// strange are pictures that no training set has: each a PNG.
func strange(t *testing.T) map[string][]byte {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	one := func(c color.Color) func(int, int) color.Color { return func(int, int) color.Color { return c } }
	pictures := map[string]image.Image{"huge": image.NewGray(image.Rect(0, 0, 6000, 4000))}
	for name, p := range map[string]struct {
		w, h int
		at   func(x, y int) color.Color
	}{
		"1x1":         {1, 1, one(color.White)},
		"8x8":         {8, 8, func(x, y int) color.Color { return color.RGBA{uint8(30 * x), uint8(30 * y), 90, 255} }},
		"1to20":       {50, 1000, one(color.Gray{60})},
		"20to1":       {1000, 50, one(color.Gray{190})},
		"grey":        {300, 200, func(x, y int) color.Color { return color.Gray{uint8(x/2 + y/4)} }},
		"transparent": {300, 200, one(color.NRGBA{200, 20, 20, 0})},
		"noise": {400, 300, func(int, int) color.Color {
			v := r.Uint32()
			return color.RGBA{uint8(v), uint8(v >> 8), uint8(v >> 16), 255}
		}},
	} {
		m := image.NewNRGBA(image.Rect(0, 0, p.w, p.h))
		for y := range p.h {
			for x := range p.w {
				m.Set(x, y, p.at(x, y))
			}
		}
		pictures[name] = m
	}
	out := map[string][]byte{}
	for name, m := range pictures {
		out[name+".png"] = pngOf(t, m)
	}
	return out
}

// Pictures without a subject: no face, the cut-out is empty and says so, and
// nothing breaks.
func TestBareMachine_FindsNothingInPicturesOfNothing(t *testing.T) {
	h := open(t, modelsConfig(t), nil)
	for name, body := range strange(t) {
		h.write(t, name, body)
		if d, _ := h.describe(t, "gravity=face", name); len(d.Faces) != 0 {
			t.Errorf("%s: faces at %v", name, d.Faces)
		}
		a, m := h.picture(t, "segment=foreground,format=png", name)
		if got := a.header.Get("Focal-Inference"); !strings.Contains(got, "model=builtin-foreground") || !strings.HasSuffix(got, "coverage=0") {
			t.Errorf("%s: Focal-Inference is %q", name, got)
		}
		if _, _, _, alpha := m.At(m.Bounds().Dx()/2, m.Bounds().Dy()/2).RGBA(); alpha != 0 {
			t.Errorf("%s: the middle has alpha %d", name, alpha>>8)
		}
		if warning := fmt.Sprint(a.header["Warning"]); !strings.Contains(warning, "no foreground was found") {
			t.Errorf("%s: Warning is %s", name, warning)
		}
	}
	if n := vips.Live(); n != 0 {
		t.Errorf("%d pictures were left open", n)
	}
}
