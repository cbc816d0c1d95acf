package models

import "focal/core/pixel"

// Prepared is a picture made ready for one model: its tensor, and what Decode
// must know to map the answer back.
type Prepared struct {
	// Tensor has a batch axis of 1. Prepare leaves its data out: Fill writes it.
	Tensor Tensor
	// Picture is what Fill makes the tensor of: RGB8, of size Inner. It may
	// share its pixels with the look.
	Picture pixel.Buffer
	// Canvas is the tensor's width and height: requests of one canvas batch.
	Canvas pixel.Size
	// Inner is the part of the canvas, from its left top corner, that holds
	// the picture; the rest is padding.
	Inner pixel.Size
}

// Preparer turns pixels into the tensor of one model. It is pure and safe for
// concurrent use.
//
// There are two steps, because a tensor takes at least four times the memory of
// its picture: a request waits as a picture, and the tensor exists for its run.
type Preparer interface {
	// Prepare brings look to the size that the model wants.
	Prepare(look pixel.Buffer) (Prepared, error)
	// Fill writes the data of p's tensor, padding too. into has room for just that
	// and holds anything.
	Fill(p Prepared, into []float32)
}

// Adapter turns pixels into the tensor of one model, and that model's output
// tensors, in the order of its manifest and with a batch axis of 1, into a
// result of type R. It is pure and safe for concurrent use.
type Adapter[R any] interface {
	Preparer
	Decode(p Prepared, outputs []Tensor) (R, error)
}

// Filled is Prepare and Fill, with memory of its own.
func Filled(by Preparer, look pixel.Buffer) (Prepared, error) {
	p, err := by.Prepare(look)
	if err != nil {
		return Prepared{}, err
	}
	p.Tensor.Data = make([]float32, Elements(p.Tensor.Shape))
	by.Fill(p, p.Tensor.Data)
	return p, nil
}
