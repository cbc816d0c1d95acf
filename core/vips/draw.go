package vips

import (
	"focal/core/fault"
	"focal/core/pixel"

	govips "github.com/davidbyttow/govips/v2/vips"
)

// Colour is an 8-bit sRGB colour with straight alpha, 255 opaque.
type Colour struct{ R, G, B, A uint8 }

// Crop cuts r out of the picture. r must lie inside it.
func (i *Image) Crop(r pixel.Rect) error {
	s := i.Size()
	if r.X == 0 && r.Y == 0 && r.Width == s.Width && r.Height == s.Height {
		return nil
	}
	if err := i.ref.ExtractArea(r.X, r.Y, r.Width, r.Height); err != nil {
		return wrap(fault.Internal, "vips.Crop", err)
	}
	return nil
}

// Resize scales the picture to exactly size: Lanczos when it shrinks, bicubic
// when it grows. Colours are weighed by alpha, so that transparent pixels do
// not bleed into visible ones.
//
// What grows is moved by half a pixel of the result to the right and down: libvips
// does so on purpose (its issue 4841), and the binding knows no way round.
func (i *Image) Resize(size pixel.Size) error {
	const op = "vips.Resize"
	now := i.Size()
	if now == size {
		return nil
	}
	h := float64(size.Width) / float64(now.Width)
	v := float64(size.Height) / float64(now.Height)
	kernel := govips.KernelLanczos3
	if h > 1 || v > 1 {
		kernel = govips.KernelCubic
	}
	if err := i.ref.ResizeWithVScale(h, v, kernel); err != nil {
		return wrap(fault.Corrupt, op, err)
	}
	// libvips rounds the size itself and can be a pixel off.
	got := i.Size()
	if got == size {
		return nil
	}
	if got.Width >= size.Width && got.Height >= size.Height {
		return i.Crop(pixel.Rect{Width: size.Width, Height: size.Height})
	}
	if err := i.ref.Embed(0, 0, size.Width, size.Height, govips.ExtendCopy); err != nil {
		return wrap(fault.Internal, op, err)
	}
	return nil
}

// FlipH mirrors left and right.
func (i *Image) FlipH() error { return i.flip(govips.DirectionHorizontal) }

// FlipV mirrors top and bottom; the picture must have been loaded Random.
func (i *Image) FlipV() error { return i.flip(govips.DirectionVertical) }

func (i *Image) flip(d govips.Direction) error {
	if err := i.ref.Flip(d); err != nil {
		return wrap(fault.Internal, "vips.Flip", err)
	}
	return nil
}

// Rotate turns the picture clockwise by 0, 90, 180 or 270 degrees; the picture
// must have been loaded Random.
func (i *Image) Rotate(degrees int) error {
	angle := map[int]govips.Angle{90: govips.Angle90, 180: govips.Angle180, 270: govips.Angle270}[degrees]
	if angle == govips.Angle0 {
		return nil
	}
	if err := i.ref.Rotate(angle); err != nil {
		return wrap(fault.Internal, "vips.Rotate", err)
	}
	return nil
}

// The largest standard deviation that is blurred as it is, in pixels, and the least
// side of a copy that stands in. A kernel as wide as a large blur wants costs
// minutes for a large picture; of what such a blur leaves, a copy reduced by this
// much keeps all.
const fullSigma, leastCopy = 8, 32

// Blur blurs with a Gaussian of standard deviation sigma in pixels; colours
// are weighed by alpha.
func (i *Image) Blur(sigma float64) error {
	s := i.Size()
	by := min(int(sigma/fullSigma), min(s.Width, s.Height)/leastCopy)
	if by < 2 {
		return i.blur(sigma)
	}
	soft, err := i.miniature(pixel.Size{Width: s.Width / by, Height: s.Height / by})
	if err != nil {
		return err
	}
	defer soft.Close()
	if err := soft.blur(sigma / float64(by)); err != nil {
		return err
	}
	if err := soft.Resize(s); err != nil {
		return err
	}
	return i.cover(soft)
}

// miniature returns a smaller copy without metadata. It lies in memory, or every tile
// of what is made of it would reduce its surroundings again.
func (i *Image) miniature(size pixel.Size) (*Image, error) {
	const op = "vips.miniature"
	c, err := i.ref.Copy()
	if err != nil {
		return nil, wrap(fault.Internal, op, err)
	}
	small := i.with(c)
	defer small.Close()
	if err := small.Resize(size); err != nil {
		return nil, err
	}
	b, err := small.bytes(op)
	if err != nil {
		return nil, err
	}
	m, err := govips.NewImageFromMemory(b, size.Width, size.Height, small.ref.Bands(), govips.BandFormatUchar, small.ref.Interpretation())
	if err != nil {
		return nil, wrap(fault.Internal, op, err)
	}
	return i.with(m), nil
}

// cover replaces all pixels by those of another picture of that size; the metadata
// stay.
func (i *Image) cover(by *Image) error {
	if err := i.ref.Insert(by.ref, 0, 0, false, nil); err != nil {
		return wrap(fault.Internal, "vips.cover", err)
	}
	return nil
}

func (i *Image) blur(sigma float64) error {
	for _, do := range []func() error{
		i.ref.PremultiplyAlpha,
		func() error { return i.ref.GaussianBlur(sigma) },
		i.ref.UnpremultiplyAlpha,
	} {
		if err := do(); err != nil {
			return wrap(fault.Corrupt, "vips.Blur", err)
		}
	}
	return nil
}

// Pad places the picture at left, top of a canvas of the given size. A colour
// that is not opaque gives the result an alpha channel.
func (i *Image) Pad(canvas pixel.Size, left, top int, c Colour) error {
	const op = "vips.Pad"
	if i.Size() == canvas {
		return nil
	}
	if c.A < 255 {
		if err := i.AddAlpha(); err != nil {
			return err
		}
	}
	err := i.ref.EmbedBackgroundRGBA(left, top, canvas.Width, canvas.Height, &govips.ColorRGBA{R: c.R, G: c.G, B: c.B, A: c.A})
	if err != nil {
		return wrap(fault.Internal, op, err)
	}
	return nil
}

// Fill draws c behind the picture. An opaque c removes the alpha channel; a
// translucent one is composed by Porter and Duff's over.
func (i *Image) Fill(c Colour) error {
	const op = "vips.Fill"
	if !i.Alpha() {
		return nil
	}
	if c.A == 255 {
		if err := i.ref.Flatten(&govips.Color{R: c.R, G: c.G, B: c.B}); err != nil {
			return wrap(fault.Internal, op, err)
		}
		return nil
	}
	ground, err := i.plane(c)
	if err != nil {
		return err
	}
	defer ground.Close()
	return i.onto(ground)
}

// plane returns a picture of i's size in one colour.
func (i *Image) plane(c Colour) (*Image, error) {
	pix := []byte{c.R, c.G, c.B, c.A}
	if c.A == 255 {
		pix = pix[:colours]
	}
	p, err := FromBuffer(pixel.Buffer{Width: 1, Height: 1, Channels: len(pix), Pix: pix})
	if err != nil {
		return nil, err
	}
	s := i.Size()
	if err := p.ref.Replicate(s.Width, s.Height); err != nil {
		p.Close()
		return nil, wrap(fault.Internal, "vips.plane", err)
	}
	return p, nil
}

// onto draws the picture over ground, which is of its size, and becomes what
// that gives.
func (i *Image) onto(ground *Image) error {
	const op = "vips.onto"
	over := &govips.ImageComposite{Image: i.ref, BlendMode: govips.BlendModeOver}
	if err := ground.ref.CompositeMulti([]*govips.ImageComposite{over}); err != nil {
		return wrap(fault.Internal, op, err)
	}
	if err := ground.ref.Cast(govips.BandFormatUchar); err != nil {
		return wrap(fault.Internal, op, err)
	}
	return i.replace(ground.ref)
}

// replace makes i hold with's pixels; with stays its caller's to close.
func (i *Image) replace(with *govips.ImageRef) error {
	c, err := with.Copy()
	if err != nil {
		return wrap(fault.Internal, "vips.replace", err)
	}
	i.ref.Close()
	i.ref = c
	return nil
}
