package pipeline

import (
	"context"
	"slices"

	"focal/core/fault"
	"focal/core/transform"
	"focal/core/vips"
)

// The animations that are transformed whole: the sum of their frames' areas is
// Cloudflare's figure; the number of frames keeps all of them, standing below
// each other at the largest side, within the rows that libvips can count.
const (
	maxAnimation = 50_000_000 // pixels
	maxFrames    = 800
)

// frames decides how many frames of a source are drawn:
//
//  1. It has one, or one was asked for: one.
//  2. A format was asked for that shows one: one.
//  3. A cut-out, or the mask: one, with a warning. The mask is the first
//     frame's, and wrong for any other.
//  4. Faces are to be hidden: one, with a warning. They are looked for in it
//     alone, and no frame leaves in which nobody looked.
//  5. More pixels than --max-pixels, before or after: refused.
//  6. More than are transformed whole: one, with a warning.
//  7. Else all.
func (p plan) frames(info vips.Info, o transform.Options, maxPixels int64) (n int, warning string, err error) {
	if !info.Animated() || o.FirstFrame { // 1
		return 1, "", nil
	}
	switch o.Format {
	case transform.FormatDefault, transform.FormatAuto, transform.FormatWebP, transform.FormatGIF:
	default: // 2
		return 1, "", nil
	}
	if o.Segment != transform.SegmentNone || o.Mask { // 3
		return 1, "the mask is of the first frame of the animation, which alone is kept", nil
	}
	if o.BlurFaces { // 4
		return 1, "blur-faces keeps the first frame of an animation, in which alone faces are looked for", nil
	}
	count := int64(info.Pages)
	before := count * int64(info.Stored.Width) * int64(info.Stored.Height)
	after := count * int64(p.size.Width) * int64(p.size.Height)
	if before > maxPixels || after > maxPixels { // 5
		return 0, "", fault.New(fault.TooLarge, "pipeline.frames", "%d frames of %d×%d, to be %d×%d, are more than --max-pixels %d; anim=false takes the first",
			count, info.Stored.Width, info.Stored.Height, p.size.Width, p.size.Height, maxPixels)
	}
	if before > maxAnimation || after > maxAnimation || count > maxFrames { // 6
		return 1, "animation too large: the first frame alone", nil
	}
	return info.Pages, "", nil // 7
}

// animate draws all frames in the same way.
func (p *picture) animate(ctx context.Context, file []byte, info vips.Info) (*vips.Image, error) {
	a, err := vips.LoadAnimation(file, info)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	for _, f := range a.Frames {
		f.Until(ctx)
		p.image = f
		if err := p.draw(); err != nil {
			return nil, err
		}
	}
	return a.Join()
}

// still draws one picture.
func (p *picture) still(ctx context.Context, file []byte, info vips.Info) (*vips.Image, error) {
	image, err := vips.Load(file, info, p.plan.load)
	if err != nil {
		return nil, err
	}
	image.Until(ctx)
	p.image = image
	if err := p.draw(); err != nil {
		image.Close()
		return nil, err
	}
	return image, nil
}

// draw runs the steps over the picture's image, and makes it fit its format.
func (p *picture) draw() error { return p.run(slices.Concat(steps, finish)) }

// run runs some steps over the picture's image.
func (p *picture) run(steps []func(*picture) error) error {
	for _, step := range steps {
		if err := step(p); err != nil {
			return err
		}
	}
	return nil
}
