package geometry

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"focal/core/pixel"
)

func TestChoose_CountsFromTheLargest(t *testing.T) {
	small := pixel.Box{X: 0.1, Y: 0.1, W: 0.1, H: 0.1}  // area 0.01
	wide := pixel.Box{X: 0.3, Y: 0.3, W: 0.4, H: 0.1}   // 0.04
	square := pixel.Box{X: 0.6, Y: 0.6, W: 0.2, H: 0.2} // 0.04 too, but later
	boxes := []pixel.Box{small, wide, square}
	for which, want := range map[int][]pixel.Box{
		0: boxes, 1: {wide}, 2: {square}, 3: {small}, 4: nil, -1: nil,
	} {
		if got := Choose(boxes, which); !slices.Equal(got, want) {
			t.Errorf("%d: got %v, want %v", which, got, want)
		}
	}
	if boxes[0] != small {
		t.Error("the boxes were moved about")
	}
	if got := Choose(nil, 1); got != nil {
		t.Errorf("of none: got %v", got)
	}
}

func TestGrow_KeepsTheMiddle(t *testing.T) {
	for _, c := range []struct {
		box  pixel.Box
		by   float64
		want pixel.Box
	}{
		{pixel.Box{X: 0.4, Y: 0.4, W: 0.2, H: 0.1}, 1, pixel.Box{X: 0.4, Y: 0.4, W: 0.2, H: 0.1}},
		{pixel.Box{X: 0.4, Y: 0.4, W: 0.2, H: 0.1}, 2, pixel.Box{X: 0.3, Y: 0.35, W: 0.4, H: 0.2}},
		{pixel.Box{X: 0, Y: 0.9, W: 0.1, H: 0.1}, 3, pixel.Box{X: -0.1, Y: 0.8, W: 0.3, H: 0.3}},
	} {
		got := Grow(c.box, c.by)
		for _, d := range []float64{got.X - c.want.X, got.Y - c.want.Y, got.W - c.want.W, got.H - c.want.H} {
			if math.Abs(d) > 1e-12 {
				t.Errorf("%v × %v: got %v, want %v", c.box, c.by, got, c.want)
				break
			}
		}
	}
}

// A face of 100×100 at (450, 350) in a picture of 1000×800, as in the table of
// docs/options.md; a second one of 50×50 at (50, 50).
func TestFaceFocus_OfChosenAndGrownFaces(t *testing.T) {
	src := size(1000, 800)
	faces := []pixel.Box{{X: 0.05, Y: 0.0625, W: 0.05, H: 0.0625}, {X: 0.45, Y: 0.4375, W: 0.1, H: 0.125}}
	for _, c := range []struct {
		which   int
		padding float64
		zoom    float64
		target  Target
		window  Window
	}{
		// The largest alone, and then 1.5 times and 3 times its size.
		{1, 1, 1, Target{}, Window{450, 350, 100, 100}},
		{1, 1.5, 1, Target{}, Window{425, 325, 150, 150}},
		{1, 3, 1, Target{}, Window{350, 250, 300, 300}},
		{1, 3, 0.5, Target{}, Window{200, 100, 600, 600}},
		{1, 20, 1, Target{}, Window{0, 0, 1000, 800}}, // 2000 wide, but the picture ends
		{1, 2, 1, Target{100, 50, Cover}, Window{300, 300, 400, 200}},
		// The second: 50×50 grown to 150×150 begins at 0.
		{2, 3, 1, Target{}, Window{0, 0, 150, 150}},
		// Grown to 200 it would begin at -25: what the picture has of it.
		{2, 4, 1, Target{}, Window{0, 0, 175, 175}},
		// Both: each grown by half, then one box round both: 37.5 to 575, 37.5 to 475.
		{0, 1.5, 1, Target{}, Window{37.5, 37.5, 537.5, 437.5}},
		// There is no third: the middle, zoom ignored.
		{3, 2, 1, Target{800, 800, Cover}, Window{100, 0, 800, 800}},
	} {
		var grown []pixel.Box
		for _, b := range Choose(faces, c.which) {
			grown = append(grown, Grow(b, c.padding))
		}
		f := FaceFocus(src, grown, c.zoom, c.target)
		if f.Mode != Region {
			l := mustArrange(t, src, c.target, f)
			f.Window = l.Window
		}
		if !sameWindow(f.Window, c.window) {
			t.Errorf("%+v: got %v", c, f.Window)
		}
	}
}

// However much room a face gets, the window holds it, and more room is never a
// smaller window.
func TestFaceFocus_GrownFacesStayInside(t *testing.T) {
	unit := rapid.Float64Range(0, 1)
	rapid.Check(t, func(t *rapid.T) {
		src := drawSize(t, "source")
		box, ok := clip(pixel.Box{X: unit.Draw(t, "x"), Y: unit.Draw(t, "y"), W: unit.Draw(t, "w"), H: unit.Draw(t, "h")})
		if !ok {
			t.Skip("no box")
		}
		by := rapid.Float64Range(1, 20).Draw(t, "padding")
		less := FaceFocus(src, []pixel.Box{box}, 1, Target{}).Window
		more := FaceFocus(src, []pixel.Box{Grow(box, by)}, 1, Target{}).Window
		const slack = 1e-6
		if more.X > less.X+slack || more.Y > less.Y+slack || more.X+more.W < less.X+less.W-slack || more.Y+more.H < less.Y+less.H-slack {
			t.Fatalf("grown %v times, %v becomes %v", by, less, more)
		}
		if more.X < 0 || more.Y < 0 || more.X+more.W > float64(src.Width)+slack || more.Y+more.H > float64(src.Height)+slack {
			t.Fatalf("%v is not inside %v", more, src)
		}
	})
}
