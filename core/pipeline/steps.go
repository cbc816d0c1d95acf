package pipeline

import (
	"focal/core/vips"
)

// trim cuts the oriented source; findings and mask follow by the plan's frame.
func trim(p *picture) error { return p.image.Crop(p.plan.frame.Cut(p.image.Size())) }

// flip mirrors the picture; it comes before rotation.
func flip(p *picture) error {
	if p.plan.frame.FlipH {
		if err := p.image.FlipH(); err != nil {
			return err
		}
	}
	if p.plan.frame.FlipV {
		return p.image.FlipV()
	}
	return nil
}

// rotate turns the picture clockwise.
func rotate(p *picture) error { return p.image.Rotate(p.plan.frame.Rotate) }

// crop cuts the layout's window out of what was loaded.
func crop(p *picture) error { return p.image.Crop(p.plan.window(p.image.Size())) }

// resize brings the window to its final size.
func resize(p *picture) error { return p.image.Resize(p.plan.layout.Resize) }

// blur blurs the picture, before anything is put behind or round it. The
// option is a radius; the Gaussian's standard deviation is half of it, as in
// the HTML canvas' shadowBlur.
func blur(p *picture) error {
	if p.options.Blur == 0 {
		return nil
	}
	return p.image.Blur(p.options.Blur / 2)
}

// background fills what is transparent with the colour that was asked for.
func background(p *picture) error {
	c, given := ground(p.options.Background)
	if !given {
		return nil
	}
	return p.image.Fill(c)
}

// pad puts the picture on its canvas. Where no background was given, a picture
// that stays transparent gets transparent bars, a mask black, any other white
// ones.
func pad(p *picture) error {
	l := p.plan.layout
	if l.Canvas == l.Resize {
		return nil
	}
	bars, given := ground(p.options.Background)
	switch {
	case given:
	case p.options.Mask:
		bars = black // nothing is kept there
	case p.image.Alpha() && carriesAlpha(p.format):
		bars = vips.Colour{}
	default:
		bars = white
	}
	return p.image.Pad(l.Canvas, l.Left, l.Top, bars)
}

// border draws a frame round the finished picture.
func border(p *picture) error {
	c, given := ground(p.plan.border.Colour)
	if !given {
		c = black
	}
	return p.image.Pad(p.plan.size, p.plan.border.Left, p.plan.border.Top, c)
}

// flatten puts white behind what is still transparent where the format has no
// transparency.
func flatten(p *picture) error {
	if carriesAlpha(p.format) {
		return nil
	}
	return p.image.Fill(white)
}
