package pipeline

import (
	"fmt"
	"math"

	"focal/core/fault"
	"focal/core/geometry"
	"focal/core/pixel"
	"focal/core/transform"
	"focal/core/vips"
)

// plan is everything about a rendering that can be decided from the header,
// the options and the findings, before a pixel is decoded.
type plan struct {
	frame    geometry.Frame // oriented source → working picture
	working  pixel.Size     // the working picture at full size
	chosen   []pixel.Box    // faces that decide the crop, in fractions of the working picture
	subject  geometry.Subject
	layout   geometry.Layout // working picture → result, without its border
	border   transform.Border
	size     pixel.Size // the result
	load     vips.LoadOptions
	pages    int  // frames that are drawn
	looks    bool // a look is made for rendering
	warnings []string
}

// draft makes the plan.
func draft(info vips.Info, o transform.Options, found Findings, c Config) (plan, error) {
	p := plan{border: o.Drawn(), looks: found.Hidden != nil || o.Debug}
	var warning string
	p.frame, warning = frameOf(o, info.Oriented, found)
	p.working = p.frame.Size(info.Oriented)
	if found.Faces != nil {
		p.chooseFaces(o, found.Faces.Value)
	} else if found.Hidden != nil && len(found.Hidden.Value) == 0 {
		p.warn("no face was found")
	}
	if found.Foreground != nil {
		p.findSubject(found.Foreground.Value)
	}
	l, err := geometry.Arrange(p.working, o.Target(), focus(o, p, found))
	if err != nil {
		return plan{}, err
	}
	p.size = pixel.Size{
		Width:  l.Canvas.Width + p.border.Left + p.border.Right,
		Height: l.Canvas.Height + p.border.Top + p.border.Bottom,
	}
	if p.size.Width > c.MaxSide || p.size.Height > c.MaxSide {
		return plan{}, fault.New(fault.TooLarge, "pipeline.draft", "the result would be %d×%d, a side longer than --max-side %d",
			p.size.Width, p.size.Height, c.MaxSide)
	}
	p.layout = l
	p.warn(l.Warnings...)
	p.warn(warning)
	if o.Generate && (float64(l.Resize.Width) > l.Window.W || float64(l.Resize.Height) > l.Window.H) {
		p.warn("upscale=generate interpolates: there is no model for it")
	}
	if p.pages, warning, err = p.frames(info, o, c.MaxPixels); err != nil {
		return plan{}, err
	}
	p.warn(warning)
	factor := min(l.Window.W/float64(l.Resize.Width), l.Window.H/float64(l.Resize.Height))
	p.load = vips.LoadOptions{
		Shrink: vips.ShrinkOnLoad(info.Format, factor),
		// A shadow reads what throws it apart from what it falls behind.
		Random: p.frame.FlipV || p.frame.Rotate != 0 || o.Shadow.On,
	}
	return p, nil
}

// warn adds texts for the Warning header, if they are any.
func (p *plan) warn(texts ...string) {
	for _, text := range texts {
		if text != "" {
			p.warnings = append(p.warnings, text)
		}
	}
}

// memory estimates what decoding and drawing take.
func (p plan) memory(info vips.Info) int64 {
	if p.pages > 1 {
		info.Stored.Height *= p.pages // the frames, held together
		return info.DecodeMemory(1, true)
	}
	need := info.DecodeMemory(p.load.Shrink, p.load.Random || info.Orientation > 1)
	if p.looks {
		need = max(need, lookMemory(info)) // it is gone before the picture comes
	}
	return need
}

// window returns the part of the loaded picture to keep, on whole pixels.
// loaded is the working picture after any reduction while decoding.
func (p plan) window(loaded pixel.Size) pixel.Rect {
	sx := float64(loaded.Width) / float64(p.working.Width)
	sy := float64(loaded.Height) / float64(p.working.Height)
	w := p.layout.Window
	return geometry.Window{X: w.X * sx, Y: w.Y * sy, W: w.W * sx, H: w.H * sy}.Rect(loaded)
}

// frameOf returns the way from an oriented source to the working picture: what
// the options say, and the trim, which depends on the source. A trim that
// leaves nothing, or finds no border, leaves everything, with a warning.
func frameOf(o transform.Options, src pixel.Size, found Findings) (f geometry.Frame, warning string) {
	f = o.Frame()
	if o.Trim.Foreground {
		if r, ok := subjectRect(found.Foreground.Value, src); ok {
			f.Trim = geometry.TrimTo(r, src)
		}
		return f, "" // that there is none is said of the mask
	}
	if !o.Trim.Border {
		r, ok := o.Trim.Sides.Rect(src, o.Density())
		if !ok {
			return f, "trim leaves nothing and is ignored"
		}
		f.Trim = geometry.TrimTo(r, src)
		return f, ""
	}
	if found.Content == nil {
		return f, "trim=border found nothing but border"
	}
	keep := int(math.Round(float64(o.Trim.Keep) * o.Density()))
	r := *found.Content
	left, top := max(0, r.X-keep), max(0, r.Y-keep)
	right, bottom := min(src.Width, r.X+r.Width+keep), min(src.Height, r.Y+r.Height+keep)
	f.Trim = geometry.TrimTo(pixel.Rect{X: left, Y: top, Width: right - left, Height: bottom - top}, src)
	return f, ""
}

// focus says which part of the working picture survives a crop:
//
//  1. Faces were looked for: the window of those chosen; without any, the centre.
//  2. So was the foreground, for the crop: its window; without any, the centre.
//  3. A salient point was looked for: that.
//  4. A point or a side that the options name, else the centre.
func focus(o transform.Options, p plan, found Findings) geometry.Focus {
	switch {
	case found.Faces != nil: // 1
		return geometry.FaceFocus(p.working, grown(p.chosen, o.Faces.Padding), o.Zoom, o.Target())
	case found.Foreground != nil && o.CropsToForeground(): // 2
		return geometry.SubjectFocus(p.working, p.subject, o.Zoom, o.Target())
	case found.Salient != nil: // 3, in fractions of what the trim left
		return geometry.Focus{Mode: geometry.Remainder, Point: o.Frame().Point(*found.Salient)}
	default: // 4
		return o.Gravity.Focus()
	}
}

// chooseFaces notes which of the faces decide the crop. What was trimmed away
// does not count. That there are none is a result, and said.
func (p *plan) chooseFaces(o transform.Options, faces []pixel.Face) {
	left := p.frame.Boxes(boxes(faces))
	p.chosen = geometry.Choose(left, o.Faces.Which)
	switch {
	case len(left) == 0:
		p.warn("no face was found")
	case len(p.chosen) == 0:
		p.warn(fmt.Sprintf("faces=%d: only %d were found", o.Faces.Which, len(left)))
	}
}

// findSubject notes where the foreground is. That there is none is a result,
// and said.
func (p *plan) findSubject(m pixel.Mask) {
	if p.subject = subjectOf(m, p.frame); p.subject.Box == (pixel.Box{}) {
		p.warn("no foreground was found")
	}
}

// grown gives faces the room that was asked for.
func grown(boxes []pixel.Box, padding float64) []pixel.Box {
	if padding == 0 {
		return boxes
	}
	out := make([]pixel.Box, len(boxes))
	for i, b := range boxes {
		out[i] = geometry.Grow(b, padding)
	}
	return out
}

func boxes(faces []pixel.Face) []pixel.Box {
	out := make([]pixel.Box, len(faces))
	for i, f := range faces {
		out[i] = f.Box
	}
	return out
}
