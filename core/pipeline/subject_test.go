package pipeline

import (
	"encoding/json"
	"image/color"
	"math"
	"testing"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/core/transform"
)

// masked is a mask of n×n whose foreground is r.
func masked(n int, r pixel.Rect) pixel.Mask {
	m := pixel.Mask{Width: n, Height: n, Pix: make([]byte, n*n)}
	for y := r.Y; y < r.Y+r.Height; y++ {
		for x := r.X; x < r.X+r.Width; x++ {
			m.Pix[y*n+x] = 255
		}
	}
	return m
}

// The subject of the card of 400×400: 40×80 in the green quarter, from
// (280, 60) to (320, 140).
func greenSubject() *scripted {
	return &scripted{mask: masked(40, pixel.Rect{X: 28, Y: 6, Width: 4, Height: 8})}
}

func TestGravityForeground_CropsToTheSubject(t *testing.T) {
	s := card(t, 400, 400)
	for _, c := range []struct {
		options        string
		w, h           int
		tl, tr, bl, br color.NRGBA
	}{
		{"zoom=1", 40, 80, green, green, green, green},
		{"zoom=1,rotate=90", 80, 40, green, green, green, green},
		// Half as close: 260 to 340, 20 to 180.
		{"zoom=0.5", 80, 160, green, green, green, green},
		{"zoom=0.5,width=40", 40, 80, green, green, green, green},
		// A quarter: 220 to 380, 0 to 320, shifted down from -60.
		{"zoom=0.25", 160, 320, green, green, yellow, yellow},
		// The largest of 1:2, round (300, 100): 200 to 400, everything.
		{"width=50,height=100,fit=cover", 50, 100, green, green, yellow, yellow},
		{"width=100,height=50,fit=cover", 100, 50, red, green, red, green},
		{"width=50,height=100,fit=cover,flip=h", 50, 100, green, green, yellow, yellow},
		{"width=100,height=50,fit=cover,flip=hv", 100, 50, green, red, green, red},
		{"width=50,height=100,fit=cover,rotate=180", 50, 100, yellow, yellow, green, green},
		// Nothing to decide: nobody is asked, nothing is cut.
		{"width=200", 200, 200, red, green, blue, yellow},
		// What is trimmed away is no subject: the middle of what is left.
		{"zoom=1,trim.right=200", 200, 400, red, red, blue, blue},
	} {
		r := makePicture(t, greenSubject(), s, "format=png,quality=100,gravity=foreground,"+c.options)
		quarters(t, r, c.w, c.h, c.tl, c.tr, c.bl, c.br)
		if t.Failed() {
			t.Fatalf("that was %s", c.options)
		}
	}
}

// A subject too wide for the crop: a thin arm from the red quarter, a heavy
// body in the green one.
func TestGravityForeground_KeepsTheBulkOfWhatDoesNotFit(t *testing.T) {
	mask := masked(40, pixel.Rect{X: 2, Y: 10, Width: 36, Height: 1})
	body := masked(40, pixel.Rect{X: 30, Y: 2, Width: 6, Height: 16})
	for i, v := range body.Pix {
		mask.Pix[i] = max(mask.Pix[i], v)
	}
	r := makePicture(t, &scripted{mask: mask}, card(t, 400, 400), "gravity=foreground,width=25,height=100,fit=cover,format=json")
	var d description
	if err := json.Unmarshal(r.Body, &d); err != nil {
		t.Fatal(err)
	}
	// 100 of 400 columns: the body is 300 to 360, and the nearest window to the
	// middle of all that holds it, with as much of the arm, begins at 260.
	if *d.Crop != [4]float64{260, 0, 100, 400} {
		t.Errorf("crop %v, want 260, 0, 100×400", *d.Crop)
	}
}

func TestTrimForeground_LeavesTheSubject(t *testing.T) {
	s := card(t, 400, 400)
	for _, c := range []struct {
		options string
		w, h    int
		want    color.NRGBA
	}{
		{"", 40, 80, green},
		{",rotate=90", 80, 40, green},
		{",width=20", 20, 40, green},
		{",flip=v,gravity=foreground,width=40,height=40,fit=cover", 40, 40, green},
		{",border.width=5,border.color=lime", 50, 90, green},
	} {
		r := makePicture(t, greenSubject(), s, "format=png,trim=foreground"+c.options)
		if r.Size != (pixel.Size{Width: c.w, Height: c.h}) || len(r.Warnings) > 0 {
			t.Errorf("%s: size %v, want %d×%d; warnings %q", c.options, r.Size, c.w, c.h, r.Warnings)
		}
		for _, p := range [][2]float64{{0.02, 0.02}, {0.98, 0.02}, {0.02, 0.98}, {0.98, 0.98}} {
			at(t, decode(t, r), p[0], p[1], c.want)
		}
	}
	// Of a mask's pixel the whole pixel stays: 3/7 to 4/7 of 100 is 42.9 to 57.1.
	v := &scripted{mask: masked(7, pixel.Rect{X: 3, Y: 0, Width: 1, Height: 7})}
	if r := makePicture(t, v, card(t, 100, 100), "trim=foreground"); r.Size != (pixel.Size{Width: 16, Height: 100}) {
		t.Errorf("size %v, want 16×100", r.Size)
	}
	// Faces follow, as with any trim.
	v = greenSubject()
	v.faces = []pixel.Face{{Box: pixel.Box{X: 0.725, Y: 0.175, W: 0.05, H: 0.05}, Score: 0.9}}
	if r := makePicture(t, v, s, "trim=foreground,gravity=face,zoom=1"); r.Size != (pixel.Size{Width: 20, Height: 20}) {
		t.Errorf("a face of 20×20 in it: size %v", r.Size)
	}
}

func TestForeground_NotThereIsAResult(t *testing.T) {
	v := &scripted{mask: masked(8, pixel.Rect{})}
	v.mask.Pix[9] = 127 // more background than foreground
	for _, list := range []string{"gravity=foreground,zoom=1", "trim=foreground", "gravity=foreground,width=40,height=40,fit=cover", "gravity=foreground,format=json"} {
		r := makePicture(t, v, card(t, 40, 40), list)
		if r.Size != (pixel.Size{Width: 40, Height: 40}) || len(r.Warnings) == 0 || r.Warnings[0] != "no foreground was found" {
			t.Errorf("%s: size %v, warnings %q", list, r.Size, r.Warnings)
		}
	}
}

func TestForeground_TakesTheLadderOnlyForCrops(t *testing.T) {
	for _, reason := range []fault.Kind{fault.Unavailable, fault.Busy, fault.Timeout} {
		v := &scripted{err: fault.New(reason, "test", "no")}
		for list, falls := range map[string]bool{
			"gravity=foreground,width=20,height=10,fit=cover":                    true,
			"gravity=foreground,width=20,height=10,fit=cover,segment=foreground": false,
			"gravity=foreground,zoom=1,trim=foreground":                          false,
			"trim=foreground": false,
		} {
			r, err := pipeline(t, v, nil).Make(t.Context(), Request{Source: card(t, 40, 40), Options: options(t, list)})
			d := r.Findings.Degraded
			if falls && (err != nil || d == nil || *d != (Degraded{From: "foreground", To: "auto", Reason: reason})) {
				t.Errorf("%s: %+v, %v", list, d, err)
			}
			if !falls && !fault.Is(err, reason) {
				t.Errorf("%s: got %v, want %s", list, err, reason)
			}
		}
	}
	p := pipeline(t, &scripted{err: fault.New(fault.Unavailable, "test", "down")}, func(c *Config) { c.Fallback = FallbackFail })
	_, err := p.Make(t.Context(), Request{Source: card(t, 40, 40), Options: options(t, "gravity=foreground,zoom=1")})
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("--inference-fallback=fail: %v", err)
	}
}

// subjectOf and the steps must turn the same way, whatever comes together.
func TestSubjectOf_TurnsAsThePictureDoes(t *testing.T) {
	// One pixel of 5×4 is foreground: the second of the first row.
	m := pixel.Mask{Width: 5, Height: 4, Pix: make([]byte, 20)}
	m.Pix[1] = 255
	for list, want := range map[string]struct{ x, y, w, h int }{ // the pixel, in a picture of w×h
		"fit=cover":               {1, 0, 5, 4},
		"flip=h":                  {3, 0, 5, 4},
		"flip=v":                  {1, 3, 5, 4},
		"rotate=90":               {3, 1, 4, 5},
		"rotate=180":              {3, 3, 5, 4},
		"rotate=270":              {0, 3, 4, 5},
		"flip=h,rotate=90":        {3, 3, 4, 5},
		"trim.left=1":             {0, 0, 4, 4},
		"trim.left=1,flip=h":      {3, 0, 4, 4},
		"trim.right=3,rotate=270": {0, 0, 4, 2},
	} {
		o, _, err := transform.Parse(list)
		if err != nil {
			t.Fatal(err)
		}
		frame, _ := frameOf(o, m.Size(), Findings{})
		s := subjectOf(m, frame)
		if len(s.Across) != want.w || len(s.Down) != want.h {
			t.Fatalf("%s: profiles of %d and %d, want %d and %d", list, len(s.Across), len(s.Down), want.w, want.h)
		}
		x, y, w, h := s.Box.X*float64(want.w), s.Box.Y*float64(want.h), s.Box.W*float64(want.w), s.Box.H*float64(want.h)
		if s.Across[want.x] != 255 || s.Down[want.y] != 255 || math.Abs(x-float64(want.x))+math.Abs(y-float64(want.y))+math.Abs(w-1)+math.Abs(h-1) > 1e-9 {
			t.Errorf("%s: box %.2f, %.2f, %.2f×%.2f, profiles %v and %v; want the pixel %d, %d", list, x, y, w, h, s.Across, s.Down, want.x, want.y)
		}
	}
}
