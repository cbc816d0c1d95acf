package pipeline

import (
	"image/color"
	"strings"
	"testing"

	"focal/core/pixel"
)

// framed is the card of 80×40 with a border of colour c.
func framed(t testing.TB, left, top, right, bottom int, c color.NRGBA) Source {
	t.Helper()
	return painted(t, 80+left+right, 40+top+bottom, func(x, y int) color.NRGBA {
		if x -= left; x < 0 || x >= 80 {
			return c
		}
		if y -= top; y < 0 || y >= 40 {
			return c
		}
		return [2][2]color.NRGBA{{red, green}, {blue, yellow}}[y/20][x/40]
	})
}

func TestTrim_CutsBeforeFlipRotateAndResize(t *testing.T) {
	s := card(t, 80, 40)
	for _, c := range []struct {
		options        string
		w, h           int
		tl, tr, bl, br color.NRGBA
	}{
		{"trim=0;40;20;0", 40, 20, red, red, red, red},
		{"trim=20;0;0;40", 40, 20, yellow, yellow, yellow, yellow},
		{"trim=0.5;0;0;0", 80, 20, blue, yellow, blue, yellow},
		{"trim.left=40,trim.width=20,trim.height=0.5", 20, 20, green, green, green, green},
		{"trim.left=30,trim.width=20", 20, 40, red, green, blue, yellow},
		// Pixels grow with dpr, fractions do not.
		{"trim.left=20,trim.bottom=0.5,dpr=2", 40, 20, green, green, green, green},
		// The trim is of the picture as it lies, before it is turned over.
		{"trim.left=40,flip=h", 40, 40, green, green, yellow, yellow},
		{"trim.left=40,rotate=90", 40, 40, yellow, green, yellow, green},
		{"trim.left=40,width=10", 10, 10, green, green, yellow, yellow},
		{"trim.top=20,width=20,height=20,fit=cover,gravity=right", 20, 20, yellow, yellow, yellow, yellow},
	} {
		r := makePicture(t, nil, s, "format=png,"+c.options)
		if len(r.Warnings) > 0 {
			t.Errorf("%s: warnings %q", c.options, r.Warnings)
		}
		quarters(t, r, c.w, c.h, c.tl, c.tr, c.bl, c.br)
		if t.Failed() {
			t.Fatalf("that was %s", c.options)
		}
	}
}

func TestTrim_OfEverythingIsIgnored(t *testing.T) {
	r := makePicture(t, nil, card(t, 80, 40), "trim=0;40;0;40")
	if r.Size != (pixel.Size{Width: 80, Height: 40}) || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "nothing") {
		t.Errorf("size %v, warnings %q", r.Size, r.Warnings)
	}
}

func TestTrim_FindsTheBorder(t *testing.T) {
	almost := color.NRGBA{250, 250, 250, 255}
	for _, c := range []struct {
		name, options string
		source        Source
		w, h          int
	}{
		{"white", "trim=border", framed(t, 10, 5, 20, 7, blank), 80, 40},
		{"black", "trim=border", framed(t, 10, 5, 20, 7, color.NRGBA{0, 0, 0, 255}), 80, 40},
		{"transparent", "trim=border", framed(t, 10, 5, 20, 7, color.NRGBA{}), 80, 40},
		{"some stays", "trim=border,trim.border.keep=4", framed(t, 10, 5, 20, 3, blank), 88, 47},
		{"more with dpr", "trim=border,trim.border.keep=4,dpr=2", framed(t, 10, 5, 20, 3, blank), 96, 48},
		{"the named colour", "trim=border,trim.border.color=white", framed(t, 10, 5, 20, 7, blank), 80, 40},
		{"another colour", "trim=border,trim.border.color=black", framed(t, 10, 5, 20, 7, blank), 110, 52},
		{"near enough", "trim=border,trim.border.color=white,trim.border.tolerance=5", framed(t, 10, 5, 20, 7, almost), 80, 40},
		{"not near enough", "trim=border,trim.border.color=white,trim.border.tolerance=4", framed(t, 10, 5, 20, 7, almost), 110, 52},
		{"exact", "trim=border,trim.border.tolerance=0", framed(t, 10, 5, 20, 7, almost), 80, 40},
		{"no border", "trim=border,trim.border.color=white", card(t, 80, 40), 80, 40},
		{"too small to tell", "trim=border", painted(t, 2, 9, func(x, _ int) color.NRGBA { return []color.NRGBA{red, blank}[x] }), 2, 9},
		{"turned", "trim=border,rotate=90", framed(t, 10, 5, 20, 7, blank), 40, 80},
	} {
		r := makePicture(t, nil, c.source, "format=png,quality=100,"+c.options) // lossless, and never the original
		if r.Size != (pixel.Size{Width: c.w, Height: c.h}) || len(r.Warnings) > 0 {
			t.Errorf("%s: size %v, want %d×%d; warnings %q", c.name, r.Size, c.w, c.h, r.Warnings)
		}
	}
	r := makePicture(t, nil, plain(t, blank), "trim=border")
	if len(r.Warnings) != 1 || r.Size != (pixel.Size{Width: 8, Height: 8}) {
		t.Errorf("a blank picture: size %v, warnings %q", r.Size, r.Warnings)
	}
}

// What vision found in the whole picture lies right in the trimmed one.
func TestTrim_FindingsFollow(t *testing.T) {
	v := &scripted{
		mask:  leftHalf(),
		faces: []pixel.Face{{Box: pixel.Box{X: 0.7, Y: 0.2, W: 0.1, H: 0.1}, Score: 0.9}},
	}
	s := card(t, 400, 400)
	r := makePicture(t, v, s, "gravity=face,zoom=0.5,trim.left=200,format=png")
	if r.Size != (pixel.Size{Width: 80, Height: 80}) {
		t.Errorf("size is %v, want 80×80", r.Size)
	}
	for _, p := range [][2]float64{{0.1, 0.1}, {0.9, 0.9}} {
		at(t, decode(t, r), p[0], p[1], green)
	}
	// The mask's edge is at 200; from 100 to 300 it is in the middle.
	m := decode(t, makePicture(t, v, s, "segment=foreground,trim.left=100,trim.right=100"))
	at(t, m, 0.45, 0.1, red)
	at(t, m, 0.55, 0.1, color.NRGBA{})
	// A face that was cut off is none: the middle of what is left.
	m = decode(t, makePicture(t, v, s, "gravity=face,trim.right=200,trim.top=200,width=50,height=20,fit=cover,format=png"))
	at(t, m, 0.5, 0.5, blue)
}

func TestGravity_LooksOnlyAtWhatIsLeft(t *testing.T) {
	// Detail at the far left, cut off, and less of it at the right end.
	s := painted(t, 400, 100, func(x, y int) color.NRGBA {
		if x < 60 && (x/3+y/3)%2 == 0 || x > 360 && (x/6+y/6)%2 == 0 {
			return red
		}
		return blank
	})
	for _, gravity := range []string{"auto", "entropy"} {
		r := makePicture(t, nil, s, "trim.left=100,width=100,height=100,fit=cover,format=png,gravity="+gravity)
		m, reds := decode(t, r), 0
		for x := range 100 {
			if _, g, _, _ := m.At(x, 50).RGBA(); g < 0x8000 {
				reds++
			}
		}
		if reds < 10 {
			t.Errorf("%s: the window misses the detail at the right", gravity)
		}
	}
}

func TestGravity_BoxCenterAndRemainderDiffer(t *testing.T) {
	s := card(t, 400, 100)
	// 100 of 400: remainder begins at 0.4·300 = 120, the colours change at
	// 200, that is at 0.8; the box centred on 160 begins at 110, change at 0.9.
	for mode, edge := range map[string]float64{"remainder": 0.8, "box-center": 0.9} {
		m := decode(t, makePicture(t, nil, s, "width=100,height=100,fit=cover,format=png,gravity=0.4x0.5,gravity.mode="+mode))
		at(t, m, edge-0.03, 0.1, red)
		at(t, m, edge+0.03, 0.1, green)
	}
}

func TestBorder_IsDrawnOutside(t *testing.T) {
	s := card(t, 80, 40)
	orange := color.NRGBA{255, 165, 0, 255}
	r := makePicture(t, nil, s, "format=png,width=40,border.width=3,border.left=10,border.color=orange")
	if r.Size != (pixel.Size{Width: 53, Height: 26}) {
		t.Errorf("size %v, want 53×26", r.Size)
	}
	m := decode(t, r)
	for _, p := range []struct {
		x, y int
		want color.NRGBA
	}{{0, 0, orange}, {9, 12, orange}, {12, 5, red}, {30, 2, orange}, {48, 5, green}, {50, 12, orange}, {30, 23, orange}, {12, 20, blue}} {
		if got := color.NRGBAModel.Convert(m.At(p.x, p.y)); got != p.want {
			t.Errorf("at %d, %d: got %v, want %v", p.x, p.y, got, p.want)
		}
	}
	// Twice as wide with dpr; black without a colour.
	r = makePicture(t, nil, s, "format=png,width=20,dpr=2,border.top=5")
	if r.Size != (pixel.Size{Width: 40, Height: 30}) {
		t.Errorf("dpr: size %v, want 40×30", r.Size)
	}
	at(t, decode(t, r), 0.5, 0.1, color.NRGBA{0, 0, 0, 255})
	// After blur and background, and seen through.
	r = makePicture(t, nil, s, "blur=20,width=100,height=100,fit=pad,background=white,border.width=10,border.color=rgba(0,0,255,0.5)")
	if r.ContentType != "image/png" {
		t.Errorf("a translucent border gives %s", r.ContentType)
	}
	m = decode(t, r)
	at(t, m, 0.01, 0.5, color.NRGBA{0, 0, 255, 128})
	at(t, m, 0.5, 0.11, blank)
	// The limit counts it.
	_, err := pipeline(t, nil, func(c *Config) { c.MaxSide = 100 }).Make(t.Context(), Request{Source: s, Options: options(t, "border.left=21")})
	if err == nil || !strings.Contains(err.Error(), "--max-side") {
		t.Errorf("got %v, want an error that names --max-side", err)
	}
}
