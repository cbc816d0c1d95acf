package vips

import (
	"focal/core/fault"

	govips "github.com/davidbyttow/govips/v2/vips"
)

// Animated says whether the file's pages are frames that follow each other in
// time, and not, as in a TIFF, pictures of their own.
func (i Info) Animated() bool { return i.Pages > 1 && (i.Format == GIF || i.Format == WebP) }

// Animation is the frames of an animated file, each a picture by itself: the
// same operations on all of them give the same animation, and no frame bleeds
// into the next. It belongs to one goroutine, which closes it.
type Animation struct {
	Frames []*Image
	delay  []int // milliseconds that each frame stays
	loop   int   // how often it runs; 0 for ever
}

// LoadAnimation opens all frames of file; see Load. They are held in memory
// together.
func LoadAnimation(file []byte, info Info) (*Animation, error) {
	const op = "vips.LoadAnimation"
	p := importParams(info.Format, 1, true)
	p.NumPages.Set(info.Pages)
	ref, err := govips.LoadImageFromBuffer(file, p)
	if err != nil {
		return nil, wrap(fault.Corrupt, op, err)
	}
	strip := &Image{ref: ref}
	defer strip.Close()
	a := &Animation{loop: ref.Loop()}
	if a.delay, err = ref.PageDelay(); err == nil {
		err = strip.normalise(true)
	}
	if err != nil {
		return nil, wrap(fault.Corrupt, op, err)
	}
	for n := range info.Pages {
		f, err := strip.frame(n, info)
		if err != nil {
			a.Close()
			return nil, wrap(fault.Corrupt, op, err)
		}
		a.Frames = append(a.Frames, f)
	}
	return a, nil
}

// frame cuts a frame out of a strip of frames that stand below each other.
func (i *Image) frame(n int, info Info) (*Image, error) {
	c, err := i.ref.Copy()
	if err != nil {
		return nil, err
	}
	f := i.with(c)
	err = c.ExtractArea(0, n*info.Stored.Height, info.Stored.Width, info.Stored.Height)
	if err == nil && info.Orientation > 1 {
		err = c.AutoRotate()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close frees the frames.
func (a *Animation) Close() {
	for _, f := range a.Frames {
		f.Close()
	}
}

// Join returns the frames as one picture that Encode writes as an animation;
// they must be of one size. The frames stay the animation's to close.
func (a *Animation) Join() (*Image, error) {
	const op = "vips.Join"
	height := a.Frames[0].Size().Height
	refs := make([]*govips.ImageRef, len(a.Frames))
	for n, f := range a.Frames {
		refs[n] = f.ref
	}
	c, err := refs[0].Copy()
	if err != nil {
		return nil, wrap(fault.Internal, op, err)
	}
	joined := a.Frames[0].with(c)
	for _, do := range []func() error{
		func() error { return c.ArrayJoin(refs[1:], 1) },
		func() error { return c.SetPages(len(refs)) },
		func() error { return c.SetPageHeight(height) },
		func() error { return c.SetPageDelay(a.delay) },
		func() error { return c.SetLoop(a.loop) },
	} {
		if err := do(); err != nil {
			joined.Close()
			return nil, wrap(fault.Internal, op, err)
		}
	}
	return joined, nil
}
