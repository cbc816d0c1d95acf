package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/fake"
	"focal/inference/host"
	"focal/inference/sidecar"
	"focal/models"
)

// A picture of this colour, and a model of this name, end the process: as a
// defect in C does, without warning.
const (
	poison     = 66
	killOnLoad = "killer"
	dying      = "dying with"
)

// mortal is a scripted engine that some things kill.
type mortal struct {
	*fake.Engine
	running *atomic.Int32
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func (m mortal) Load(ctx context.Context, model models.Model) (inference.Session, error) {
	if model.Name == killOnLoad {
		fmt.Fprintln(os.Stderr, dying, m.running.Load(), "beside a load")
		die()
	}
	return m.Engine.Load(ctx, model)
}

func (m mortal) answer(inputs []models.Tensor) ([]models.Tensor, error) {
	beside := m.running.Add(1) - 1
	defer m.running.Add(-1)
	if in := inputs[0]; slices.Contains(in.Data, poison) {
		fmt.Fprintln(os.Stderr, dying, in.Shape[0]-1+int64(beside), "beside a run")
		die()
	}
	return inputs, nil
}

// colour hands the first colour of a picture to the engine, and finds no faces.
type colour struct{}

func (colour) Prepare(look pixel.Buffer) (models.Prepared, error) {
	return models.Prepared{Tensor: models.Tensor{Shape: []int64{1, 1}}, Picture: look, Canvas: look.Size(), Inner: look.Size()}, nil
}

func (colour) Fill(p models.Prepared, into []float32) { into[0] = float32(p.Picture.Pix[0]) }

func (colour) Decode(models.Prepared, []models.Tensor) ([]pixel.Face, error) { return nil, nil }

// shelf is a repository of two models for faces.
type shelf struct{}

func (shelf) Models() ([]models.Model, error) {
	var all []models.Model
	for _, name := range []string{"detector", killOnLoad} {
		all = append(all, models.Model{Version: "1", File: sha256.Sum256([]byte(name)), Manifest: models.Manifest{
			Name: name, Task: models.TaskFace, MaxBatch: 8, Memory: models.Memory{Rest: 100, Run: 10},
			Inputs: []models.Port{{Name: "in", Shape: []int64{-1, 1}}},
		}})
	}
	return all, nil
}

func (shelf) Default(models.Task, string) (string, bool) { return "detector", true }

// serveMortal is a sidecar on a mortal engine.
func serveMortal() error {
	i, err := Inherited()
	if err != nil {
		return err
	}
	m := mortal{fake.New("cpu"), new(atomic.Int32)}
	m.Set("detector", fake.Script{Answer: m.answer})
	cfg := host.DefaultConfig()
	cfg.Budget, cfg.Slots, cfg.Log = 10000, 2, slog.New(slog.DiscardHandler)
	cfg.Adapters.Face = func(models.Manifest) (models.Adapter[[]pixel.Face], error) { return colour{}, nil }
	cfg.Adapters.Foreground = func(models.Manifest) (models.Adapter[pixel.Mask], error) { return nil, errors.ErrUnsupported }
	cfg.Blackbox = openBlackbox(blackboxOf(i.Listener.Addr(), ""))
	h, err := host.New(cfg, m, shelf{})
	if err != nil {
		return err
	}
	return errors.Join(serveAs(i, h), h.Close(context.Background()))
}

func question(name string, colour byte) inference.FacesRequest {
	return inference.FacesRequest{Subject: inference.Subject{
		Content: sha256.Sum256([]byte(name)), Source: pixel.Size{Width: 1, Height: 1},
		Look: func(context.Context) (pixel.Buffer, error) {
			return pixel.Buffer{Width: 1, Height: 1, Channels: 3, Pix: []byte{colour, 0, 0}}, nil
		},
	}}
}

// crowd is callers with a harmless question each, again and again.
type crowd struct {
	callers sync.WaitGroup
	said    chan int // who was answered
	stop    context.CancelFunc
}

func newCrowd(t *testing.T, c inference.Client, callers int) *crowd {
	ctx, stop := context.WithCancel(t.Context())
	w := &crowd{said: make(chan int), stop: stop}
	for who := range callers {
		w.callers.Go(func() {
			for i := 0; ; i++ {
				if _, err := c.Faces(t.Context(), question(fmt.Sprint(who, i), 1)); err != nil {
					t.Errorf("caller %d, question %d: %v", who, i, err)
				}
				select {
				case w.said <- who:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	t.Cleanup(w.leave)
	return w
}

func (w *crowd) leave() {
	w.stop()
	w.callers.Wait()
}

// while lets the crowd go on until done returns, and then until everybody has been
// answered a question that was asked later.
func (w *crowd) while(callers int, done func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		done()
	}()
	for running := true; running; {
		select {
		case <-w.said:
		case <-ended:
			running = false
		}
	}
	for answers := make([]int, callers); slices.Min(answers) < 2; {
		answers[<-w.said]++
	}
}

// What kills a sidecar is tried once more, alone, and then refused by name; nobody
// else goes without an answer, though the sidecar is killed four times.
func TestChild_RefusesWhatKillsItAndAnswersEverybodyElse(t *testing.T) {
	last := make(chan string, 100) // words
	cfg := childConfig("mortal", "")
	cfg.Output = func(line string) {
		if strings.Contains(line, dying) {
			last <- line
		}
	}
	registry := prometheus.NewRegistry()
	child := start(t, cfg, registry)
	c := client(t, child)
	const callers = 6
	others := newCrowd(t, c, callers)
	killer := question("harmless", 1)
	killer.Model = killOnLoad
	for _, kill := range []struct {
		name string
		ask  inference.FacesRequest
		kind fault.Kind
		says string
		word string
	}{
		{"Picture", question("poison", poison), fault.Corrupt, "model detector: the inference process has ended 2 times over this input", dying + " 0 beside a run"},
		{"Model", killer, fault.Unavailable, "model killer does not load: the inference process has ended 2 times while it was loaded", dying + " 0 beside a load"},
	} {
		t.Run(kill.name, func(t *testing.T) {
			others.while(callers, func() {
				for range 2 { // found out, then known
					_, err := c.Faces(t.Context(), kill.ask)
					if !fault.Is(err, kill.kind) || !strings.Contains(err.Error(), kill.says) {
						t.Errorf("error is %v, want %q", err, kill.says)
					}
				}
			})
			first, second := <-last, <-last
			if second != kill.word || len(last) > 0 {
				t.Errorf("it died with %q, then %q, and %d times more; want %q the second time", first, second, len(last), kill.word)
			}
		})
	}
	others.leave()
	families, err := registry.Gather()
	if err != nil || families[0].GetMetric()[0].GetCounter().GetValue() != 4 {
		t.Errorf("restarts are %v, want 4 (%v)", families, err)
	}
}

// Each of two sidecars finds out for itself what kills it, and nobody dies a third
// time. Then it is refused by name, and others are answered.
func TestPool_RefusesWhatHasKilledItsSidecarsTwice(t *testing.T) {
	var deaths [2]atomic.Int32
	pc := sidecar.DefaultPoolConfig()
	pc.MinProbe, pc.Dial.Timeout, pc.Log = time.Millisecond, time.Minute, slog.New(slog.DiscardHandler)
	for i := range deaths {
		cfg := childConfig("mortal", "")
		cfg.Output = func(line string) {
			if strings.Contains(line, dying) {
				deaths[i].Add(1)
			}
		}
		pc.Addresses = append(pc.Addresses, start(t, cfg, prometheus.NewRegistry()).Address())
	}
	p, err := sidecar.DialPool(pc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// until asks again for as long as nobody can answer.
	until := func(ask inference.FacesRequest) error {
		for {
			if _, err := p.Faces(ctx, ask); !fault.Is(err, fault.Unavailable) {
				return err
			}
		}
	}
	for range 2 { // found out, then known
		if err := until(question("poison", poison)); !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), "ended 2 times over this input") {
			t.Fatalf("error is %v, want a refusal by name", err)
		}
	}
	if err := until(question("harmless", 1)); err != nil {
		t.Error(err)
	}
	if a, b := deaths[0].Load(), deaths[1].Load(); max(a, b) != 2 || a+b < 3 {
		t.Errorf("they died %d and %d times, want twice at most, and not one alone", a, b)
	}
}
