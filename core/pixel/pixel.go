// Package pixel holds the plain values that pictures and findings are made of.
// Everybody may import it; it imports nothing of ours, owns no goroutine and
// no C memory, and never decodes anything.
//
// The only coordinates of vision are fractions of the oriented source picture
// (EXIF applied): x grows to the right, y down, the picture is [0,1]×[0,1].
// Boxes may reach a little outside: detectors say so, readers clip.
package pixel

import (
	"encoding/hex"
	"fmt"
)

// Size is a width and a height in pixels.
type Size struct{ Width, Height int }

// Rect is a rectangle in pixels, X and Y its left top corner.
type Rect struct{ X, Y, Width, Height int }

// Point is a position in fractions of the oriented source picture.
type Point struct{ X, Y float64 }

// Box is a rectangle in fractions of the oriented source picture.
type Box struct{ X, Y, W, H float64 }

// Face is one detected face. Landmarks are, in this order: the eye at image
// left, the eye at image right, the nose, the mouth corner at image left, the
// one at image right; nil where the model gives none.
type Face struct {
	Box       Box
	Score     float64 // 0..1, as the model gives it
	Landmarks []Point
}

// Buffer is an uncompressed 8-bit sRGB picture: Height rows of Width pixels of
// Channels bytes, interleaved, without padding.
type Buffer struct {
	Width, Height int
	Channels      int // 3 = RGB, 4 = RGBA with straight alpha
	Pix           []byte
}

// Size returns the picture's size.
func (b Buffer) Size() Size { return Size{b.Width, b.Height} }

// Validate reports a buffer whose bytes do not fit its size: whoever takes one
// from outside, or hands one to C, calls it first.
func (b Buffer) Validate() error {
	if b.Width <= 0 || b.Height <= 0 || (b.Channels != 3 && b.Channels != 4) {
		return fmt.Errorf("picture of %d×%d with %d channels: want positive sides and 3 or 4 channels", b.Width, b.Height, b.Channels)
	}
	// Sides are bounded first, so that the product below cannot overflow.
	const maxSide = 1 << 20
	if b.Width > maxSide || b.Height > maxSide || len(b.Pix) != b.Width*b.Height*b.Channels {
		return fmt.Errorf("picture of %d×%d×%d holds %d bytes", b.Width, b.Height, b.Channels, len(b.Pix))
	}
	return nil
}

// Mask is how much of each pixel belongs to the foreground: 0 background, 255
// foreground, one byte a pixel, rows without padding. It covers the whole
// oriented source picture, whatever its own size: whoever draws enlarges it.
type Mask struct {
	Width, Height int
	Pix           []byte
}

// Size returns the mask's size.
func (m Mask) Size() Size { return Size{m.Width, m.Height} }

// Validate reports a mask whose bytes do not fit its size.
func (m Mask) Validate() error {
	const maxSide = 1 << 20
	if m.Width <= 0 || m.Height <= 0 || m.Width > maxSide || m.Height > maxSide || len(m.Pix) != m.Width*m.Height {
		return fmt.Errorf("mask of %d×%d holds %d bytes", m.Width, m.Height, len(m.Pix))
	}
	return nil
}

// Digest is a SHA-256. It names source bytes as they were fetched, model
// files, recipes, and results.
type Digest [32]byte

// String returns the digest in lower-case hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ParseDigest reads 64 hex digits.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != 2*len(d) {
		return d, fmt.Errorf("digest has %d characters: want 64 hex digits", len(s))
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return d, fmt.Errorf("digest: %w", err)
	}
	return d, nil
}

// Look names the rules by which every picture is made ready for vision: oriented,
// sRGB, flattened on white, first frame, at most LookSide on its long side,
// downscaled only. The version is part of every result's key.
const (
	LookVersion = "look1"
	LookSide    = 1024
)
