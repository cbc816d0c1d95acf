package transform

import (
	"fmt"
	"strings"

	"focal/core/geometry"
)

// Shadow is what the subject of a cut-out throws on what is behind it. The zero
// value is none.
type Shadow struct {
	On bool
	// Sized says that X, Y and Blur were given; else they are chosen for the size
	// of the result.
	Sized  bool
	X, Y   float64 // to the right and down, in pixels before DPR
	Blur   float64 // radius, in pixels before DPR, at most MaxBlur
	Colour Colour  // not set: black, translucent
}

// The shadow that is chosen for a result, in fractions of its shorter side.
const (
	shadowDrop = 0.02
	shadowBlur = 0.04
)

// Thrown returns the shadow in pixels of a result whose shorter side is given:
// with DPR multiplied in, or chosen for it.
func (o Options) Thrown(shorter int) Shadow {
	s := o.Shadow
	by := o.Density()
	if s.On && !s.Sized {
		s.X, s.Y, s.Blur = 0, shadowDrop, shadowBlur
		by = float64(shorter)
	}
	s.X, s.Y, s.Blur = s.X*by, s.Y*by, s.Blur*by
	if !s.Colour.Set {
		s.Colour = Colour{A: 102, Set: true}
	}
	return s
}

// parseShadow reads a switch, or x;y;blur.
func parseShadow(o *Options, v string) error {
	if pick(&o.Shadow.On, switches, v) == nil {
		return nil
	}
	parts := strings.Split(v, ";")
	if len(parts) != 3 {
		return errUnfit
	}
	s := Shadow{On: true, Sized: true}
	for i, to := range []*float64{&s.X, &s.Y, &s.Blur} {
		n, ok := parseDecimal(parts[i])
		if !ok || n < -geometry.MaxSide || n > geometry.MaxSide {
			return errUnfit
		}
		*to = n
	}
	var note error
	switch {
	case s.Blur < 0:
		return errUnfit
	case s.Blur > MaxBlur:
		s.Blur, note = MaxBlur, remark(fmt.Sprintf("the blur of a shadow is at most %d", MaxBlur))
	}
	o.Shadow = s
	return note
}

func writeShadow(o Options) string {
	s := o.Shadow
	if !s.Sized {
		return name(switches, s.On)
	}
	return strings.Join([]string{decimal(s.X), decimal(s.Y), decimal(s.Blur)}, ";")
}

// settleShadow drops a shadow that nothing throws.
func (o *Options) settleShadow(w *warnings) {
	s := &o.Shadow
	switch {
	case s.On && (o.Segment != SegmentForeground || o.Mask):
		*s = Shadow{}
		w.add("shadow is ignored: it needs segment=foreground, and no mask")
	case !s.On && s.Colour.Set:
		*s = Shadow{}
		w.add("shadow.color is ignored: it needs shadow")
	}
}
