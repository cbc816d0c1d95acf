package ort_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"focal/core/fault"
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

// onFakeCard loads a model on a card that is none.
func onFakeCard(t *testing.T, name string, read func() gpu.Reading, memory *pinned) *ort.Session {
	t.Helper()
	fake, err := ort.OnFakeCard(engine, model(t, name), read, memory.allocate)
	return closing(t, fake, err)
}

func closing[S inference.Session](t testing.TB, s S, err error) S {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestCard_GivesTheNumbersOfTheCPU(t *testing.T) {
	s := load(t, model(t, "retinaface_mobilenet025"))
	for name, most := range map[string]int{"pinned": 100, "one pinned buffer": 1, "nothing pinned": 0} {
		t.Run(name, func(t *testing.T) {
			memory := &pinned{most: most}
			fake := onFakeCard(t, "retinaface_mobilenet025", func() gpu.Reading { return gpu.Reading{Ours: 1} }, memory)
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
	fake := onFakeCard(t, "retinaface_mobilenet025", func() gpu.Reading { return gpu.Reading{Ours: 1} }, memory)
	const side = 256
	in := noise(side, 1, 3, side, side)
	want := run(t, s, in)
	for range 2 {
		lent, back, err := fake.Engine().Lend(len(in.Data))
		if err != nil {
			t.Fatal(err)
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

// Numbers by hand: the card has 100 taken by others; the arenas of three shapes
// take 40, 60 and nothing.
func TestCard_MeasuresWhatARunHoldsByItsGrowth(t *testing.T) {
	taken := []int64{
		100,      // the card is opened
		100, 140, // first shape
		140, 200, // second, with an arena of its own
		200, 200, // third, which took nothing that is seen
		200, 230, // first again, after everything was given back
	}
	fake := onFakeCard(t, "ultralight_rfb_320", func() gpu.Reading {
		used := taken[0]
		taken = taken[1:]
		return gpu.Reading{Total: 1000, Free: 1000 - used, Ours: -1}
	}, &pinned{})
	for i, step := range []struct{ batch, want int64 }{{1, 40}, {3, 60}, {2, 0}, {1, 0}} {
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

// As in a container with processes of its own, with a process beside it: what is
// measured by differences would be that one's.
func TestCard_MeasuresNothingWhereAnotherProcessMoves(t *testing.T) {
	used, each := int64(100<<20), int64(1<<20) // by each reading: the run's own
	fake := onFakeCard(t, "ultralight_rfb_320", func() gpu.Reading {
		used += each
		return gpu.Reading{Total: 80 << 30, Free: 80<<30 - used, Ours: -1}
	}, &pinned{})
	held := func(batch int64) int64 {
		t.Helper()
		_, held, err := fake.RunMeasured(t.Context(), []models.Tensor{noise(1, batch, 3, 240, 320)}, inference.Room{Run: 1, All: 10})
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	e := fake.Engine()
	if got := held(1); got != 1<<20 {
		t.Errorf("alone: %d, want what the card had less after it", got)
	}
	each = ort.FakeBudget + 1
	if got := held(5); got != 0 {
		t.Errorf("more than all models may hold: %d", got)
	}
	used, each = 200<<20, 1<<20
	if got := e.Used(); got != -1 {
		t.Errorf("%d used: want it not to be known", got)
	}
	e.Free()
	used += 1 << 30 // between two readings, and a run between them too
	held(2)
	e.Free()
	if got := held(3); got != 1<<20 {
		t.Errorf("after growth that may be its own: %d", got)
	}
	e.Free()
	used += 1 << 30
	if free := e.Free(); free>>30 != 77 {
		t.Errorf("%d free, want what is free of the card whoever holds the rest", free)
	}
	if got := held(4); got != 0 {
		t.Errorf("beside another process that moves: %d, want it not to be known", got)
	}
	if got := e.Grown(); got>>30 != 2 {
		t.Errorf("grown by %d since it was opened, want 2 GiB", got)
	}
}

// A driver that tells processes apart at first, or only later: a difference of two
// kinds of reading would be the whole card's.
func TestCard_NeverMixesTwoKindsOfReading(t *testing.T) {
	for _, kind := range []struct{ open, later, used int64 }{{50, -1, -1}, {-1, 50, -1}, {50, 80, 30}} {
		ours := kind.open
		fake := onFakeCard(t, "ultralight_rfb_320", func() gpu.Reading { return gpu.Reading{Total: 9000, Free: 1000, Ours: ours} }, &pinned{})
		ours = kind.later
		if got := fake.Engine().Used(); got != kind.used {
			t.Errorf("%+v: %d used", kind, got)
		}
		_, held, err := fake.RunMeasured(t.Context(), []models.Tensor{noise(1, 1, 3, 240, 320)}, inference.Room{Run: 1, All: 10})
		if err != nil || held != 0 {
			t.Errorf("%+v: a run held %d, %v", kind, held, err)
		}
	}
}

// Two models whose runs keep 60 each, in 100 bytes: each takes it from the other.
func TestCard_SessionsGiveBackWhatTheBooksHaveNoRoomFor(t *testing.T) {
	ours := int64(0)
	read := func() gpu.Reading { return gpu.Reading{Total: 1000, Free: 500, Ours: ours} }
	a := onFakeCard(t, "ultralight_rfb_320", read, &pinned{})
	ours = 300
	beside, err := a.Beside(model(t, "prisma_portrait"))
	b := closing(t, beside, err)
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

// A card forgets what it has planned when the shape changes: each has a session of
// its own, which stays while there is room for it.
func TestCard_HasASessionForEachShape(t *testing.T) {
	fake := onFakeCard(t, "ultralight_rfb_320", func() gpu.Reading { return gpu.Reading{Ours: 1} }, &pinned{most: 100})
	batch := func(n int64) models.Tensor { return noise(1, n, 3, 240, 320) }
	if err := fake.Warm(); err != nil {
		t.Fatal(err)
	}
	room := inference.Room{Run: 10, All: 100}
	for i, step := range []struct {
		n    int64
		room inference.Room
		want int
	}{
		{1, room, 1}, {2, room, 2}, {1, room, 2}, {4, room, 3},
		{1, inference.Room{Run: 10, All: 20}, 3}, // no room for what the others keep, but for what they have planned
	} {
		within(t, fake, batch(step.n), step.room)
		if got := fake.Twins(); got != step.want {
			t.Errorf("run %d, batch %d: %d sessions, want %d", i, step.n, got, step.want)
		}
	}
	if got := fake.Engine().CardSpare(); got > 20 {
		t.Errorf("%d are kept, want at most the 20 that there is room for", got)
	}
	if err := fake.Engine().Trim(); err != nil || fake.Engine().CardSpare() != 0 {
		t.Errorf("%v; %d kept", err, fake.Engine().CardSpare())
	}
	if got := fake.Twins(); got < 2 {
		t.Errorf("%d sessions: trimming takes what runs have taken, not what is planned", got)
	}
}

// Of those that run nothing the one used longest ago gives up first: what its runs
// took, and itself where that is not enough.
func TestCard_ClosesSessionsOnlyWhereTheirArenasAreNotEnough(t *testing.T) {
	fake := onFakeCard(t, "ultralight_rfb_320", func() gpu.Reading { return gpu.Reading{Ours: 1} }, &pinned{most: 100})
	fake.Hold(6, 12)
	for i, step := range []struct {
		n           int64
		open        int
		spare, room int64
	}{
		{1, 1, 10, 25}, {2, 2, 20, 25},
		{4, 3, 6 + 6 + 10, 25}, // 30 with what 1 and 2 keep: both empty their arenas
		{8, 3, 6 + 6 + 10, 25}, // 32: 4 empties its own, which leaves 28, and 1 is closed
		{2, 3, 6 + 6 + 10, 25},
	} {
		within(t, fake, noise(1, step.n, 3, 240, 320), inference.Room{Run: 10, All: step.room})
		if open, spare := fake.Twins(), fake.Engine().CardSpare(); open != step.open || spare != step.spare {
			t.Errorf("run %d, batch %d: %d sessions keep %d, want %d and %d", i, step.n, open, spare, step.open, step.spare)
		}
	}
}

// A session that made way for another shape, or that was never opened, holds
// nothing: what its runs were booked with would be taken for free for ever.
func TestCard_BooksNothingForSessionsThatAreGone(t *testing.T) {
	fake := onFakeCard(t, "ultralight_rfb_320", func() gpu.Reading { return gpu.Reading{Ours: 1} }, &pinned{most: 100})
	fake.Hold(0, 12)
	room := inference.Room{Run: 10, All: 1000}
	for n := range int64(20) {
		within(t, fake, noise(1, n+1, 3, 240, 320), room)
	}
	open, spare := int64(fake.Twins()), fake.Engine().CardSpare()
	if open != 12 || spare != 10*open {
		t.Errorf("%d sessions keep %d", open, spare)
	}
	fake.Opening(func(int) error { return errors.New("no more of them") })
	if _, _, err := fake.RunMeasured(t.Context(), []models.Tensor{noise(1, 30, 3, 240, 320)}, room); err == nil {
		t.Error("a run without a session")
	}
	if open, spare := int64(fake.Twins()), fake.Engine().CardSpare(); spare != 10*open {
		t.Errorf("%d sessions keep %d after one that did not open", open, spare)
	}
}

// Where the card has no memory for one more session, those that nothing runs on go:
// even such as have given back what their runs took.
func TestCard_OpensASessionInTheRoomOfOthers(t *testing.T) {
	fake := onFakeCard(t, "ultralight_rfb_320", func() gpu.Reading { return gpu.Reading{Ours: 1} }, &pinned{most: 100})
	batch := func(n int64) []models.Tensor { return []models.Tensor{noise(1, n, 3, 240, 320)} }
	room := inference.Room{Run: 10, All: 1000}
	within(t, fake, batch(1)[0], room)
	within(t, fake, batch(2)[0], room)
	if err := fake.Engine().Trim(); err != nil {
		t.Fatal(err)
	}
	fake.Opening(func(open int) error {
		if open > 1 {
			return errors.New("Failed to allocate memory for requested buffer of size 1")
		}
		return nil
	})
	if _, _, err := fake.RunMeasured(t.Context(), batch(3), room); err != nil {
		t.Error(err)
	}
	fake.Opening(func(int) error { return errors.New("Failed to allocate memory for requested buffer of size 1") })
	if _, _, err := fake.RunMeasured(t.Context(), batch(4), room); !fault.Is(err, fault.Busy) {
		t.Errorf("%v, want want of memory", err)
	}
}

// The session of a shape that comes later reads the file again: another file there
// is another model.
func TestCard_NeverOpensAFileThatWasReplaced(t *testing.T) {
	m := model(t, "ultralight_rfb_320")
	data, err := os.ReadFile(m.Path)
	if err != nil {
		t.Fatal(err)
	}
	m.Path = filepath.Join(t.TempDir(), "model.onnx")
	write := func(path string) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(m.Path)
	made, err := ort.OnFakeCard(engine, m, func() gpu.Reading { return gpu.Reading{Ours: 1} }, (&pinned{}).allocate)
	fake := closing(t, made, err)
	run(t, fake, noise(1, 1, 3, 240, 320))
	write(m.Path + ".new")
	if err := os.Rename(m.Path+".new", m.Path); err != nil {
		t.Fatal(err)
	}
	if _, err := fake.Run(t.Context(), []models.Tensor{noise(1, 2, 3, 240, 320)}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("another file: %v, want unavailable", err)
	}
	run(t, fake, noise(1, 1, 3, 240, 320))
}

func TestCard_SideBySideInOneShapeAndInSeveral(t *testing.T) {
	s := load(t, model(t, "ultralight_rfb_320"))
	fake := onFakeCard(t, "ultralight_rfb_320", func() gpu.Reading { return gpu.Reading{Ours: 1} }, &pinned{most: 100})
	var wg sync.WaitGroup
	for i := range 12 {
		in := noise(uint64(i), int64(1+i%3), 3, 240, 320)
		want := run(t, s, in)
		wg.Go(func() {
			got, _, err := fake.RunMeasured(t.Context(), []models.Tensor{in}, inference.Room{Run: 10, All: 25})
			if err != nil || !slices.Equal(got[0].Data, want[0].Data) {
				t.Errorf("run %d: other numbers than alone, %v", i, err)
			}
		})
	}
	wg.Wait()
	if n := fake.Engine().Live(); n != 0 {
		t.Errorf("%d C objects left", n)
	}
}

var _ inference.Session = (*ort.Session)(nil)
