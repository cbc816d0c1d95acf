package pipeline

import (
	"context"
	"slices"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/core/transform"
	"focal/core/vips"
)

// Composition asks for one picture made of several by a program.
type Composition struct {
	Images []Source // the first is what is returned, after all steps
	Steps  []transform.Step
	Output transform.Output
}

// programs is what those who compose take: whoever asks for AVIF shows WebP too.
var programs = Accept{AVIF: true, WebP: true}

// Compose makes the picture of a composition. It is a still, unless one picture
// and no more than one step make it. An SVG is not rasterised: fault.Unsupported.
// Errors are otherwise those of Make.
func (p *Pipeline) Compose(ctx context.Context, c Composition) (Result, error) {
	if o, single := c.single(); single {
		return p.raster(ctx, Request{Source: c.Images[0], Options: o, Accept: programs})
	}
	start := time.Now()
	w := &work{pipeline: p, composition: c, layers: make([]layer, len(c.Images))}
	defer w.close()
	if err := w.probe(ctx); err != nil {
		return Result{}, err
	}
	w.result.Timing.Decode = p.lap("probe", start)
	for next := 0; ; {
		begin := time.Now()
		stages, err := w.look(ctx, next)
		if err != nil {
			return Result{}, err
		}
		w.result.Timing.Infer += p.lap("infer", begin)
		begin = time.Now()
		next += len(stages)
		done, err := w.run(ctx, stages, next == len(c.Steps))
		w.result.Timing.Render += p.lap("render", begin)
		if done || err != nil {
			return w.result, err
		}
	}
}

// single returns the options that make the picture by themselves, in the way of
// every request: for one picture, and at most one step that leaves the
// background to the output.
func (c Composition) single() (transform.Options, bool) {
	var o transform.Options
	switch {
	case c.Output.Channels > 0 || len(c.Steps) > 1:
		return o, false
	case len(c.Steps) == 1:
		s := c.Steps[0]
		if s.Draw != nil || s.Image != 0 || s.Options.Background.Set && c.Output.Options.Background.Set {
			return o, false
		}
		o = s.Options
	}
	out := c.Output.Options
	o.Format, o.Quality, o.FirstFrame = out.Format, out.Quality, out.FirstFrame
	if out.Background.Set {
		o.Background = out.Background
	}
	return o, true
}

// layer is one picture of a composition: a file, or pixels at rest.
type layer struct {
	source Source
	info   vips.Info
	image  *vips.Image // nil: the file
	used   bool
}

// stage is a step that has been planned.
type stage struct {
	transform.Step
	plan  plan
	found Findings
}

// work is a composition under way. Pixels rest in memory only while a slot is
// held; over the time that vision takes, pictures are files.
type work struct {
	pipeline    *Pipeline
	composition Composition
	layers      []layer
	result      Result
}

func (w *work) close() {
	for i := range w.layers {
		w.layers[i].drop()
	}
}

func (l *layer) drop() {
	if l.image != nil {
		l.image.Close()
		l.image = nil
	}
}

// probe reads the headers of all pictures that the program touches.
func (w *work) probe(ctx context.Context) error {
	w.layers[0].used = true
	for _, s := range w.composition.Steps {
		w.layers[s.Image].used = true
		if s.Draw != nil {
			w.layers[s.Draw.Overlay].used = true
		}
	}
	for i := range w.layers {
		l := &w.layers[i]
		if !l.used {
			continue
		}
		l.source = w.composition.Images[i]
		var err error
		if l.info, err = w.pipeline.probe(ctx, l.source.Bytes); err != nil {
			return err
		}
		if l.info.Animated() {
			l.info.Pages = 1
			w.warn("of an animation the first frame is taken where several steps make a picture")
		}
	}
	return nil
}

// warn adds texts that were not said before.
func (w *work) warn(texts ...string) {
	for _, text := range texts {
		if text != "" && !slices.Contains(w.result.Warnings, text) {
			w.result.Warnings = append(w.result.Warnings, text)
		}
	}
}

// look plans the steps from next on, as far as they can be: to look for something
// in a picture that steps change, these have to be run first.
func (w *work) look(ctx context.Context, next int) ([]stage, error) {
	var stages []stage
	size := make([]pixel.Size, len(w.layers)) // of those that have changed
	for _, s := range w.composition.Steps[next:] {
		st := stage{Step: s}
		changed := size[s.Image] != pixel.Size{}
		info := w.layers[s.Image].info
		if changed {
			info = resting(size[s.Image])
		}
		if s.Draw != nil {
			size[s.Image] = info.Oriented
			stages = append(stages, st)
			continue
		}
		if looks(s.Options) {
			if changed {
				break
			}
			if err := w.find(ctx, &st); err != nil {
				return nil, err
			}
		}
		var err error
		if st.plan, err = draft(info, s.Options, st.found, w.pipeline.config); err != nil {
			return nil, err
		}
		w.warn(st.plan.warnings...)
		size[s.Image] = st.plan.size
		stages = append(stages, st)
	}
	return stages, w.check(size)
}

// looks says whether options depend on what is in a picture.
func looks(o transform.Options) bool {
	return o.NeedsFaces() || o.NeedsForeground() || o.Trim.Border || o.Gravity.Salient()
}

// resting describes pixels at rest, as a header would.
func resting(s pixel.Size) vips.Info {
	return vips.Info{Format: vips.PNG, Stored: s, Oriented: s, Orientation: 1, Pages: 1, Alpha: true, Standard: true}
}

// find looks for what a step needs.
func (w *work) find(ctx context.Context, st *stage) error {
	l := w.layers[st.Image]
	found, looked, err := w.pipeline.find(ctx, Request{Source: l.source, Options: st.Options}, l.info)
	if err != nil {
		return err
	}
	st.found = found
	w.result.Timing.Decode += looked
	w.result.Facts = append(w.result.Facts, found.facts()...)
	if found.Degraded != nil {
		w.result.Findings.Degraded = found.Degraded
	}
	return nil
}

// check refuses what would not fit into memory: pictures that are held together
// may have no more pixels than one source.
func (w *work) check(changed []pixel.Size) error {
	var sum int64
	for i, l := range w.layers {
		s := l.info.Oriented
		if changed[i] != (pixel.Size{}) {
			s = changed[i]
		}
		sum += int64(s.Width) * int64(s.Height)
	}
	if most := w.pipeline.config.MaxPixels; sum > most {
		return fault.New(fault.TooLarge, "pipeline.Compose", "the pictures have %d pixels together, more than --max-pixels %d", sum, most)
	}
	return nil
}

// memory estimates what running stages takes: the picture that is decoded, and
// the pixels of all, twice while one of them comes to rest.
func (w *work) memory(stages []stage) int64 {
	size := make([]int64, len(w.layers))
	var decode int64
	for i, l := range w.layers {
		if l.used {
			size[i] = int64(l.info.Oriented.Width) * int64(l.info.Oriented.Height)
			decode = max(decode, l.info.DecodeMemory(1, true))
		}
	}
	var sum int64
	for _, st := range stages {
		if st.Draw == nil {
			size[st.Image] = max(size[st.Image], int64(st.plan.size.Width)*int64(st.plan.size.Height))
		}
	}
	for _, n := range size {
		sum += 4 * n
	}
	return decode + 2*sum
}

// run runs stages under one slot. After the last ones it finishes the picture;
// else what has changed becomes files.
func (w *work) run(ctx context.Context, stages []stage, last bool) (done bool, err error) {
	release, err := w.pipeline.slots.take(ctx, w.memory(stages))
	if err != nil {
		return false, err
	}
	defer release()
	for _, st := range stages {
		if err := ctx.Err(); err != nil {
			return false, fault.New(fault.KindOf(err), "pipeline.Compose", "between two steps: %w", err)
		}
		if st.Draw != nil {
			err = w.paint(ctx, st)
		} else {
			err = w.change(ctx, st)
		}
		if err != nil {
			return false, err
		}
	}
	if last {
		return true, w.finish(ctx)
	}
	return false, w.settle()
}
