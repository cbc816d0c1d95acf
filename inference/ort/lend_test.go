package ort_test

import (
	"slices"
	"testing"

	"focal/inference"
	"focal/models"
)

func TestEngine_LendsZerosWhoseMemoryGoesBackAtOnce(t *testing.T) {
	if engine.Used() < 0 {
		t.Skip("this C library does not say what its heap holds")
	}
	const n = 3 * 1024 * 1024
	grown, live := heap(t), engine.Live()
	for range 3 {
		zeros, back, err := engine.Lend(n)
		if err != nil {
			t.Fatal(err)
		}
		if len(zeros) != n || slices.Max(zeros) != 0 || slices.Min(zeros) != 0 {
			t.Fatalf("%d numbers from %v to %v", len(zeros), slices.Min(zeros), slices.Max(zeros))
		}
		if held := grown(); held < 4*n || engine.Live() != live+1 {
			t.Errorf("%d bytes of the C heap are lent, want %d", held, 4*n)
		}
		for i := range zeros {
			zeros[i] = 1 // the next one gets zeros all the same
		}
		back()
		if left := grown(); left > 1<<16 || engine.Live() != live {
			t.Errorf("%d bytes stay when they are given back, %d C objects", left, engine.Live()-live)
		}
	}
}

func TestEngine_LendingNeitherHidesNorSpoilsAMeasurement(t *testing.T) {
	s := load(t, model(t, "ultralight_rfb_320"))
	const n = 3 * 240 * 320
	zeros, back, err := engine.Lend(n)
	if err != nil {
		t.Fatal(err)
	}
	defer back()
	in := []models.Tensor{{Shape: []int64{1, 3, 240, 320}, Data: zeros}}
	out, held, err := s.(inference.Measured).RunMeasured(t.Context(), in, inference.Room{})
	if err != nil || held < 4*n || len(out) != 2 {
		t.Errorf("a run of lent memory: %d outputs, %d bytes measured, %v", len(out), held, err)
	}
	end := engine.Begin()
	_, more, err := engine.Lend(n)
	if err != nil {
		t.Fatal(err)
	}
	more()
	if end() {
		t.Error("the heap grew and shrank meanwhile: a run that was under way counts as alone")
	}
}
