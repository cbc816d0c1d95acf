package vips

import (
	"focal/core/fault"
	"focal/core/pixel"

	govips "github.com/davidbyttow/govips/v2/vips"
)

// Operator is how a picture is drawn on another: by Porter and Duff's operators,
// with the other as destination, or by their sum.
type Operator uint8

// The operators.
const (
	Over Operator = iota
	In
	Atop
	Out
	Xor
	Lighter
)

var operators = [...]struct {
	mode govips.BlendMode
	// pierces says that what was opaque may become transparent.
	pierces bool
}{
	Over: {govips.BlendModeOver, false}, In: {govips.BlendModeIn, true}, Atop: {govips.BlendModeAtop, false},
	Out: {govips.BlendModeOut, true}, Xor: {govips.BlendModeXOR, true}, Lighter: {govips.BlendModeAdd, false},
}

// Overlay is a picture and how it is drawn. It stays its caller's to close.
type Overlay struct {
	Image            *Image
	X, Y             int     // where its left top corner lies; it may hang over
	Opacity          float64 // 0 to 1, times its alpha
	RepeatX, RepeatY bool    // tiles go on to both sides, through X and Y
	Operator         Operator
}

// Draw draws o on the picture, whose size stays. Outside of the overlay's box no
// pixel changes, whatever the operator. Both must rest in memory; see Rest.
func (i *Image) Draw(o Overlay) error {
	const op = "vips.Draw"
	layer, at, err := o.tiled(i.Size())
	if err != nil || layer == nil {
		return err
	}
	defer layer.Close()
	operator := operators[o.Operator]
	if operator.pierces {
		if err := i.AddAlpha(); err != nil {
			return err
		}
	}
	c, err := i.ref.Copy()
	if err != nil {
		return wrap(fault.Internal, op, err)
	}
	part := i.with(c)
	defer part.Close()
	if err := part.Crop(at); err != nil {
		return err
	}
	for _, do := range []func() error{
		func() error {
			return c.CompositeMulti([]*govips.ImageComposite{{Image: layer.ref, BlendMode: operator.mode}})
		},
		func() error { return c.ExtractBand(0, i.ref.Bands()) },
		func() error { return part.settle(op) },
		func() error { return i.ref.Insert(c, at.X, at.Y, false, nil) },
	} {
		if err := do(); err != nil {
			return wrap(fault.Internal, op, err)
		}
	}
	return nil
}

// tiled returns the part of the overlay that lies on a picture of the given
// size, with its opacity in its alpha, and where; nil where nothing does.
func (o Overlay) tiled(on pixel.Size) (*Image, pixel.Rect, error) {
	const op = "vips.Draw"
	size := o.Image.Size()
	left, right, across := reach(o.X, size.Width, on.Width, o.RepeatX)
	top, bottom, down := reach(o.Y, size.Height, on.Height, o.RepeatY)
	at := pixel.Rect{X: max(0, left), Y: max(0, top)}
	at.Width, at.Height = min(right, on.Width)-at.X, min(bottom, on.Height)-at.Y
	if at.Width <= 0 || at.Height <= 0 {
		return nil, at, nil
	}
	c, err := o.Image.ref.Copy()
	if err != nil {
		return nil, at, wrap(fault.Internal, op, err)
	}
	layer := o.Image.with(c)
	for _, do := range []func() error{
		c.AddAlpha,
		func() error { return layer.fade(o.Opacity) },
		func() error { return c.Replicate(across, down) },
		func() error {
			return layer.Crop(pixel.Rect{X: at.X - left, Y: at.Y - top, Width: at.Width, Height: at.Height})
		},
	} {
		if err := do(); err != nil {
			layer.Close()
			return nil, at, wrap(fault.Internal, op, err)
		}
	}
	return layer, at, nil
}

// reach returns where a stretch of the given length, or as many of them side by
// side as cover room, begins and ends, and how many they are.
func reach(from, length, room int, repeat bool) (start, end, times int) {
	if !repeat {
		return from, from + length, 1
	}
	start = from % length // the first tile that touches the room, or one before
	if start > 0 {
		start -= length
	}
	times = (room - start + length - 1) / length
	return start, start + times*length, times
}

// fade multiplies the alpha of a picture that has it. Values stay fractions, so
// that what is drawn is rounded once: libvips cuts off what composes bytes.
func (i *Image) fade(opacity float64) error {
	return i.ref.Linear([]float64{1, 1, 1, opacity}, make([]float64, colours+1))
}

// AddAlpha gives the picture an alpha channel, opaque everywhere, if it has none.
func (i *Image) AddAlpha() error {
	if err := i.ref.AddAlpha(); err != nil {
		return wrap(fault.Internal, "vips.AddAlpha", err)
	}
	return nil
}

// Rest draws the picture into memory: from then on its pixels can be read in any
// order and any number of times at no more cost. Its copyright stays with it,
// other metadata do not.
func (i *Image) Rest() error {
	b, err := i.Buffer()
	if err != nil {
		return err
	}
	resting, err := FromBuffer(b)
	if err != nil {
		return err
	}
	if rights := i.ref.GetBlob(fieldEXIF); len(rights) > 0 {
		resting.ref.SetBlob(fieldEXIF, rights)
	}
	i.ref.Close()
	i.ref = resting.ref
	return nil
}
