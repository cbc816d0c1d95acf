package geometry

import (
	"math"

	"focal/core/pixel"
)

// Frame is the way from the oriented source picture to the working picture,
// the one that is then fitted: trim, then flip, then rotate. Findings are
// stored in fractions of the source; Frame turns them into fractions of the
// working picture. The zero value changes nothing.
type Frame struct {
	// Trim is the part that is kept, in fractions of the oriented source. The
	// zero value keeps everything. TrimTo makes one from pixels.
	Trim pixel.Box
	// FlipH mirrors left and right, FlipV top and bottom.
	FlipH, FlipV bool
	// Rotate is clockwise: 0, 90, 180 or 270 degrees. Other numbers count as
	// the quarter turns in them.
	Rotate int
}

// TrimTo returns the Trim that keeps r of a picture of size src. A rectangle
// that leaves nothing keeps everything.
func TrimTo(r pixel.Rect, src pixel.Size) pixel.Box {
	b, ok := clip(pixel.Box{
		X: float64(r.X) / float64(src.Width), Y: float64(r.Y) / float64(src.Height),
		W: float64(r.Width) / float64(src.Width), H: float64(r.Height) / float64(src.Height),
	})
	if !ok {
		return pixel.Box{}
	}
	return b
}

// kept returns Trim with its zero value and nonsense spelled out.
func (f Frame) kept() pixel.Box {
	if b, ok := clip(f.Trim); ok {
		return b
	}
	return pixel.Box{W: 1, H: 1}
}

// Cut returns the part of an oriented source of size src that Trim keeps, on
// whole pixels and at least 1×1.
func (f Frame) Cut(src pixel.Size) pixel.Rect {
	k := f.kept()
	pw, ph := float64(src.Width), float64(src.Height)
	return Window{X: k.X * pw, Y: k.Y * ph, W: k.W * pw, H: k.H * ph}.Rect(src)
}

// Size returns the size of the working picture made from an oriented source of
// size src.
func (f Frame) Size(src pixel.Size) pixel.Size {
	cut := f.Cut(src)
	if f.quarters()%2 == 1 {
		return pixel.Size{Width: cut.Height, Height: cut.Width}
	}
	return pixel.Size{Width: cut.Width, Height: cut.Height}
}

// Point maps a point. One that was trimmed away lands outside 0..1.
func (f Frame) Point(p pixel.Point) pixel.Point {
	k := f.kept()
	p = pixel.Point{X: (p.X - k.X) / k.W, Y: (p.Y - k.Y) / k.H}
	if f.FlipH {
		p.X = 1 - p.X
	}
	if f.FlipV {
		p.Y = 1 - p.Y
	}
	switch f.quarters() {
	case 1:
		return pixel.Point{X: 1 - p.Y, Y: p.X}
	case 2:
		return pixel.Point{X: 1 - p.X, Y: 1 - p.Y}
	case 3:
		return pixel.Point{X: p.Y, Y: 1 - p.X}
	default:
		return p
	}
}

// Back is the inverse of Point.
func (f Frame) Back(p pixel.Point) pixel.Point {
	switch f.quarters() {
	case 1:
		p = pixel.Point{X: p.Y, Y: 1 - p.X}
	case 2:
		p = pixel.Point{X: 1 - p.X, Y: 1 - p.Y}
	case 3:
		p = pixel.Point{X: 1 - p.Y, Y: p.X}
	}
	if f.FlipH {
		p.X = 1 - p.X
	}
	if f.FlipV {
		p.Y = 1 - p.Y
	}
	k := f.kept()
	return pixel.Point{X: k.X + p.X*k.W, Y: k.Y + p.Y*k.H}
}

// BackBox maps a box of the working picture to the source.
func (f Frame) BackBox(b pixel.Box) pixel.Box {
	return between(f.Back(pixel.Point{X: b.X, Y: b.Y}), f.Back(pixel.Point{X: b.X + b.W, Y: b.Y + b.H}))
}

// between returns the box that has p and q as opposite corners.
func between(p, q pixel.Point) pixel.Box {
	return pixel.Box{X: math.Min(p.X, q.X), Y: math.Min(p.Y, q.Y), W: math.Abs(q.X - p.X), H: math.Abs(q.Y - p.Y)}
}

// Box maps a box and clips it to the working picture. A box of which nothing
// is left becomes the zero box.
func (f Frame) Box(b pixel.Box) pixel.Box {
	p := f.Point(pixel.Point{X: b.X, Y: b.Y})
	q := f.Point(pixel.Point{X: b.X + b.W, Y: b.Y + b.H})
	m, _ := clip(between(p, q))
	return m
}

// Boxes maps boxes and leaves out those of which nothing is left.
func (f Frame) Boxes(boxes []pixel.Box) []pixel.Box {
	mapped := make([]pixel.Box, 0, len(boxes))
	for _, b := range boxes {
		if m := f.Box(b); m != (pixel.Box{}) {
			mapped = append(mapped, m)
		}
	}
	return mapped
}

// quarters is Rotate in clockwise quarter turns, 0 to 3.
func (f Frame) quarters() int { return ((f.Rotate/90)%4 + 4) % 4 }
