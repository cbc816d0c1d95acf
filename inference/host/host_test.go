package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/fake"
	"focal/models"
)

// The tests run in a bubble of testing/synctest: time is virtual, and a
// goroutine that outlives Close fails the test.

// shelf is a Repository in memory.
type shelf struct {
	mu     sync.Mutex // protects what follows
	models []models.Model
	err    error
	stamp  int
	stall  chan struct{} // where it is set, files are looked at when it is closed
}

var _ Watched = (*shelf)(nil)

func newShelf(all ...models.Model) *shelf { return &shelf{models: all} }

// put replaces what is on the shelf.
func (s *shelf) put(err error, all ...models.Model) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.models, s.err = all, err
	s.stamp++
}

func (s *shelf) Models() ([]models.Model, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.models), s.err
}

func (s *shelf) Default(task models.Task, _ string) (string, bool) {
	all, _ := s.Models()
	for _, m := range all {
		if m.Task == task {
			return m.Name, true
		}
	}
	return "wanted-" + string(task), false
}

func (s *shelf) Stamp() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.stamp), nil
}

func (s *shelf) Holds(m models.Model) bool {
	if s.stall != nil {
		<-s.stall
	}
	all, _ := s.Models()
	return slices.ContainsFunc(all, func(o models.Model) bool { return o.Name == m.Name && o.File == m.File })
}

// The adapters of these tests read one number off a picture: its first byte.
// It becomes the score of one face of four, the others have halves of it, and
// the one pixel of a mask. Pictures of different widths have different canvases.
type faceAdapter struct{}

func (faceAdapter) Prepare(look pixel.Buffer) (models.Prepared, error) {
	if look.Pix[0] == 13 {
		panic("unlucky picture")
	}
	t := models.Tensor{Shape: []int64{1, int64(look.Width)}}
	return models.Prepared{Tensor: t, Picture: look, Canvas: look.Size(), Inner: look.Size()}, nil
}

func (faceAdapter) Fill(p models.Prepared, into []float32) {
	clear(into[1:])
	into[0] = float32(p.Picture.Pix[0])
}

func (faceAdapter) Decode(_ models.Prepared, out []models.Tensor) ([]pixel.Face, error) {
	score := float64(out[0].Data[0]) / 100
	var faces []pixel.Face
	for range 4 {
		faces = append(faces, pixel.Face{Score: score})
		score /= 2
	}
	return faces, nil
}

type maskAdapter struct{ faceAdapter }

func (maskAdapter) Decode(_ models.Prepared, out []models.Tensor) (pixel.Mask, error) {
	return pixel.Mask{Width: 1, Height: 1, Pix: []byte{byte(out[0].Data[0])}}, nil
}

func adapters() Adapters {
	return Adapters{
		Face:       func(models.Manifest) (models.Adapter[[]pixel.Face], error) { return faceAdapter{}, nil },
		Foreground: func(models.Manifest) (models.Adapter[pixel.Mask], error) { return maskAdapter{}, nil },
	}
}

func model(name string, task models.Task) models.Model {
	return models.Model{
		Manifest: models.Manifest{
			Name: name, Task: task, MaxBatch: 8, Memory: models.Memory{Rest: 100, Run: 10},
			Inputs:   []models.Port{{Name: "in", Shape: []int64{-1, -1}}},
			Defaults: models.Defaults{Threshold: 0.3},
		},
		Version: "1", File: pixel.Digest{byte(len(name))},
	}
}

var (
	detector = model("detector", models.TaskFace)
	cutter   = model("cutter", models.TaskForeground)
)

// house is a Host on a scripted engine.
type house struct {
	*Host
	t      *testing.T
	engine *fake.Engine
	reg    *prometheus.Registry
	shelf  *shelf
}

// open starts a house in a bubble, runs test in it, and closes it.
func open(t *testing.T, change func(*Config), test func(t *testing.T, h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, engine: fake.New("cpu"), reg: prometheus.NewRegistry(), shelf: newShelf(detector, cutter)}
		cfg := DefaultConfig()
		cfg.Budget, cfg.Slots, cfg.Adapters, cfg.Metrics = 1000, 1, adapters(), h.reg
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
		if change != nil {
			change(&cfg)
		}
		var err error
		if h.Host, err = New(cfg, h.engine, h.shelf); err != nil {
			t.Fatal(err)
		}
		test(t, h)
		if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"detector", "cutter"} {
			if c := h.engine.Counts(name); c.Loads != c.Closes || len(c.Violations) > 0 {
				t.Errorf("%s: %d loads, %d closes, %v", name, c.Loads, c.Closes, c.Violations)
			}
		}
		if n := h.engine.Lent(); n != 0 {
			t.Errorf("%d times memory was lent and did not come back", n)
		}
	})
}

// photo is a picture with content number n whose first byte is value.
func photo(n, value byte) inference.Subject {
	return inference.Subject{Content: pixel.Digest{n}, Look: func(context.Context) (pixel.Buffer, error) {
		pix := make([]byte, 4*2*3)
		pix[0] = value
		return pixel.Buffer{Width: 4, Height: 2, Channels: 3, Pix: pix}, nil
	}}
}

func (h *house) faces(s inference.Subject) inference.Faces {
	h.t.Helper()
	f, err := h.Faces(h.t.Context(), inference.FacesRequest{Subject: s})
	if err != nil {
		h.t.Fatal(err)
	}
	return f
}

// reply is what a question asked on the side came to.
type reply struct {
	faces inference.Faces
	err   error
}

func (h *house) ask(ctx context.Context, s inference.Subject) <-chan reply {
	c := make(chan reply, 1)
	go func() {
		f, err := h.Faces(ctx, inference.FacesRequest{Subject: s})
		c <- reply{f, err}
	}()
	return c
}

func (h *house) runs() int { return h.engine.Counts("detector").Runs }

func expectKind(t *testing.T, err error, kind fault.Kind, says string) {
	t.Helper()
	if !fault.Is(err, kind) || !strings.Contains(err.Error(), says) {
		t.Fatalf("got %v (%s), want %s: %q", err, fault.KindOf(err), kind, says)
	}
}

func TestHost_AnswersTheSecondVariantOfAPhotoWithoutARun(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		first := h.faces(photo(1, 80))
		if first.How != inference.Run || first.Batch != 1 || first.Provider != "cpu" || first.Model != "detector" ||
			first.File != detector.File || first.Recipe != models.RecipeDigest(detector.Manifest) || first.Source != (pixel.Size{Width: 4, Height: 2}) {
			t.Fatalf("facts %+v", first.Facts)
		}
		low, most := 0.15, 0
		for _, c := range []struct {
			threshold *float64
			most      int
			want      int
		}{{nil, 0, 2}, {&low, 0, 3}, {&low, 1, 1}, {nil, most, 2}} { // scores .8 .4 .2 .1, default .3
			f, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(1, 80), Threshold: c.threshold, MaxFaces: c.most})
			if err != nil || f.How != inference.Hit || f.Run != 0 || len(f.Faces) != c.want {
				t.Fatalf("%d faces, facts %+v, %v: want %d and a hit", len(f.Faces), f.Facts, err, c.want)
			}
		}
		if h.runs() != 1 {
			t.Fatalf("%d runs, want 1", h.runs())
		}
	})
}

func TestHost_TellsFramesContentsAndModelsApart(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		second := photo(1, 80)
		second.Frame = 1
		for _, s := range []inference.Subject{photo(1, 80), photo(2, 80), second} {
			if f := h.faces(s); f.How != inference.Run {
				t.Fatalf("answered by %s", f.How)
			}
		}
		m, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(1, 80)})
		if err != nil || m.How != inference.Run || m.Mask.Pix[0] != 80 {
			t.Fatalf("mask %+v, %v", m, err)
		}
	})
}

func TestHost_AnswersConcurrentQuestionsAboutOnePhotoWithOneRun(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		gate := fake.NewGate()
		h.engine.Set("detector", fake.Script{RunGate: gate})
		a := h.ask(t.Context(), photo(1, 80))
		gate.Came()
		b := h.ask(t.Context(), photo(1, 80))
		synctest.Wait()
		gate.Open()
		ra, rb := <-a, <-b
		if ra.err != nil || rb.err != nil || ra.faces.How != inference.Run || rb.faces.How != inference.Coalesced || rb.faces.Batch != 0 {
			t.Fatalf("%+v\n%+v", ra, rb)
		}
		if h.runs() != 1 {
			t.Fatalf("%d runs, want 1", h.runs())
		}
	})
}

func TestHost_StacksWhatWaitsAndGivesEachItsOwn(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		gate := fake.NewGate()
		h.engine.Set("detector", fake.Script{RunGate: gate})
		replies := []<-chan reply{h.ask(t.Context(), photo(1, 10))}
		gate.Came()
		for n := byte(2); n <= 4; n++ {
			replies = append(replies, h.ask(t.Context(), photo(n, 10*n)))
			synctest.Wait()
		}
		gate.Open()
		for i, c := range replies {
			r := <-c
			// Scores are value/100 above 0.3, so the first two have none.
			want := []int{0, 0, 1, 1}[i]
			if r.err != nil || len(r.faces.Faces) != want || want == 1 && r.faces.Faces[0].Score != float64(float32(10*(i+1)))/100 {
				t.Fatalf("photo %d: %+v", i+1, r)
			}
		}
		if got := h.engine.Counts("detector").Batches; len(got) != 2 || got[1] != 3 {
			t.Fatalf("batches %v, want 1 and 3", got)
		}
	})
}

func TestHost_KnowsWithoutLookingOrSaysNotFound(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		known := inference.Subject{Content: pixel.Digest{1}}
		_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: known})
		expectKind(t, err, fault.NotFound, "detector")
		s := photo(1, 80)
		s.Source = pixel.Size{Width: 4000, Height: 2000}
		h.faces(s)
		f, err := h.Faces(t.Context(), inference.FacesRequest{Subject: known})
		if err != nil || f.How != inference.Hit || f.Source != s.Source {
			t.Fatalf("%+v, %v", f, err)
		}
	})
}

func TestHost_SaysBusyBeforeLookingWhereTheAnswerWouldBeLate(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		h.engine.Set("detector", fake.Script{RunTime: time.Second})
		h.faces(photo(1, 80)) // a run takes a second, it learns
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		s := photo(2, 80)
		s.Look = func(context.Context) (pixel.Buffer, error) {
			t.Error("looked at a picture that cannot be in time")
			return pixel.Buffer{}, errors.New("unexpected")
		}
		_, err := h.Faces(ctx, inference.FacesRequest{Subject: s})
		expectKind(t, err, fault.Busy, "too late")
		if fault.RetryAfter(err) <= 0 {
			t.Fatal("no Retry-After")
		}
		s.Look = nil
		_, err = h.Faces(ctx, inference.FacesRequest{Subject: s})
		expectKind(t, err, fault.Busy, "too late")
		if got := testutil.ToFloat64(h.metrics.rejected.WithLabelValues("detector", "late")); got != 2 {
			t.Fatalf("%v late refusals counted, want 2", got)
		}
	})
}

func TestHost_FinishesAndKeepsAStartedRunThatNobodyWaitsFor(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		gate := fake.NewGate()
		h.engine.Set("detector", fake.Script{RunGate: gate})
		ctx, leave := context.WithCancel(t.Context())
		r := h.ask(ctx, photo(1, 80))
		gate.Came()
		leave()
		expectKind(t, (<-r).err, fault.Canceled, "")
		synctest.Wait()
		gate.Open()
		synctest.Wait()
		if f := h.faces(photo(1, 80)); f.How != inference.Hit || h.runs() != 1 {
			t.Fatalf("answered by %s after %d runs, want a hit after 1", f.How, h.runs())
		}
	})
}

func TestHost_WithdrawsAQueuedQuestionThatNobodyWaitsFor(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		gate := fake.NewGate()
		h.engine.Set("detector", fake.Script{RunGate: gate})
		first := h.ask(t.Context(), photo(1, 80))
		gate.Came()
		ctx, leave := context.WithCancel(t.Context())
		second := h.ask(ctx, photo(2, 80))
		synctest.Wait()
		leave()
		expectKind(t, (<-second).err, fault.Canceled, "")
		synctest.Wait()
		gate.Open()
		if r := <-first; r.err != nil {
			t.Fatal(r.err)
		}
		synctest.Wait()
		if h.runs() != 1 {
			t.Fatalf("%d runs, want 1", h.runs())
		}
	})
}

func TestHost_FailsOnlyTheGuiltyOfABatch(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		gate := fake.NewGate()
		poison := errors.New("poisoned")
		h.engine.Set("detector", fake.Script{RunGate: gate, Answer: func(in []models.Tensor) ([]models.Tensor, error) {
			for i := 0; i < len(in[0].Data); i += int(in[0].Shape[1]) {
				if in[0].Data[i] == 66 {
					return nil, poison
				}
			}
			return in, nil
		}})
		replies := []<-chan reply{h.ask(t.Context(), photo(1, 80))}
		gate.Came()
		for n, value := range []byte{80, 66, 80} {
			replies = append(replies, h.ask(t.Context(), photo(byte(2+n), value)))
			synctest.Wait()
		}
		gate.Open()
		for i, c := range replies {
			r := <-c
			if i == 2 {
				expectKind(t, r.err, fault.Internal, "poisoned")
			} else if r.err != nil {
				t.Fatalf("photo %d: %v", i+1, r.err)
			}
		}
	})
}

func TestHost_ContainsPanicsOfAdaptersAndEngines(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(1, 13)})
		expectKind(t, err, fault.Internal, "unlucky picture")
		h.engine.Set("detector", fake.Script{Answer: func([]models.Tensor) ([]models.Tensor, error) { panic("broken kernel") }})
		_, err = h.Faces(t.Context(), inference.FacesRequest{Subject: photo(2, 80)})
		expectKind(t, err, fault.Internal, "broken kernel")
		if strings.Contains(err.Error(), "goroutine") {
			t.Fatal("a stack in an error that callers see")
		}
		h.engine.Set("detector", fake.Script{})
		h.faces(photo(3, 80))
	})
}

func TestHost_StopsAStuckRunLoadsTheModelAgainAndServesTheOthers(t *testing.T) {
	open(t, func(c *Config) { c.Slots = 2 }, func(t *testing.T, h *house) {
		h.engine.Set("detector", fake.Script{RunTime: 100 * time.Millisecond})
		h.faces(photo(1, 80))
		h.engine.Set("detector", fake.Script{RunGate: fake.NewGate()}) // for ever
		began := time.Now()
		_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(2, 80)})
		expectKind(t, err, fault.Timeout, "stopped after 30s")
		if took := time.Since(began); took != 30*time.Second { // virtual: the floor
			t.Fatalf("stopped after %s", took)
		}
		if _, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(1, 80)}); err != nil {
			t.Fatal(err)
		}
		h.engine.Set("detector", fake.Script{})
		h.faces(photo(2, 80))
		if c := h.engine.Counts("detector"); c.Loads != 2 || c.Closes != 1 {
			t.Fatalf("%d loads, %d closes: want the session replaced", c.Loads, c.Closes)
		}
	})
}

func TestHost_SaysOnceThatTheDeviceIsLost(t *testing.T) {
	calls := make(chan error, 9)
	open(t, func(c *Config) { c.OnLost = func(err error) { calls <- err } }, func(t *testing.T, h *house) {
		h.engine.Set("detector", fake.Script{Answer: func([]models.Tensor) ([]models.Tensor, error) {
			return nil, fmt.Errorf("%w: error 700", inference.ErrDeviceLost)
		}})
		for n := range byte(3) {
			_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(n, 80)})
			expectKind(t, err, fault.Unavailable, "error 700") // nobody's fault: it may be tried again elsewhere
		}
		synctest.Wait()
		if len(calls) != 1 {
			t.Fatalf("called %d times, want 1", len(calls))
		}
	})
}

func TestHost_ServesOthersWhileAModelDoesNotLoad(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		h.engine.Set("cutter", fake.Script{LoadErr: fault.New(fault.Corrupt, "fake.Load", "truncated file")})
		_, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(1, 80)})
		expectKind(t, err, fault.Unavailable, "truncated file")
		h.faces(photo(1, 80))
		st := h.Status(t.Context())
		if len(st.Models) != 2 || st.Models[0].State != "resident" || st.Models[0].Memory != 100 || !st.Models[0].Default ||
			st.Models[1].State != "failed" || !strings.Contains(st.Models[1].Error, "truncated") {
			t.Fatalf("status %+v", st)
		}
		h.engine.Set("cutter", fake.Script{})
		time.Sleep(time.Second) // virtual: the first back-off
		if _, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(1, 80)}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestHost_SwapsModelsThatDoNotFitTogether(t *testing.T) {
	open(t, func(c *Config) { c.Budget = 150 }, func(t *testing.T, h *house) {
		for _, name := range []string{"detector", "cutter"} {
			h.engine.Set(name, fake.Script{LoadTime: 100 * time.Millisecond, RunTime: 10 * time.Millisecond, Rest: 100})
		}
		for n := range byte(4) {
			h.faces(photo(n, 80))
			if _, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(n, 80)}); err != nil {
				t.Fatal(err)
			}
			if used := h.engine.Used(); used > 150 {
				t.Fatalf("%d bytes held of 150", used)
			}
		}
		if got := testutil.ToFloat64(h.metrics.evictions.WithLabelValues("detector", "memory")); got != 4 {
			t.Fatalf("%v evictions, want 4", got)
		}
	})
}

func TestHost_ClosesAfterWhatWasTakenIsDone(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		gate := fake.NewGate()
		h.engine.Set("detector", fake.Script{RunGate: gate})
		running := h.ask(t.Context(), photo(1, 80))
		gate.Came()
		queued := h.ask(t.Context(), photo(2, 80))
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- h.Close(t.Context()) }()
		synctest.Wait()
		_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(3, 80)})
		expectKind(t, err, fault.Unavailable, "shutting down")
		gate.Open()
		if a, b := <-running, <-queued; a.err != nil || b.err != nil {
			t.Fatalf("%v, %v", a.err, b.err)
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if st := h.Status(t.Context()); st.State != inference.StateDown {
			t.Fatalf("state %s after closing", st.State)
		}
	})
}

func TestHost_StopsRunsWhenClosingTakesTooLong(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		gate := fake.NewGate() // never opened
		h.engine.Set("detector", fake.Script{RunGate: gate})
		running := h.ask(t.Context(), photo(1, 80))
		gate.Came()
		queued := h.ask(t.Context(), photo(2, 80))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := h.Close(ctx)
		expectKind(t, err, fault.Timeout, "closed before")
		expectKind(t, (<-running).err, fault.Unavailable, "shutting down")
		if err := (<-queued).err; !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Canceled) {
			t.Fatalf("the queued one heard %v", err)
		}
	})
}

func TestHost_NamesWhatItDoesNotHave(t *testing.T) {
	open(t, func(c *Config) { c.DefaultForeground = "absent" }, func(t *testing.T, h *house) {
		_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(1, 80), Model: "nobody"})
		expectKind(t, err, fault.Invalid, "nobody")
		_, err = h.Faces(t.Context(), inference.FacesRequest{Subject: photo(1, 80), Model: "cutter"})
		expectKind(t, err, fault.Invalid, "task foreground")
		_, err = h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(1, 80)})
		expectKind(t, err, fault.Unavailable, "absent")
		if st := h.Status(t.Context()); len(st.Missing) != 1 || st.Missing[0] != "absent" {
			t.Fatalf("missing %v", st.Missing)
		}
	})
}

// Of the program's own models only one that serves because nothing else is there
// stands in for another.
func TestHost_SaysWhatAModelOfTheProgramStandsInFor(t *testing.T) {
	own := func(m models.Model) models.Model {
		m.Data = []byte("own")
		return m
	}
	for name, c := range map[string]struct {
		chosen  string
		turn    func(models.Model) models.Model
		missing []string
	}{
		"nothing else":  {"", own, []string{"retinaface-mobilenet025"}},
		"chosen":        {"detector", own, nil},
		"of the folder": {"", func(m models.Model) models.Model { return m }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			open(t, func(cfg *Config) { cfg.DefaultFace = c.chosen }, func(t *testing.T, h *house) {
				all, _ := h.shelf.Models()
				at := slices.IndexFunc(all, func(m models.Model) bool { return m.Name == "detector" })
				all[at] = c.turn(all[at])
				h.shelf.put(nil, all...)
				if st := h.Status(t.Context()); !slices.Equal(st.Missing, c.missing) {
					t.Errorf("missing %v, want %v", st.Missing, c.missing)
				}
			})
		})
	}
}

func TestHost_RefusesTheImpossibleByName(t *testing.T) {
	open(t, func(c *Config) { c.Budget = 90 }, func(t *testing.T, h *house) {
		_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(1, 80)})
		expectKind(t, err, fault.TooLarge, "--memory-budget")
		for _, m := range h.Status(t.Context()).Models { // the one that nobody has asked for too
			if m.State != "failed" || !strings.Contains(m.Error, "--memory-budget is 90 bytes") {
				t.Errorf("status %+v", m)
			}
		}
		bad := -1.0
		_, err = h.Faces(t.Context(), inference.FacesRequest{Subject: photo(1, 80), Threshold: &bad})
		expectKind(t, err, fault.Invalid, "threshold")
	})
}

func TestHost_InfersRawTensorsInBatchesWithPictures(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		gate := fake.NewGate()
		h.engine.Set("detector", fake.Script{RunGate: gate})
		first := h.ask(t.Context(), photo(1, 80))
		gate.Came()
		second := h.ask(t.Context(), photo(2, 80))
		in := models.Tensor{Shape: []int64{2, 4}, Data: []float32{1, 2, 3, 4, 5, 6, 7, 8}}
		type raw struct {
			inference.Tensors
			err error
		}
		third := make(chan raw, 1)
		go func() {
			out, err := h.Infer(t.Context(), inference.TensorsRequest{Model: "detector", Inputs: []models.Tensor{in}})
			third <- raw{out, err}
		}()
		synctest.Wait()
		gate.Open()
		<-first
		<-second
		r := <-third
		if r.err != nil || len(r.Outputs) != 1 || r.Outputs[0].Shape[0] != 2 || r.Batch != 3 || r.Version != "1" {
			t.Fatalf("%+v", r)
		}
		for i, v := range in.Data { // the fake echoes
			if r.Outputs[0].Data[i] != v {
				t.Fatalf("output %v, want %v", r.Outputs[0].Data, in.Data)
			}
		}
		in.Data = in.Data[:7]
		_, err := h.Infer(t.Context(), inference.TensorsRequest{Model: "detector", Inputs: []models.Tensor{in}})
		expectKind(t, err, fault.Invalid, "holds 7 numbers")
	})
}

func TestHost_CountsUnderTheNamesOfTheContract(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		h.faces(photo(1, 80))
		h.faces(photo(1, 80))
		const want = `
# HELP focal_inference_requests_total Questions answered, by how (run, hit, coalesced) or by the kind of the error.
# TYPE focal_inference_requests_total counter
focal_inference_requests_total{model="detector",result="hit"} 1
focal_inference_requests_total{model="detector",result="run"} 1
# HELP focal_memory_budget_bytes Bytes that models may hold together (--memory-budget).
# TYPE focal_memory_budget_bytes gauge
focal_memory_budget_bytes 1000
# HELP focal_memory_reserved_bytes Bytes booked: never above the budget.
# TYPE focal_memory_reserved_bytes gauge
focal_memory_reserved_bytes 100
# HELP focal_model_resident 1 while the model is loaded.
# TYPE focal_model_resident gauge
focal_model_resident{model="detector"} 1
# HELP focal_cache_hits_total Results that were known.
# TYPE focal_cache_hits_total counter
focal_cache_hits_total{tier="memory"} 1
`
		if err := testutil.GatherAndCompare(h.reg, strings.NewReader(want), "focal_inference_requests_total", "focal_memory_budget_bytes",
			"focal_memory_reserved_bytes", "focal_model_resident", "focal_cache_hits_total"); err != nil {
			t.Fatal(err)
		}
		families, err := h.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, f := range families {
			got[f.GetName()] = true
		}
		for _, name := range []string{
			"inference_queue_seconds", "inference_run_seconds", "inference_batch_size", "model_memory_bytes", "model_loads_total",
			"model_load_seconds", "model_age_at_eviction_seconds", "memory_used_bytes", "cache_misses_total", "cache_bytes",
		} {
			if !got["focal_"+name] {
				t.Errorf("no metric focal_%s", name)
			}
		}
	})
}
