package fake

import (
	"math"
	"slices"

	"focal/inference"
	"focal/models"
)

var _ inference.Lender = (*Engine)(nil)

// Lend makes n zeros, which become NaN when they are given back: whoever still
// reads them then is found out.
func (e *Engine) Lend(n int) (zeros []float32, back func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lent++
	zeros = make([]float32, n)
	return zeros, func() {
		for i := range zeros {
			zeros[i] = float32(math.NaN())
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
