package geometry

import (
	"math"
	"testing"

	"focal/core/pixel"
	"pgregory.net/rapid"
)

func TestLookSize_MatchesThePublishedOnes(t *testing.T) {
	for _, c := range []struct{ src, want pixel.Size }{
		{size(125, 2000), size(64, 1024)},    // §3.2
		{size(2048, 2048), size(1024, 1024)}, // §3.2
		{size(1600, 1201), size(1024, 768)},  // §3.3: 768.64 rounded down
		{size(1175, 1600), size(752, 1024)},  // §4
		{size(1280, 853), size(1024, 682)},   // §4
		{size(1024, 1024), size(1024, 1024)},
		{size(800, 600), size(800, 600)}, // never enlarged
		{size(10000, 2), size(1024, 1)},
	} {
		if got := LookSize(c.src); got != c.want {
			t.Errorf("LookSize(%v) = %v, want %v", c.src, got, c.want)
		}
	}
}

// boxOf is a box of w×h look pixels round (cx, cy) in a look of 1024×1024, as
// a fraction.
func boxOf(cx, cy, w, h float64) pixel.Box {
	return pixel.Box{X: (cx - w/2) / 1024, Y: (cy - h/2) / 1024, W: w / 1024, H: h / 1024}
}

// The rows of cloudflare-api.md §3.2: a picture of 2048×2048 whose look, of
// 1024×1024, shows a face of 100×500.
func TestFaceRegion_MatchesThePublishedVectors(t *testing.T) {
	src := size(2048, 2048)
	for _, c := range []struct{ zoom, w, h float64 }{
		{0.5, 400, 2000},
		{0.25, 800, 2048},
		{1, 200, 1000},
		{0.1, 2000, 2048},
		{0, 2048, 2048},
		{7, 200, 1000},
		{-1, 2048, 2048},
		{math.NaN(), 2048, 2048},
	} {
		w, h := FaceRegion(src, boxOf(512, 512, 100, 500), c.zoom)
		if !near(w, c.w) || !near(h, c.h) {
			t.Errorf("zoom %v: got %v×%v, want %v×%v", c.zoom, w, h, c.w, c.h)
		}
	}
}

func TestOuterBox_GoesRoundAllRealBoxes(t *testing.T) {
	nan := math.NaN()
	got, ok := OuterBox([]pixel.Box{
		{X: 0.2, Y: 0.3, W: 0.1, H: 0.1},
		{X: nan, Y: 0, W: 1, H: 1},
		{X: 0.6, Y: 0.1, W: 0.2, H: 0.2},
		{X: 0.5, Y: 0.9, W: 0, H: 0.1},
		{X: 1.5, Y: 0.5, W: 0.2, H: 0.2},
		{X: 0, Y: 0, W: math.Inf(1), H: nan},
	})
	want := Window{0.2, 0.1, 0.6, 0.3}
	if !ok || !sameWindow(Window{got.X, got.Y, got.W, got.H}, want) {
		t.Errorf("got %v, %v, want %v", got, ok, want)
	}
	got, ok = OuterBox([]pixel.Box{{X: -0.1, Y: 0.9, W: 0.3, H: 0.3}})
	if !ok || !sameWindow(Window{got.X, got.Y, got.W, got.H}, Window{0, 0.9, 0.2, 0.1}) {
		t.Errorf("a box that hangs over is not clipped: %v", got)
	}
	if _, ok := OuterBox([]pixel.Box{{X: 2, Y: 2, W: 1, H: 1}, {}}); ok {
		t.Error("a box was made of nothing")
	}
}

// The rules of architecture.md §3, "Face window", worked out by hand. The face
// is 100×100 in a picture of 1000×800, its middle at (500, 400) unless the
// name says otherwise.
func TestFaceWindow_FollowsItsRules(t *testing.T) {
	src := size(1000, 800)
	face := func(cx, cy float64) pixel.Box {
		return pixel.Box{X: (cx - 50) / 1000, Y: (cy - 50) / 800, W: 0.1, H: 0.125}
	}
	middle := face(500, 400)
	for _, c := range []struct {
		name   string
		box    pixel.Box
		zoom   float64
		target Target
		want   Window
	}{
		{"no target: the region", middle, 0.5, Target{}, Window{400, 300, 200, 200}},
		{"no target at the edge: shifted, not clipped", face(50, 750), 0.5, Target{}, Window{0, 600, 200, 200}},
		{"no target, zoom 0: everything", middle, 0, Target{}, Window{0, 0, 1000, 800}},
		{"zoom 1: the face alone", middle, 1, Target{}, Window{450, 350, 100, 100}},
		{"a face of a tenth of a pixel: a whole one round its middle", pixel.Box{X: 0.5, Y: 0.5, W: 0.0001, H: 0.000125}, 1, Target{}, Window{499.55, 399.55, 1, 1}},

		{"cover grows the short side", middle, 0.5, Target{400, 200, Cover}, Window{300, 300, 400, 200}},
		{"cover grows the height", middle, 0.5, Target{200, 400, Cover}, Window{400, 200, 200, 400}},
		{"cover enlarges, so the window stays small", middle, 0.5, Target{900, 900, Cover}, Window{400, 300, 200, 200}},
		{"crop does not, so it grows to the target", middle, 0.5, Target{600, 600, Crop}, Window{200, 100, 600, 600}},
		{"crop of a box smaller than the region", middle, 0.5, Target{100, 100, Crop}, Window{400, 300, 200, 200}},
		{"crop of a box higher than the picture", middle, 0.5, Target{500, 900, Crop}, Window{250, 0, 500, 800}},
		{"crop of a box larger than the picture", middle, 0.5, Target{2000, 2000, Crop}, Window{0, 0, 1000, 800}},
		{"aspect-crop keeps the region's scale", middle, 0.5, Target{600, 300, AspectCrop}, Window{300, 300, 400, 200}},
		{"grown beyond the picture: the largest that fits", middle, 0.2, Target{300, 100, Cover}, Window{0, 400 - 500.0/3, 1000, 1000.0 / 3}},
		{"near the left edge: shifted", face(60, 400), 0.5, Target{400, 200, Cover}, Window{0, 300, 400, 200}},
		{"in the right bottom corner: shifted", face(950, 750), 0.5, Target{300, 300, Cover}, Window{800, 600, 200, 200}},

		{"zoom 0 with 1:1: the largest square, steered left", face(100, 400), 0, Target{200, 200, Cover}, Window{0, 0, 800, 800}},
		{"zoom 0 with 1:1: centred on the face", face(550, 400), 0, Target{200, 200, Cover}, Window{150, 0, 800, 800}},
		{"zoom 0, crop: the same", face(550, 400), 0, Target{200, 200, Crop}, Window{150, 0, 800, 800}},

		{"a fit that does not crop gets the region", middle, 0.5, Target{Width: 400, Height: 100}, Window{400, 300, 200, 200}},
		{"pad gets the region", middle, 0.5, Target{400, 100, Pad}, Window{400, 300, 200, 200}},
		{"one side alone gives no aspect", middle, 0.5, Target{Width: 400, Fit: Cover}, Window{400, 300, 200, 200}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := FaceWindow(src, c.box, c.zoom, c.target); !sameWindow(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestFaceWindow_TakesDegenerateBoxesForNoFace(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, box := range []pixel.Box{
		{}, {X: 0.5, Y: 0.5}, {X: 0.5, Y: 0.5, W: 0.1}, {X: 0.1, Y: 0.1, W: -0.1, H: 0.2},
		{X: 1, Y: 0, W: 1, H: 1}, {X: -3, Y: 0, W: 1, H: 1}, {X: nan, Y: nan, W: nan, H: nan},
		{X: 0, Y: 0, W: nan, H: 1}, {X: -inf, Y: 0, W: inf, H: 1},
	} {
		if got := FaceWindow(size(1000, 800), box, 1, Target{}); got != (Window{0, 0, 1000, 800}) {
			t.Errorf("%v: got %v, want the whole picture", box, got)
		}
		if got := FaceWindow(size(1000, 800), box, 1, Target{100, 100, Cover}); got != (Window{100, 0, 800, 800}) {
			t.Errorf("%v: got %v, want the middle", box, got)
		}
	}
}

func TestFaceFocus_WithoutFacesIsTheCentre(t *testing.T) {
	if got := FaceFocus(size(1000, 800), nil, 1, Target{100, 100, Cover}); got != (Focus{}) {
		t.Errorf("got %v", got)
	}
}

// One long picture of 1:20, standing and lying.
func TestFaceFocus_KnowsLongPictures(t *testing.T) {
	for _, c := range []struct {
		src    pixel.Size
		box    pixel.Box
		zoom   float64
		target Target
		window Window
		canvas pixel.Size
	}{
		// A face of 60×60 at (50, 1950); its region of 120 is wider than the
		// picture, so 100×120, grown to a square: 120 is too wide, 100 fits.
		{size(100, 2000), pixel.Box{X: 0.2, Y: 0.96, W: 0.6, H: 0.03}, 0.5, Target{50, 50, Cover}, Window{0, 1900, 100, 100}, size(50, 50)},
		{size(100, 2000), pixel.Box{X: 0.2, Y: 0.96, W: 0.6, H: 0.03}, 0.5, Target{}, Window{0, 1880, 100, 120}, size(100, 120)},
		// 20:1 out of 1:20 leaves five rows, round y = 0.975 × 2000.
		{size(100, 2000), pixel.Box{X: 0.2, Y: 0.96, W: 0.6, H: 0.03}, 1, Target{2000, 100, Cover}, Window{0, 1950 - 2.5, 100, 5}, size(2000, 100)},
		{size(2000, 100), pixel.Box{X: 0.0, Y: 0.2, W: 0.03, H: 0.6}, 1, Target{60, 120, Crop}, Window{0, 0, 60, 100}, size(60, 100)},
	} {
		l := mustArrange(t, c.src, c.target, FaceFocus(c.src, []pixel.Box{c.box}, c.zoom, c.target))
		if !sameWindow(l.Window, c.window) || l.Canvas != c.canvas {
			t.Errorf("%v to %v: got %v to %v, want %v to %v", c.src, c.target, l.Window, l.Canvas, c.window, c.canvas)
		}
	}
}

func TestFaceWindow_KeepsTheFaceWheneverTheWindowIsLargeEnough(t *testing.T) {
	unit := rapid.Float64Range(0, 1)
	rapid.Check(t, func(t *rapid.T) {
		src, asked := drawSize(t, "source"), drawSize(t, "target")
		target := Target{asked.Width, asked.Height, Fit(rapid.IntRange(0, int(ScaleUp)).Draw(t, "fit"))}
		box, ok := clip(pixel.Box{X: unit.Draw(t, "x"), Y: unit.Draw(t, "y"), W: unit.Draw(t, "w"), H: unit.Draw(t, "h")})
		if !ok {
			t.Skip("no box")
		}
		w := FaceWindow(src, box, unit.Draw(t, "zoom"), target)
		const slack = 1e-6
		left, right := box.X*float64(src.Width), (box.X+box.W)*float64(src.Width)
		top, bottom := box.Y*float64(src.Height), (box.Y+box.H)*float64(src.Height)
		if w.W >= right-left && (w.X > left+slack || w.X+w.W < right-slack) {
			t.Fatalf("%v is wide enough for %v–%v and misses it", w, left, right)
		}
		if w.H >= bottom-top && (w.Y > top+slack || w.Y+w.H < bottom-slack) {
			t.Fatalf("%v is high enough for %v–%v and misses it", w, top, bottom)
		}
	})
}
