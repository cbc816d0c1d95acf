package host

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/fake"
	"focal/models"
)

func (h *house) load(name string) error {
	return h.Load(h.t.Context(), name, inference.ClassDirect)
}

func (h *house) state(name string) inference.ModelStatus {
	h.t.Helper()
	for _, m := range h.Status(h.t.Context()).Models {
		if m.Name == name {
			return m
		}
	}
	h.t.Fatalf("no model %s", name)
	return inference.ModelStatus{}
}

// raw is a request of n raw items of four numbers.
func raw(name string, n int64) inference.TensorsRequest {
	return inference.TensorsRequest{Model: name, Inputs: []models.Tensor{{Shape: []int64{n, 4}, Data: make([]float32, 4*n)}}}
}

func TestHost_LoadsOnRequestAndReturnsWhenTheModelIsThere(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		h.engine.Set("detector", fake.Script{LoadTime: 300 * time.Millisecond})
		began := time.Now()
		if err := h.load("detector"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 300*time.Millisecond { // virtual
			t.Fatalf("returned after %s", took)
		}
		if c := h.engine.Counts("detector"); c.Loads != 1 || c.Runs != 0 || h.state("detector").State != "resident" {
			t.Fatalf("%+v, %+v", c, h.state("detector"))
		}
		if err := h.load("detector"); err != nil || h.engine.Counts("detector").Loads != 1 {
			t.Fatalf("%v, %+v", err, h.engine.Counts("detector"))
		}
		expectKind(t, h.load("nobody"), fault.NotFound, "nobody")
	})
}

func TestHost_TellsWhyAModelIsNotLoadedOnRequest(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		h.engine.Set("cutter", fake.Script{LoadErr: fault.New(fault.Corrupt, "fake.Load", "truncated file")})
		expectKind(t, h.load("cutter"), fault.Unavailable, "truncated file")
		h.engine.Set("detector", fake.Script{LoadGate: fake.NewGate()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.Load(ctx, "detector", inference.ClassDirect); !fault.Is(err, fault.Busy) && !fault.Is(err, fault.Timeout) {
			t.Fatalf("a load that takes too long: %v", err)
		}
		h.engine.Set("detector", fake.Script{})
		cancelled, leave := context.WithCancel(t.Context())
		leave()
		expectKind(t, h.Load(cancelled, "detector", inference.ClassDirect), fault.Canceled, "")
		h.cancel() // the load above holds its gate
		synctest.Wait()
	})
}

func TestHost_UnloadsOnRequestAndRefusesUntilItIsLoadedAgain(t *testing.T) {
	open(t, func(c *Config) { c.Pinned = []string{"detector"} }, func(t *testing.T, h *house) {
		h.faces(photo(1, 80))
		if err := h.Unload("detector"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if c := h.engine.Counts("detector"); c.Closes != 1 || h.state("detector").State != "unloaded" {
			t.Fatalf("%+v, %+v", c, h.state("detector"))
		}
		if got := testutil.ToFloat64(h.metrics.evictions.WithLabelValues("detector", "unloaded")); got != 1 {
			t.Fatalf("%v evictions for the reason unloaded, want 1", got)
		}
		_, err := h.Faces(t.Context(), inference.FacesRequest{Subject: photo(2, 80)})
		expectKind(t, err, fault.Unavailable, "unloaded on request")
		_, err = h.Infer(t.Context(), raw("detector", 1))
		expectKind(t, err, fault.Unavailable, "unloaded on request")
		_, err = h.Model("detector", "")
		expectKind(t, err, fault.Unavailable, "unloaded on request")
		h.shelf.put(nil, changed(detector), cutter) // a new file does not bring it back
		h.Refresh()
		synctest.Wait()
		_, err = h.Faces(t.Context(), inference.FacesRequest{Subject: photo(2, 80)})
		expectKind(t, err, fault.Unavailable, "unloaded on request")
		if err := h.Unload("detector"); err != nil {
			t.Fatalf("a second time: %v", err)
		}
		expectKind(t, h.Unload("nobody"), fault.NotFound, "nobody")
		if err := h.load("detector"); err != nil {
			t.Fatal(err)
		}
		if f := h.faces(photo(2, 80)); f.File != changed(detector).File {
			t.Fatalf("answered by %v: want the file that is there now", f.File)
		}
	})
}

func TestHost_AnswersWhoWaitedWhenAModelIsUnloaded(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		gate := fake.NewGate()
		h.engine.Set("detector", fake.Script{RunGate: gate})
		running := h.ask(t.Context(), photo(1, 80))
		gate.Came()
		queued := h.ask(t.Context(), photo(2, 80))
		synctest.Wait()
		looking := photo(3, 80)
		look, looked := looking.Look, make(chan struct{})
		looking.Look = func(ctx context.Context) (pixel.Buffer, error) {
			<-looked
			return look(ctx)
		}
		late := h.ask(t.Context(), looking) // found the model, and is not in the line yet
		synctest.Wait()
		if err := h.Unload("detector"); err != nil {
			t.Fatal(err)
		}
		close(looked)
		expectKind(t, (<-late).err, fault.Unavailable, "unloaded on request")
		gate.Open()
		if a, b := <-running, <-queued; a.err != nil || b.err != nil {
			t.Fatalf("%v, %v", a.err, b.err)
		}
		synctest.Wait()
		if c := h.engine.Counts("detector"); c.Loads != 1 || c.Closes != 1 {
			t.Fatalf("%+v", c)
		}
	})
}

func TestHost_LoadsTheNewVersionOnRequestBeforeItReturns(t *testing.T) {
	open(t, func(c *Config) { c.PollEvery = 0 }, func(t *testing.T, h *house) {
		h.faces(photo(1, 80))
		h.shelf.put(nil, changed(detector), cutter)
		if err := h.load("detector"); err != nil {
			t.Fatal(err)
		}
		if m, err := h.Model("detector", "2"); err != nil || m.File != changed(detector).File {
			t.Fatalf("%+v, %v", m, err)
		}
		if f := h.faces(photo(2, 80)); f.File != changed(detector).File {
			t.Fatalf("answered by %v", f.File)
		}
		h.engine.Set("detector", fake.Script{LoadErr: fault.New(fault.Corrupt, "fake.Load", "truncated file")})
		h.shelf.put(nil, changed(changed(detector)), cutter)
		expectKind(t, h.load("detector"), fault.Unavailable, "truncated file")
		if f := h.faces(photo(3, 80)); f.File != changed(detector).File {
			t.Fatalf("answered by %v: want the version that was loaded", f.File)
		}
	})
}

func TestHost_ServesRawTensorsOfTheVersionThatIsNamed(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		r := raw("detector", 2)
		r.Version = "1"
		if out, err := h.Infer(t.Context(), r); err != nil || out.Version != "1" {
			t.Fatalf("%+v, %v", out, err)
		}
		r.Version = "2"
		_, err := h.Infer(t.Context(), r)
		expectKind(t, err, fault.NotFound, `served in version 1, not "2"`)
		_, err = h.Infer(t.Context(), raw("nobody", 1))
		expectKind(t, err, fault.NotFound, "nobody")
	})
}

func TestHost_BoundsRawTensorsByTheCanvasesOfTheModel(t *testing.T) {
	bounded := detector
	bounded.Inputs = []models.Port{{Name: "in", Shape: []int64{-1, 3, -1, -1}}}
	bounded.Canvases = models.Canvases{Step: 4, Max: 8}
	open(t, nil, func(t *testing.T, h *house) {
		h.shelf.put(nil, bounded, cutter)
		broken := fault.New(fault.Internal, "fake.Run", "cannot concatenate 3 and 4")
		h.engine.Set("detector", fake.Script{Answer: func(in []models.Tensor) ([]models.Tensor, error) {
			if in[0].Shape[3] == 5 || in[0].Shape[3] == 2 {
				return nil, broken
			}
			return in, nil
		}})
		ask := func(shape ...int64) error {
			n := models.Elements(shape)
			_, err := h.Infer(t.Context(), inference.TensorsRequest{Model: "detector", Inputs: []models.Tensor{{Shape: shape, Data: make([]float32, n)}}})
			return err
		}
		if err := ask(1, 3, 4, 16); err != nil { // as many numbers as 8×8
			t.Fatal(err)
		}
		expectKind(t, ask(1, 3, 8, 9), fault.TooLarge, "items of at most [3 8 8]")
		expectKind(t, ask(1, 4, 8, 8), fault.Invalid, "want [-1 3 -1 -1]")
		expectKind(t, ask(1, 3, 4, 5), fault.Invalid, "does not run inputs of this shape: cannot concatenate")
		broken = fault.New(fault.Busy, "fake.Run", "out of memory")
		expectKind(t, ask(1, 3, 4, 5), fault.Busy, "out of memory")
		expectKind(t, ask(300, 3, 4, 4), fault.TooLarge, "--inference-queue")
	})
}

func TestHost_CountsWhatTritonCounts(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		h.engine.Set("detector", fake.Script{RunTime: 10 * time.Millisecond, Rest: 100})
		h.faces(photo(1, 80))
		h.faces(photo(1, 80)) // known
		if _, err := h.Infer(t.Context(), raw("detector", 3)); err != nil {
			t.Fatal(err)
		}
		bad := raw("detector", 1)
		bad.Inputs[0].Data = nil
		if _, err := h.Infer(t.Context(), bad); err == nil {
			t.Fatal("want an error")
		}
		if _, err := h.Faces(t.Context(), inference.FacesRequest{Subject: inference.Subject{Content: photo(9, 0).Content}}); !fault.Is(err, fault.NotFound) {
			t.Fatal(err) // a question before the picture is sent: no failure
		}
		all := h.Statistics()
		if len(all) != 2 || all[0].Model != "cutter" || all[0].Success.Count != 0 || all[1].Model != "detector" || all[1].Version != "1" {
			t.Fatalf("%+v", all)
		}
		s := all[1]
		// One slot: the first raw item runs alone, the other two together.
		if s.Items != 4 || s.Runs != 3 || len(s.Batches) != 2 || s.Batches[0].Size != 1 || s.Batches[0].Count != 2 ||
			s.Batches[1].Size != 2 || s.Batches[1].Time != 10*time.Millisecond {
			t.Fatalf("%d items in %d runs, batches %+v", s.Items, s.Runs, s.Batches)
		}
		if s.Success.Count != 3 || s.Fail.Count != 1 || s.Hit.Count != 1 || s.Miss.Count != 1 || s.Queue.Count != 3 ||
			s.Infer != (inference.Tally{Count: 2, Time: 20 * time.Millisecond}) || s.Success.Time != 30*time.Millisecond {
			t.Fatalf("%+v", s)
		}
		if s.Queue.Time != 10*time.Millisecond || s.Last.IsZero() || s.Memory != 100 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestHost_SaysHowRequestsOfAModelShareRuns(t *testing.T) {
	slow := detector
	slow.MaxBatch, slow.MaxBatchCPU, slow.MaxDelay, slow.Instances = 8, 3, 5*time.Millisecond, 9
	single := cutter
	single.MaxBatch, single.Instances = 0, 1
	for provider, want := range map[string]map[string]inference.Batching{
		"cpu": {
			"detector": {Most: 3, Delay: 5 * time.Millisecond, Instances: 2, Lowest: 8, Default: 4},
			"cutter":   {Most: 1, Instances: 1, Lowest: 8, Default: 4},
		},
		"cuda": {
			"detector": {Most: 8, Sizes: []int{1, 2, 4, 8}, Delay: 5 * time.Millisecond, Instances: 2, Lowest: 8, Default: 4},
			"cutter":   {Most: 1, Sizes: []int{1}, Instances: 1, Lowest: 8, Default: 4},
		},
	} {
		c := DefaultConfig()
		c.Slots, c.Adapters = 2, adapters()
		h, err := New(c, fake.New(provider), newShelf(slow, single))
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range want {
			if got, err := h.Batching(name, "1"); err != nil || !reflect.DeepEqual(got, b) {
				t.Errorf("%s on %s: %+v, %v, want %+v", name, provider, got, err, b)
			}
		}
		if _, err := h.Batching("detector", "2"); !fault.Is(err, fault.NotFound) {
			t.Errorf("another version: %v", err)
		}
		if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
