package ort_test

import (
	"fmt"
	"os"
	"testing"

	"focal/inference"
	"focal/inference/ort"
	"focal/models"
)

// Callers with raw tensors choose shapes as they like. Of each that a session has
// run ONNX Runtime keeps how it laid out its memory, and never lets go of it: that
// must be next to nothing.
func TestSession_KeepsNextToNothingOfFiveHundredShapes(t *testing.T) {
	m := model(t, "retinaface_mobilenet025")
	m.Session.MemoryPattern = true
	s := load(t, m)
	of := func(i int) {
		h, w := int64(32+16*(i/25)), int64(32+16*(i%25))
		within(t, s, models.Tensor{Shape: []int64{1, 3, h, w}, Data: make([]float32, 3*h*w)}, inference.Room{})
	}
	of(499) // the largest
	heap, resident := ort.HeapInUse(), residentSize(t)
	for i := range 500 {
		of(i)
	}
	heap, resident = ort.HeapInUse()-heap, residentSize(t)-resident
	t.Logf("500 shapes: the C heap grew by %d KiB, the process by %d KiB", heap>>10, resident>>10)
	if heap > 1<<20 {
		t.Errorf("500 shapes left %d KiB", heap>>10)
	}
}

// residentSize is that of this process in bytes.
func residentSize(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
