package host

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"focal/core/fault"
	"focal/inference"
	"focal/inference/sched"
	"focal/models"
)

// canvasOf names the shapes of one item, without the batch axis: items of the
// same name can be stacked.
func canvasOf(inputs []models.Tensor) sched.Canvas {
	var b strings.Builder
	for i, t := range inputs {
		if i > 0 {
			b.WriteByte(',')
		}
		for k, d := range t.Shape[1:] {
			if k > 0 {
				b.WriteByte('x')
			}
			b.WriteString(strconv.FormatInt(d, 10))
		}
	}
	return sched.Canvas(b.String())
}

// item is what one request puts into a batch.
type item struct {
	inputs []models.Tensor // by position, each with a batch axis of 1
	// fill writes the data of the first input, which has none until it runs; nil
	// where all have theirs.
	fill func(into []float32)
}

// batch is what came of a run.
type batch struct {
	outputs [][]models.Tensor // of each item, by position
	fills   []time.Duration   // of each item
	took    time.Duration     // on the device
	memory  int64             // bytes that the run held; 0 where nobody knows
}

// runner runs batches on one session.
type runner struct {
	engine  inference.Engine
	session inference.Session
	room    inference.Room
	log     *slog.Logger
}

// run fills and stacks items of one canvas, runs them together and hands each its
// part of the outputs. Parts share memory with their batch.
func (r runner) run(ctx context.Context, items []item) (batch, error) {
	if len(items) == 1 && items[0].fill == nil {
		b, err := r.tensors(ctx, items[0].inputs, 1)
		b.fills = make([]time.Duration, 1)
		return b, err
	}
	shapes := make([][]int64, len(items[0].inputs))
	for i, t := range items[0].inputs {
		shapes[i] = append([]int64{int64(len(items))}, t.Shape[1:]...)
	}
	inputs, back, err := r.borrow(shapes)
	defer back()
	if err != nil {
		return batch{}, err
	}
	fills, err := r.fill(inputs, items)
	if err != nil {
		return batch{}, err
	}
	b, err := r.tensors(ctx, inputs, len(items))
	b.fills = fills
	return b, err
}

// probe runs n empty items of canvas c.
func (r runner) probe(ctx context.Context, c sched.Canvas, n int) (batch, error) {
	shapes, err := shapesOf(c, n)
	if err != nil {
		return batch{}, err
	}
	inputs, back, err := r.borrow(shapes)
	defer back()
	if err != nil {
		return batch{}, err
	}
	for _, t := range inputs {
		clear(t.Data)
	}
	return r.tensors(ctx, inputs, n)
}

// borrow returns tensors to be written, in memory of the engine where it has some,
// and what gives them back, which is never nil.
func (r runner) borrow(shapes [][]int64) (tensors []models.Tensor, back func(), err error) {
	var backs []func()
	back = func() {
		for _, b := range backs {
			b()
		}
	}
	lender, lends := r.engine.(inference.Lender)
	for _, shape := range shapes {
		t := models.Tensor{Shape: shape}
		if lends {
			var b func()
			if t.Data, b, err = lender.Lend(int(models.Elements(shape))); err != nil {
				return nil, back, err
			}
			backs = append(backs, b)
		} else {
			t.Data = make([]float32, models.Elements(shape))
		}
		tensors = append(tensors, t)
	}
	return tensors, back, nil
}

// small parts, in numbers, are copied faster than another goroutine begins.
const small = 1 << 14

// fill writes items into the tensors of their batch, and says how long each
// picture took. They are written side by side, the last one by the caller: a card
// runs a batch faster than one core fills it, and starts on one picture sooner
// where no other core has to be woken.
func (r runner) fill(inputs []models.Tensor, items []item) ([]time.Duration, error) {
	fills := make([]time.Duration, len(items))
	var here error
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, t := range inputs {
		each := len(t.Data) / len(items)
		for k, it := range items {
			part := t.Data[k*each : (k+1)*each : (k+1)*each]
			write := func() error {
				if it.fill == nil {
					copy(part, it.inputs[i].Data)
					return nil
				}
				start := time.Now()
				_, err := guard(r.log, "fill", func() (struct{}, error) {
					it.fill(part)
					return struct{}{}, nil
				})
				fills[k] = time.Since(start)
				return err
			}
			last := i == len(inputs)-1 && k == len(items)-1
			if last || it.fill == nil && each < small {
				here = cmp.Or(here, write())
				continue
			}
			group.Go(write)
		}
	}
	return fills, cmp.Or(group.Wait(), here)
}

// tensors runs n stacked items.
func (r runner) tensors(ctx context.Context, inputs []models.Tensor, n int) (batch, error) {
	var b batch
	var outputs []models.Tensor
	var err error
	start := time.Now()
	if m, ok := r.session.(inference.Measured); ok {
		outputs, b.memory, err = m.RunMeasured(ctx, inputs, r.room)
	} else {
		outputs, err = r.session.Run(ctx, inputs)
	}
	if err != nil {
		return batch{}, err
	}
	b.took = time.Since(start)
	b.outputs, err = split(outputs, n)
	return b, err
}

// shapesOf returns the shapes of n stacked items of canvas c: the inverse of
// canvasOf.
func shapesOf(c sched.Canvas, n int) ([][]int64, error) {
	var shapes [][]int64
	for port := range strings.SplitSeq(string(c), ",") {
		shape := []int64{int64(n)}
		for axis := range strings.FieldsFuncSeq(port, func(r rune) bool { return r == 'x' }) {
			size, err := strconv.ParseInt(axis, 10, 64)
			if err != nil {
				return nil, fault.New(fault.Internal, "host.Probe", "canvas %s: %w", c, err)
			}
			shape = append(shape, size)
		}
		if models.Elements(shape) < 0 {
			return nil, fault.New(fault.Internal, "host.Probe", "canvas %s: too large for a batch of %d", c, n)
		}
		shapes = append(shapes, shape)
	}
	return shapes, nil
}

// stack joins the tensors of items along the first axis. One item is itself.
func stack(items [][]models.Tensor) []models.Tensor {
	if len(items) == 1 {
		return items[0]
	}
	batch := make([]models.Tensor, len(items[0]))
	for i, first := range items[0] {
		shape := append([]int64{int64(len(items))}, first.Shape[1:]...)
		data := make([]float32, 0, len(items)*len(first.Data))
		for _, item := range items {
			data = append(data, item[i].Data...)
		}
		batch[i] = models.Tensor{Shape: shape, Data: data}
	}
	return batch
}

// split is the inverse of stack.
func split(batch []models.Tensor, n int) ([][]models.Tensor, error) {
	items := make([][]models.Tensor, n)
	for i, t := range batch {
		if len(t.Shape) == 0 || t.Shape[0] != int64(n) || models.Elements(t.Shape) != int64(len(t.Data)) {
			return nil, fault.New(fault.Internal, "host.Run", "output %d of shape %v holds %d numbers for a batch of %d", i, t.Shape, len(t.Data), n)
		}
		shape, size := append([]int64{1}, t.Shape[1:]...), len(t.Data)/n
		for k := range items {
			items[k] = append(items[k], models.Tensor{Shape: shape, Data: t.Data[k*size : (k+1)*size : (k+1)*size]})
		}
	}
	return items, nil
}

// checkInputs reports tensors that do not fit the ports of a model, by
// position. A free axis takes any size.
func checkInputs(inputs []models.Tensor, ports []models.Port) error {
	if len(inputs) != len(ports) {
		return fmt.Errorf("%d inputs: the model has %d", len(inputs), len(ports))
	}
	for i, t := range inputs {
		port := ports[i]
		if n := models.Elements(t.Shape); len(t.Shape) == 0 || n < 0 || n != int64(len(t.Data)) {
			return fmt.Errorf("input %s of shape %v holds %d numbers", port.Name, t.Shape, len(t.Data))
		}
		if len(t.Shape) != len(port.Shape) {
			return fmt.Errorf("input %s has shape %v: want %v", port.Name, t.Shape, port.Shape)
		}
		for axis, want := range port.Shape {
			if axis > 0 && want >= 0 && t.Shape[axis] != want {
				return fmt.Errorf("input %s has shape %v: want %v", port.Name, t.Shape, port.Shape)
			}
		}
		if t.Shape[0] != inputs[0].Shape[0] {
			return fmt.Errorf("input %s has a batch of %d, the first one of %d", port.Name, t.Shape[0], inputs[0].Shape[0])
		}
	}
	return nil
}

// checkSize reports inputs that are larger than what the model is declared to
// need memory for: the largest canvas. Only free axes can be.
func checkSize(inputs []models.Tensor, m models.Manifest) error {
	side := largestSide(m)
	for i, port := range m.Inputs {
		most := slices.Clone(port.Shape[1:])
		for axis, size := range most {
			if size < 0 {
				most[axis] = side
			}
		}
		if n := models.Elements(most); n > 0 && models.Elements(inputs[i].Shape[1:]) > n {
			return fmt.Errorf("input %s has shape %v: items of at most %v are served, as the model is declared (canvases, recipe)", port.Name, inputs[i].Shape, most)
		}
	}
	return nil
}

// largestSide is the largest that a free axis is declared to be; -1 where
// nothing is declared.
func largestSide(m models.Manifest) int64 {
	if side := max(m.Canvases.Max, m.Recipe.LongSide, m.Recipe.Width, m.Recipe.Height); side > 0 {
		return int64(side)
	}
	return -1
}

// odd reports whether inputs have shapes that pictures never have here: where
// those do not run, it is no defect.
func odd(inputs []models.Tensor, m models.Manifest) bool {
	for i, port := range m.Inputs {
		for axis, size := range port.Shape {
			if axis > 0 && size < 0 && (m.Canvases.Step == 0 || inputs[i].Shape[axis]%int64(m.Canvases.Step) != 0) {
				return true
			}
		}
	}
	return false
}
