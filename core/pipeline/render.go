package pipeline

import (
	"bytes"
	"context"

	"focal/core/pixel"
	"focal/core/transform"
	"focal/core/vips"
)

// picture is what the steps work on.
type picture struct {
	image   *vips.Image
	plan    plan
	options transform.Options
	mask    *pixel.Mask // nil unless a cut-out or the mask was asked for
	hidden  []hiddenFace
	format  vips.Format // set once it is known whether there is transparency
}

// steps are the work on a picture, in Cloudflare's documented order:
// orientation and colour come with loading; then trim, flip, rotate, crop and
// resize; then, in an order of ours, adjustments and blur; then the shadow, the
// background and the border. Faces that are hidden and the mask belong to the
// oriented source, so they come first, and are turned, cut and scaled with the
// picture.
var steps = []func(*picture) error{hide, cutOut, trim, flip, rotate, crop, resize, conceal, adjust, blur, shadow, background, pad, border}

// finish makes a picture what its format can hold.
var finish = []func(*picture) error{flatten, grey}

// render runs the steps over the full picture and encodes it, under a slot.
// It is deterministic: same source, options, findings and accept, same bytes.
func (p *Pipeline) render(ctx context.Context, r Request, info vips.Info, found Findings) (Result, error) {
	pl, err := draft(info, r.Options, found, p.config)
	if err != nil {
		return Result{}, err
	}
	if r.Options.Format == transform.FormatJSON {
		return describe(r, info, pl, found)
	}
	release, err := p.slots.take(ctx, pl.memory(info))
	if err != nil {
		return Result{}, err
	}
	defer release()
	if r.Options.Debug {
		return overlay(r, info, pl, found)
	}
	return draw(ctx, r, info, pl, found)
}

// newPicture gathers what the steps work by. It makes a look where faces are to
// be hidden.
func newPicture(file []byte, info vips.Info, o transform.Options, pl plan, found Findings) (*picture, error) {
	pic := &picture{plan: pl, options: o}
	if o.Segment != transform.SegmentNone || o.Mask {
		pic.mask = kept(found.Foreground.Value, o.Segment)
	}
	if found.Hidden != nil && len(found.Hidden.Value) > 0 {
		look, err := vips.Look(file, info)
		if err != nil {
			return nil, err
		}
		pic.hidden = hiddenFaces(look, found.Hidden.Value)
	}
	return pic, nil
}

// draw loads the picture, runs the steps and encodes it.
func draw(ctx context.Context, r Request, info vips.Info, pl plan, found Findings) (Result, error) {
	pic, err := newPicture(r.Source.Bytes, info, r.Options, pl, found)
	if err != nil {
		return Result{}, err
	}
	res := Result{Warnings: pl.warnings}
	transparent := info.Alpha || pic.mask != nil || pl.seeThrough(r.Options)
	var warning string
	paint := pic.still
	if pl.pages > 1 {
		paint, pic.format = pic.animate, chooseAnimated(r.Options, r.Accept)
	} else if pic.format, warning = chooseFormat(r.Options, r.Accept, pl.size, transparent); warning != "" {
		res.Warnings = append(res.Warnings, warning)
	}
	image, err := paint(ctx, r.Source.Bytes, info)
	if err != nil {
		return Result{}, err
	}
	defer image.Close()
	res.Size = pl.size
	res.ContentType = pic.format.MIME()
	if res.Body, err = image.Encode(encoding(r.Options, pic.format)); err != nil {
		return Result{}, err
	}
	if pic.satisfies(r, info) && len(r.Source.Bytes) < len(res.Body) && clean(r.Source.Bytes, r.Options.Metadata) {
		res.Body, res.ContentType = bytes.Clone(r.Source.Bytes), info.Format.MIME() // the source's own memory is not for long
		res.Warnings = append(res.Warnings, "original is smaller")
	}
	return res, nil
}
