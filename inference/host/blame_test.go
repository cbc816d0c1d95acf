package host

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"focal/core/fault"
	"focal/inference"
	"focal/inference/blackbox"
	"focal/inference/fake"
	"focal/models"
)

func boxAt(t *testing.T, path string) *blackbox.Box {
	t.Helper()
	b, err := blackbox.Open(path, time.Now(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A process that ends in the middle of a run leaves the file as it is then.
func TestHost_RefusesWhatTwoProcessesHaveEndedOver(t *testing.T) {
	for name, ask := range map[string]func(context.Context, *Host, byte) error{
		"Picture": func(ctx context.Context, h *Host, n byte) error {
			_, err := h.Faces(ctx, inference.FacesRequest{Subject: photo(n, 80)})
			return err
		},
		"Tensors": func(ctx context.Context, h *Host, n byte) error {
			r := raw("detector", 1)
			r.Inputs[0].Data[0] = float32(n)
			_, err := h.Infer(ctx, r)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, kept := filepath.Join(t.TempDir(), "box"), []byte(nil)
			process := func(test func(*testing.T, *house)) {
				if err := os.WriteFile(path, kept, 0o600); err != nil {
					t.Fatal(err)
				}
				open(t, func(c *Config) { c.Blackbox = boxAt(t, path) }, test)
			}
			for range 2 {
				process(func(t *testing.T, h *house) {
					gate, answered := fake.NewGate(), make(chan error)
					h.engine.Set("detector", fake.Script{RunGate: gate})
					go func() { answered <- ask(t.Context(), h.Host, 7) }()
					gate.Came()
					var err error
					if kept, err = os.ReadFile(path); err != nil {
						t.Fatal(err)
					}
					gate.Open()
					if err := <-answered; err != nil {
						t.Error(err)
					}
				})
			}
			process(func(t *testing.T, h *house) {
				for range 2 {
					if err := ask(t.Context(), h.Host, 8); err != nil {
						t.Errorf("another input: %v", err)
					}
					expectKind(t, ask(t.Context(), h.Host, 7), fault.Corrupt, "ended 2 times over this input")
				}
			})
			if _, err := os.Stat(path); err != nil {
				t.Errorf("what is known is gone: %v", err)
			}
		})
	}
}

// A model that is refused for ten minutes must be found in the log.
func TestHost_LogsWhatEndedTheProcessWhileItLoaded(t *testing.T) {
	path, kept := filepath.Join(t.TempDir(), "box"), []byte(nil)
	var log bytes.Buffer
	for times := range 3 {
		if err := os.WriteFile(path, kept, 0o600); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		open(t, func(c *Config) {
			c.Blackbox, c.Log = boxAt(t, path), slog.New(slog.NewTextHandler(&log, nil))
		}, func(t *testing.T, h *house) {
			if times == 2 {
				_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(7, 80)})
				expectKind(t, err, fault.Unavailable, "ended 2 times while it was loaded")
				return
			}
			gate := fake.NewGate()
			h.engine.Set("detector", fake.Script{LoadGate: gate})
			answered := h.ask(t.Context(), photo(7, 80))
			gate.Came()
			var err error
			if kept, err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
			gate.Open()
			<-answered
		})
		told := strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), fmt.Sprintf("model=detector times=%d", times))
		if told != (times > 0) {
			t.Errorf("after %d ends the log says %q", times, log.String())
		}
	}
}

// The run that does not stop may be why the device is lost; what runs beside it is
// not.
func TestHost_BlamesTheRunThatDoesNotStop(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	var lost chan error
	open(t, func(c *Config) {
		lost = make(chan error, 1) // in the bubble
		c.Blackbox, c.Slots, c.OnLost = boxAt(t, path), 2, func(err error) { lost <- err }
	}, func(t *testing.T, h *house) {
		end := make(chan struct{})
		h.engine.Set("detector", fake.Script{Answer: func(in []models.Tensor) ([]models.Tensor, error) {
			<-end // whoever asks it to stop
			return in, nil
		}})
		hung := h.ask(t.Context(), photo(7, 80))
		synctest.Wait()
		time.Sleep(5 * time.Minute) // virtual: ten times the floor
		gate, beside := fake.NewGate(), make(chan error)
		h.engine.Set("cutter", fake.Script{RunGate: gate})
		go func() {
			_, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(8, 80)})
			beside <- err
		}()
		gate.Came()
		if err := <-lost; !strings.Contains(err.Error(), "does not stop after 5m30s") {
			t.Errorf("the device is lost: %v", err)
		}
		q := question{Subject: photo(7, 80), model: h.catalog.ready["detector"]}
		left := boxAt(t, path).Crashes() // as the next process finds it
		if len(left) != 1 || left[0].Key != q.blame() || left[0].Count != 1 {
			t.Errorf("to blame are %+v, want the run that hangs", left)
		}
		gate.Open()
		close(end)
		if err := <-beside; err != nil {
			t.Error(err)
		}
		<-hung
	})
}

func TestHost_BlamesNobodyForALostDevice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	open(t, func(c *Config) { c.Blackbox, c.Slots = boxAt(t, path), 2 }, func(t *testing.T, h *house) {
		gate, answered := fake.NewGate(), make(chan error)
		h.engine.Set("cutter", fake.Script{RunGate: gate})
		go func() {
			_, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(7, 80)})
			answered <- err
		}()
		gate.Came() // it is in the middle of a run
		h.loop.do(func(time.Time) { h.loop.lost(inference.ErrDeviceLost) })
		synctest.Wait()
		if left := boxAt(t, path); len(left.Crashes()) != 0 {
			t.Errorf("%d keys are to blame", len(left.Crashes()))
		}
		gate.Open()
		if err := <-answered; err != nil {
			t.Error(err)
		}
	})
}
