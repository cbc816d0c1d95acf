package vips

import (
	"focal/core/fault"

	govips "github.com/davidbyttow/govips/v2/vips"
)

// Shadow draws behind the picture, which has transparency, what it throws: its
// alpha in the colour c, moved by x to the right and y down and blurred with a
// Gaussian of standard deviation sigma, all in pixels. What touches the edge of
// the picture is taken to go on beyond it. The picture must have been loaded
// Random.
func (i *Image) Shadow(x, y int, sigma float64, c Colour) error {
	const op = "vips.Shadow"
	s := i.Size()
	ref, err := i.ref.ExtractBandToImage(colours, 1)
	if err != nil {
		return wrap(fault.Internal, op, err)
	}
	alpha := i.with(ref)
	defer alpha.Close()
	if err := ref.Embed(x, y, s.Width, s.Height, govips.ExtendCopy); err != nil {
		return wrap(fault.Internal, op, err)
	}
	if sigma > 0 {
		if err := alpha.Blur(sigma); err != nil {
			return err
		}
	}
	if err := ref.Linear1(float64(c.A)/255, 0); err != nil {
		return wrap(fault.Internal, op, err)
	}
	if err := alpha.settle(op); err != nil {
		return err
	}
	shade, err := i.plane(Colour{R: c.R, G: c.G, B: c.B, A: 255})
	if err != nil {
		return err
	}
	defer shade.Close()
	if err := shade.ref.BandJoin(ref); err != nil {
		return wrap(fault.Internal, op, err)
	}
	return i.onto(shade)
}
