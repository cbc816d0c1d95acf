package host

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"focal/core/fault"
	"focal/inference"
	"focal/inference/fake"
	"focal/inference/sched"
)

// A load that hangs is stopped; the others are answered meanwhile, and the model is
// loaded when it can be.
func TestHost_GivesUpALoadThatHangs(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		h.engine.Set("cutter", fake.Script{LoadGate: fake.NewGate(), Rest: 100}) // for ever
		loading := make(chan error, 1)
		go func() { loading <- h.load("cutter") }()
		synctest.Wait()
		began := time.Now()
		time.Sleep(4 * time.Minute) // virtual
		h.faces(photo(1, 80))
		expectKind(t, <-loading, fault.Unavailable, "model cutter does not load: it was given up after 5m0s (--load-timeout)")
		if took := time.Since(began); took != 5*time.Minute {
			t.Errorf("given up after %s", took)
		}
		synctest.Wait()
		if st := h.state("cutter"); st.State != "failed" || !strings.Contains(st.Error, "given up after 5m0s") {
			t.Errorf("it is %+v", st)
		}
		h.engine.Set("cutter", fake.Script{})
		time.Sleep(time.Second)
		if err := h.load("cutter"); err != nil {
			t.Error(err)
		}
	})
}

// What hangs in a driver or on a network's file system does not stop for being asked
// to: the process has to start again. Nobody is to blame until it has happened twice.
func TestHost_StartsAgainWhereALoadDoesNotStop(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	var lost chan error
	process := func(begins time.Duration, test func(*testing.T, *house)) {
		open(t, func(c *Config) {
			time.Sleep(begins)         // virtual: every bubble has the same midnight
			lost = make(chan error, 1) // in the bubble
			c.Blackbox, c.OnLost = boxAt(t, path), func(err error) { lost <- err }
		}, test)
	}
	for count := 1; count <= 2; count++ {
		process(time.Duration(count)*10*time.Minute, func(t *testing.T, h *house) {
			h.faces(photo(1, 80))
			h.shelf.stall = make(chan struct{})
			expectKind(t, h.load("cutter"), fault.Unavailable, "given up after 5m0s")
			if err := <-lost; !errors.Is(err, inference.ErrDeviceLost) || !strings.Contains(err.Error(), "the load of model cutter does not stop after 5m30s") {
				t.Errorf("the device is lost: %v", err)
			}
			left := boxAt(t, path).Crashes() // as the next process finds it
			if key := sched.HangKey(h.catalog.ready["cutter"].spec.ID); len(left) != 1 || left[0].Key != key || left[0].Count != count {
				t.Errorf("process %d: to blame are %+v, want the load that hangs", count, left)
			}
			close(h.shelf.stall)
			synctest.Wait()
		})
	}
	process(30*time.Minute, func(t *testing.T, h *house) {
		expectKind(t, h.load("cutter"), fault.Unavailable, "given up 2 times")
		h.faces(photo(1, 80))
		time.Sleep(10 * time.Minute) // virtual
		if err := h.load("cutter"); err != nil {
			t.Error(err)
		}
	})
	if left := boxAt(t, path).Crashes(); len(left) > 0 {
		t.Errorf("%+v are still to blame for a load that ended well", left)
	}
}
