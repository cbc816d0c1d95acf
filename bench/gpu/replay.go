package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"focal/bench/device"
	"focal/inference"
	"focal/inference/ort"
	"focal/models"
)

// replay is an engine that takes as long as a card was measured to take: what the
// host does beside a card's runs is then seen without one. The CPU runs one item of
// each shape, to know its outputs; after that nothing is computed.
//
// It does with memory what the engine does on a card: inputs lie in buffers that are
// kept, outputs are copied out of such. Of two runs side by side one waits: a small
// model's run fills the card.
type replay struct {
	engine *ort.Engine
	runs   []line // what the card was measured to take, bare

	mu   sync.Mutex // protects what follows
	busy time.Time  // the card is, until then
	free map[int][][]float32
}

// tuning is how long the first run of a shape takes: between a face model's tenth of
// a second and a large one's three.
const tuning = 500 * time.Millisecond

func newReplay(e *ort.Engine, path string) (*replay, error) {
	all, err := read(path)
	if err != nil {
		return nil, err
	}
	r := &replay{engine: e, free: map[int][][]float32{}}
	for _, l := range all {
		if l.Stage == "curves" && l.Bare > 0 {
			r.runs = append(r.runs, l)
		}
	}
	if len(r.runs) == 0 {
		return nil, fmt.Errorf("%s has no curves", path)
	}
	return r, nil
}

// Provider, Used, Device and Runtime are a card's.
func (r *replay) Provider() string { return "cuda" }
func (r *replay) Used() int64      { return -1 }
func (r *replay) Device() string   { return "replay of " + r.runs[0].Device }
func (r *replay) Runtime() string  { return r.runs[0].Runtime }

// Load loads m on the CPU.
func (r *replay) Load(ctx context.Context, m models.Model) (inference.Session, error) {
	s, err := r.engine.Load(ctx, m)
	if err != nil {
		return nil, err
	}
	return &replayed{Session: s, replay: r, model: m.Name, outputs: map[string][]models.Tensor{}}, nil
}

// Lend lends a buffer as the engine lends pinned memory.
func (r *replay) Lend(n int) (room []float32, back func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if list := r.free[n]; len(list) > 0 {
		room, r.free[n] = list[len(list)-1], list[:len(list)-1]
	} else {
		room = make([]float32, n)
	}
	return room, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.free[n] = append(r.free[n], room)
	}, nil
}

// replayed is one loaded model.
type replayed struct {
	inference.Session
	replay *replay
	model  string

	mu      sync.Mutex                 // protects outputs
	outputs map[string][]models.Tensor // of a batch, by the shape of its inputs
}

func (s *replayed) Run(ctx context.Context, in []models.Tensor) ([]models.Tensor, error) {
	bare, err := s.replay.bare(s.model, in)
	if err != nil {
		return nil, err
	}
	pinned, fresh, err := s.known(ctx, in)
	if err != nil {
		return nil, err
	}
	if fresh {
		bare += tuning
	}
	time.Sleep(time.Until(s.replay.turn(bare)))
	outputs := slices.Clone(pinned)
	for i := range outputs {
		outputs[i].Data = slices.Clone(outputs[i].Data)
	}
	return outputs, nil
}

// turn returns when a run that takes so long has ended, after those before it.
func (r *replay) turn(takes time.Duration) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); r.busy.Before(now) {
		r.busy = now
	}
	r.busy = r.busy.Add(takes)
	return r.busy
}

// known returns the outputs of inputs of this shape, and whether it is the first run
// of them.
func (s *replayed) known(ctx context.Context, in []models.Tensor) (outputs []models.Tensor, fresh bool, err error) {
	n, shape := int(in[0].Shape[0]), fmt.Sprint(in[0].Shape)
	s.mu.Lock()
	defer s.mu.Unlock()
	if outputs, ok := s.outputs[shape]; ok {
		return outputs, false, nil
	}
	if outputs, err = s.Session.Run(ctx, first(in)); err != nil {
		return nil, false, err
	}
	for i, o := range outputs {
		outputs[i].Shape = append([]int64{int64(n)}, o.Shape[1:]...)
		outputs[i].Data = slices.Repeat(o.Data, n)
	}
	s.outputs[shape] = outputs
	return outputs, true, nil
}

// first is the first item of a batch.
func first(in []models.Tensor) []models.Tensor {
	var one []models.Tensor
	for _, t := range in {
		shape := append([]int64{1}, t.Shape[1:]...)
		one = append(one, models.Tensor{Shape: shape, Data: t.Data[:models.Elements(shape)]})
	}
	return one
}

// bare is how long the bare loop had taken for a batch.
func (r *replay) bare(model string, in []models.Tensor) (time.Duration, error) {
	shape, n := device.Shape(in), int(in[0].Shape[0])
	for _, l := range r.runs {
		if l.Model == model && l.Shape == shape && l.Batch == n {
			return time.Duration(l.Bare * float64(time.Millisecond)), nil
		}
	}
	return 0, errors.New("no run of this size was measured on the card")
}
