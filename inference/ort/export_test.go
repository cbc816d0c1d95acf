package ort

import (
	"context"

	onnx "github.com/yalue/onnxruntime_go"

	"focal/inference"
	"focal/inference/gpu"
	"focal/models"
)

// FakeBudget is what models may hold of a fake card, in bytes.
const FakeBudget = 4 << 30

// OnFakeCard loads m on the CPU as if it ran on a card: the whole way of a run but
// the provider.
func OnFakeCard(e *Engine, m models.Model, read func() gpu.Reading, pinned func(floats int) ([]float32, error)) (*Session, error) {
	fake := &Engine{config: e.config, arena: e.arena, card: &card{
		read: func() (gpu.Reading, error) { return read(), nil }, arena: "cpu:0", budget: FakeBudget, pins: newPins(pinned), shares: newShares(0),
	}}
	fake.card.open(read())
	return (&Session{&session{engine: fake}}).Beside(m)
}

// Beside returns a session of another model on the same fake card.
func (s *Session) Beside(m models.Model) (*Session, error) {
	cpu := &Engine{config: s.engine.config, arena: s.engine.arena}
	first, err := cpu.load(context.Background(), m)
	if err != nil {
		return nil, err
	}
	in, out, err := cpu.ports(m)
	if err != nil {
		return nil, err
	}
	first.engine = s.engine
	loaded, err := stampOf(m)
	if err != nil {
		return nil, err
	}
	first.plan(first.c, cpu.another(m, in, out, loaded), func(c *onnx.DynamicAdvancedSession) { cpu.free(c) })
	return &Session{first}, nil
}

// Hold has every C session hold so many bytes for itself, and bounds their number.
func (s *Session) Hold(twin int64, most int) { s.engine.card.shares.twin, s.twins.most = twin, most }

// Warm runs as a load does for nobody, on another canvas than what comes.
func (s *Session) Warm() error {
	t, err := s.twins.take("warm")
	if err == nil {
		s.twins.put(t)
		s.twins.release()
	}
	return err
}

// Opening has every C session that is opened from now on ask may first, which is told
// how many are open.
func (s *Session) Opening(may func(open int) error) {
	open := s.twins.open
	s.twins.open = func() (*onnx.DynamicAdvancedSession, error) {
		if err := may(s.Twins() - 1); err != nil {
			return nil, err
		}
		return open()
	}
}

// Twins is how many C sessions there are.
func (s *Session) Twins() int {
	s.twins.mu.Lock()
	defer s.twins.mu.Unlock()
	return len(s.twins.all)
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
	return ok
}

// Least are the shapes that s was warmed up with.
func Least(s inference.Session) [][]int64 { return s.(*session).least }
