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

// salientSide is the size at which the salient part is searched for; more
// changes little, and libvips works on a reduced copy anyway.
const salientSide = 256

// Strategy says what makes a part of a picture salient.
type Strategy uint8

// The strategies, as libvips' smartcrop knows them.
const (
	Attention Strategy = iota // edges, skin tones and saturated colours
	Entropy                   // the most detail
)

// Salient returns where the most salient window of the given aspect (width
// over height) inside part begins, in fractions of part's width and height that
// are left over: 0 is left or top, 1 right or bottom. Part lies in the oriented
// picture.
func Salient(file []byte, info Info, part pixel.Rect, aspect float64, s Strategy) (x, y float64, err error) {
	const op = "vips.Salient"
	scale := min(1, salientSide/float64(max(part.Width, part.Height)))
	size := pixel.Size{
		Width:  max(1, int(float64(info.Oriented.Width)*scale)),
		Height: max(1, int(float64(info.Oriented.Height)*scale)),
	}
	i, err := reduced(file, info, size)
	if err != nil {
		return 0, 0, err
	}
	defer i.Close()
	sx, sy := float64(size.Width)/float64(info.Oriented.Width), float64(size.Height)/float64(info.Oriented.Height)
	seen := geometry.Window{X: float64(part.X) * sx, Y: float64(part.Y) * sy, W: float64(part.Width) * sx, H: float64(part.Height) * sy}
	if err := i.Crop(seen.Rect(size)); err != nil {
		return 0, 0, err
	}
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
	interesting := govips.InterestingAttention
	if s == Entropy {
		interesting = govips.InterestingEntropy
	}
	if err := resting.ref.SmartCrop(w, h, interesting); err != nil {
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
