// Package enginetest holds what every inference.Engine promises, as one suite of
// tests. It is imported by tests only, and knows nothing of how an engine is
// built or what its models are for.
package enginetest

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"

	"focal/core/fault"
	"focal/inference"
	"focal/models"
)

// Bench is an engine with a model to try it with.
type Bench struct {
	inference.Engine
	Good, Bad models.Model // Bad does not load
	// Input makes a batch of n items, item i the same in every batch.
	Input   func(n int) []models.Tensor
	Outputs int // of Good
}

// Run holds an engine against the promises of inference.Engine.
func Run(t *testing.T, b Bench) {
	for _, promise := range []struct {
		name string
		test func(*testing.T, Bench)
	}{
		{"NamesItself", namesItself},
		{"SurvivesABadFile", survivesABadFile},
		{"GivesAnItemTheSameInABatchAsAlone", givesTheSameInABatch},
		{"LeavesInputsAndGivesOutputsAway", leavesInputsAndGivesOutputsAway},
		{"RefusesTensorsThatLie", refusesTensorsThatLie},
		{"RunsSideBySide", runsSideBySide},
		{"StartsNothingForWhoHasLeft", startsNothingForWhoHasLeft},
		{"MeasuresARunWithoutChangingIt", measuresARun},
		{"GivesBackWhatASessionHeld", givesBackWhatASessionHeld},
		{"LendsRoom", lendsRoom},
	} {
		t.Run(promise.name, func(t *testing.T) { promise.test(t, b) })
	}
}

func (b Bench) open(t *testing.T) (s inference.Session, shut func()) {
	t.Helper()
	s, err := b.Load(t.Context(), b.Good)
	if err != nil {
		t.Fatal(err)
	}
	return s, func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

func (b Bench) ask(t *testing.T, s inference.Session, in []models.Tensor) []models.Tensor {
	t.Helper()
	out, err := s.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	n := in[0].Shape[0]
	if len(out) != b.Outputs {
		t.Fatalf("%d outputs, want %d", len(out), b.Outputs)
	}
	for i, o := range out {
		if o.Shape[0] != n || models.Elements(o.Shape) != int64(len(o.Data)) {
			t.Fatalf("output %d of a batch of %d has shape %v and %d numbers", i, n, o.Shape, len(o.Data))
		}
	}
	return out
}

func namesItself(t *testing.T, b Bench) {
	if p := b.Provider(); p != "cpu" && p != "cuda" {
		t.Errorf("provider %q", p)
	}
	if named, ok := b.Engine.(inference.Named); ok && (named.Device() == "" || named.Runtime() == "") {
		t.Errorf("measurements would be of %q, %q", named.Device(), named.Runtime())
	}
}

func survivesABadFile(t *testing.T, b Bench) {
	s, err := b.Load(t.Context(), b.Bad)
	if !fault.Is(err, fault.Corrupt) && !fault.Is(err, fault.Unsupported) || s != nil {
		t.Errorf("a bad file: %v, %v", s, err)
	}
	good, shut := b.open(t)
	defer shut()
	b.ask(t, good, b.Input(1))
}

func givesTheSameInABatch(t *testing.T, b Bench) {
	s, shut := b.open(t)
	defer shut()
	together := b.ask(t, s, b.Input(3))
	alone := b.ask(t, s, b.Input(1)) // the first of the three
	for i := range alone {
		if !b.alike(alone[i].Data, together[i].Data[:len(alone[i].Data)]) {
			t.Errorf("output %d differs in a batch", i)
		}
	}
}

// alike compares numbers as closely as the device computes them.
func (b Bench) alike(x, y []float32) bool {
	within := 1e-5
	if b.Provider() != "cpu" {
		within = 1e-3
	}
	return slices.EqualFunc(x, y, func(v, w float32) bool { return math.Abs(float64(v-w)) <= within })
}

func leavesInputsAndGivesOutputsAway(t *testing.T, b Bench) {
	s, shut := b.open(t)
	defer shut()
	in := b.Input(2)
	first := b.ask(t, s, in)
	want := slices.Clone(first[0].Data)
	for i := range in {
		if !slices.Equal(in[i].Data, b.Input(2)[i].Data) {
			t.Errorf("input %d was written to", i)
		}
		clear(in[i].Data) // its caller may use it again
	}
	if !slices.Equal(first[0].Data, want) {
		t.Error("an output lies in the memory of an input")
	}
	clear(first[0].Data)
	if again := b.ask(t, s, b.Input(2)); !b.alike(again[0].Data, want) {
		t.Error("an output lies in the memory of another")
	}
}

func refusesTensorsThatLie(t *testing.T, b Bench) {
	s, shut := b.open(t)
	defer shut()
	good := b.Input(1)[0]
	for name, in := range map[string][]models.Tensor{
		"none":     nil,
		"too few":  {{Shape: good.Shape, Data: good.Data[1:]}},
		"empty":    {{Shape: append([]int64{0}, good.Shape[1:]...)}},
		"negative": {{Shape: append([]int64{-1}, good.Shape[1:]...), Data: good.Data}},
	} {
		if _, err := s.Run(t.Context(), in); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	b.ask(t, s, b.Input(1))
}

func runsSideBySide(t *testing.T, b Bench) {
	s, shut := b.open(t)
	defer shut()
	want := b.ask(t, s, b.Input(1))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 3 {
				got, err := s.Run(context.WithoutCancel(t.Context()), b.Input(1))
				if err != nil || !b.alike(got[0].Data, want[0].Data) {
					t.Errorf("beside others: %v, or other numbers", err)
				}
			}
		})
	}
	all.Wait()
}

func startsNothingForWhoHasLeft(t *testing.T, b Bench) {
	s, shut := b.open(t)
	defer shut()
	left, leave := context.WithCancel(t.Context())
	leave()
	if _, err := s.Run(left, b.Input(1)); !fault.Is(err, fault.Canceled) {
		t.Errorf("a run: %v, want canceled", err)
	}
	if got, err := b.Load(left, b.Good); !fault.Is(err, fault.Canceled) || got != nil {
		t.Errorf("a load: %v, want canceled", err)
	}
	b.ask(t, s, b.Input(1))
}

func measuresARun(t *testing.T, b Bench) {
	s, shut := b.open(t)
	defer shut()
	if s.Rest() < 0 {
		t.Errorf("%d bytes at rest", s.Rest())
	}
	m, ok := s.(inference.Measured)
	if !ok {
		t.Fatal("it says nothing of what a run takes: the books would never be corrected")
	}
	want := b.ask(t, s, b.Input(2))
	for _, room := range []inference.Room{{}, {Run: 1 << 30, All: 1 << 30}} {
		got, bytes, err := m.RunMeasured(t.Context(), b.Input(2), room)
		if err != nil || bytes < 0 || !b.alike(got[0].Data, want[0].Data) {
			t.Errorf("in a room of %d: %d bytes, %v", room.All, bytes, err)
		}
	}
}

// slack is what an allocator may keep of a session that is gone.
const slack = 1 << 20

func givesBackWhatASessionHeld(t *testing.T, b Bench) {
	_, shut := b.open(t) // the first one of a file leaves what every later one finds
	shut()
	before := b.Used()
	for range 5 {
		s, shut := b.open(t)
		b.ask(t, s, b.Input(1))
		shut()
	}
	if after := b.Used(); b.Provider() == "cpu" && before >= 0 && after > before+slack { // a card's driver keeps what it likes
		t.Errorf("%d bytes in use, %d before five sessions came and went", after, before)
	}
}

func lendsRoom(t *testing.T, b Bench) {
	lender, ok := b.Engine.(inference.Lender)
	if !ok {
		return // inputs come from Go's heap
	}
	var lent [2][]float32
	for k := range lent {
		room, back, err := lender.Lend(1000)
		if err != nil || len(room) != 1000 {
			t.Fatalf("room for %d numbers, %v: want a thousand", len(room), err)
		}
		defer back()
		for i := range room {
			room[i] = float32(k)
		}
		lent[k] = room
	}
	for k, room := range lent {
		if slices.ContainsFunc(room, func(v float32) bool { return v != float32(k) }) {
			t.Error("what was written in one room changed when another was lent")
		}
	}
}
