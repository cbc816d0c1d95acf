package vips

import (
	"focal/core/fault"
	"focal/core/pixel"

	govips "github.com/davidbyttow/govips/v2/vips"
)

// CutOut makes everything but the foreground transparent: mask is stretched
// over the picture and multiplied into its alpha. The mask grows by bicubic
// interpolation, as Cloudflare's does.
func (i *Image) CutOut(mask pixel.Mask) error {
	const op = "vips.CutOut"
	alpha, err := i.over(mask)
	if err != nil {
		return err
	}
	defer alpha.Close()
	if i.Alpha() {
		if err := i.multiplyAlpha(alpha); err != nil {
			return wrap(fault.Internal, op, err)
		}
	}
	if err := i.ref.BandJoin(alpha.ref); err != nil {
		return wrap(fault.Internal, op, err)
	}
	return nil
}

// multiplyAlpha takes the picture's own alpha off and multiplies it into alpha.
func (i *Image) multiplyAlpha(alpha *Image) error {
	bands := i.ref.Bands()
	own, err := i.ref.ExtractBandToImage(bands-1, 1)
	if err != nil {
		return err
	}
	defer own.Close()
	if err := i.ref.ExtractBand(0, bands-1); err != nil {
		return err
	}
	if err := alpha.ref.Multiply(own); err != nil {
		return err
	}
	if err := alpha.ref.Linear1(1.0/255, 0); err != nil {
		return err
	}
	return alpha.ref.Cast(govips.BandFormatUchar)
}

// Stand puts mask, stretched over the picture, in its place: grey in three
// channels, white where it is 255. Of the picture no pixel is read.
func (i *Image) Stand(mask pixel.Mask) error {
	const op = "vips.Stand"
	m, err := i.over(mask)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.ref.ToColorSpace(govips.InterpretationSRGB); err != nil {
		return wrap(fault.Internal, op, err)
	}
	return i.replace(m.ref)
}

// Grey keeps one channel of a grey picture in three.
func (i *Image) Grey() error {
	const op = "vips.Grey"
	if err := i.ref.ExtractBand(0, 1); err != nil {
		return wrap(fault.Internal, op, err)
	}
	return nil
}

// over returns mask, stretched over the picture, as a picture of one channel.
// Masks grow by bicubic interpolation, as Cloudflare's do.
func (i *Image) over(mask pixel.Mask) (*Image, error) {
	const op = "vips.over"
	if err := mask.Validate(); err != nil {
		return nil, fault.New(fault.Internal, op, "%w", err)
	}
	ref, err := govips.NewImageFromMemory(mask.Pix, mask.Width, mask.Height, 1, govips.BandFormatUchar, govips.InterpretationBW)
	if err != nil {
		return nil, wrap(fault.Internal, op, err)
	}
	m := i.with(ref)
	if err := m.Resize(i.Size()); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Conceal takes from the colours of a picture with transparency what it hides:
// behind 1 of 255 there is one bit of them left, behind 0 nothing. Else whoever
// drops the alpha channel sees what was cut away.
func (i *Image) Conceal() error {
	const op = "vips.Conceal"
	if !i.Alpha() {
		return nil
	}
	for _, do := range []func() error{
		i.ref.PremultiplyAlpha,
		func() error { return i.settle(op) },
		i.ref.UnpremultiplyAlpha,
	} {
		if err := do(); err != nil {
			return wrap(fault.Internal, op, err)
		}
	}
	return nil
}
