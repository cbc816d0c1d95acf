package fake

import (
	"context"
	"reflect"
	"testing"

	"focal/core/fault"
	"focal/inference/enginetest"
	"focal/models"
)

func TestEngine_KeepsThePromisesOfAnEngine(t *testing.T) {
	named := func(name string) models.Model { return models.Model{Manifest: models.Manifest{Name: name}} }
	e := New("cpu")
	e.Set("good", Script{Rest: 7 << 20, ItemMemory: 5})
	e.Set("bad", Script{LoadErr: fault.New(fault.Corrupt, "fake.Load", "truncated")})
	enginetest.Run(t, enginetest.Bench{Engine: e, Good: named("good"), Bad: named("bad"), Outputs: 1, Input: func(n int) []models.Tensor {
		in := models.Tensor{Shape: []int64{int64(n), 2}}
		for i := range n {
			in.Data = append(in.Data, float32(i), 1)
		}
		return []models.Tensor{in}
	}})
}

func TestEngine_CountsAndCallsOutMisuse(t *testing.T) {
	e := New("cpu")
	e.Set("m", Script{Rest: 7})
	s, err := e.Load(t.Context(), models.Model{Manifest: models.Manifest{Name: "m"}})
	if err != nil || s.Rest() != 7 || e.Used() != 7 {
		t.Fatalf("%v, rest %d, used %d", err, s.Rest(), e.Used())
	}
	in := []models.Tensor{{Shape: []int64{3, 1}, Data: []float32{1, 2, 3}}}
	if out, err := s.Run(t.Context(), in); err != nil || !reflect.DeepEqual(out, in) || &out[0].Data[0] == &in[0].Data[0] {
		t.Fatalf("%v, %v: want a copy of the inputs", out, err)
	}
	if _, err := s.Run(t.Context(), []models.Tensor{{Shape: []int64{2}, Data: nil}}); err == nil {
		t.Fatal("a tensor that lies about its shape runs")
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if c := e.Counts("m"); c.Loads != 1 || c.Runs != 1 || c.Items != 3 || len(c.Violations) != 1 {
		t.Fatalf("%+v", c)
	}
}

func TestGate_HoldsUntilLetOrStopped(t *testing.T) {
	e, g := New("cpu"), NewGate()
	e.Set("m", Script{RunGate: g})
	s, _ := e.Load(t.Context(), models.Model{Manifest: models.Manifest{Name: "m"}})
	in := []models.Tensor{{Shape: []int64{1}, Data: []float32{1}}}
	done := make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	run := func(ctx context.Context) { _, err := s.Run(ctx, in); done <- err }
	go run(ctx)
	g.Came()
	g.Let()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	go run(ctx)
	g.Came()
	stop()
	if err := <-done; !fault.Is(err, fault.Canceled) {
		t.Fatalf("stopped with %v", err)
	}
	g.Open()
	go run(t.Context())
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
