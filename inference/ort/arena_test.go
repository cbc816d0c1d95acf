package ort_test

import (
	"testing"

	"focal/inference"
	"focal/inference/ort"
	"focal/models"
)

// within runs a batch in a room, and returns what was measured.
func within(t testing.TB, s inference.Session, in models.Tensor, room inference.Room) int64 {
	t.Helper()
	_, held, err := s.(inference.Measured).RunMeasured(t.Context(), []models.Tensor{in}, room)
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// heap is what the C heap holds beyond what it held before.
func heap(t *testing.T) func() int64 {
	t.Helper()
	if err := engine.Trim(); err != nil {
		t.Fatal(err)
	}
	before := ort.HeapInUse()
	if before < 0 {
		t.Skip("this C library does not say what its heap holds")
	}
	return func() int64 { return ort.HeapInUse() - before }
}

// What a run of each takes, and a little more.
var (
	faces = inference.Room{Run: 60 << 20, All: 400 << 20}
	masks = inference.Room{Run: 260 << 20, All: 400 << 20}
)

func TestArena_KeepsWhatARunLeavesUntilItIsTrimmed(t *testing.T) {
	s, in := load(t, model(t, "retinaface_mobilenet025")), noise(1, 1, 3, 1024, 1024)
	grown, used := heap(t), engine.Used()
	for range 6 {
		within(t, s, in, faces)
	}
	if spare := engine.Spare(); spare != faces.Run {
		t.Errorf("%d MiB are kept: want those of one run, which each took over from the one before", spare>>20)
	}
	if got := grown(); got < 20<<20 || got > faces.Run {
		t.Errorf("%d MiB stay after a run that was to leave its memory", got>>20)
	}
	if got := engine.Used() - used; got > 1<<20 {
		t.Errorf("%d MiB are said to be used while nothing runs", got>>20)
	}
	if err := engine.Trim(); err != nil {
		t.Fatal(err)
	}
	if got := grown(); got > 1<<20 || engine.Spare() != 0 {
		t.Errorf("%d KiB stay, %d are said to be kept, after trimming", got>>10, engine.Spare())
	}
}

func TestArena_GivesBackWhatTheBooksHaveNoRoomFor(t *testing.T) {
	face, mask := load(t, model(t, "retinaface_mobilenet025")), load(t, model(t, "u2netp"))
	square, picture := noise(1, 1, 3, 1024, 1024), noise(1, 1, 3, 320, 320)
	grown := heap(t)
	for range 4 {
		within(t, mask, picture, masks)
		within(t, face, square, faces)
	}
	if spare := engine.Spare(); spare != faces.Run+masks.Run {
		t.Errorf("%d MiB are kept: want both, there is room for them", spare>>20)
	}
	// Something was loaded meanwhile: the books give less to runs.
	tight := inference.Room{Run: faces.Run, All: faces.Run + masks.Run - 1}
	within(t, face, noise(1, 1, 3, 768, 1024), tight)
	if spare := engine.Spare(); spare != faces.Run || grown() > faces.Run {
		t.Errorf("%d MiB are kept and %d are there: want those of the last run", spare>>20, grown()>>20)
	}
}

func TestArena_MeasuresOnlyWhatFindsNothing(t *testing.T) {
	s, in := load(t, model(t, "prisma_portrait")), noise(1, 2, 3, 256, 256)
	var measured []int64
	for range 6 {
		if held := within(t, s, in, faces); held > 0 {
			measured = append(measured, held)
		}
	}
	if len(measured) != 3 {
		t.Fatalf("%v were measured: want the first three, the others took over what was there", measured)
	}
	for _, held := range measured {
		if d := held - measured[0]; d < -1<<20 || d > 1<<20 {
			t.Errorf("runs of one shape held %v", measured)
		}
	}
}

func TestArena_KeepsNothingOfAModelThatIsClosed(t *testing.T) {
	grown := heap(t)
	s, err := engine.Load(t.Context(), model(t, "retinaface_mobilenet025"))
	if err != nil {
		t.Fatal(err)
	}
	within(t, s, noise(1, 1, 3, 1024, 1024), faces)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := grown(); got > 1<<20 || engine.Spare() != 0 {
		t.Errorf("%d KiB stay, %d are said to be kept", got>>10, engine.Spare())
	}
}

func TestArena_AFailedRunLeavesNothing(t *testing.T) {
	s := load(t, model(t, "u2netp"))
	grown := heap(t)
	room := inference.Room{Run: 2 << 30, All: 4 << 30}
	_, _, err := s.(inference.Measured).RunMeasured(t.Context(), []models.Tensor{noise(1, 8, 3, 320, 320)}, room)
	if err == nil {
		t.Fatal("a batch of eight ran in an arena that is too small for it")
	}
	if got := grown(); got > 1<<20 || engine.Spare() != 0 {
		t.Errorf("%d KiB stay, %d are said to be kept", got>>10, engine.Spare())
	}
}
