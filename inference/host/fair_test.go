package host

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/fake"
	"focal/models"
)

// asking is the two ways to have a number run: in a picture, and raw. They must
// wait by the same rules.
var asking = map[string]func(ctx context.Context, h *Host, number byte, class inference.Class, priority int) error{
	"Picture": func(ctx context.Context, h *Host, number byte, class inference.Class, priority int) error {
		_, err := h.Faces(ctx, inference.FacesRequest{Subject: photo(number, number), Class: class, Priority: priority})
		return err
	},
	"Tensors": func(ctx context.Context, h *Host, number byte, class inference.Class, priority int) error {
		r := raw("detector", 1)
		r.Inputs[0].Data[0], r.Class, r.Priority = float32(number), class, priority
		_, err := h.Infer(ctx, r)
		return err
	},
}

// ranInOrder returns the numbers that were asked for while the device was held, in the
// order in which they ran.
func ranInOrder(t *testing.T, h *house, asks ...func() error) []byte {
	t.Helper()
	single := detector
	single.MaxBatch = 1
	h.shelf.put(nil, single, cutter)
	var mu sync.Mutex
	var order []byte
	gate := fake.NewGate()
	h.engine.Set("detector", fake.Script{RunTime: 100 * time.Millisecond, RunGate: gate, Answer: func(in []models.Tensor) ([]models.Tensor, error) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, byte(in[0].Data[0]))
		return in, nil
	}})
	var group sync.WaitGroup
	for i, ask := range asks {
		group.Go(func() {
			if err := ask(); err != nil {
				t.Errorf("question %d: %v", i, err)
			}
		})
		if i == 0 {
			gate.Came() // it holds the device
		}
		synctest.Wait()
	}
	gate.Open()
	group.Wait()
	return order
}

func TestHost_RunsByPriority(t *testing.T) {
	for name, ask := range asking {
		t.Run(name, func(t *testing.T) {
			open(t, nil, func(t *testing.T, h *house) {
				of := func(number byte, priority int) func() error {
					return func() error { return ask(t.Context(), h.Host, number, inference.ClassServer, priority) }
				}
				if got := ranInOrder(t, h, of(1, 0), of(2, 8), of(3, 0), of(4, 1)); !slices.Equal(got, []byte{1, 4, 3, 2}) {
					t.Errorf("ran in the order %v", got)
				}
			})
		})
	}
}

func TestHost_SharesTheDeviceBetweenClasses(t *testing.T) {
	for name, ask := range asking {
		t.Run(name, func(t *testing.T) {
			open(t, nil, func(t *testing.T, h *house) {
				var asks []func() error
				for number := byte(100); number <= 120; number++ { // direct callers first, then as many of the server
					class := inference.ClassDirect
					if number > 110 {
						class = inference.ClassServer
					}
					asks = append(asks, func() error { return ask(t.Context(), h.Host, number, class, 0) })
				}
				server := 0
				for _, number := range ranInOrder(t, h, asks...)[1:11] {
					if number > 110 {
						server++
					}
				}
				if server < 7 || server > 9 { // four of five, where each has more than it gets
					t.Errorf("of ten runs the server had %d, want 8", server)
				}
			})
		})
	}
}

// Half of its time passes before the tensor is ready: it is refused then, and not
// when the time is over.
func TestHost_RefusesAtOnceWhatWouldBeLateWhenItIsReady(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		h.engine.Set("detector", fake.Script{RunTime: 500 * time.Millisecond})
		h.faces(photo(1, 80))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		slow, began := photo(2, 80), time.Now()
		look := slow.Look
		slow.Look = func(ctx context.Context) (pixel.Buffer, error) {
			time.Sleep(600 * time.Millisecond) // virtual
			return look(ctx)
		}
		_, err := h.Faces(ctx, inference.FacesRequest{Subject: slow})
		expectKind(t, err, fault.Busy, "too late")
		if took := time.Since(began); took != 600*time.Millisecond {
			t.Errorf("refused after %s", took)
		}
		began = time.Now()
		ctx, cancel = context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer cancel()
		_, err = h.Infer(ctx, raw("detector", 1))
		expectKind(t, err, fault.Busy, "too late")
		if took := time.Since(began); took != 0 || fault.RetryAfter(err) <= 0 {
			t.Errorf("raw tensors were refused after %s, with %s to wait", took, fault.RetryAfter(err))
		}
		if h.runs() != 1 {
			t.Errorf("%d runs, want 1", h.runs())
		}
	})
}

// A picture that cannot be decoded never comes: nobody waits for it.
func TestHost_HoldsNoPlaceForAPictureThatCannotBeDecoded(t *testing.T) {
	open(t, func(c *Config) { c.QueueLimit = 1 }, func(t *testing.T, h *house) {
		h.faces(photo(8, 80)) // the model is known
		for number := range byte(3) {
			broken := photo(number, number)
			broken.Look = func(context.Context) (pixel.Buffer, error) {
				return pixel.Buffer{}, fault.New(fault.Corrupt, "test", "no picture")
			}
			_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: broken})
			expectKind(t, err, fault.Corrupt, "no picture")
		}
		h.faces(photo(9, 80))
	})
}

// Who only asks what is known may never send a picture; who is to send it holds a place.
func TestHost_HoldsAPlaceForWhoComesAndNotForTheCurious(t *testing.T) {
	open(t, func(c *Config) { c.QueueLimit = 1 }, func(t *testing.T, h *house) {
		h.faces(photo(8, 80)) // the model is known
		ask := func(number byte, coming bool) error {
			_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: inference.Subject{Content: pixel.Digest{number}, Coming: coming}})
			return err
		}
		for number := range byte(3) {
			expectKind(t, ask(number, false), fault.NotFound, "no result")
		}
		if _, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(3, 80)}); err != nil {
			t.Error(err)
		}
		expectKind(t, ask(4, true), fault.NotFound, "no result")
		expectKind(t, ask(5, true), fault.Busy, "--inference-queue")
	})
}

func TestHost_KeepsModelsAsTheirManifestsSay(t *testing.T) {
	brief, kept := detector, cutter
	brief.KeepAlive, kept.Pinned = 3*time.Second, true
	open(t, func(c *Config) { c.Budget = 200 }, func(t *testing.T, h *house) {
		h.shelf.put(nil, brief, kept)
		h.engine.Set("detector", fake.Script{Rest: 80})
		h.engine.Set("cutter", fake.Script{Rest: 80})
		h.faces(photo(1, 80))
		if _, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(1, 80)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3*time.Second - 1) // virtual
		synctest.Wait()
		if n := h.engine.Counts("detector").Closes; n != 0 {
			t.Errorf("%d closes before its keep_alive", n)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if d, c := h.engine.Counts("detector").Closes, h.engine.Counts("cutter").Closes; d != 1 || c != 0 {
			t.Errorf("after an hour %d closes of the one with a keep_alive, %d of the pinned", d, c)
		}
	})
	open(t, func(c *Config) { c.Budget = 150 }, func(t *testing.T, h *house) {
		h.shelf.put(nil, detector, kept)
		h.engine.Set("cutter", fake.Script{Rest: 100})
		if _, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(1, 80)}); err != nil {
			t.Fatal(err)
		}
		_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(1, 80)})
		expectKind(t, err, fault.TooLarge, "together with pinned models")
	})
}
