package pipeline

import (
	"focal/core/pixel"
	"focal/core/transform"
)

// kept returns the mask of what stays of a picture. Others hold m too, so it is
// not changed.
func kept(m pixel.Mask, s transform.Segment) *pixel.Mask {
	if s != transform.SegmentBackground {
		return &m
	}
	rest := pixel.Mask{Width: m.Width, Height: m.Height, Pix: make([]byte, len(m.Pix))}
	for i, v := range m.Pix {
		rest.Pix[i] = 255 - v
	}
	return &rest
}

// cutOut makes transparent what the mask does not keep, or puts the mask in the
// picture's place.
func cutOut(p *picture) error {
	switch {
	case p.options.Mask:
		return p.image.Stand(*p.mask)
	case p.mask != nil:
		return p.image.CutOut(*p.mask)
	default:
		return nil
	}
}

// conceal takes away what was cut out or might be hidden, and not only its being
// seen: a format with transparency keeps colours that nobody sees.
func conceal(p *picture) error {
	if p.options.Mask || p.mask == nil && !p.options.BlurFaces {
		return nil
	}
	return p.image.Conceal()
}

// grey makes a mask one channel, as programs expect it, unless a colour was
// drawn round it.
func grey(p *picture) error {
	if !p.options.Mask || p.options.Background.Set || p.options.Border.Colour.Set {
		return nil
	}
	return p.image.Grey()
}
