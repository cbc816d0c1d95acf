package vips

import (
	"focal/core/fault"
	"focal/core/pixel"

	govips "github.com/davidbyttow/govips/v2/vips"
)

// Patch is a small picture and the place in a larger one that it is stretched
// over.
type Patch struct {
	Pixels pixel.Buffer // with alpha
	At     pixel.Rect   // inside the larger picture
}

// Cover draws patches over the picture. Where a patch is opaque nothing of the
// picture is left but its alpha; where no patch is, no pixel changes.
func (i *Image) Cover(patches []Patch) error {
	const op = "vips.Cover"
	if len(patches) == 0 {
		return nil
	}
	layers := make([]*govips.ImageComposite, 0, len(patches))
	for _, p := range patches {
		layer, err := FromBuffer(p.Pixels)
		if err != nil {
			return err
		}
		defer layer.Close()
		if err := layer.Resize(pixel.Size{Width: p.At.Width, Height: p.At.Height}); err != nil {
			return err
		}
		layers = append(layers, &govips.ImageComposite{Image: layer.ref, BlendMode: govips.BlendModeAtop, X: p.At.X, Y: p.At.Y})
	}
	alpha := i.Alpha()
	if err := i.ref.CompositeMulti(layers); err != nil {
		return wrap(fault.Internal, op, err)
	}
	if !alpha {
		if err := i.ref.ExtractBand(0, colours); err != nil {
			return wrap(fault.Internal, op, err)
		}
	}
	if err := i.ref.Cast(govips.BandFormatUchar); err != nil {
		return wrap(fault.Internal, op, err)
	}
	return nil
}
