package ort

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	onnx "github.com/yalue/onnxruntime_go"

	"focal/models"
)

// runOnCard runs with the outputs bound to pinned buffers, once their shapes are
// known: the card writes there by itself. What it holds, with the
// session that is opened for it, is read when a shape is new, for asking the driver
// takes as long as a small model.
func (s *session) runOnCard(ctx context.Context, values []onnx.Value, inputs []models.Tensor, shrink bool) (outputs []models.Tensor, held int64, err error) {
	arenas := ""
	if shrink {
		arenas = s.engine.card.arena
	}
	shape := shapesOf(inputs)
	expected, fresh := s.known.outputs(shape)
	before := int64(-1)
	if fresh {
		before = s.engine.held()
	}
	t, err := s.twins.take(shape)
	if err != nil {
		return nil, 0, err
	}
	defer s.twins.put(t)
	results, back := s.bind(expected)
	err = s.call(ctx, t.c, values, results, arenas)
	outputs, bad := s.take(results, inputs[0].Shape[0])
	if back != nil {
		for i := range outputs {
			outputs[i].Data = slices.Clone(outputs[i].Data)
		}
		back()
	}
	if err != nil && expected != nil && strings.Contains(err.Error(), "shape") {
		// The outputs of one input shape may have several: bind them no more.
		s.known.forget(shape)
		return s.runOnCard(ctx, values, inputs, shrink)
	}
	if err != nil || bad != nil {
		return nil, 0, cmp.Or(err, bad)
	}
	if fresh {
		s.known.learn(shape, outputs)
		held = s.engine.grown(before)
	}
	return outputs, held, s.engine.arena.trim()
}

// bind makes tensors over pinned buffers for outputs of these shapes, and returns
// what gives the buffers back; nil where C is to allocate.
func (s *session) bind(shapes []onnx.Shape) (results []onnx.Value, back func()) {
	results = make([]onnx.Value, len(s.outputs))
	if shapes == nil {
		return results, nil
	}
	var backs []func()
	back = func() {
		for _, b := range backs {
			b()
		}
	}
	for i, shape := range shapes {
		buffer, b := s.engine.card.pins.take(int(shape.FlattenedSize()))
		if buffer == nil {
			continue // C allocates this one
		}
		backs = append(backs, b)
		if t, err := onnx.NewTensor(shape, buffer); err == nil {
			results[i] = t
		}
	}
	return results, back
}

func shapesOf(tensors []models.Tensor) string {
	var text strings.Builder
	for _, t := range tensors {
		fmt.Fprint(&text, t.Shape)
	}
	return text.String()
}

// known is what a session on a card has seen of its runs, by the shapes of their
// inputs.
type known struct {
	mu     sync.Mutex              // protects shapes
	shapes map[string][]onnx.Shape // of the outputs; nil: they vary
}

const mostShapes = 256 // callers with raw tensors choose them as they like

func newKnown() *known { return &known{shapes: map[string][]onnx.Shape{}} }

// outputs returns the shapes of the outputs for inputs of this shape, nil where
// they are not known, and whether the shape is new.
func (k *known) outputs(shape string) (outputs []onnx.Shape, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if outputs, ok := k.shapes[shape]; ok {
		return outputs, false
	}
	return nil, len(k.shapes) < mostShapes
}

func (k *known) learn(shape string, outputs []models.Tensor) {
	shapes := make([]onnx.Shape, len(outputs))
	for i, o := range outputs {
		shapes[i] = onnx.Shape(o.Shape)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.shapes[shape] = shapes
}

func (k *known) forget(shape string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.shapes[shape]; ok {
		k.shapes[shape] = nil
	}
}

// shrunk says that the arena of a shape is empty again: its runs are measured anew.
func (k *known) shrunk(shape string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.shapes, shape)
}
