package geometry

import (
	"math"

	"focal/core/pixel"
)

// Window is a part of a picture, in pixels that need not be whole.
type Window struct{ X, Y, W, H float64 }

// whole is the window that holds all of a picture.
func whole(s pixel.Size) Window { return Window{W: float64(s.Width), H: float64(s.Height)} }

// Rect returns the window on whole pixels of a picture of size src: every side
// moved to the nearest pixel border, at least 1×1, inside the picture.
func (w Window) Rect(src pixel.Size) pixel.Rect {
	w = w.inside(src)
	left, right := nearest(w.X, w.W, src.Width)
	top, bottom := nearest(w.Y, w.H, src.Height)
	return pixel.Rect{X: left, Y: top, Width: right - left, Height: bottom - top}
}

// nearest rounds the ends of a stretch that lies inside 0..limit.
func nearest(from, length float64, limit int) (int, int) {
	a, b := int(math.Round(from)), int(math.Round(from+length))
	if b > a {
		return a, b
	}
	a = min(a, limit-1)
	return a, a + 1
}

// size returns the window's size in whole pixels.
func (w Window) size() pixel.Size { return pixel.Size{Width: whole1(w.W), Height: whole1(w.H)} }

// snapped moves the window to whole pixels without changing what size says. It
// may then hang over by a pixel.
func (w Window) snapped() Window {
	s := w.size()
	return Window{X: math.Round(w.X), Y: math.Round(w.Y), W: float64(s.Width), H: float64(s.Height)}
}

// inside returns a window that lies wholly in a picture of size src: too large
// sides are cut to the picture's, then it is shifted. A window that is no
// window (empty, not a number) becomes the whole picture.
func (w Window) inside(src pixel.Size) Window {
	// The comparison is written so that NaN fails it.
	if !(w.W > 0 && w.H > 0) || math.IsNaN(w.X) || math.IsNaN(w.Y) {
		return whole(src)
	}
	pw, ph := float64(src.Width), float64(src.Height)
	w.W = math.Min(math.Max(1, w.W), pw)
	w.H = math.Min(math.Max(1, w.H), ph)
	w.X = clamp(w.X, 0, pw-w.W)
	w.Y = clamp(w.Y, 0, ph-w.H)
	return w
}

// Mode says how a Focus is to be read.
type Mode uint8

// The modes.
const (
	// Centre keeps the middle.
	Centre Mode = iota
	// Remainder lays the point (X, Y) of the result on the point (X, Y) of the
	// picture: the offset is (picture - result) × fraction. This is what a
	// gravity of XxY means.
	Remainder
	// BoxCenter centres the result on the point, and shifts it inside.
	BoxCenter
	// Region keeps Window and forgets the rest of the picture, then fits it as
	// if it were the whole. FaceWindow makes such windows.
	Region
)

// Focus says which part of a picture survives a crop. The zero value keeps the
// middle. Point is in fractions of the working picture, after trim, flip and
// rotate; Window is in its pixels.
type Focus struct {
	Mode   Mode
	Point  pixel.Point
	Window Window
}

// Side is a side of the picture.
type Side uint8

// The sides.
const (
	Left Side = iota
	Right
	Top
	Bottom
)

// KeepSide returns the focus that never crops the side s, and crops evenly
// across.
func KeepSide(s Side) Focus {
	p := pixel.Point{X: 0.5, Y: 0.5}
	switch s {
	case Left:
		p.X = 0
	case Right:
		p.X = 1
	case Top:
		p.Y = 0
	case Bottom:
		p.Y = 1
	}
	return Focus{Mode: Remainder, Point: p}
}

// cut places a window of w×h, no larger than all, inside all.
func (f Focus) cut(all Window, w, h float64) Window {
	return Window{
		X: all.X + f.offset(f.Point.X, all.W, w),
		Y: all.Y + f.offset(f.Point.Y, all.H, h),
		W: w, H: h,
	}
}

// offset is cut on one axis: where a stretch of the given part starts.
func (f Focus) offset(at, all, part float64) float64 {
	if f.Mode == Centre || math.IsNaN(at) {
		return (all - part) / 2
	}
	at = clamp(at, 0, 1)
	if f.Mode == BoxCenter {
		return clamp(at*all-part/2, 0, all-part)
	}
	return (all - part) * at
}

func clamp(v, low, high float64) float64 { return math.Max(low, math.Min(high, v)) }
