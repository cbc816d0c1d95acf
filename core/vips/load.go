package vips

import (
	"context"

	"focal/core/fault"
	"focal/core/pixel"

	govips "github.com/davidbyttow/govips/v2/vips"
)

// Image is a picture in libvips: oriented, 8-bit sRGB, with or without alpha.
// Operations are lazy: pixels flow when it is encoded or read. It belongs to
// one goroutine, which closes it.
type Image struct {
	ref   *govips.ImageRef
	until context.Context // nil: for ever
}

// Close frees the picture.
func (i *Image) Close() { i.ref.Close() }

// Size returns the picture's size.
func (i *Image) Size() pixel.Size {
	return pixel.Size{Width: i.ref.Width(), Height: i.ref.Height()}
}

// Alpha reports whether the picture has transparency.
func (i *Image) Alpha() bool { return i.ref.HasAlpha() }

// LoadOptions say how a file is opened.
type LoadOptions struct {
	// Shrink is the reduction while decoding: 1, 2, 4 or 8 for JPEG, any for
	// WebP, 1 for the rest; see ShrinkOnLoad.
	Shrink int
	// Random allows reading rows in any order, which flips and rotations
	// need; it holds the whole reduced picture in memory.
	Random bool
}

// ShrinkOnLoad returns the largest reduction while decoding that leaves at
// least factor/2 of real reduction to a proper filter, where factor is how
// many times smaller the result will be. The margin is libvips' own for
// thumbnails: a decoder's reduction is a box filter.
func ShrinkOnLoad(f Format, factor float64) int {
	if f != JPEG && f != WebP {
		return 1
	}
	for _, s := range []int{8, 4, 2} {
		if factor >= float64(2*s) {
			return s
		}
	}
	return 1
}

// Load opens file: first frame, EXIF orientation applied, colours in sRGB,
// eight bits a channel. Damage that shows only in the pixels is reported later,
// when they flow.
func Load(file []byte, info Info, o LoadOptions) (*Image, error) {
	const op = "vips.Load"
	upright := info.Orientation <= 1
	ref, err := govips.LoadImageFromBuffer(file, importParams(info.Format, o.Shrink, o.Random || !upright))
	if err != nil {
		return nil, wrap(fault.Corrupt, op, err)
	}
	i := &Image{ref: ref}
	if err := i.normalise(upright); err != nil {
		i.Close()
		return nil, wrap(fault.Corrupt, op, err)
	}
	return i, nil
}

// FromBuffer makes a picture of pixels, which are copied.
func FromBuffer(b pixel.Buffer) (*Image, error) {
	const op = "vips.FromBuffer"
	if err := b.Validate(); err != nil {
		return nil, fault.New(fault.Invalid, op, "%w", err)
	}
	ref, err := govips.NewImageFromMemory(b.Pix, b.Width, b.Height, b.Channels, govips.BandFormatUchar, govips.InterpretationSRGB)
	if err != nil {
		return nil, wrap(fault.Internal, op, err)
	}
	return &Image{ref: ref}, nil
}

// normalise brings a loaded picture to the one form that the rest works on.
func (i *Image) normalise(upright bool) error {
	r := i.ref
	if r.Pages() > 1 {
		// One frame was loaded; without this the binding takes the picture
		// for an animation and turns it frame by frame.
		if err := r.SetPages(1); err != nil {
			return err
		}
		if err := r.SetPageHeight(0); err != nil { // that is: all of it, whatever its size becomes
			return err
		}
	}
	if !upright {
		if err := r.AutoRotate(); err != nil {
			return err
		}
	}
	return i.toSRGB()
}

// toSRGB converts colours by the embedded profile, a CMYK picture without one
// by libvips' own. A profile that cannot be used (damaged, or of another number
// of channels) is passed over, as browsers do: the picture is then taken as
// what it would be without.
func (i *Image) toSRGB() error {
	r := i.ref
	switch {
	case r.Interpretation() == govips.InterpretationCMYK:
		if err := r.TransformICCProfileWithFallback("srgb", "cmyk"); err != nil {
			return err
		}
	case r.HasICCProfile():
		if err := r.TransformICCProfileWithFallback("srgb", "srgb"); err != nil {
			_ = lastError(err) // it must not stand before the next picture's
		}
	}
	if r.Interpretation() != govips.InterpretationSRGB {
		if err := r.ToColorSpace(govips.InterpretationSRGB); err != nil {
			return err
		}
	}
	if r.BandFormat() != govips.BandFormatUchar {
		return r.Cast(govips.BandFormatUchar)
	}
	return nil
}
