package ort

import (
	"cmp"
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"

	onnx "github.com/yalue/onnxruntime_go"

	"focal/core/fault"
	"focal/inference"
	"focal/models"
)

// session is one loaded model.
type session struct {
	engine  *Engine
	inputs  []models.Port
	outputs []models.Port
	rest    int64
	known   *known    // used on a card
	least   [][]int64 // the shapes of the smallest inputs

	// mu is held shared by Run and alone by Close, so that C never loses a
	// session that it is running.
	mu     sync.RWMutex
	closed bool
	c      *onnx.DynamicAdvancedSession // nil on a card
	twins  *twins                       // nil on the CPU

	measuring sync.Mutex     // protects what follows
	starts    map[string]int // of each shape, in an arena with nothing in it
}

// Rest is by how much the C heap grew when the session was created, or 0 where
// that is not known because something else ran meanwhile.
func (s *session) Rest() int64 { return s.rest }

// Close frees the session and what is kept of its runs; a second call does
// nothing.
func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	defer giveBackPages()
	if s.engine.card != nil {
		s.twins.closeAll()
		s.engine.card.shares.closed(s)
	} else {
		s.engine.free(s.c)
	}
	return s.engine.arena.trim()
}

// Run runs one batch, with room for anything. Inputs that do not fit the
// manifest are fault.Invalid, want of memory is fault.Busy, ctx ending is
// fault.Timeout or fault.Canceled; it is noticed between two nodes of the graph.
func (s *session) Run(ctx context.Context, inputs []models.Tensor) ([]models.Tensor, error) {
	outputs, _, err := s.RunMeasured(ctx, inputs, inference.Room{All: math.MaxInt64})
	return outputs, err
}

// RunMeasured is Run, and what the run held beyond the loaded session: by how
// much the C heap, or what is taken of the card, had grown when it ended. The
// arena gives nothing back before that, so it is the most that the run held.
//
// On the CPU inputs and outputs come on top, since they lie in the same memory,
// and it is known only of a run that was alone and found nothing in the arena
// that it could take. On a card it is known of the first run of a shape, with the
// session that was opened for it; the next ones find room enough.
func (s *session) RunMeasured(ctx context.Context, inputs []models.Tensor, room inference.Room) ([]models.Tensor, int64, error) {
	end := s.engine.activity.begin()
	outputs, held, err := s.run(ctx, inputs, room)
	alone := end()
	if !alone {
		return outputs, 0, err
	}
	if s.engine.card == nil && held > 0 {
		held += bytesOf(inputs) + bytesOf(outputs)
	}
	return outputs, held, err
}

func bytesOf(tensors []models.Tensor) int64 {
	const float32Size = 4
	sum := int64(0)
	for _, t := range tensors {
		sum += float32Size * int64(len(t.Data))
	}
	return sum
}

// Some runs of every shape start in an arena with nothing in it, so that one of
// them may be measured: the first may not be alone.
const cleanStarts = 3

// measure says whether a run of a shape is to be one of those.
func (s *session) measure(shape string) bool {
	s.measuring.Lock()
	defer s.measuring.Unlock()
	if s.starts == nil || len(s.starts) >= mostShapes && s.starts[shape] == 0 {
		s.starts = map[string]int{}
	}
	s.starts[shape]++
	return s.starts[shape] <= cleanStarts
}

// run is a run within room; without any, nothing is kept of it. Where memory
// runs out although it was booked, the blocks that others have left lie badly:
// then it runs again without them.
func (s *session) run(ctx context.Context, inputs []models.Tensor, room inference.Room) (outputs []models.Tensor, held int64, err error) {
	const op = "ort.Run"
	if err := s.check(inputs); err != nil {
		return nil, 0, err
	}
	switch {
	case s.engine.card != nil && room == inference.Room{}:
		outputs, _, err = s.attempt(ctx, inputs, besides{shrink: true})
		s.known.shrunk(shapesOf(inputs))
		return outputs, 0, err
	case s.engine.card != nil:
		return s.within(ctx, inputs, room)
	}
	arena, u := s.engine.arena, use{s, shapesOf(inputs)}
	bytes, clean, err := arena.begin(u, room, s.measure(u.shape))
	if err == nil {
		outputs, held, err = s.attempt(ctx, inputs, besides{measure: clean})
		if fault.Is(err, fault.Busy) && !clean {
			if err = arena.trim(); err == nil {
				outputs, held, err = s.attempt(ctx, inputs, besides{})
			}
		}
	}
	// What failed may have left anything.
	if bad := arena.end(u, bytes, err == nil && room.All > 0); bad != nil {
		err = errors.Join(err, fault.New(fault.Internal, op, "%w", bad))
	}
	if err != nil {
		return nil, 0, err
	}
	return outputs, held, nil
}

// besides is what an attempt does besides running.
type besides struct {
	shrink  bool // on a card: its end gives back what runs have taken
	measure bool // on the CPU: the heap is read, which stops all that allocate
}

// attempt runs C once, and returns by how many bytes more the device holds, where
// that was read.
func (s *session) attempt(ctx context.Context, inputs []models.Tensor, do besides) (outputs []models.Tensor, held int64, err error) {
	const op = "ort.Run"
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, 0, fault.New(fault.Internal, op, "the session is closed")
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, fault.New(fault.KindOf(err), op, "%w", err)
	}
	values, end, err := s.feed(inputs)
	defer end()
	if err != nil {
		return nil, 0, classify(op, fault.Internal, err)
	}
	if s.engine.card != nil {
		outputs, held, err = s.runOnCard(ctx, values, inputs, do.shrink)
	} else {
		before := int64(0)
		if do.measure {
			before = heapInUse()
		}
		results := make([]onnx.Value, len(s.outputs)) // nil: C allocates
		err = s.call(ctx, s.c, values, results, "")
		if do.measure {
			held = max(0, heapInUse()-before)
		}
		var bad error
		outputs, bad = s.take(results, inputs[0].Shape[0])
		err = cmp.Or(err, bad)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, 0, fault.New(fault.KindOf(ctx.Err()), op, "stopped: %w", ctx.Err())
	case fault.Is(err, fault.Unavailable), fault.Is(err, fault.Busy): // a session of its shape that did not open
		return nil, 0, err
	case err != nil:
		return nil, 0, classify(op, fault.Internal, err)
	}
	return outputs, held, nil
}

// feed makes C's tensors over inputs: on a card over memory that it can fetch by
// itself, a copy where it does not lie there yet, else over the caller's memory,
// pinned. end is never nil, and to be
// called when C has let go: C keeps the addresses until the tensors are destroyed,
// which is before the pins go.
func (s *session) feed(inputs []models.Tensor) (values []onnx.Value, end func(), err error) {
	var pins runtime.Pinner
	var back []func()
	end = func() {
		for _, v := range values {
			s.engine.free(v)
		}
		pins.Unpin()
		for _, b := range back {
			b()
		}
	}
	for _, in := range inputs {
		data := in.Data
		if s.engine.card != nil && !s.engine.card.pins.has(data) {
			if buffer, b := s.engine.card.pins.take(len(data)); buffer != nil {
				copy(buffer, data)
				data, back = buffer, append(back, b)
			}
		}
		pins.Pin(&data[0])
		v, err := onnx.NewTensor(onnx.Shape(in.Shape), data)
		if err != nil {
			return values, end, err
		}
		s.engine.live.Add(1)
		values = append(values, v)
	}
	return values, end, nil
}

// check compares the inputs with the manifest before C sees them.
func (s *session) check(inputs []models.Tensor) error {
	const op = "ort.Run"
	if len(inputs) != len(s.inputs) {
		return fault.New(fault.Invalid, op, "%d inputs: the model takes %d", len(inputs), len(s.inputs))
	}
	for i, in := range inputs {
		want := s.inputs[i].Shape
		if !fits(in.Shape, want) {
			return fault.New(fault.Invalid, op, "input %d has shape %v: the model takes %v", i, in.Shape, want)
		}
		if n := models.Elements(in.Shape); n < 0 || n != int64(len(in.Data)) {
			return fault.New(fault.Invalid, op, "input %d has shape %v and %d values", i, in.Shape, len(in.Data))
		}
		if in.Shape[0] != inputs[0].Shape[0] {
			return fault.New(fault.Invalid, op, "input %d is a batch of %d, the first one of %d", i, in.Shape[0], inputs[0].Shape[0])
		}
	}
	return nil
}

// fits compares a shape with that of a port, whose free axes are not positive.
func fits(shape, port []int64) bool {
	return slices.EqualFunc(shape, port, func(n, want int64) bool { return want <= 0 || n == want })
}

// call runs c and comes back when C has. At its end the arenas called shrink give
// back what they do not use; none where that is empty.
func (s *session) call(ctx context.Context, c *onnx.DynamicAdvancedSession, inputs, results []onnx.Value, shrink string) error {
	options, err := s.engine.runOptions(shrink)
	if err != nil {
		return err
	}
	defer s.engine.free(options)
	terminated := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { terminated <- options.Terminate() })
	err = c.RunWithOptions(inputs, results, options)
	if !stop() {
		// The function has begun: the options must outlive it.
		err = errors.Join(err, <-terminated)
	}
	return err
}

// runOptions are those of a run at whose end the arenas called shrink give back what
// they do not use. Whoever calls frees them.
func (e *Engine) runOptions(shrink string) (*onnx.RunOptions, error) {
	options, err := onnx.NewRunOptions()
	if err != nil {
		return nil, err
	}
	e.live.Add(1)
	if shrink != "" {
		if err := options.AddRunConfigEntry(shrinkKey, shrink); err != nil {
			e.free(options)
			return nil, err
		}
	}
	return options, nil
}

// take copies the results out and frees them; those of a failed run are freed
// all the same.
func (s *session) take(results []onnx.Value, batch int64) ([]models.Tensor, error) {
	const op = "ort.Run"
	outputs := make([]models.Tensor, len(results))
	var bad error
	for i, r := range results {
		if r == nil {
			continue
		}
		s.engine.live.Add(1)
		// The binding has copied C's values to a Go slice, which stays ours.
		t, ok := r.(*onnx.Tensor[float32])
		if ok {
			outputs[i] = models.Tensor{Shape: t.GetShape(), Data: t.GetData()}
		}
		s.engine.free(r)
		if want := s.outputs[i].Shape; !ok || !fits(outputs[i].Shape, want) || outputs[i].Shape[0] != batch {
			bad = fault.New(fault.Internal, op, "output %d has shape %v for a batch of %d: the manifest has %v", i, outputs[i].Shape, batch, want)
		}
	}
	return outputs, bad
}
