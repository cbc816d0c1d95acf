package models

import "focal/core/pixel"

// Prepared is a picture made ready for one model: its tensor, and what Decode
// must know to map the answer back.
type Prepared struct {
	// Tensor has a batch axis of 1.
	Tensor Tensor
	// Canvas is the tensor's width and height: requests of one canvas batch.
	Canvas pixel.Size
	// Inner is the part of the canvas, from its left top corner, that holds
	// the picture; the rest is padding.
	Inner pixel.Size
}

// Adapter turns pixels into the tensor of one model, and that model's output
// tensors, in the order of its manifest and with a batch axis of 1, into a
// result of type R. Both are pure and safe for concurrent use.
type Adapter[R any] interface {
	Prepare(look pixel.Buffer) (Prepared, error)
	Decode(p Prepared, outputs []Tensor) (R, error)
}
