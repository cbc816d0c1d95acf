package geometry

import (
	"math"

	"focal/core/pixel"
)

// Trim is what is cut off a picture before anything else is done to it. A
// length between 0 and 1 is a fraction of the picture's width or height, any
// other is in whole pixels. Width and Height are what is kept, counted from
// Left and Top; where they are given, Right and Bottom say nothing.
type Trim struct {
	Top, Right, Bottom, Left float64
	Width, Height            float64
}

// Rect returns what is left of a picture of size src, whose pixel lengths are
// multiplied by dpr; false means that nothing is.
func (t Trim) Rect(src pixel.Size, dpr float64) (pixel.Rect, bool) {
	x, w, okX := kept(t.Left, t.Right, t.Width, dpr, src.Width)
	y, h, okY := kept(t.Top, t.Bottom, t.Height, dpr, src.Height)
	return pixel.Rect{X: x, Y: y, Width: w, Height: h}, okX && okY
}

// kept is Rect on one axis.
func kept(before, after, size, dpr float64, whole int) (from, length int, ok bool) {
	from = along(before, dpr, whole)
	to := whole - along(after, dpr, whole)
	if size > 0 {
		to = min(whole, from+max(1, along(size, dpr, whole)))
	}
	return from, to - from, to > from
}

// along returns a length in pixels, at most whole.
func along(length, dpr float64, whole int) int {
	by := dpr
	if length < 1 {
		by = float64(whole)
	}
	return int(math.Min(float64(whole), math.Round(length*by)))
}
