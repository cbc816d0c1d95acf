package geometry

import (
	"math"
	"testing"

	"focal/core/pixel"
	"pgregory.net/rapid"
)

func sameBox(a, b pixel.Box) bool {
	return sameWindow(Window{a.X, a.Y, a.W, a.H}, Window{b.X, b.Y, b.W, b.H})
}

// A box near the left top corner, followed by hand (or by turning a sheet of
// paper) through each step.
func TestFrame_CarriesBoxesThroughTrimFlipRotate(t *testing.T) {
	box := pixel.Box{X: 0.1, Y: 0.2, W: 0.3, H: 0.1}
	for _, c := range []struct {
		name  string
		frame Frame
		want  pixel.Box
	}{
		{"nothing", Frame{}, box},
		{"flip h", Frame{FlipH: true}, pixel.Box{X: 0.6, Y: 0.2, W: 0.3, H: 0.1}},
		{"flip v", Frame{FlipV: true}, pixel.Box{X: 0.1, Y: 0.7, W: 0.3, H: 0.1}},
		{"rotate 90: the left bottom corner comes to the left top", Frame{Rotate: 90}, pixel.Box{X: 0.7, Y: 0.1, W: 0.1, H: 0.3}},
		{"rotate 180", Frame{Rotate: 180}, pixel.Box{X: 0.6, Y: 0.7, W: 0.3, H: 0.1}},
		{"rotate 270", Frame{Rotate: 270}, pixel.Box{X: 0.2, Y: 0.6, W: 0.1, H: 0.3}},
		{"rotate 360", Frame{Rotate: 360}, box},
		{"rotate -90 is 270", Frame{Rotate: -90}, pixel.Box{X: 0.2, Y: 0.6, W: 0.1, H: 0.3}},
		{"flip comes before rotate", Frame{FlipH: true, Rotate: 90}, pixel.Box{X: 0.7, Y: 0.6, W: 0.1, H: 0.3}},
		{"trim to the left top quarter", Frame{Trim: pixel.Box{W: 0.5, H: 0.5}}, pixel.Box{X: 0.2, Y: 0.4, W: 0.6, H: 0.2}},
		{"trim comes before flip", Frame{Trim: pixel.Box{W: 0.5, H: 0.5}, FlipH: true}, pixel.Box{X: 0.2, Y: 0.4, W: 0.6, H: 0.2}},
		{"trim through the box", Frame{Trim: pixel.Box{X: 0.2, W: 0.8, H: 1}}, pixel.Box{X: 0, Y: 0.2, W: 0.25, H: 0.1}},
		{"trim beside the box", Frame{Trim: pixel.Box{X: 0.5, W: 0.5, H: 1}}, pixel.Box{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.frame.Box(box); !sameBox(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestFrame_BoxesDropsWhatWasTrimmedAway(t *testing.T) {
	f := Frame{Trim: pixel.Box{X: 0.5, W: 0.5, H: 1}}
	got := f.Boxes([]pixel.Box{{X: 0.1, Y: 0.1, W: 0.2, H: 0.2}, {X: 0.6, Y: 0.1, W: 0.2, H: 0.2}})
	if len(got) != 1 || !sameBox(got[0], pixel.Box{X: 0.2, Y: 0.1, W: 0.4, H: 0.2}) {
		t.Errorf("got %v", got)
	}
}

func TestFrame_SizeTurnsTheAxes(t *testing.T) {
	src := size(1001, 333)
	trim := TrimTo(pixel.Rect{X: 100, Y: 33, Width: 901, Height: 300}, src)
	for _, c := range []struct {
		frame Frame
		want  pixel.Size
	}{
		{Frame{}, src},
		{Frame{Rotate: 90}, size(333, 1001)},
		{Frame{Rotate: 180}, src},
		{Frame{FlipH: true, Rotate: 270}, size(333, 1001)},
		{Frame{Trim: trim}, size(901, 300)},
		{Frame{Trim: trim, Rotate: 90}, size(300, 901)},
		{Frame{Trim: TrimTo(pixel.Rect{X: 2000, Y: 0, Width: 5, Height: 5}, src)}, src},
	} {
		if got := c.frame.Size(src); got != c.want {
			t.Errorf("%+v: got %v, want %v", c.frame, got, c.want)
		}
	}
}

func TestFrame_TrimToComesBackOnTheSamePixels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := drawSize(t, "source")
		r := pixel.Rect{X: rapid.IntRange(0, src.Width-1).Draw(t, "x"), Y: rapid.IntRange(0, src.Height-1).Draw(t, "y")}
		r.Width = rapid.IntRange(1, src.Width-r.X).Draw(t, "w")
		r.Height = rapid.IntRange(1, src.Height-r.Y).Draw(t, "h")
		if got := (Frame{Trim: TrimTo(r, src)}).Cut(src); got != r {
			t.Fatalf("%v of %v came back as %v", r, src, got)
		}
	})
}

func TestFrame_FourQuarterTurnsAreNone(t *testing.T) {
	unit := rapid.Float64Range(0, 0.5)
	rapid.Check(t, func(t *rapid.T) {
		box := pixel.Box{X: unit.Draw(t, "x"), Y: unit.Draw(t, "y"), W: 0.1 + unit.Draw(t, "w")/2, H: 0.1 + unit.Draw(t, "h")/2}
		got := box
		for range 4 {
			got = Frame{Rotate: 90}.Box(got)
		}
		if !sameBox(got, box) {
			t.Fatalf("%v came back as %v", box, got)
		}
		h := Frame{FlipH: true, FlipV: true}.Box(box)
		if r := (Frame{Rotate: 180}).Box(box); !sameBox(h, r) {
			t.Fatalf("both flips give %v, half a turn %v", h, r)
		}
	})
}

func TestFrame_BackIsTheWayBack(t *testing.T) {
	unit := rapid.Float64Range(0, 1)
	rapid.Check(t, func(t *rapid.T) {
		trim, ok := clip(pixel.Box{X: unit.Draw(t, "x"), Y: unit.Draw(t, "y"), W: unit.Draw(t, "w"), H: unit.Draw(t, "h")})
		if !ok || trim.W < 1e-3 || trim.H < 1e-3 {
			trim = pixel.Box{}
		}
		f := Frame{Trim: trim, FlipH: rapid.Bool().Draw(t, "flip h"), FlipV: rapid.Bool().Draw(t, "flip v"), Rotate: 90 * rapid.IntRange(0, 3).Draw(t, "rotate")}
		p := pixel.Point{X: unit.Draw(t, "px"), Y: unit.Draw(t, "py")}
		if q := f.Back(f.Point(p)); math.Abs(q.X-p.X)+math.Abs(q.Y-p.Y) > 1e-9 {
			t.Fatalf("%+v: %v comes back as %v", f, p, q)
		}
	})
	// The left quarter of a picture that was trimmed to its right half, then
	// turned clockwise, is the bottom of that half.
	f := Frame{Trim: pixel.Box{X: 0.5, W: 0.5, H: 1}, Rotate: 90}
	if got, want := f.BackBox(pixel.Box{W: 0.25, H: 1}), (pixel.Box{X: 0.5, Y: 0.75, W: 0.5, H: 0.25}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
