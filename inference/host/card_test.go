package host

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"focal/core/fault"
	"focal/inference"
	"focal/inference/fake"
	"focal/models"
)

func TestHost_ShrinksToWhatAnotherProcessLeavesOfTheCard(t *testing.T) {
	t.Run("told apart", func(t *testing.T) { open(t, nil, shrinks) })
	t.Run("not told apart", func(t *testing.T) {
		open(t, nil, func(t *testing.T, h *house) {
			h.engine.Untold()
			shrinks(t, h)
			if n, err := testutil.GatherAndCount(h.reg, "focal_memory_used_bytes"); err != nil || n != 0 {
				t.Errorf("%d readings of what nobody knows, %v", n, err)
			}
		})
	})
}

func shrinks(t *testing.T, h *house) {
	h.engine.Set("detector", fake.Script{Rest: 100})
	h.engine.Set("cutter", fake.Script{Rest: 100})
	h.engine.SetMemory(5000)
	h.faces(photo(1, 80))
	cut := func(n byte) error {
		_, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(n, 80)})
		return err
	}
	// Another process takes nearly all: what is loaded goes on, and the other
	// model takes its place.
	h.engine.SetMemory(120)
	time.Sleep(2 * h.cfg.ReadEvery)
	h.faces(photo(2, 80))
	if err := cut(1); err != nil {
		t.Fatal(err)
	}
	if c := h.engine.Counts("detector"); c.Closes != 1 {
		t.Fatalf("%+v: want it to have left, there is no room for both", c)
	}
	// It takes what we held as well.
	h.engine.SetMemory(100)
	time.Sleep(2 * h.cfg.ReadEvery)
	_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(3, 80)})
	expectKind(t, err, fault.Busy, "other processes have left 100 bytes")
	h.engine.SetMemory(5000)
	time.Sleep(2 * h.cfg.ReadEvery)
	h.faces(photo(3, 80))
}

// The card has memory for two pictures at a time, and then for none.
func TestHost_WantOfMemoryMakesBatchesSmallerThenIsNamed(t *testing.T) {
	open(t, func(c *Config) { c.MinResidence = 0 }, func(t *testing.T, h *house) {
		gate, most := fake.NewGate(), int64(2)
		h.engine.Set("cutter", fake.Script{Rest: 100})
		h.engine.Set("detector", fake.Script{RunGate: gate, Rest: 100, Answer: func(in []models.Tensor) ([]models.Tensor, error) {
			if in[0].Shape[0] > most {
				return nil, fault.New(fault.Busy, "fake", "out of memory")
			}
			return in, nil
		}})
		if _, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(1, 80)}); err != nil {
			t.Fatal(err)
		}
		replies := []<-chan reply{h.ask(t.Context(), photo(1, 80))}
		gate.Came()
		for n := range byte(8) {
			replies = append(replies, h.ask(t.Context(), photo(2+n, 80)))
			synctest.Wait()
		}
		gate.Open()
		for i, c := range replies {
			if r := <-c; r.err != nil {
				t.Fatalf("photo %d: %v", i+1, r.err)
			}
		}
		if got := h.engine.Counts("detector").Batches; len(got) != 7 || got[1] != 8 || got[2] != 4 || got[6] != 2 {
			t.Errorf("batches %v: want 1, 8, 4, and then twos", got)
		}
		most = 0
		_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(99, 80)})
		expectKind(t, err, fault.Busy, "out of memory")
		if c := h.engine.Counts("cutter"); c.Closes != 1 {
			t.Errorf("%+v: want what was idle to have left before the second try", c)
		}
	})
}
