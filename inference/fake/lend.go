package fake

import (
	"math"
	"slices"

	"focal/inference"
	"focal/models"
)

var _ inference.Lender = (*Engine)(nil)

// Lend makes room for n numbers, which are NaN until they are written, and again
// when they are given back: whoever reads them before or after is found out.
func (e *Engine) Lend(n int) (room []float32, back func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lent++
	room = slices.Repeat([]float32{float32(math.NaN())}, n)
	return room, func() {
		for i := range room {
			room[i] = float32(math.NaN())
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.lent--
	}, nil
}

// Lent is how much of what was lent has not come back.
func (e *Engine) Lent() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lent
}

// echo copies inputs: outputs are their owner's, inputs are not.
func echo(inputs []models.Tensor) []models.Tensor {
	outputs := slices.Clone(inputs)
	for i := range outputs {
		outputs[i].Data = slices.Clone(outputs[i].Data)
	}
	return outputs
}
