package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"focal/core/fault"
	"focal/core/svg"
	"focal/core/transform"
	"focal/core/vips"
)

// drawing makes the answer of an SVG: a sanitised copy. Options do not apply to
// it, but for format=json.
func (p *Pipeline) drawing(ctx context.Context, r Request) (Result, error) {
	start := time.Now()
	facts := r.Options.Format == transform.FormatJSON
	// Nobody looks for faces in the pictures inside, so none of them may stay.
	body, dropped, err := p.sanitise(ctx, r.Source.Bytes, !facts && !r.Options.BlurFaces)
	if err != nil {
		return Result{}, err
	}
	res := Result{Body: body, ContentType: vips.SVG.MIME()}
	if facts {
		if res.Body, err = describeDrawing(r.Source.Bytes); err != nil {
			return Result{}, err
		}
		res.ContentType = "application/json"
	}
	if ignored := inapplicable(r.Options); ignored != (transform.Options{}) {
		res.Warnings = append(res.Warnings, "SVG is never rasterised, ignored: "+ignored.Canonical())
	}
	if r.Options.BlurFaces && !facts {
		res.Warnings = append(res.Warnings, "blur-faces drops the pictures inside an SVG")
	}
	if dropped > 0 {
		res.Warnings = append(res.Warnings, fmt.Sprintf("embedded pictures dropped: %d", dropped))
	}
	res.Timing.Render = p.lap("svg", start)
	return res, nil
}

// inapplicable returns those options that would have changed what is seen.
func inapplicable(o transform.Options) transform.Options {
	switch o.Format {
	case transform.FormatAuto, transform.FormatJSON:
		o.Format = transform.FormatDefault
	}
	if o.Width == 0 && o.Height == 0 {
		o.DPR, o.Fit, o.Generate = 0, 0, false
	}
	o.Auto = transform.Auto{}
	o.Quality, o.SlowQuality, o.Fast, o.Metadata = 0, 0, false, transform.MetadataCopyright
	o.FirstFrame, o.RedirectOnError, o.BlurFaces = false, false, false
	return o
}

// sanitise cleans an SVG, zipped or not, and counts the pictures inside that
// had to be dropped; without pictures, all are, uncounted. Not being one, or being damaged, is one thing to whoever
// asked: it is no picture.
func (p *Pipeline) sanitise(ctx context.Context, file []byte, pictures bool) (body []byte, dropped int, err error) {
	const op = "pipeline.sanitise"
	w := &drawingWork{pipeline: p, ctx: ctx, need: p.drawingMemory(file), pixels: p.config.MaxPixels}
	if err := w.resume(); err != nil {
		return nil, 0, err
	}
	defer w.pause()
	o := svg.DefaultOptions()
	o.MaxBytes = p.config.MaxBytes
	if pictures {
		o.Embedded = w.embedded
	}
	out := &capped{left: p.config.MaxBytes}
	in, err := svg.Unzip(bytes.NewReader(file), o.MaxBytes)
	if err == nil {
		err = svg.Sanitise(out, in, o)
	}
	switch {
	case w.failed != nil:
		return nil, 0, w.failed
	case errors.Is(err, svg.ErrMaxBytes):
		return nil, 0, fault.New(fault.TooLarge, op, "the SVG has more bytes, unpacked and cleaned, than --max-source-bytes %d", o.MaxBytes)
	case fault.Is(err, fault.Corrupt), fault.Is(err, fault.Unsupported):
		return nil, 0, fault.New(fault.Unsupported, op, "the requested file is not an image: %w", err)
	case err != nil:
		return nil, 0, err
	}
	return out.buffer.Bytes(), w.dropped, nil
}

// drawingMemory estimates what sanitising takes: a copy that may stand twice
// while it grows. Deflate's ratio is at most 1032.
func (p *Pipeline) drawingMemory(file []byte) int64 {
	n := int64(len(file))
	if bytes.HasPrefix(file, []byte("\x1f\x8b")) {
		n *= 1032
	}
	return 3 * min(n, p.config.MaxBytes)
}

// capped is a buffer that refuses to grow without end: escapes and entities can
// make the copy longer than the file.
type capped struct {
	buffer bytes.Buffer
	left   int64
}

func (c *capped) Write(b []byte) (int, error) {
	if c.left -= int64(len(b)); c.left < 0 {
		return 0, svg.ErrMaxBytes
	}
	return c.buffer.Write(b)
}

// maxEmbedded is how many pictures of one SVG are re-optimised.
const maxEmbedded = 100

// drawingWork is the sanitising of one SVG: the slot it works in, and what it
// may still spend on pictures inside.
type drawingWork struct {
	pipeline *Pipeline
	ctx      context.Context // of the request: the hook has none
	need     int64           // bytes
	release  func()          // gives the slot back; nil while there is none

	seen, dropped int   // pictures
	pixels        int64 // that the pictures to come may have together
	failed        error // ends the request; Sanitise itself goes on without pictures
}

// resume waits for a slot.
func (w *drawingWork) resume() (err error) {
	w.release, err = w.pipeline.slots.take(w.ctx, w.need)
	return err
}

// pause gives the slot back.
func (w *drawingWork) pause() {
	if w.release != nil {
		w.release()
		w.release = nil
	}
}

// embedded makes a picture inside the SVG anew, in the format that it has. The
// picture takes slots of its own, so that of the SVG is given back meanwhile:
// nobody waits for one slot while holding another.
//
// All pictures together may have as many pixels as one source: no SVG costs
// more than a picture does. What is beyond, damaged, or of a format that an SVG
// may not show is dropped; a deadline that passed ends the request, since
// nobody should keep the result.
func (w *drawingWork) embedded(_ string, data []byte) ([]byte, string, error) {
	if w.failed != nil {
		return nil, "", w.failed
	}
	w.pause()
	r, err := w.redraw(data)
	if kind := fault.KindOf(err); err != nil && (kind == fault.Timeout || kind == fault.Canceled || kind == fault.Internal) {
		w.failed = err
		return nil, "", err
	}
	if err != nil {
		w.dropped++
	}
	if w.failed = w.resume(); w.failed != nil {
		return nil, "", w.failed
	}
	return r.Body, r.ContentType, err
}

func (w *drawingWork) redraw(data []byte) (Result, error) {
	const op = "pipeline.embedded"
	if w.seen++; w.seen > maxEmbedded {
		return Result{}, fault.New(fault.TooLarge, op, "more than %d pictures in one SVG", maxEmbedded)
	}
	var o transform.Options
	switch f := vips.Sniff(data); f { // the name in the URL is not believed
	case vips.JPEG:
		o.Format = transform.FormatJPEG
	case vips.PNG:
		o.Format = transform.FormatPNG
	case vips.GIF:
	default:
		return Result{}, fault.New(fault.Unsupported, op, "a picture of format %s in an SVG", f)
	}
	info, err := w.pipeline.probe(w.ctx, data)
	if err != nil {
		return Result{}, err
	}
	if info.Format == vips.GIF && !info.Animated() {
		o.Format = transform.FormatPNG
	}
	if w.pixels -= int64(info.Stored.Width) * int64(info.Stored.Height) * int64(info.Pages); w.pixels < 0 {
		return Result{}, fault.New(fault.TooLarge, op, "the pictures in one SVG have more than --max-pixels %d", w.pipeline.config.MaxPixels)
	}
	return w.pipeline.render(w.ctx, Request{Source: Source{Bytes: data}, Options: o}, info, Findings{})
}

// describeDrawing answers format=json: a size in pixels is not an SVG's own.
func describeDrawing(file []byte) ([]byte, error) {
	var d struct {
		Original struct {
			FileSize int    `json:"file_size"`
			Format   string `json:"format"`
		} `json:"original"`
	}
	d.Original.FileSize, d.Original.Format = len(file), vips.SVG.MIME()
	body, err := json.Marshal(d)
	if err != nil {
		return nil, fault.New(fault.Internal, "pipeline.describeDrawing", "%w", err)
	}
	return append(body, '\n'), nil
}
