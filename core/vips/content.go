package vips

import (
	"focal/core/fault"
	"focal/core/pixel"

	govips "github.com/davidbyttow/govips/v2/vips"
)

// Content returns the smallest rectangle of the oriented picture that holds
// everything that is not border, in pixels; false means that all of it is. It
// decodes the whole picture and holds it.
//
// Border is what differs from the border's colour by at most tolerance in every
// channel, after a median of 3×3, so that single specks do not count.
//
//  1. A colour was given: transparent parts are taken to show it.
//  2. The corner at the left top is transparent: border is what is as
//     transparent.
//  3. Else the corner's colour.
//
// A picture too small for the median is all content.
func Content(file []byte, info Info, colour *Colour, tolerance float64) (pixel.Rect, bool, error) {
	const op = "vips.Content"
	if s := info.Oriented; min(s.Width, s.Height) < 3 {
		return pixel.Rect{Width: s.Width, Height: s.Height}, true, nil
	}
	i, err := Load(file, info, LoadOptions{Shrink: 1, Random: true})
	if err != nil {
		return pixel.Rect{}, false, err
	}
	defer i.Close()
	corner, err := i.corner()
	if err != nil {
		return pixel.Rect{}, false, wrap(fault.Corrupt, op, err)
	}
	switch {
	case colour != nil: // 1
		corner = Colour{R: colour.R, G: colour.G, B: colour.B, A: 255}
		err = i.Fill(corner)
	case corner.A < 255: // 2
		corner = Colour{R: corner.A, G: corner.A, B: corner.A, A: 255}
		err = i.ref.ExtractBand(colours, 1)
	default: // 3
		err = i.Fill(corner)
	}
	if err != nil {
		return pixel.Rect{}, false, wrap(fault.Internal, op, err)
	}
	var r pixel.Rect
	r.X, r.Y, r.Width, r.Height, err = i.ref.FindTrim(tolerance, &govips.Color{R: corner.R, G: corner.G, B: corner.B})
	if err != nil {
		return pixel.Rect{}, false, wrap(fault.Corrupt, op, err)
	}
	return r, r.Width > 0 && r.Height > 0, nil
}

// corner returns the pixel at the left top.
func (i *Image) corner() (Colour, error) {
	p, err := i.ref.GetPoint(0, 0)
	if err != nil {
		return Colour{}, err
	}
	c := Colour{R: uint8(p[0]), G: uint8(p[1]), B: uint8(p[2]), A: 255}
	if len(p) > colours {
		c.A = uint8(p[colours])
	}
	return c, nil
}
