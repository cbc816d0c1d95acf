package pipeline

import (
	"context"
	"image/color"
	"slices"
	"strings"
	"testing"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/core/transform"
	"focal/core/vips"
)

// composed runs a program over pictures; output is format, quality, background
// and anim.
func composed(t testing.TB, p *Pipeline, images []Source, program string, output ...string) (Result, error) {
	t.Helper()
	steps, _, err := transform.ParseProgram([]byte(program), len(images))
	if err != nil {
		return Result{}, err
	}
	output = append(output, make([]string, 4-len(output))...)
	out, err := transform.ParseOutput(output[0], output[1], output[2], output[3])
	if err != nil {
		t.Fatal(err)
	}
	return p.Compose(t.Context(), Composition{Images: images, Steps: steps, Output: out})
}

func filled(t testing.TB, w, h int, c color.NRGBA) Source {
	t.Helper()
	return painted(t, w, h, func(int, int) color.NRGBA { return c })
}

// dot is a colour that a picture has at a pixel.
type dot struct {
	x, y int
	want color.NRGBA
}

func dots(t *testing.T, name string, r Result, w, h int, want []dot) {
	t.Helper()
	m := decode(t, r)
	if m.Bounds().Dx() != w || m.Bounds().Dy() != h {
		t.Errorf("%s: size %v, want %d×%d", name, m.Bounds(), w, h)
		return
	}
	for _, d := range want {
		got := color.NRGBAModel.Convert(m.At(d.x, d.y)).(color.NRGBA)
		near := func(a, b uint8) bool { return max(a, b)-min(a, b) <= 1 }
		if !near(got.A, d.want.A) || d.want.A > 0 && !(near(got.R, d.want.R) && near(got.G, d.want.G) && near(got.B, d.want.B)) {
			t.Errorf("%s: at %d, %d: got %v, want %v", name, d.x, d.y, got, d.want)
		}
	}
}

// A red square of 10×10 on a blue one of 40×30. The colours are Porter and
// Duff's, worked out by hand.
func TestCompose_DrawsWhereAndHowItIsTold(t *testing.T) {
	none := color.NRGBA{}
	for _, c := range []struct {
		draw string
		want []dot
	}{
		// The middle is 15..24, 10..19.
		{``, []dot{{14, 15, blue}, {15, 10, red}, {24, 19, red}, {25, 15, blue}, {20, 9, blue}}},
		{`"top":0`, []dot{{15, 0, red}, {24, 9, red}, {14, 5, blue}, {20, 10, blue}}},
		{`"top":3,"left":2`, []dot{{2, 3, red}, {11, 12, red}, {1, 3, blue}, {2, 2, blue}, {12, 12, blue}}},
		{`"bottom":3,"right":2`, []dot{{28, 17, red}, {37, 26, red}, {38, 20, blue}, {30, 27, blue}, {27, 20, blue}}},
		// Hanging over an edge, and lying beside the picture.
		{`"top":-5,"left":-5`, []dot{{0, 0, red}, {4, 4, red}, {5, 4, blue}, {4, 5, blue}}},
		{`"top":40,"left":0`, []dot{{0, 29, blue}, {20, 15, blue}}},
		// Tiles go through the place that is given.
		{`"repeat":"x","top":5,"left":3`, []dot{{0, 5, red}, {39, 14, red}, {20, 4, blue}, {20, 15, blue}}},
		{`"repeat":"y","left":3`, []dot{{3, 0, red}, {12, 29, red}, {2, 15, blue}, {13, 15, blue}}},
		{`"repeat":true`, []dot{{0, 0, red}, {39, 29, red}, {20, 15, red}}},
		{`"repeat":false`, []dot{{14, 15, blue}, {15, 10, red}}},
		{`"opacity":0.5`, []dot{{20, 15, color.NRGBA{128, 0, 128, 255}}, {5, 5, blue}}},
		{`"opacity":0`, []dot{{20, 15, blue}}},
		{`"composite":"over"`, []dot{{20, 15, red}}},
		{`"composite":"atop","opacity":0.5`, []dot{{20, 15, color.NRGBA{128, 0, 128, 255}}, {5, 5, blue}}},
		{`"composite":"in"`, []dot{{20, 15, red}, {5, 5, blue}}},
		{`"composite":"in","opacity":0.5`, []dot{{20, 15, color.NRGBA{255, 0, 0, 128}}, {5, 5, blue}}},
		{`"composite":"out"`, []dot{{20, 15, none}, {5, 5, blue}}},
		{`"composite":"xor"`, []dot{{20, 15, none}, {5, 5, blue}}},
		{`"composite":"xor","opacity":0.5`, []dot{{20, 15, color.NRGBA{0, 0, 255, 128}}, {5, 5, blue}}},
		{`"composite":"lighter"`, []dot{{20, 15, color.NRGBA{255, 0, 255, 255}}, {5, 5, blue}}},
	} {
		program := `[{"drawImageIndex":1,"targetImageIndex":0` + strings.TrimSuffix(","+c.draw, ",") + `}]`
		r, err := composed(t, pipeline(t, nil, nil), []Source{filled(t, 40, 30, blue), filled(t, 10, 10, red)}, program, "image/png")
		if err != nil {
			t.Errorf("%s: %v", c.draw, err)
			continue
		}
		dots(t, c.draw, r, 40, 30, c.want)
	}
}

// On half transparent green: over red at half is 0.75 of alpha, and the colour
// (0.5·red + 0.25·green)/0.75.
func TestCompose_DrawsOnTransparency(t *testing.T) {
	half := color.NRGBA{0, 255, 0, 128}
	r, err := composed(t, pipeline(t, nil, nil), []Source{filled(t, 20, 20, half), filled(t, 10, 10, color.NRGBA{255, 0, 0, 128})},
		`[{"drawImageIndex":1,"targetImageIndex":0,"left":0,"top":0}]`, "image/png")
	if err != nil {
		t.Fatal(err)
	}
	dots(t, "over", r, 20, 20, []dot{{5, 5, color.NRGBA{170, 85, 0, 191}}, {15, 15, half}})
}

// The order of steps is that of the list: each sees what those before it made.
func TestCompose_RunsStepsInTheirOrder(t *testing.T) {
	images := []Source{card(t, 80, 40), filled(t, 20, 20, blank), filled(t, 10, 10, red)}
	for _, c := range []struct {
		name, program string
		w, h          int
		want          []dot
	}{
		{"nothing", `[]`, 80, 40, []dot{{5, 5, red}, {75, 35, yellow}}},
		{"one step", `[{"imageIndex":0,"rotate":90}]`, 40, 80, []dot{{5, 5, blue}, {35, 5, red}}},
		{"turned, then cut", `[{"imageIndex":0,"rotate":90},{"imageIndex":0,"width":40,"height":20,"fit":"cover","gravity":"top"}]`,
			40, 20, []dot{{5, 5, blue}, {35, 5, red}}},
		{"cut, then turned", `[{"imageIndex":0,"trim":{"left":40}},{"imageIndex":0,"rotate":90}]`, 40, 40, []dot{{5, 5, yellow}, {35, 5, green}}},
		{"drawn, then turned", `[{"drawImageIndex":1,"targetImageIndex":0,"left":0,"top":0},{"imageIndex":0,"rotate":180}]`,
			80, 40, []dot{{79, 39, blank}, {60, 20, blank}, {59, 19, blue}, {5, 5, yellow}}},
		{"a drawing on a drawing", `[{"drawImageIndex":2,"targetImageIndex":1},{"drawImageIndex":1,"targetImageIndex":0,"right":0,"bottom":0}]`,
			80, 40, []dot{{60, 20, blank}, {65, 25, red}, {74, 34, red}, {75, 35, blank}, {5, 5, red}}},
		{"a drawing made small first", `[{"imageIndex":1,"width":4},{"drawImageIndex":1,"targetImageIndex":0,"left":0,"top":0}]`,
			80, 40, []dot{{3, 3, blank}, {4, 4, red}}},
		{"a border round what is drawn", `[{"drawImageIndex":1,"targetImageIndex":0,"left":0,"top":0},{"imageIndex":0,"border":{"width":5,"color":"blue"}}]`,
			90, 50, []dot{{2, 2, blue}, {5, 5, blank}, {87, 47, blue}}},
		{"the background of one step", `[{"imageIndex":1,"width":30,"height":20,"fit":"pad","background":"#00ff00"},{"drawImageIndex":1,"targetImageIndex":0,"left":0,"top":0}]`,
			80, 40, []dot{{2, 2, green}, {15, 10, blank}, {27, 2, green}}},
	} {
		r, err := composed(t, pipeline(t, nil, nil), images, c.program, "image/png")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		dots(t, c.name, r, c.w, c.h, c.want)
	}
}

func TestCompose_WritesWhatIsAskedFor(t *testing.T) {
	images := []Source{filled(t, 16, 8, color.NRGBA{255, 0, 0, 0}), filled(t, 4, 4, red)}
	const draw = `[{"drawImageIndex":1,"targetImageIndex":0,"left":0,"top":0}]`
	for _, program := range []string{`[]`, draw} {
		for _, format := range []vips.Format{vips.JPEG, vips.PNG, vips.GIF, vips.WebP, vips.AVIF} {
			r, err := composed(t, pipeline(t, nil, nil), images, program, format.MIME())
			if err != nil || vips.Sniff(r.Body) != format || r.ContentType != format.MIME() {
				t.Errorf("%s of %s: %s %v", format, program, r.ContentType, err)
			}
		}
	}
	p := pipeline(t, nil, nil)
	for _, c := range []struct {
		format, background, mime string
		want                     []byte // the first and the last pixel
	}{
		{"rgb", "", typeRGB, []byte{255, 0, 0, 255, 255, 255}},
		{"rgb", "#0000ff", typeRGB, []byte{255, 0, 0, 0, 0, 255}},
		{"rgba", "", typeRGBA, []byte{255, 0, 0, 255, 0, 0, 0, 0}},
		{"rgba", "#0000ff", typeRGBA, []byte{255, 0, 0, 255, 0, 0, 255, 255}},
	} {
		r, err := composed(t, p, images, draw, c.format, "", c.background)
		channels := len(c.want) / 2
		if err != nil || r.ContentType != c.mime || len(r.Body) != 16*8*channels || r.Size != (pixel.Size{Width: 16, Height: 8}) {
			t.Errorf("%s: %s, %d bytes, %v", c.format, r.ContentType, len(r.Body), err)
			continue
		}
		last := r.Body[len(r.Body)-channels:]
		if channels == 4 && last[3] == 0 {
			last = make([]byte, 4) // whatever colour is not seen
		}
		if got := slices.Concat(r.Body[:channels], last); !slices.Equal(got, c.want) {
			t.Errorf("%s on %q: %v, want %v", c.format, c.background, got, c.want)
		}
	}
	// The output's background lies behind that of a step.
	r, err := composed(t, p, images[:1], `[{"imageIndex":0,"background":"rgba(255,0,0,0.5)"}]`, "image/png", "", "#0000ff")
	if err != nil {
		t.Fatal(err)
	}
	dots(t, "two backgrounds", r, 16, 8, []dot{{8, 4, color.NRGBA{128, 0, 127, 255}}})
}

func TestCompose_LooksAtWhatTheStepsBeforeMade(t *testing.T) {
	// The left half is foreground, of whatever picture is asked about.
	eyes := &scripted{mask: pixel.Mask{Width: 2, Height: 1, Pix: []byte{255, 0}}}
	p := pipeline(t, eyes, nil)
	images := []Source{card(t, 80, 40), filled(t, 20, 20, blank)}
	r, err := composed(t, p, images, `[{"imageIndex":0,"rotate":180},{"imageIndex":0,"segment":"foreground"},
		{"imageIndex":1,"segment":"foreground"},{"drawImageIndex":1,"targetImageIndex":0,"left":0,"top":0}]`, "image/png")
	if err != nil {
		t.Fatal(err)
	}
	dots(t, "segment after rotate", r, 80, 40, []dot{{2, 10, blank}, {5, 35, green}, {78, 10, color.NRGBA{}}})
	if n := eyes.looks.Load(); n != 2 || len(r.Facts) != 2 {
		t.Errorf("%d looks, %d facts, want 2 of each", n, len(r.Facts))
	}
}

func TestCompose_RefusesWithoutDyingOfIt(t *testing.T) {
	small := func(c *Config) { c.MaxPixels = 5000 }
	draw := `[{"drawImageIndex":1,"targetImageIndex":0}]`
	svg := source([]byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`))
	one := filled(t, 60, 60, blue)
	for _, c := range []struct {
		name    string
		images  []Source
		program string
		want    fault.Kind
	}{
		{"an SVG", []Source{svg}, `[]`, fault.Unsupported},
		{"an SVG to draw", []Source{one, svg}, draw, fault.Unsupported},
		{"no picture", []Source{source([]byte("text"))}, `[]`, fault.Unsupported},
		{"nothing to draw", []Source{one, source(nil)}, draw, fault.Unsupported},
		{"more pixels together than one may have", []Source{one, one}, draw, fault.TooLarge},
		{"a step that makes too many", []Source{one}, `[{"imageIndex":0,"rotate":90},{"imageIndex":0,"width":100,"height":100,"fit":"pad"}]`, fault.TooLarge},
		{"a cut-out without eyes", []Source{one}, `[{"imageIndex":0,"segment":"foreground"}]`, fault.Unavailable},
		{"a later one", []Source{one}, `[{"imageIndex":0,"rotate":90},{"imageIndex":0,"segment":"foreground"}]`, fault.Unavailable},
	} {
		if r, err := composed(t, pipeline(t, nil, small), c.images, c.program, "image/png"); !fault.Is(err, c.want) {
			t.Errorf("%s: %v, %d bytes, want %v", c.name, err, len(r.Body), c.want)
		}
	}
	// A picture that is uploaded and not used harms nobody.
	if _, err := composed(t, pipeline(t, nil, nil), []Source{one, source([]byte("text"))}, `[]`, "rgb"); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := pipeline(t, nil, nil).Compose(ctx, Composition{Images: []Source{one}, Output: transform.Output{Channels: 3}})
	if !fault.Is(err, fault.Canceled) {
		t.Errorf("for one who has left: %v", err)
	}
}

func TestCompose_KeepsTheCopyrightAlone(t *testing.T) {
	s := tagged(t)
	r, err := composed(t, pipeline(t, nil, nil), []Source{s, filled(t, 4, 4, red)}, `[{"drawImageIndex":1,"targetImageIndex":0},{"imageIndex":0,"flip":"h"}]`, "image/jpeg")
	if err != nil {
		t.Fatal(err)
	}
	first, gps, _ := exif(t, r.Body)
	if first[tagCopyright] != "(c) A. Person, all rights reserved" || first[tagArtist] != "" || len(gps) > 0 || r.Size != (pixel.Size{Width: 20, Height: 40}) {
		t.Errorf("%v, %v, size %v", first, gps, r.Size)
	}
	if o := first[tagOrientation]; o != "" && o != "\x01" {
		t.Errorf("the orientation is still there: %q", o)
	}
}
