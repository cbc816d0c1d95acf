package pipeline

import (
	"fmt"
	"image/color"
	"slices"

	"focal/core/pixel"
	"focal/core/vips"
)

// The colours of debug=crop.
var (
	cropColour    = color.RGBA{250, 204, 21, 255}  // the window that is kept
	chosenColour  = color.RGBA{74, 222, 128, 255}  // faces that decide
	otherColour   = color.RGBA{203, 213, 225, 255} // faces that do not
	subjectColour = color.RGBA{34, 211, 238, 255}
)

// leastOverlay is the least width of a picture with a caption: a small picture
// is enlarged to it.
const leastOverlay = 480

// overlay answers debug=crop: the whole oriented source, no larger than a look,
// and over it what was found and what is kept; below it, by which models. Faces
// that were to be hidden are. It differs from call to call, in what it says of
// the cache.
func overlay(r Request, info vips.Info, pl plan, found Findings) (Result, error) {
	scene, err := sceneOf(r, info, found)
	if err != nil {
		return Result{}, err
	}
	lines := legend(r, info, pl, found)
	s := newSketch(scene, leastOverlay, len(lines))
	s.caption(lines)
	pl.sketch(s, r, found)

	i, err := vips.FromBuffer(s.buffer())
	if err != nil {
		return Result{}, err
	}
	defer i.Close()
	format, warning := chooseFormat(r.Options, r.Accept, i.Size(), false)
	pl.warn(warning)
	res := Result{ContentType: format.MIME(), Size: i.Size(), Warnings: pl.warnings, Fleeting: true}
	res.Body, err = i.Encode(encoding(r.Options, format))
	return res, err
}

// sceneOf is what overlay draws on.
func sceneOf(r Request, info vips.Info, found Findings) (pixel.Buffer, error) {
	look, err := vips.Look(r.Source.Bytes, info)
	if err != nil {
		return pixel.Buffer{}, err
	}
	i, err := vips.FromBuffer(look)
	if err != nil {
		return pixel.Buffer{}, err
	}
	defer i.Close()
	pic := &picture{image: i}
	if found.Hidden != nil {
		pic.hidden = hiddenFaces(look, found.Hidden.Value)
	}
	if err := hide(pic); err != nil {
		return pixel.Buffer{}, err
	}
	if by := (leastOverlay + look.Width - 1) / look.Width; by > 1 && look.Height*by <= pixel.LookSide {
		if err := i.Resize(pixel.Size{Width: look.Width * by, Height: look.Height * by}); err != nil {
			return pixel.Buffer{}, err
		}
	}
	return i.Buffer()
}

// sketch draws what was found and what is kept.
func (p plan) sketch(s sketch, r Request, found Findings) {
	l, size := p.layout, p.working
	window := s.place(p.frame.BackBox(pixel.Box{
		X: l.Window.X / float64(size.Width), Y: l.Window.Y / float64(size.Height),
		W: l.Window.W / float64(size.Width), H: l.Window.H / float64(size.Height),
	}))
	s.shade(s.place(p.frame.BackBox(pixel.Box{W: 1, H: 1})), 0.5) // trimmed away
	s.shade(window, 0.5)
	if found.Foreground != nil {
		s.tint(found.Foreground.Value, subjectColour, 0.3)
		if p.subject.Box != (pixel.Box{}) {
			box := s.place(p.frame.BackBox(p.subject.Box))
			s.frame(box, subjectColour, 2)
			s.tag(box, fmt.Sprintf("subject %.0f%%", 100*Coverage(found.Foreground.Value)), subjectColour)
		}
	}
	s.frame(window, cropColour, 3)
	if found.Faces == nil {
		return
	}
	for _, f := range found.Faces.Value {
		c := otherColour
		if slices.Contains(p.chosen, p.frame.Box(f.Box)) {
			c = chosenColour
		}
		box := s.place(f.Box)
		s.frame(box, c, 2)
		s.tag(box, fmt.Sprintf("%.2f", f.Score), c)
		if r.Options.BlurFaces {
			continue // where the eyes are was to be hidden too
		}
		for _, m := range f.Landmarks {
			s.dot(m, c)
		}
	}
}

// legend says in words what the sketch shows, and by whom.
func legend(r Request, info vips.Info, pl plan, found Findings) []string {
	w := pl.layout.Window
	lines := []string{
		r.Options.Canonical(),
		fmt.Sprintf("crop %.0f,%.0f %.0fx%.0f of %dx%d (source %dx%d) -> %dx%d", w.X, w.Y, w.W, w.H,
			pl.working.Width, pl.working.Height, info.Oriented.Width, info.Oriented.Height, pl.size.Width, pl.size.Height),
	}
	for _, f := range found.facts() {
		lines = append(lines, fmt.Sprintf("%s: %s on %s, %s; %s", f.Task, f.Model, f.Provider, f.How, f.Detail))
	}
	if found.Salient != nil {
		lines = append(lines, fmt.Sprintf("salient at %.2f,%.2f of what the crop leaves over", found.Salient.X, found.Salient.Y))
	}
	if d := found.Degraded; d != nil {
		lines = append(lines, fmt.Sprintf("degraded: %s=%s; reason=%s", d.From, d.To, d.Reason))
	}
	return append(lines, pl.warnings...)
}
