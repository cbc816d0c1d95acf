package ort_test

import (
	"testing"

	"focal/inference"
	"focal/models"
)

func TestEngine_LendsRoomThatGoesBackAtOnce(t *testing.T) {
	if engine.Used() < 0 {
		t.Skip("this C library does not say what its heap holds")
	}
	const n = 3 * 1024 * 1024
	grown, live := heap(t), engine.Live()
	for range 3 {
		room, back, err := engine.Lend(n)
		if err != nil || len(room) != n {
			t.Fatalf("room for %d numbers, %v", len(room), err)
		}
		if held := grown(); held < 4*n || engine.Live() != live+1 {
			t.Errorf("%d bytes of the C heap are lent, want %d", held, 4*n)
		}
		for i := range room {
			room[i] = 1 // all of it can be written
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
	room, back, err := engine.Lend(n)
	if err != nil {
		t.Fatal(err)
	}
	defer back()
	clear(room)
	in := []models.Tensor{{Shape: []int64{1, 3, 240, 320}, Data: room}}
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
