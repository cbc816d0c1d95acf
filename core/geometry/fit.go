// Package geometry is the arithmetic of fits, gravity, face windows and
// frames: which part of a picture survives, what size it becomes, and where it
// stands.
//
// It is pure: it sees sizes and fractions, never pixels, files, URLs or
// models. It owns no goroutine and no memory, and every function is safe for
// concurrent use.
package geometry

import (
	"math"

	"focal/core/fault"
	"focal/core/pixel"
)

// MaxSide is the longest side that any picture here may have. It only keeps
// the arithmetic and the buffers of others sane; the limit that an operator
// sets is far below, and is checked by whoever makes the picture.
const MaxSide = 1 << 20

// Fit says how a picture meets the size that was asked for.
type Fit uint8

// The fits, as Cloudflare Images names them.
const (
	ScaleDown  Fit = iota // inside the box, never enlarged
	Contain               // inside the box, enlarged if need be
	Cover                 // exactly the box, what hangs over is cropped
	Crop                  // as Cover, but never enlarged
	AspectCrop            // the box's aspect always, shrunk but never enlarged
	Pad                   // as Contain, then padded to exactly the box
	Squeeze               // exactly the box, distorted
	ScaleUp               // inside the box, never shrunk
)

var fitNames = [...]string{
	ScaleDown: "scale-down", Contain: "contain", Cover: "cover", Crop: "crop",
	AspectCrop: "aspect-crop", Pad: "pad", Squeeze: "squeeze", ScaleUp: "scale-up",
}

// ParseFit reads the name that String gives; false means that there is none.
func ParseFit(name string) (Fit, bool) {
	for f, n := range fitNames {
		if n == name {
			return Fit(f), true
		}
	}
	return 0, false
}

// String returns the name that a URL uses.
func (f Fit) String() string {
	if int(f) < len(fitNames) {
		return fitNames[f]
	}
	return "unknown"
}

// Crops says whether the fit may cut parts of the picture away, which is when
// gravity matters.
func (f Fit) Crops() bool { return f == Cover || f == Crop || f == AspectCrop }

// Target is the size that was asked for, in pixels and with dpr multiplied in.
// A side of 0 was not given.
type Target struct {
	Width, Height int
	Fit           Fit
}

// box says whether both sides were given.
func (t Target) box() bool { return t.Width > 0 && t.Height > 0 }

// Crops says whether the target, and not only its fit, can cut anything away.
func (t Target) Crops() bool { return t.Fit.Crops() && t.box() }

// Layout is how to make a picture: cut Window from the source, resize it to
// Resize, and put it at (Left, Top) on a canvas of size Canvas. Unless the fit
// is Pad, Canvas equals Resize and the corner is 0, 0.
type Layout struct {
	Window    Window     // in pixels of the source after trim, flip and rotate
	Resize    pixel.Size // what the window becomes; always at least 1×1
	Canvas    pixel.Size // the finished picture
	Left, Top int        // where the resized window stands on the canvas
	Warnings  []string   // for the Warning header
}

// Arrange decides how a picture of size src meets the target t, keeping what f
// points at. Lengths that are not whole are rounded to the nearest pixel, and
// are at least 1. Where nothing is scaled, Window lies on whole pixels, so
// that cutting needs no resampling.
//
// The decision tree:
//
//  1. No side given: what f keeps, at its own size.
//  2. One side given: plain scaling by that side. Fits that never enlarge
//     (scale-down, crop) or cannot work without a box (cover, aspect-crop) do
//     not enlarge; scale-up does not shrink; contain, pad and squeeze match
//     the side exactly. Cover, aspect-crop and squeeze warn.
//  3. scale-down, contain, scale-up: inside the box.
//  4. pad: as contain, centred on a canvas of exactly the box.
//  5. squeeze: everything, to exactly the box.
//  6. cover: the largest window of the box's aspect, to exactly the box.
//  7. aspect-crop: the same window, shrunk to the box but never enlarged.
//  8. crop: as cover if the picture is as large as the box on both axes. Else
//     nothing is scaled, and each axis longer than the box is cropped to it:
//     1080×720 to 500×1000 gives 500×720. Cloudflare's text leaves this case
//     open; this rule never enlarges and has no jump at the border to cover.
//
// An impossible src is fault.Invalid; a result beyond MaxSide, or a negative
// target, is fault.TooLarge.
func Arrange(src pixel.Size, t Target, f Focus) (Layout, error) {
	const op = "geometry.Arrange"
	if src.Width <= 0 || src.Height <= 0 || src.Width > MaxSide || src.Height > MaxSide {
		return Layout{}, fault.New(fault.Invalid, op, "a source of %d×%d has no layout", src.Width, src.Height)
	}
	if t.Width < 0 || t.Height < 0 || t.Width > MaxSide || t.Height > MaxSide {
		return Layout{}, tooLarge(op, t.Width, t.Height)
	}
	all := whole(src)
	if f.Mode == Region {
		// What is left of the picture is the region; inside it nothing is
		// preferred any more.
		all, f = f.Window.inside(src), Focus{}
	}
	var l Layout
	switch {
	case t.Width == 0 && t.Height == 0: // 1
		l = Layout{Window: all, Resize: all.size()}
	case !t.box(): // 2
		l = Layout{Window: all, Resize: all.fitted(t, bySide(t.Fit)), Warnings: needsBox(t.Fit)}
	default:
		l = arrangeBox(all, t, f)
	}
	if l.Canvas == (pixel.Size{}) {
		l.Canvas = l.Resize
	}
	if l.Resize.Width > MaxSide || l.Resize.Height > MaxSide {
		return Layout{}, tooLarge(op, l.Resize.Width, l.Resize.Height)
	}
	if l.Resize == l.Window.size() {
		l.Window = l.Window.snapped()
	}
	l.Window = l.Window.inside(src)
	return l, nil
}

// arrangeBox is Arrange from step 3 on: both sides are given.
func arrangeBox(all Window, t Target, f Focus) Layout {
	box := pixel.Size{Width: t.Width, Height: t.Height}
	switch t.Fit {
	case Pad: // 4
		in := all.fitted(t, free)
		return Layout{Window: all, Resize: in, Canvas: box, Left: (box.Width - in.Width) / 2, Top: (box.Height - in.Height) / 2}
	case Squeeze: // 5
		return Layout{Window: all, Resize: box}
	case Cover: // 6
		w, h := widest(all.W, all.H, t)
		return Layout{Window: f.cut(all, w, h), Resize: box}
	case AspectCrop: // 7
		w, h := widest(all.W, all.H, t)
		cut := f.cut(all, w, h)
		return Layout{Window: cut, Resize: cut.fitted(t, noEnlarging)}
	case Crop: // 8
		if all.W >= float64(t.Width) && all.H >= float64(t.Height) {
			w, h := widest(all.W, all.H, t)
			return Layout{Window: f.cut(all, w, h), Resize: box}
		}
		cut := f.cut(all, math.Min(all.W, float64(t.Width)), math.Min(all.H, float64(t.Height)))
		return Layout{Window: cut, Resize: cut.size()}
	case Contain: // 3
		return Layout{Window: all, Resize: all.fitted(t, free)}
	case ScaleUp: // 3
		return Layout{Window: all, Resize: all.fitted(t, noShrinking)}
	default: // 3, scale-down
		return Layout{Window: all, Resize: all.fitted(t, noEnlarging)}
	}
}

// scaling says which way a window may be scaled.
type scaling uint8

const (
	free scaling = iota
	noEnlarging
	noShrinking
)

// bySide is the scaling of a fit when only one side is given (step 2).
func bySide(f Fit) scaling {
	switch f {
	case Contain, Pad, Squeeze:
		return free
	case ScaleUp:
		return noShrinking
	default:
		return noEnlarging
	}
}

// needsBox warns of the fits that promise something which one side cannot
// give. The text for cover is the one that Cloudflare sends.
func needsBox(f Fit) []string {
	switch f {
	case Cover, AspectCrop, Squeeze:
		return []string{f.String() + " fit mode needs both width and height"}
	default:
		return nil
	}
}

// fitted returns the size of w, keeping its aspect, inside the sides of t that
// are given. The side that decides comes out exactly.
func (w Window) fitted(t Target, s scaling) pixel.Size {
	tw, th := float64(t.Width), float64(t.Height)
	byWidth := t.Height == 0 || (t.Width > 0 && tw*w.H <= th*w.W)
	want, have := th, w.H
	if byWidth {
		want, have = tw, w.W
	}
	if (s == noEnlarging && want >= have) || (s == noShrinking && want <= have) {
		return w.size()
	}
	if byWidth {
		return pixel.Size{Width: t.Width, Height: whole1(w.H * tw / w.W)}
	}
	return pixel.Size{Width: whole1(w.W * th / w.H), Height: t.Height}
}

// widest returns the largest width and height of the target's aspect inside
// w×h, and at least one pixel each: a picture of 10×10 has no thinner window.
func widest(w, h float64, t Target) (float64, float64) {
	tw, th := float64(t.Width), float64(t.Height)
	if w*th > h*tw {
		return math.Min(w, math.Max(1, h*tw/th)), h
	}
	return w, math.Min(h, math.Max(1, w*th/tw))
}

// whole1 rounds a length to the nearest pixel, and to at least one.
func whole1(v float64) int { return int(math.Max(1, math.Round(v))) }

func tooLarge(op string, w, h int) error {
	return fault.New(fault.TooLarge, op, "a result of %d×%d: a side is 1 to %d pixels", w, h, MaxSide)
}
