// Package vision is the pixel arithmetic that the model adapters share:
// resizing, making tensors out of pixels, and thinning overlapping boxes.
//
// It knows pictures, masks, boxes and the recipes of manifests; it must not
// know what a face or a foreground is, nor run a model. It starts no
// goroutine. There are two builds of it, held to the same tests: with the
// build tag opencv interpolation is OpenCV's (by gocv, which never leaves this
// package), without it a small twin in Go. Averaging is Go's in both: OpenCV takes
// half as long again. What C memory the first one takes it gives back before the
// function returns.
package vision

import (
	"focal/core/fault"
	"focal/core/pixel"
)

// Kernel is a way to resize. Each axis is treated by itself, because a plain
// stretch often shrinks one and enlarges the other.
type Kernel uint8

// The kernels. Pixel centres lie at half pixels, and edges are repeated, as in
// OpenCV and PyTorch (align_corners=False).
const (
	// Area averages what each new pixel covers along an axis that shrinks, and
	// is Linear along one that grows.
	Area Kernel = iota
	// Linear blends the two nearest pixels. It is not widened when shrinking:
	// that is how the models whose manifest names it were published.
	Linear
	// Cubic blends the four nearest pixels (Keys, a = -0.75, as OpenCV).
	Cubic
)

// maxSide bounds both sides of what is resized: OpenCV counts in int32 and
// ends the process where an allocation is absurd.
const maxSide = 1 << 15

// Resize returns src, an RGB8 picture, at another size. Errors are
// fault.Invalid.
func Resize(src pixel.Buffer, to pixel.Size, k Kernel) (pixel.Buffer, error) {
	const op = "vision.Resize"
	if err := src.Validate(); err != nil {
		return pixel.Buffer{}, fault.New(fault.Invalid, op, "%w", err)
	}
	if src.Channels != 3 {
		return pixel.Buffer{}, fault.New(fault.Invalid, op, "picture has %d channels: want 3", src.Channels)
	}
	if err := check(op, src.Size(), to, k); err != nil {
		return pixel.Buffer{}, err
	}
	pix, err := resize(src.Pix, 3, src.Size(), to, k)
	if err != nil {
		return pixel.Buffer{}, fault.New(fault.Internal, op, "%w", err)
	}
	return pixel.Buffer{Width: to.Width, Height: to.Height, Channels: 3, Pix: pix}, nil
}

// FitMask brings a mask from the model's size to a picture's, as every mask is
// that is sent or measured: cubic where the mask grows, by area where it shrinks.
func FitMask(src pixel.Mask, to pixel.Size) (pixel.Mask, error) {
	if to.Width < src.Width && to.Height < src.Height {
		return ResizeMask(src, to, Area)
	}
	return ResizeMask(src, to, Cubic)
}

// ResizeMask returns src at another size. Errors are fault.Invalid.
func ResizeMask(src pixel.Mask, to pixel.Size, k Kernel) (pixel.Mask, error) {
	const op = "vision.ResizeMask"
	if err := src.Validate(); err != nil {
		return pixel.Mask{}, fault.New(fault.Invalid, op, "%w", err)
	}
	if err := check(op, src.Size(), to, k); err != nil {
		return pixel.Mask{}, err
	}
	pix, err := resize(src.Pix, 1, src.Size(), to, k)
	if err != nil {
		return pixel.Mask{}, fault.New(fault.Internal, op, "%w", err)
	}
	return pixel.Mask{Width: to.Width, Height: to.Height, Pix: pix}, nil
}

// resize splits a stretch that shrinks one axis and enlarges the other in two for
// Area.
func resize(src []byte, channels int, from, to pixel.Size, k Kernel) ([]byte, error) {
	if k != Area {
		return interpolate(src, channels, from, to, k)
	}
	shrunk := pixel.Size{Width: min(from.Width, to.Width), Height: min(from.Height, to.Height)}
	if shrunk != from {
		src = average(src, channels, from, shrunk)
		if shrunk == to {
			return src, nil
		}
	}
	return interpolate(src, channels, shrunk, to, Linear)
}

func check(op string, from, to pixel.Size, k Kernel) error {
	if k > Cubic {
		return fault.New(fault.Invalid, op, "kernel %d is not known", k)
	}
	for _, s := range []pixel.Size{from, to} {
		if s.Width <= 0 || s.Height <= 0 || s.Width > maxSide || s.Height > maxSide {
			return fault.New(fault.Invalid, op, "size %d×%d: want sides of 1 to %d", s.Width, s.Height, maxSide)
		}
	}
	return nil
}
