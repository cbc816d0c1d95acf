package ort_test

import (
	"errors"
	"math"
	"slices"
	"sync"
	"testing"

	"focal/inference"
	"focal/inference/gpu"
	"focal/inference/ort"
	"focal/models"
)

// pinned stands in for memory that a card can fetch by itself, and counts.
type pinned struct {
	mu    sync.Mutex // protects given
	given int
	most  int // buffers
}

func (p *pinned) allocate(floats int) ([]float32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.given == p.most {
		return nil, errors.New("no more")
	}
	p.given++
	return slices.Repeat([]float32{float32(math.NaN())}, floats), nil
}

func TestCard_GivesTheNumbersOfTheCPU(t *testing.T) {
	s := load(t, model(t, "retinaface_mobilenet025"))
	for name, most := range map[string]int{"pinned": 100, "one pinned buffer": 1, "nothing pinned": 0} {
		t.Run(name, func(t *testing.T) {
			memory := &pinned{most: most}
			fake := ort.OnFakeCard(s, func() gpu.Reading { return gpu.Reading{Ours: 1} }, memory.allocate)
			var first []models.Tensor
			for i, side := range []int64{256, 256, 320, 256} {
				in := noise(uint64(side), 1, 3, side, side)
				want, got := run(t, s, in), run(t, fake, in)
				for k := range want {
					if !slices.Equal(got[k].Shape, want[k].Shape) || !slices.Equal(got[k].Data, want[k].Data) {
						t.Errorf("run %d, output %d: other numbers", i, k)
					}
				}
				if i == 0 {
					first = got
				} else if side == 256 && !slices.Equal(first[0].Data, got[0].Data) {
					t.Errorf("run %d changed what an earlier one had answered", i)
				}
			}
			// An input and three outputs at a time, of at most two sizes each.
			if memory.given > 8 {
				t.Errorf("%d pinned buffers for runs one after the other", memory.given)
			}
			if n := fake.Engine().Live(); n != 0 {
				t.Errorf("%d C objects left", n)
			}
		})
	}
}

func TestCard_CopiesNothingThatIsLent(t *testing.T) {
	s := load(t, model(t, "retinaface_mobilenet025"))
	memory := &pinned{most: 100}
	fake := ort.OnFakeCard(s, func() gpu.Reading { return gpu.Reading{Ours: 1} }, memory.allocate)
	const side = 256
	in := noise(side, 1, 3, side, side)
	want := run(t, s, in)
	for range 2 {
		lent, back, err := fake.Engine().Lend(len(in.Data))
		if err != nil || slices.ContainsFunc(lent, func(v float32) bool { return v != 0 }) {
			t.Fatalf("lent memory is not zeros, %v", err)
		}
		given := memory.given
		copy(lent, in.Data)
		got, held := run(t, fake, models.Tensor{Shape: in.Shape, Data: lent}), memory.given-given
		if !slices.Equal(got[0].Data, want[0].Data) {
			t.Error("other numbers")
		}
		if held > len(want) {
			t.Errorf("%d pinned buffers for %d outputs", held, len(want))
		}
		back()
	}
	// One input, three outputs.
	if memory.given != 1+len(want) {
		t.Errorf("%d pinned buffers in all", memory.given)
	}
}

// Numbers by hand: the card has 100 taken by others, and our arena grows by 40,
// then 60 more, then not at all.
func TestCard_MeasuresWhatARunHoldsByItsGrowth(t *testing.T) {
	s := load(t, model(t, "ultralight_rfb_320"))
	taken := []int64{
		100, 140, // first shape
		140, 200, // second, larger
		200, 200, // third, which found room enough
		200, 230, // first again, after everything was given back
	}
	fake := ort.OnFakeCard(s, func() gpu.Reading {
		used := taken[0]
		taken = taken[1:]
		return gpu.Reading{Total: 1000, Free: 1000 - used, Ours: -1}
	}, (&pinned{}).allocate)
	for i, step := range []struct{ batch, want int64 }{{1, 40}, {3, 100}, {2, 0}, {1, 0}} {
		_, held, err := fake.RunMeasured(t.Context(), []models.Tensor{noise(1, step.batch, 3, 240, 320)}, inference.Room{Run: 1, All: 10})
		if err != nil || held != step.want {
			t.Errorf("run %d held %d, %v, want %d", i, held, err, step.want)
		}
	}
	if err := fake.Engine().Trim(); err != nil {
		t.Fatal(err)
	}
	_, held, err := fake.RunMeasured(t.Context(), []models.Tensor{noise(1, 1, 3, 240, 320)}, inference.Room{Run: 1, All: 10})
	if err != nil || held != 30 {
		t.Errorf("held %d, %v, want 30", held, err)
	}
}

// Two models whose runs keep 60 each, in 100 bytes: each takes it from the other.
func TestCard_SessionsGiveBackWhatTheBooksHaveNoRoomFor(t *testing.T) {
	one, other := load(t, model(t, "ultralight_rfb_320")), load(t, model(t, "prisma_portrait"))
	read := func() gpu.Reading { return gpu.Reading{Total: 1000, Free: 500, Ours: 300} }
	a := ort.OnFakeCard(one, read, (&pinned{}).allocate)
	b := a.Beside(other)
	spare := func(s *ort.Session, in models.Tensor, room inference.Room) int64 {
		t.Helper()
		within(t, s, in, room)
		return a.Engine().CardSpare()
	}
	face, picture := noise(1, 1, 3, 240, 320), noise(1, 1, 3, 256, 256)
	for i, got := range []int64{
		spare(a, face, inference.Room{Run: 60, All: 200}),
		spare(a, face, inference.Room{Run: 40, All: 200}), // out of what is there
		spare(b, picture, inference.Room{Run: 60, All: 200}),
		spare(b, picture, inference.Room{Run: 60, All: 100}), // a has to give back
		spare(a, face, inference.Room{Run: 60, All: 100}),    // and so has b
	} {
		if want := []int64{60, 60, 120, 60, 60}[i]; got != want {
			t.Errorf("after run %d sessions keep %d, want %d", i+1, got, want)
		}
	}
	if used, free := a.Engine().Used(), a.Engine().Free(); used != 240 || free != 560 {
		t.Errorf("%d used and %d free: want the 60 that are only kept to count as free", used, free)
	}
	if err := a.Engine().Trim(); err != nil || a.Engine().CardSpare() != 0 {
		t.Errorf("%v; %d are kept after trimming", err, a.Engine().CardSpare())
	}
}

var _ inference.Session = (*ort.Session)(nil)
