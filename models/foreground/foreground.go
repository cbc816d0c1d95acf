// Package foreground turns pictures into the tensors of segmentation models,
// and their output tensors into masks.
//
// It must not run a model, enlarge a mask to a picture's size, or know what is
// done with it. It starts no goroutine and keeps no memory.
package foreground

import (
	"focal/core/fault"
	"focal/core/pixel"
	"focal/models"
	"focal/models/vision"
)

// Segmenter is the adapter of one segmentation model; it is safe for
// concurrent use.
type Segmenter struct {
	*vision.Preparer
	recipe models.Recipe
}

var _ models.Adapter[pixel.Mask] = (*Segmenter)(nil)

// New returns the adapter for m. Errors are fault.Invalid and name the field
// of the manifest.
func New(m models.Manifest) (models.Adapter[pixel.Mask], error) {
	const op = "foreground.New"
	r := m.Recipe
	switch {
	case r.Family != "mask":
		return nil, fault.New(fault.Invalid, op, "recipe: family %q: want mask", r.Family)
	case r.Resize != "stretch":
		// A mask covers the whole picture; of a padded canvas it would not.
		return nil, fault.New(fault.Invalid, op, "recipe: resize %q: mask wants stretch", r.Resize)
	case !(r.EmptyBelow >= 0 && r.EmptyBelow <= 1):
		return nil, fault.New(fault.Invalid, op, "recipe: empty_below %v: want 0 to 1", r.EmptyBelow)
	}
	p, err := vision.NewPreparer(r, m.Canvases)
	if err != nil {
		return nil, err
	}
	return &Segmenter{Preparer: p, recipe: r}, nil
}

// Decode returns the mask at the model's output size. The output has the shape
// [1, 1, height, width]. It goes through, where the recipe says so: sigmoid,
// the guard against pictures without a subject, and the stretch over 0..1 by
// its own minimum and maximum; then times 255, cut off and not rounded, as the
// rembg tool does. The arithmetic is float32 for the same reason. Outputs that
// do not fit or hold numbers that are none are fault.Internal.
func (s *Segmenter) Decode(_ models.Prepared, outputs []models.Tensor) (pixel.Mask, error) {
	const op = "foreground.Decode"
	if len(outputs) != 1 {
		return pixel.Mask{}, fault.New(fault.Internal, op, "%d outputs: want 1", len(outputs))
	}
	shape, raw := outputs[0].Shape, outputs[0].Data
	if len(shape) != 4 || shape[0] != 1 || shape[1] != 1 || int64(len(raw)) != models.Elements(shape) {
		return pixel.Mask{}, fault.New(fault.Internal, op, "output has shape %v and %d values: want [1,1,height,width]", shape, len(raw))
	}
	least, most, err := extent(raw)
	if err != nil {
		return pixel.Mask{}, fault.New(fault.Internal, op, "%w", err)
	}
	l := levels{sigmoid: s.recipe.Sigmoid, low: 0, high: 1}
	if s.recipe.Stretch {
		l.low, l.high = l.value(least), l.value(most)
	}
	mask := pixel.Mask{Width: int(shape[3]), Height: int(shape[2]), Pix: make([]byte, len(raw))}
	// A flat mask has no subject either, and nothing to stretch by.
	if float64(l.value(most)) < s.recipe.EmptyBelow || l.high <= l.low {
		return mask, nil
	}
	if l.sigmoid {
		newSteps(l, least, most).fill(mask.Pix, raw)
		return mask, nil
	}
	pix := mask.Pix[:len(raw)]
	for i, v := range raw {
		pix[i] = spaced(v, l.low, l.high)
	}
	return mask, nil
}
