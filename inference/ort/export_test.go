package ort

import (
	"focal/inference"
	"focal/inference/gpu"
	"focal/models"
)

// OnFakeCard returns s, loaded on the CPU, as if it ran on a card: the whole way
// of a run but the provider.
func OnFakeCard(s inference.Session, read func() gpu.Reading, pinned func(floats int) ([]float32, error)) *Session {
	old := s.(*session)
	e := &Engine{config: old.engine.config, arena: old.engine.arena, card: &card{
		read: func() (gpu.Reading, error) { return read(), nil }, arena: "cpu:0", pins: newPins(pinned), shares: newShares(),
	}}
	return &Session{&session{engine: e, c: old.c, inputs: old.inputs, outputs: old.outputs, known: newKnown(), least: old.least}}
}

// Beside returns another session on the same fake card.
func (s *Session) Beside(other inference.Session) *Session {
	o := other.(*session)
	return &Session{&session{engine: s.engine, c: o.c, inputs: o.inputs, outputs: o.outputs, known: newKnown(), least: o.least}}
}

// CardSpare is what sessions on a card keep, in bytes.
func (e *Engine) CardSpare() int64 { return e.card.shares.spare() }

// Session is a session with its engine.
type Session struct{ *session }

// Engine returns the engine.
func (s *Session) Engine() *Engine { return s.engine }

// Spare is what is kept of runs that have ended, in bytes, as it was booked.
func (e *Engine) Spare() int64 { return e.arena.spare() }

// HeapInUse is what the C heap has handed out.
func HeapInUse() int64 { return heapInUse() }

// Begin begins a piece of work; its end says whether it was alone.
func (e *Engine) Begin() (end func() (alone bool)) { return e.activity.begin() }

// Proven reports whether a load of m leaves the warm-up out.
func (e *Engine) Proven(m models.Model) bool {
	_, ok := e.proven.names(m)
	return ok && e.card == nil
}
