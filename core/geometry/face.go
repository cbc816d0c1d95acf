package geometry

import (
	"math"

	"focal/core/pixel"
)

// LookSize returns the size at which vision sees a picture of size src: the
// same aspect, the long side at most pixel.LookSide, never enlarged. The short
// side is rounded down and is at least 1.
//
// The long side is Cloudflare's published one; rounding down agrees with what
// was observed of it (1600×1201 gives 1024×768).
func LookSize(src pixel.Size) pixel.Size {
	long := max(src.Width, src.Height)
	if long <= pixel.LookSide {
		return src
	}
	return pixel.Size{
		Width:  max(1, src.Width*pixel.LookSide/long),
		Height: max(1, src.Height*pixel.LookSide/long),
	}
}

// OuterBox returns the smallest box round all boxes, clipped to the picture.
// Boxes that are empty, not numbers, or wholly outside do not count; false
// means that none is left.
func OuterBox(boxes []pixel.Box) (pixel.Box, bool) {
	found := false
	var left, top, right, bottom float64
	for _, b := range boxes {
		b, ok := clip(b)
		switch {
		case !ok:
		case !found:
			left, top, right, bottom, found = b.X, b.Y, b.X+b.W, b.Y+b.H, true
		default:
			left, top = math.Min(left, b.X), math.Min(top, b.Y)
			right, bottom = math.Max(right, b.X+b.W), math.Max(bottom, b.Y+b.H)
		}
	}
	return pixel.Box{X: left, Y: top, W: right - left, H: bottom - top}, found
}

// FaceRegion returns the width and height, in source pixels, of the region
// that a face crop keeps round box: on each axis by itself
//
//	min(picture, box / zoom)
//
// as published in Cloudflare's post on face cropping. The post computes it at
// the look's size and multiplies by the downscale factor; in fractions of the
// picture both cancel. Zoom 1 keeps the box alone, zoom 0 the whole picture.
func FaceRegion(src pixel.Size, box pixel.Box, zoom float64) (width, height float64) {
	pw, ph := float64(src.Width), float64(src.Height)
	// The comparison is written so that NaN fails it.
	if !(zoom > 0) {
		return pw, ph
	}
	zoom = math.Min(zoom, 1)
	return math.Min(pw, pw*box.W/zoom), math.Min(ph, ph*box.H/zoom)
}

// FaceWindow returns the window that a face crop cuts from a picture of size
// src, for a Focus of mode Region. Box is the outer box of the faces, zoom is
// 0 (most background) to 1 (the faces alone).
//
//  1. A box that is no box counts as no face: the middle, zoom ignored.
//  2. The region as published, see FaceRegion.
//  3. With a target that crops (cover, crop, aspect-crop with both sides) the
//     region's short side grows to the target's aspect; if that is larger than
//     the picture, the largest window of that aspect that fits.
//  4. For crop, which never enlarges, the window grows on to at least the
//     target's size, or as far as the picture reaches.
//  5. The window is centred on the middle of the box and shifted inside. It is
//     never clipped, so the size just found holds.
func FaceWindow(src pixel.Size, box pixel.Box, zoom float64, t Target) Window {
	pw, ph := float64(src.Width), float64(src.Height)
	box, ok := clip(box)
	if !ok { // 1
		box, zoom = pixel.Box{W: 1, H: 1}, 0
	}
	w, h := FaceRegion(src, box, zoom) // 2
	if t.Crops() {                     // 3
		tw, th := float64(t.Width), float64(t.Height)
		if w*th < h*tw {
			w = h * tw / th
		} else {
			h = w * th / tw
		}
		if w > pw || h > ph {
			w, h = widest(pw, ph, t)
		}
		if t.Fit == Crop { // 4
			w, h = math.Min(pw, math.Max(w, tw)), math.Min(ph, math.Max(h, th))
		}
	}
	// inside grows to one pixel from the corner, so it is done here first.
	w, h = math.Max(1, w), math.Max(1, h)
	cx, cy := (box.X+box.W/2)*pw, (box.Y+box.H/2)*ph
	return Window{X: cx - w/2, Y: cy - h/2, W: w, H: h}.inside(src) // 5
}

// FaceFocus returns the focus for faces found at boxes, in fractions of the
// working picture: their window, or the centre if there are none.
func FaceFocus(src pixel.Size, boxes []pixel.Box, zoom float64, t Target) Focus {
	box, ok := OuterBox(boxes)
	if !ok {
		return Focus{}
	}
	return Focus{Mode: Region, Window: FaceWindow(src, box, zoom, t)}
}

// clip returns the part of b that lies in the picture; false means that there
// is none, or that b is no box at all.
func clip(b pixel.Box) (pixel.Box, bool) {
	left, top := math.Max(0, b.X), math.Max(0, b.Y)
	right, bottom := math.Min(1, b.X+b.W), math.Min(1, b.Y+b.H)
	// The comparison is written so that NaN fails it.
	if !(right > left && bottom > top) {
		return pixel.Box{}, false
	}
	return pixel.Box{X: left, Y: top, W: right - left, H: bottom - top}, true
}
