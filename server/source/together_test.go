package source

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"focal/core/fault"
)

// slowOrigin holds every request until release is closed.
type slowOrigin struct {
	url      string
	asked    atomic.Int32
	entered  chan struct{} // one for each request
	release  chan struct{}
	released sync.Once
}

func newSlowOrigin(t *testing.T, control, body string) *slowOrigin {
	o := &slowOrigin{entered: make(chan struct{}, 100), release: make(chan struct{})}
	t.Cleanup(o.free)
	o.url = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		o.asked.Add(1)
		o.entered <- struct{}{}
		<-o.release
		w.Header().Set("Cache-Control", control)
		_, _ = w.Write([]byte(body))
	})
	return o
}

func (o *slowOrigin) free() { o.released.Do(func() { close(o.release) }) }

// await waits until it is so.
func await(t *testing.T, ready func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for again := time.NewTicker(time.Millisecond); !ready(); {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal("it does not come to that")
		}
	}
}

// What the origin says of keeping does not matter: nobody keeps anything here.
func TestFetch_ManyAtOnceCostOneRequestAndOneBooking(t *testing.T) {
	const callers = 20
	for _, control := range []string{"max-age=60", "no-store"} {
		o := newSlowOrigin(t, control, "picture")
		f := newFetcher(t, func(c *Config) { c.Origins, c.Cache = []string{o.url}, 0 })
		got := make(chan *Original, callers)
		for range callers {
			go func() {
				original, err := f.Fetch(t.Context(), "a.jpg")
				if err != nil {
					t.Error(Detail(err))
				}
				got <- original
			}()
		}
		<-o.entered
		await(t, func() bool { return f.flights.Stats().Misses == callers })
		o.free()
		all := make([]*Original, callers)
		for i := range all {
			if all[i] = <-got; all[i] == nil {
				t.FailNow()
			}
		}
		for i, original := range all {
			if string(original.Bytes) != "picture" || original.CacheControl != control || original.Place != all[0].Place {
				t.Errorf("%d: %q, %+v", i, original.Bytes, original)
			}
			if taken, _ := f.Reserved(); taken != 7 {
				t.Errorf("%d bytes are booked while %d have the picture of 7", taken, callers-i)
			}
			original.Release()
			original.Release() // harmless, for the others too
		}
		if s := f.Stats(); o.asked.Load() != 1 || s.Fetched != 1 || s.Joined != callers-1 {
			t.Errorf("%s: the origin was asked %d times, %+v", control, o.asked.Load(), s)
		}
	}
}

func TestFetch_WhoeverLeavesATogetherFetchCostsTheOthersNothing(t *testing.T) {
	o := newSlowOrigin(t, "", "picture")
	f := newFetcher(t, func(c *Config) { c.Origins = []string{o.url} })
	first, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := f.Fetch(first, "a.jpg")
		left <- err
	}()
	<-o.entered
	stays := make(chan string, 1)
	go func() { stays <- get(t, f, "a.jpg") }()
	await(t, func() bool { return f.flights.Stats().Misses == 2 })
	leave()
	if err := <-left; !fault.Is(err, fault.Canceled) {
		t.Errorf("who left got %v", err)
	}
	o.free()
	if got := <-stays; got != "picture" || o.asked.Load() != 1 {
		t.Errorf("who stayed got %q after %d requests", got, o.asked.Load())
	}
}

// A purge means: as it is now. Neither is what was asked for before kept, nor
// does anybody join it.
func TestPurge_SeparatesBeforeFromAfter(t *testing.T) {
	o := newSlowOrigin(t, "max-age=60", "old")
	f := newFetcher(t, func(c *Config) { c.Origins = []string{o.url} })
	before, after := make(chan string, 1), make(chan string, 1)
	go func() { before <- get(t, f, "a.jpg") }()
	<-o.entered
	if _, _, err := f.Purge("a.jpg"); err != nil {
		t.Fatal(err)
	}
	go func() { after <- get(t, f, "a.jpg") }()
	<-o.entered // a request of his own
	o.free()
	if a, b := <-before, <-after; a != "old" || b != "old" {
		t.Errorf("%q, %q", a, b)
	}
	if _, gone, _ := f.Purge("a.jpg"); len(gone) > 1 {
		t.Errorf("%d answers were kept", len(gone))
	}
	get(t, f, "a.jpg")
	if got := get(t, f, "a.jpg"); got != "old" || o.asked.Load() != 3 {
		t.Errorf("%q after %d requests", got, o.asked.Load())
	}
}

func TestPlace_IsOfTheSourceAndNotOfItsSpelling(t *testing.T) {
	f := newFetcher(t, func(c *Config) { c.Root = t.TempDir() })
	place := func(ref string) any {
		p, _, err := f.Purge(ref)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	// A directory has no use for a query, a server has.
	if place("a.jpg") != place("/%61.jpg?v=2") || place("a.jpg") == place("b.jpg") {
		t.Error("in a directory: the wrong ones are one")
	}
	if place("https://h/a.jpg") == place("https://h/a.jpg?v=2") {
		t.Error("of a server: two are one")
	}
}
