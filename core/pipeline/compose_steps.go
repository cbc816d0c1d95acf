package pipeline

import (
	"context"
	"crypto/sha256"

	"focal/core/pixel"
	"focal/core/transform"
	"focal/core/vips"
)

// change runs one step's options over a picture, and brings it to rest.
func (w *work) change(ctx context.Context, st stage) error {
	l := &w.layers[st.Image]
	pic, err := newPicture(l.source.Bytes, l.info, st.Options, st.plan, st.found)
	if err != nil {
		return err
	}
	if l.image == nil {
		if l.image, err = vips.Load(l.source.Bytes, l.info, st.plan.load); err != nil {
			return err
		}
		l.image.Until(ctx)
	}
	pic.image, pic.format = l.image, vips.PNG // which holds whatever a step may give
	if err := pic.run(steps); err != nil {
		return err
	}
	return l.image.Rest()
}

// open brings a picture to rest.
func (l *layer) open(ctx context.Context) (err error) {
	if l.image != nil {
		return nil
	}
	if l.image, err = vips.Load(l.source.Bytes, l.info, vips.LoadOptions{Shrink: 1, Random: true}); err != nil {
		return err
	}
	l.image.Until(ctx)
	return l.image.Rest()
}

// operators are the engine's names.
var operators = map[transform.Composite]vips.Operator{
	transform.Over: vips.Over, transform.In: vips.In, transform.Atop: vips.Atop,
	transform.Out: vips.Out, transform.Xor: vips.Xor, transform.Lighter: vips.Lighter,
}

// paint draws a picture on another.
func (w *work) paint(ctx context.Context, st stage) error {
	under, over := &w.layers[st.Image], &w.layers[st.Draw.Overlay]
	for _, l := range []*layer{under, over} {
		if err := l.open(ctx); err != nil {
			return err
		}
	}
	d, room, size := st.Draw, under.image.Size(), over.image.Size()
	err := under.image.Draw(vips.Overlay{
		Image: over.image, X: d.X.At(room.Width, size.Width), Y: d.Y.At(room.Height, size.Height),
		Opacity: d.Opacity, RepeatX: d.RepeatX, RepeatY: d.RepeatY, Operator: operators[d.Composite],
	})
	if err != nil {
		return err
	}
	return under.image.Rest()
}

// settle makes files of what has changed, for vision to look at.
func (w *work) settle() error {
	for i := range w.layers {
		l := &w.layers[i]
		if l.image == nil {
			continue
		}
		file, err := l.image.Encode(vips.EncodeOptions{Format: vips.PNG, Fast: true})
		if err != nil {
			return err
		}
		l.drop()
		l.source = Source{Bytes: file, Digest: pixel.Digest(sha256.Sum256(file))}
		if l.info, err = vips.Probe(file); err != nil {
			return err
		}
	}
	return nil
}

// finish writes the first picture.
func (w *work) finish(ctx context.Context) error {
	l, out := &w.layers[0], w.composition.Output
	if err := l.open(ctx); err != nil {
		return err
	}
	pic := &picture{image: l.image, options: out.Options}
	if err := background(pic); err != nil {
		return err
	}
	w.result.Size = l.image.Size()
	if out.Channels > 0 {
		return w.bare(out.Channels)
	}
	var warning string
	pic.format, warning = chooseFormat(out.Options, programs, w.result.Size, l.image.Alpha())
	w.warn(warning)
	if err := pic.run(finish); err != nil {
		return err
	}
	var err error
	w.result.ContentType = pic.format.MIME()
	w.result.Body, err = l.image.Encode(encoding(out.Options, pic.format))
	return err
}

// The media types of bare pixels.
const (
	typeRGB  = "application/vnd.focal.rgb8"
	typeRGBA = "application/vnd.focal.rgba8"
)

// bare answers with pixels. What is transparent lies on white where there is no
// alpha.
func (w *work) bare(channels int) error {
	i := w.layers[0].image
	w.result.ContentType = typeRGBA
	ready := i.AddAlpha
	if channels == 3 {
		w.result.ContentType = typeRGB
		ready = func() error { return i.Fill(white) }
	}
	if err := ready(); err != nil {
		return err
	}
	b, err := i.Buffer()
	w.result.Body = b.Pix
	return err
}

// About is what is known of a picture by its header.
type About struct {
	ContentType string
	Size        pixel.Size // oriented; zero for an SVG
	Bytes       int
}

// About reads the header of a file.
func (p *Pipeline) About(ctx context.Context, file []byte) (About, error) {
	if vips.Sniff(file) == vips.SVG {
		return About{ContentType: vips.SVG.MIME(), Bytes: len(file)}, nil
	}
	info, err := p.probe(ctx, file)
	return About{ContentType: info.Format.MIME(), Size: info.Oriented, Bytes: len(file)}, err
}
