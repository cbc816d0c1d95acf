package pipeline

import (
	"math"

	"focal/core/vips"
)

// shadow draws what the subject of a cut-out throws. It may fall on the bars of
// fit=pad, so the canvas is made here; what is drawn there later lies behind.
func shadow(p *picture) error {
	if !p.options.Shadow.On {
		return nil
	}
	l := p.plan.layout
	if err := p.image.Pad(l.Canvas, l.Left, l.Top, vips.Colour{}); err != nil {
		return err
	}
	s := p.options.Thrown(min(l.Canvas.Width, l.Canvas.Height))
	c, _ := ground(s.Colour)
	// The radius is twice the deviation, as for blur.
	return p.image.Shadow(offset(s.X, l.Canvas.Width), offset(s.Y, l.Canvas.Height), s.Blur/2, c)
}

// offset rounds a length to pixels. Farther than the canvas is long there is
// nothing to see.
func offset(by float64, length int) int {
	most := float64(length - 1)
	return int(math.Round(max(-most, min(by, most))))
}
