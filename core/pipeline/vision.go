package pipeline

import (
	"context"
	"sync"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/core/transform"
	"focal/core/vips"

	"golang.org/x/sync/errgroup"
)

// Vision finds things in pictures. Its errors are of the kinds of core/fault.
type Vision interface {
	// Faces returns the faces of s of at least the score lowest, best first;
	// nil means the model's own threshold.
	Faces(ctx context.Context, s Subject, lowest *float64) (Finding[[]pixel.Face], error)
	// Foreground returns the mask of what is not background.
	Foreground(ctx context.Context, s Subject) (Finding[pixel.Mask], error)
}

// Subject is what vision is asked about.
type Subject struct {
	Content pixel.Digest // SHA-256 of the source bytes
	Source  pixel.Size   // size of the oriented source
	// Look makes the pixels to look at; it is called only when nobody knows
	// the answer yet.
	Look func(ctx context.Context) (pixel.Buffer, error)
}

// Finding is what vision found, and how.
type Finding[T any] struct {
	Value    T
	Model    string
	Digest   pixel.Digest // of the model: its file and what is done round it
	Provider string       // "cpu" or "cuda"
	How      string       // run, hit or coalesced
}

// Findings is all that rendering may know of what is in a picture. It is an
// argument of rendering, never a call inside it.
type Findings struct {
	Faces *Finding[[]pixel.Face]
	// Hidden are the faces that blur-faces covers: more than Faces, since less
	// sure ones are among them.
	Hidden     *Finding[[]pixel.Face]
	Foreground *Finding[pixel.Mask]
	// Salient is where the most salient window of the target's aspect begins,
	// in fractions of the trimmed source that a crop leaves over.
	Salient *pixel.Point
	// Content is what is left of the oriented source, in its pixels, when the
	// border that trim=border looks for is taken away; nil where there is none.
	Content  *pixel.Rect
	Degraded *Degraded
}

// Degraded says that a ladder was taken.
type Degraded struct {
	From, To string // "face" or "foreground", then "auto" or "center"
	Reason   fault.Kind
}

// find looks for what the options need: faces and foreground by vision, borders
// and saliency by the image engine. The second result is the time spent making the
// look.
func (p *Pipeline) find(ctx context.Context, r Request, info vips.Info) (Findings, time.Duration, error) {
	var (
		found Findings
		spent time.Duration
		err   error
	)
	if r.Options.NeedsFaces() || r.Options.NeedsForeground() {
		if found, spent, err = p.ask(ctx, r, info); err != nil {
			return found, spent, err
		}
	}
	if r.Options.Trim.Border {
		if err = p.findContent(ctx, r, info, &found); err != nil {
			return found, spent, err
		}
	}
	if r.Options.Gravity.Salient() || found.Degraded != nil {
		err = p.findSalient(ctx, r, info, &found)
	}
	return found, spent, err
}

// defaultTolerance is how far from the border's colour a channel may be and
// still be border: libvips' own default, wide enough for a JPEG's noise.
const defaultTolerance = 10

// findContent looks for a border of one colour. It decodes the whole picture.
func (p *Pipeline) findContent(ctx context.Context, r Request, info vips.Info, found *Findings) error {
	release, err := p.slots.take(ctx, info.DecodeMemory(1, true))
	if err != nil {
		return err
	}
	defer release()
	t := r.Options.Trim
	tolerance := float64(defaultTolerance)
	if t.Tolerance.Set {
		tolerance = t.Tolerance.Value
	}
	var colour *vips.Colour
	if c, given := ground(t.Colour); given {
		colour = &c
	}
	content, ok, err := vips.Content(r.Source.Bytes, info, colour, tolerance)
	if ok {
		found.Content = &content
	}
	return err
}

// findSalient looks for the salient part where the target cuts anything away.
// On the ladder a failure is its last step, the centre; else it is an error.
func (p *Pipeline) findSalient(ctx context.Context, r Request, info vips.Info, found *Findings) error {
	t := r.Options.Target()
	if !t.Crops() {
		return nil
	}
	aspect := float64(t.Width) / float64(t.Height)
	if r.Options.Rotate%180 != 0 {
		aspect = 1 / aspect // the source is searched as it stands before turning
	}
	release, err := p.slots.take(ctx, info.DecodeMemory(1, info.Orientation > 1))
	if err != nil {
		return err
	}
	defer release()
	frame, _ := frameOf(r.Options, info.Oriented, *found)
	strategy := vips.Attention
	if r.Options.Gravity.Kind == transform.GravityEntropy {
		strategy = vips.Entropy
	}
	x, y, err := vips.Salient(r.Source.Bytes, info, frame.Cut(info.Oriented), aspect, strategy)
	switch {
	case err == nil:
		found.Salient = &pixel.Point{X: x, Y: y}
		return nil
	case found.Degraded != nil:
		found.Degraded.To = "center"
		return nil
	default:
		return err
	}
}

// ask puts the questions to vision. It holds no slot while it waits.
func (p *Pipeline) ask(ctx context.Context, r Request, info vips.Info) (Findings, time.Duration, error) {
	var found Findings
	if p.vision == nil {
		return found, 0, fault.New(fault.Unavailable, "pipeline.ask", "there is no inference here")
	}
	ctx, cancel := p.visionContext(ctx)
	defer cancel()
	look := p.lookOnce(r.Source.Bytes, info)
	subject := Subject{Content: r.Source.Digest, Source: info.Oriented, Look: look.make}

	// The questions run side by side and fail apart: a crop has a ladder, a
	// picture that is to show the mask has none.
	var g errgroup.Group
	if r.Options.NeedsFaces() {
		g.Go(func() error { return p.askFaces(ctx, r.Options, subject, &found) })
	}
	if r.Options.NeedsForeground() {
		g.Go(func() error {
			f, err := p.vision.Foreground(ctx, subject)
			switch {
			case err == nil:
				found.Foreground = &f
			case !r.Options.ShowsForeground():
				found.Degraded, err = p.descend("foreground", err)
			}
			return err
		})
	}
	err := g.Wait()
	return found, look.took(), err
}

// askFaces asks for the faces of a crop, and for those that are hidden. The
// second question comes after the first: its answer is known then. Only the
// first has a ladder: no picture leaves with faces that were to be hidden.
func (p *Pipeline) askFaces(ctx context.Context, o transform.Options, s Subject, found *Findings) error {
	if o.CropsToFaces() {
		var lowest *float64
		if o.Faces.MinScore.Set {
			lowest = &o.Faces.MinScore.Value
		}
		f, err := p.vision.Faces(ctx, s, lowest)
		if err == nil {
			found.Faces = &f
		} else if found.Degraded, err = p.descend("face", err); err != nil {
			return err
		}
	}
	if o.BlurFaces {
		lowest := hiddenScore(o)
		f, err := p.vision.Faces(ctx, s, &lowest)
		if err != nil {
			return err
		}
		found.Hidden = &f
	}
	return nil
}

// visionContext leaves of ctx's time what rendering needs, but never more than
// half of it.
func (p *Pipeline) visionContext(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	reserve := min(p.config.RenderReserve, time.Until(deadline)/2)
	return context.WithDeadline(ctx, deadline.Add(-reserve))
}

// descend decides what it means that a crop could not be told where faces or
// the foreground are:
//
//  1. The picture or the request is bad: that is the answer, on any ladder.
//  2. --inference-fallback=fail: no other picture than the one asked for.
//  3. Else the ladder's next step, named.
func (p *Pipeline) descend(from string, err error) (*Degraded, error) {
	kind := fault.KindOf(err)
	switch kind {
	case fault.Unavailable, fault.Busy, fault.Timeout:
	default:
		return nil, err // 1
	}
	if p.config.Fallback == FallbackFail {
		return nil, err // 2
	}
	return &Degraded{From: from, To: "auto", Reason: kind}, nil // 3
}

// look makes the look of one source at most once, whoever asks first.
type look struct {
	pipeline *Pipeline
	file     []byte
	info     vips.Info

	mu     sync.Mutex // protects the rest; held while the look is made
	buffer pixel.Buffer
	spent  time.Duration
}

func (p *Pipeline) lookOnce(file []byte, info vips.Info) *look {
	return &look{pipeline: p, file: file, info: info}
}

func (l *look) make(ctx context.Context) (pixel.Buffer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buffer.Pix != nil {
		return l.buffer, nil
	}
	start := time.Now()
	b, err := l.pipeline.look(ctx, l.file, l.info)
	if err != nil {
		return pixel.Buffer{}, err
	}
	l.buffer, l.spent = b, l.pipeline.lap("look", start)
	return b, nil
}

func (l *look) took() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spent
}

// lookMemory estimates what making a look takes.
func lookMemory(info vips.Info) int64 {
	factor := float64(max(info.Oriented.Width, info.Oriented.Height)) / pixel.LookSide
	return info.DecodeMemory(vips.ShrinkOnLoad(info.Format, factor), info.Orientation > 1)
}

// look makes a look under a slot.
func (p *Pipeline) look(ctx context.Context, file []byte, info vips.Info) (pixel.Buffer, error) {
	release, err := p.slots.take(ctx, lookMemory(info))
	if err != nil {
		return pixel.Buffer{}, err
	}
	defer release()
	return vips.Look(file, info)
}

// Look reads a picture file for vision: the look, and the size of the oriented
// source. It has the limits and slots of every request; the sidecar uses it
// for files that are sent to it.
func (p *Pipeline) Look(ctx context.Context, file []byte) (pixel.Buffer, pixel.Size, error) {
	info, err := p.probe(ctx, file)
	if err != nil {
		return pixel.Buffer{}, pixel.Size{}, err
	}
	b, err := p.look(ctx, file, info)
	return b, info.Oriented, err
}

// Cutout draws a picture file with mask as its alpha, as a PNG of the oriented
// picture's size, under the limits and slots of every request.
func (p *Pipeline) Cutout(ctx context.Context, file []byte, mask pixel.Mask) ([]byte, error) {
	r := Request{Source: Source{Bytes: file}, Options: transform.Options{Segment: transform.SegmentForeground, Format: transform.FormatPNG}}
	info, err := p.probe(ctx, file)
	if err != nil {
		return nil, err
	}
	res, err := p.render(ctx, r, info, Findings{Foreground: &Finding[pixel.Mask]{Value: mask}})
	return res.Body, err
}
