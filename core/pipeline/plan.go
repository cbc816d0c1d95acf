package pipeline

import (
	"focal/core/fault"
	"focal/core/geometry"
	"focal/core/pixel"
	"focal/core/transform"
	"focal/core/vips"
)

// plan is everything about a rendering that can be decided from the header,
// the options and the findings, before a pixel is decoded.
type plan struct {
	frame    geometry.Frame  // oriented source → working picture
	working  pixel.Size      // the working picture at full size
	layout   geometry.Layout // working picture → result
	load     vips.LoadOptions
	warnings []string
}

// draft makes the plan.
func draft(info vips.Info, o transform.Options, found Findings, maxSide int) (plan, error) {
	p := plan{frame: o.Frame()}
	p.working = p.frame.Size(info.Oriented)
	l, err := geometry.Arrange(p.working, o.Target(), focus(o, info, found))
	if err != nil {
		return plan{}, err
	}
	if l.Canvas.Width > maxSide || l.Canvas.Height > maxSide {
		return plan{}, fault.New(fault.TooLarge, "pipeline.draft", "the result would be %d×%d, a side longer than --max-side %d",
			l.Canvas.Width, l.Canvas.Height, maxSide)
	}
	p.layout, p.warnings = l, l.Warnings
	factor := min(l.Window.W/float64(l.Resize.Width), l.Window.H/float64(l.Resize.Height))
	p.load = vips.LoadOptions{
		Shrink: vips.ShrinkOnLoad(info.Format, factor),
		Random: p.frame.FlipV || p.frame.Rotate != 0,
	}
	return p, nil
}

// memory estimates what decoding and drawing take.
func (p plan) memory(info vips.Info) int64 {
	return info.DecodeMemory(p.load.Shrink, p.load.Random || info.Orientation > 1)
}

// window returns the part of the loaded picture to keep, on whole pixels.
// loaded is the working picture after any reduction while decoding.
func (p plan) window(loaded pixel.Size) pixel.Rect {
	sx := float64(loaded.Width) / float64(p.working.Width)
	sy := float64(loaded.Height) / float64(p.working.Height)
	w := p.layout.Window
	return geometry.Window{X: w.X * sx, Y: w.Y * sy, W: w.W * sx, H: w.H * sy}.Rect(loaded)
}

// focus says which part of the working picture survives a crop:
//
//  1. Faces were looked for: their window; without any, the centre.
//  2. A salient point was looked for: that.
//  3. A point or a side that the options name, else the centre.
func focus(o transform.Options, info vips.Info, found Findings) geometry.Focus {
	frame := o.Frame()
	switch {
	case found.Faces != nil: // 1
		return geometry.FaceFocus(frame.Size(info.Oriented), frame.Boxes(boxes(found.Faces.Value)), o.Zoom, o.Target())
	case found.Salient != nil: // 2
		return geometry.Focus{Mode: geometry.Remainder, Point: frame.Point(*found.Salient)}
	default: // 3
		return o.Gravity.Focus()
	}
}

func boxes(faces []pixel.Face) []pixel.Box {
	out := make([]pixel.Box, len(faces))
	for i, f := range faces {
		out[i] = f.Box
	}
	return out
}
