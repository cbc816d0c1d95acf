// Package face turns pictures into the tensors of face detectors, and their
// output tensors into faces.
//
// It detects and never identifies: nothing here links two pictures of a
// person. It must not run a model, and must not know where pictures come from
// or what is done with the faces. It starts no goroutine and keeps no memory.
package face

import (
	"math"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/models"
	"focal/models/vision"
)

// Detector is the adapter of one face detector; it is safe for concurrent use.
type Detector struct {
	*vision.Preparer
	recipe models.Recipe
	family family
}

var _ models.Adapter[[]pixel.Face] = (*Detector)(nil)

// family is how one kind of detector writes down its candidates.
type family struct {
	// shapes returns the shape of each output at a canvas; a batch axis of 1
	// stands before it.
	shapes func(canvas pixel.Size) [][]int64
	// candidates returns all faces of at least floor in canvas pixels, in no
	// order and before any suppression.
	candidates func(out [][]float32, canvas pixel.Size, floor float64) []pixel.Face
	// multiple is what both sides of every canvas must be a multiple of.
	multiple int
	// optional is how many outputs, the last of shapes, a model may do without.
	optional int
}

func families(name string) (family, bool) {
	switch name {
	case "retinaface":
		return family{retinafaceShapes, retinaface, 1, 0}, true
	case "yunet":
		return family{yunetShapes, yunet, 32, len(yunetStrides)}, true
	case "ultralight":
		return family{ultralightShapes, ultralight, 1, 0}, true
	default:
		return family{}, false
	}
}

// New returns the adapter for m. Errors are fault.Invalid and name the field
// of the manifest.
func New(m models.Manifest) (models.Adapter[[]pixel.Face], error) {
	const op = "face.New"
	r := m.Recipe
	f, ok := families(r.Family)
	switch {
	case !ok:
		return nil, fault.New(fault.Invalid, op, "recipe: family %q: want retinaface, yunet or ultralight", r.Family)
	case !(r.Floor > 0 && r.Floor <= 1):
		return nil, fault.New(fault.Invalid, op, "recipe: floor %v: want a score above 0 and up to 1", r.Floor)
	case !(r.NMS > 0 && r.NMS <= 1):
		return nil, fault.New(fault.Invalid, op, "recipe: nms %v: want an overlap above 0 and up to 1", r.NMS)
	case r.MaxFaces <= 0:
		return nil, fault.New(fault.Invalid, op, "recipe: max_faces %d: want at least 1", r.MaxFaces)
	}
	sides := []int{r.Width, r.Height, m.Canvases.Step}
	if m.Canvases.Step == 0 {
		sides[2] = r.LongSide
	}
	for _, side := range sides {
		if side%f.multiple != 0 {
			return nil, fault.New(fault.Invalid, op, "recipe: canvas side %d: %s wants multiples of %d", side, r.Family, f.multiple)
		}
	}
	p, err := vision.NewPreparer(r, m.Canvases)
	if err != nil {
		return nil, err
	}
	return &Detector{Preparer: p, recipe: r, family: f}, nil
}

// Decode returns the faces of a picture by falling score, in fractions of the
// picture and not clipped to it: everything from the recipe's floor, thinned
// by its NMS and cut at MaxFaces. Outputs that do not fit the manifest or hold
// numbers that are none are fault.Internal.
func (d *Detector) Decode(p models.Prepared, outputs []models.Tensor) ([]pixel.Face, error) {
	const op = "face.Decode"
	if p.Inner.Width <= 0 || p.Inner.Height <= 0 || p.Canvas.Width < p.Inner.Width || p.Canvas.Height < p.Inner.Height {
		return nil, fault.New(fault.Internal, op, "picture of %v on a canvas of %v", p.Inner, p.Canvas)
	}
	out, err := d.match(p.Canvas, outputs)
	if err != nil {
		return nil, err
	}
	faces := d.family.candidates(out, p.Canvas, d.recipe.Floor)
	boxes, scores := make([]pixel.Box, 0, len(faces)), make([]float64, 0, len(faces))
	seen := faces[:0]
	for _, f := range faces {
		f = fractions(f, p.Inner)
		if !plausible(f) {
			return nil, fault.New(fault.Internal, op, "the model gave a face at %v with score %v", f.Box, f.Score)
		}
		if outside(f.Box) {
			continue // found in the padding
		}
		seen, boxes, scores = append(seen, f), append(boxes, f.Box), append(scores, f.Score)
	}
	kept := vision.NMS(boxes, scores, d.recipe.NMS, d.recipe.MaxFaces)
	result := make([]pixel.Face, len(kept))
	for i, k := range kept {
		result[i] = seen[k]
	}
	return result, nil
}

// match checks every output against the family before anything is indexed.
func (d *Detector) match(canvas pixel.Size, outputs []models.Tensor) ([][]float32, error) {
	want := d.family.shapes(canvas)
	if fewest := len(want) - d.family.optional; len(outputs) == fewest {
		want = want[:fewest]
	}
	if len(outputs) != len(want) {
		return nil, fault.New(fault.Internal, "face.Decode", "%d outputs: %s has %d", len(outputs), d.recipe.Family, len(want))
	}
	out := make([][]float32, len(want))
	for i, o := range outputs {
		if !sameShape(o.Shape, want[i]) || int64(len(o.Data)) != models.Elements(o.Shape) {
			return nil, fault.New(fault.Internal, "face.Decode", "output %d has shape %v and %d values: %s has %v behind a batch axis of 1",
				i, o.Shape, len(o.Data), d.recipe.Family, want[i])
		}
		for _, v := range o.Data {
			// No comparison with a floor would find a NaN.
			if math.IsNaN(float64(v)) {
				return nil, fault.New(fault.Internal, "face.Decode", "output %d holds a NaN", i)
			}
		}
		out[i] = o.Data
	}
	return out, nil
}

// sameShape compares got without its batch axis of 1; -1 in want is any size.
func sameShape(got, want []int64) bool {
	if len(got) != len(want)+1 || got[0] != 1 {
		return false
	}
	for i, n := range want {
		if n >= 0 && got[i+1] != n {
			return false
		}
	}
	return true
}

// fractions maps a face from canvas pixels to fractions of the picture, which
// lies in the canvas's left top corner.
func fractions(f pixel.Face, inner pixel.Size) pixel.Face {
	w, h := float64(inner.Width), float64(inner.Height)
	f.Box = pixel.Box{X: f.Box.X / w, Y: f.Box.Y / h, W: f.Box.W / w, H: f.Box.H / h}
	for i, l := range f.Landmarks {
		f.Landmarks[i] = pixel.Point{X: l.X / w, Y: l.Y / h}
	}
	return f
}

func plausible(f pixel.Face) bool {
	ok := f.Box.W >= 0 && f.Box.H >= 0 && f.Score <= 1+1e-6
	for _, v := range []float64{f.Box.X, f.Box.Y, f.Box.W, f.Box.H, f.Score} {
		ok = ok && finite(v)
	}
	for _, l := range f.Landmarks {
		ok = ok && finite(l.X) && finite(l.Y)
	}
	return ok
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func outside(b pixel.Box) bool { return b.X >= 1 || b.Y >= 1 || b.X+b.W <= 0 || b.Y+b.H <= 0 }
