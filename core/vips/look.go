package vips

import (
	"focal/core/fault"
	"focal/core/geometry"
	"focal/core/pixel"

	govips "github.com/davidbyttow/govips/v2/vips"
)

// Look makes the pixels that vision sees, by the rules of pixel.LookVersion:
// oriented, sRGB, flattened on white, first frame, at most pixel.LookSide on
// the long side, Lanczos after the decoder's own reduction.
func Look(file []byte, info Info) (pixel.Buffer, error) {
	size := geometry.LookSize(info.Oriented)
	i, err := reduced(file, info, size)
	if err != nil {
		return pixel.Buffer{}, err
	}
	defer i.Close()
	if err := i.Fill(Colour{255, 255, 255, 255}); err != nil {
		return pixel.Buffer{}, err
	}
	return i.Buffer()
}

// attentionSide is the size at which the salient part is searched for; more
// changes little, and libvips works on a reduced copy anyway.
const attentionSide = 256

// Attention returns where the most salient window of the given aspect (width
// over height) begins, in fractions of the oriented picture's width and height
// that are left over: 0 is left or top, 1 right or bottom. It is libvips'
// smartcrop with the attention strategy, which looks for edges, skin tones and
// saturated colours.
func Attention(file []byte, info Info, aspect float64) (x, y float64, err error) {
	const op = "vips.Attention"
	long := float64(max(info.Oriented.Width, info.Oriented.Height))
	scale := min(1, attentionSide/long)
	size := pixel.Size{
		Width:  max(1, int(float64(info.Oriented.Width)*scale)),
		Height: max(1, int(float64(info.Oriented.Height)*scale)),
	}
	i, err := reduced(file, info, size)
	if err != nil {
		return 0, 0, err
	}
	defer i.Close()
	b, err := i.Buffer() // smartcrop reads twice, so the picture must rest in memory
	if err != nil {
		return 0, 0, err
	}
	resting, err := FromBuffer(b)
	if err != nil {
		return 0, 0, err
	}
	defer resting.Close()
	w := min(b.Width, max(1, int(float64(b.Height)*aspect+0.5)))
	h := min(b.Height, max(1, int(float64(b.Width)/aspect+0.5)))
	if err := resting.ref.SmartCrop(w, h, govips.InterestingAttention); err != nil {
		return 0, 0, wrap(fault.Internal, op, err)
	}
	return share(-resting.ref.OffsetX(), b.Width-w), share(-resting.ref.OffsetY(), b.Height-h), nil
}

// share returns part of whole as a fraction, the middle where whole is nothing.
func share(part, whole int) float64 {
	if whole <= 0 {
		return 0.5
	}
	return min(1, max(0, float64(part)/float64(whole)))
}

// reduced loads file at exactly size, which is no larger than the picture.
func reduced(file []byte, info Info, size pixel.Size) (*Image, error) {
	factor := float64(info.Oriented.Width) / float64(size.Width)
	i, err := Load(file, info, LoadOptions{Shrink: ShrinkOnLoad(info.Format, factor)})
	if err != nil {
		return nil, err
	}
	if err := i.Resize(size); err != nil {
		i.Close()
		return nil, err
	}
	return i, nil
}
