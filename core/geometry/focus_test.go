package geometry

import (
	"math"
	"testing"

	"focal/core/pixel"
)

// The rows of cloudflare-api.md §1.4; the other values by hand.
func TestArrange_FollowsGravity(t *testing.T) {
	point := func(m Mode, x, y float64) Focus { return Focus{Mode: m, Point: pixel.Point{X: x, Y: y}} }
	for _, c := range []struct {
		name   string
		src    pixel.Size
		target Target
		focus  Focus
		want   Window
	}{
		{"§1.4 none is the centre", size(1080, 720), Target{1080, 400, Cover}, Focus{}, Window{0, 160, 1080, 400}},
		{"§1.4 bottom keeps the bottom 400 rows", size(1080, 720), Target{1080, 400, Cover}, KeepSide(Bottom), Window{0, 320, 1080, 400}},
		{"top", size(1080, 720), Target{1080, 400, Cover}, KeepSide(Top), Window{0, 0, 1080, 400}},
		{"left", size(1080, 720), Target{400, 400, Cover}, KeepSide(Left), Window{0, 0, 720, 720}},
		{"right", size(1080, 720), Target{400, 400, Cover}, KeepSide(Right), Window{360, 0, 720, 720}},
		{"left says nothing of height", size(720, 1080), Target{400, 400, Cover}, KeepSide(Left), Window{0, 180, 720, 720}},
		{"§1.4 0.33x0.5 starts at 198", size(900, 900), Target{300, 900, Cover}, point(Remainder, 0.33, 0.5), Window{198, 0, 300, 900}},
		{"§1.3 cover 200×20 top", size(200, 100), Target{200, 20, Cover}, KeepSide(Top), Window{0, 0, 200, 20}},
		{"§1.3 cover 200×20 bottom", size(200, 100), Target{200, 20, Cover}, KeepSide(Bottom), Window{0, 80, 200, 20}},
		{"gravity steers crop", size(1080, 720), Target{500, 1000, Crop}, KeepSide(Right), Window{580, 0, 500, 720}},
		{"gravity steers aspect-crop", size(600, 300), Target{3000, 3000, AspectCrop}, KeepSide(Right), Window{300, 0, 300, 300}},
		{"a box is centred on its point", size(900, 900), Target{300, 900, Cover}, point(BoxCenter, 0.4, 0.5), Window{210, 0, 300, 900}},
		{"a box at the edge is shifted inside", size(900, 900), Target{300, 900, Cover}, point(BoxCenter, 0.95, 0.5), Window{600, 0, 300, 900}},
		{"a point outside counts as the edge", size(900, 900), Target{300, 900, Cover}, point(Remainder, 7, 0.5), Window{600, 0, 300, 900}},
		{"a point that is no number counts as the centre", size(900, 900), Target{300, 900, Cover}, point(Remainder, math.NaN(), math.NaN()), Window{300, 0, 300, 900}},
		{"fits that do not crop ignore gravity", size(200, 100), Target{50, 50, ScaleDown}, KeepSide(Right), Window{0, 0, 200, 100}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := mustArrange(t, c.src, c.target, c.focus).Window; !sameWindow(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestArrange_CutsWholePixelsWhenNothingIsScaled(t *testing.T) {
	// (1081-500)/2 = 290.5: without the step to a whole pixel every pixel of
	// the result would be a mixture of two.
	l := mustArrange(t, size(1081, 500), Target{500, 500, Cover}, Focus{})
	if want := (Window{291, 0, 500, 500}); l.Window != want {
		t.Errorf("got %v, want %v", l.Window, want)
	}
}

func TestArrange_FitsTheRegionAsIfItWereThePicture(t *testing.T) {
	src := size(1000, 1000)
	f := Focus{Mode: Region, Window: Window{100, 200, 400, 200}}
	for _, c := range []struct {
		target Target
		want   pixel.Size
	}{
		{Target{}, size(400, 200)},
		{Target{Width: 200, Height: 200}, size(200, 100)},
		{Target{Width: 800, Height: 800}, size(400, 200)},
		{Target{800, 800, Contain}, size(800, 400)},
		{Target{Width: 100}, size(100, 50)},
		{Target{600, 600, Pad}, size(600, 600)},
	} {
		l := mustArrange(t, src, c.target, f)
		if l.Window != f.Window || l.Canvas != c.want {
			t.Errorf("%v: got %v from %v, want %v from %v", c.target, l.Canvas, l.Window, c.want, f.Window)
		}
	}
}

func TestArrange_BringsAStrayRegionInside(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct{ region, want Window }{
		{Window{-50, 950, 100, 100}, Window{0, 900, 100, 100}},
		{Window{0, 0, 5000, 5000}, Window{0, 0, 1000, 1000}},
		{Window{900.5, 0, 99.5, 100}, Window{900, 0, 100, 100}}, // rounded up at the edge
		{Window{500, 500, 0, 10}, Window{0, 0, 1000, 1000}},
		{Window{nan, 0, 10, 10}, Window{0, 0, 1000, 1000}},
		{Window{0, 0, nan, 10}, Window{0, 0, 1000, 1000}},
		{Window{math.Inf(-1), 0, 10, math.Inf(1)}, Window{0, 0, 10, 1000}},
	} {
		l := mustArrange(t, size(1000, 1000), Target{}, Focus{Mode: Region, Window: c.region})
		if l.Window != c.want {
			t.Errorf("%v: got %v, want %v", c.region, l.Window, c.want)
		}
	}
}

func TestWindow_RectKeepsAtLeastOnePixel(t *testing.T) {
	for _, c := range []struct {
		w    Window
		want pixel.Rect
	}{
		{Window{0.4, 0.6, 10, 10}, pixel.Rect{X: 0, Y: 1, Width: 10, Height: 10}},
		{Window{9.6, 0, 1, 20}, pixel.Rect{X: 10, Y: 0, Width: 1, Height: 20}},
		{Window{0.5, 0.5, 1, 1}, pixel.Rect{X: 1, Y: 1, Width: 1, Height: 1}},
		{Window{19, 19, 1, 1}, pixel.Rect{X: 19, Y: 19, Width: 1, Height: 1}},
	} {
		if got := c.w.Rect(size(20, 20)); got != c.want {
			t.Errorf("%v: got %v, want %v", c.w, got, c.want)
		}
	}
}
