package sidecar_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/clienttest"
	"focal/inference/route"
	"focal/inference/sidecar"
	"focal/models"
)

// words is a log that a test can wait for.
type words chan string

func (w words) Enabled(context.Context, slog.Level) bool { return true }
func (w words) WithAttrs([]slog.Attr) slog.Handler       { return w }
func (w words) WithGroup(string) slog.Handler            { return w }
func (w words) Handle(_ context.Context, r slog.Record) error {
	said := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "address" {
			said += " " + a.Value.String()
		}
		return true
	})
	w <- said
	return nil
}

func dialPool(t testing.TB, token string, addresses ...string) (*sidecar.Pool, words) {
	t.Helper()
	log := make(words, 1000)
	cfg := sidecar.DefaultPoolConfig()
	cfg.Addresses, cfg.Dial.Token, cfg.Log = addresses, token, slog.New(log)
	cfg.MinProbe, cfg.MaxProbe = time.Millisecond, 5*time.Millisecond
	p, err := sidecar.DialPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return p, log
}

func TestPool_KeepsThePromisesOfAClient(t *testing.T) {
	t.Run("Stubs", func(t *testing.T) {
		clienttest.Run(t, func(t *testing.T) inference.Client {
			cfg := sidecar.DefaultConfig()
			cfg.Token = "secret"
			p, _ := dialPool(t, "secret", serve(t, cfg, &clienttest.Stub{}, nil).socket, serve(t, cfg, &clienttest.Stub{}, nil).tcp)
			return p
		})
	})
	t.Run("Hosts", func(t *testing.T) {
		clienttest.Run(t, func(t *testing.T) inference.Client {
			a, b := newHost(t), newHost(t) // closed after their servers
			p, _ := dialPool(t, "", serve(t, sidecar.DefaultConfig(), a, nil).socket, serve(t, sidecar.DefaultConfig(), b, nil).socket)
			return p
		})
	})
}

// fleet is stubs behind sockets, and who of them was given pixels.
type fleet struct {
	addresses []string
	stubs     []*clienttest.Stub
	mu        sync.Mutex // protects ran
	ran       []int
}

func newFleet(t *testing.T, n int) *fleet {
	t.Helper()
	f := &fleet{}
	for i := range n {
		stub := &clienttest.Stub{}
		stub.Before = func(_ context.Context, s inference.Subject, _ inference.Class) error {
			if s.Look != nil {
				f.mu.Lock()
				f.ran = append(f.ran, i)
				f.mu.Unlock()
			}
			return nil
		}
		f.stubs = append(f.stubs, stub)
		f.addresses = append(f.addresses, serve(t, sidecar.DefaultConfig(), stub, nil).socket)
	}
	return f
}

// refuse has a stub answer with err whenever it is asked.
func (f *fleet) refuse(i int, err error) {
	f.stubs[i].Before = func(context.Context, inference.Subject, inference.Class) error { return err }
}

// took returns who was given pixels since it was last asked.
func (f *fleet) took() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	ran := f.ran
	f.ran = nil
	return ran
}

func (f *fleet) order(s inference.Subject) []int { return route.Order(s.Content, f.addresses) }

func TestPool_AsksTheSameSidecarAboutAContent(t *testing.T) {
	f := newFleet(t, 3)
	p, _ := dialPool(t, "", f.addresses...)
	for i := range 20 {
		s := subject(fmt.Sprint(i))
		for _, want := range []inference.How{inference.Run, inference.Hit} {
			got, err := p.Faces(t.Context(), inference.FacesRequest{Subject: s})
			if err != nil || got.How != want {
				t.Fatalf("content %d: %v %v, want %v", i, got.How, err, want)
			}
		}
		if got, want := f.took(), f.order(s)[:1]; !slices.Equal(got, want) {
			t.Errorf("content %d was looked at by %v, want %v", i, got, want)
		}
	}
}

func TestPool_SendsRunsPastOneThatHasMoreThanItsShare(t *testing.T) {
	f := newFleet(t, 2)
	held, release := make(chan int, 20), make(chan struct{})
	for i, stub := range f.stubs {
		stub.Before = func(_ context.Context, s inference.Subject, _ inference.Class) error {
			if s.Look != nil {
				held <- i
				<-release
			}
			return nil
		}
	}
	p, _ := dialPool(t, "", f.addresses...)
	var subjects []inference.Subject // which the first sidecar is first for
	for i := 0; len(subjects) < 9; i++ {
		if s := subject(fmt.Sprint(i)); f.order(s)[0] == 0 {
			subjects = append(subjects, s)
		}
	}
	var asked sync.WaitGroup
	var took [2]int
	for _, s := range subjects { // one after the other is given out and not answered
		asked.Go(func() {
			if _, err := p.Faces(t.Context(), inference.FacesRequest{Subject: s}); err != nil {
				t.Error(err)
			}
		})
		took[<-held]++
	}
	close(release)
	asked.Wait()
	// Four are few; of nine nobody may have more than 1.25 times 4.5, five.
	if took != [2]int{5, 4} {
		t.Errorf("of nine contents of the first sidecar %v ran on each", took)
	}
}

func TestPool_GoesOnAlongTheOrderWhereOneRefuses(t *testing.T) {
	busy := func(d time.Duration) error { return fault.New(fault.Busy, "test", "full for %v", d).After(d) }
	gone := fault.New(fault.Unavailable, "test", "shutting down")
	for _, c := range []struct {
		name    string
		refuse  []error // along the order
		answers int     // who gives the answer; -1: nobody
		kind    fault.Kind
		wait    time.Duration
	}{
		{"Busy", []error{busy(9 * time.Second), nil, nil}, 1, 0, 0},
		{"ShuttingDown", []error{gone, busy(time.Second), nil}, 2, 0, 0},
		{"AllBusy", []error{busy(9 * time.Second), busy(3 * time.Second), busy(5 * time.Second)}, -1, fault.Busy, 3 * time.Second},
		{"SomeBusy", []error{gone, busy(7 * time.Second), gone}, -1, fault.Busy, 7 * time.Second},
		{"Guilty", []error{fault.New(fault.Invalid, "test", "no such model"), nil, nil}, -1, fault.Invalid, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, 3)
			p, _ := dialPool(t, "", f.addresses...)
			s := subject("x")
			order := f.order(s)
			for i, err := range c.refuse {
				if err != nil {
					f.refuse(order[i], err)
				}
			}
			_, err := p.Faces(t.Context(), inference.FacesRequest{Subject: s})
			if c.answers < 0 {
				if !fault.Is(err, c.kind) || fault.RetryAfter(err) != c.wait || len(f.took()) != 0 {
					t.Errorf("error is %v after %v, want %v after %v", err, fault.RetryAfter(err), c.kind, c.wait)
				}
			} else if got := f.took(); err != nil || !slices.Equal(got, []int{order[c.answers]}) {
				t.Errorf("%v looked, %v; want only number %d of %v", got, err, c.answers, order)
			}
		})
	}
}

// A sidecar that dies over the pixels costs nobody an answer; what kills two is
// not given to a third.
func TestPool_GivesWhatMayKillToTwoAtMost(t *testing.T) {
	for deaths := range 4 {
		t.Run(fmt.Sprint(deaths), func(t *testing.T) {
			live := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, nil)
			var addresses []string
			var posts atomic.Int32
			looks := 0
			for range 3 {
				address, _ := breaking(t, 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost && int(posts.Add(1)) <= deaths {
						panic(http.ErrAbortHandler)
					}
					forward(t, live.tcp, w, r)
				}))
				addresses = append(addresses, address)
			}
			p, _ := dialPool(t, "", addresses...)
			s := subject("x")
			look := s.Look
			s.Look = func(ctx context.Context) (pixel.Buffer, error) {
				looks++
				return look(ctx)
			}
			_, err := p.Foreground(t.Context(), inference.ForegroundRequest{Subject: s})
			if lost := deaths >= 2; lost != fault.Is(err, fault.Unavailable) || lost != (err != nil) {
				t.Errorf("error is %v", err)
			}
			if sent := int(posts.Load()); sent != min(deaths+1, 2) || looks != 1 {
				t.Errorf("the pixels were sent %d times and made %d times", sent, looks)
			}
		})
	}
}

// While the two that were lost over a picture start again, no third one is given it,
// however often it is asked for. They know it by then.
func TestPool_KeepsWhatMayKillForTheTwoThatKnowIt(t *testing.T) {
	for name, tt := range map[string]struct {
		remember time.Duration
		dead     int32
	}{"Remembered": {time.Minute, 2}, "Forgotten": {0, 3}} {
		t.Run(name, func(t *testing.T) {
			live := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, nil)
			cfg := sidecar.DefaultPoolConfig()
			cfg.MinProbe, cfg.MaxProbe, cfg.Remember, cfg.Log = time.Millisecond, time.Millisecond, tt.remember, slog.New(slog.DiscardHandler)
			var kills, back atomic.Bool
			var deaths atomic.Int32
			kills.Store(true)
			for range 3 {
				var dead atomic.Bool
				address, _ := breaking(t, 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost && kills.Load() && dead.CompareAndSwap(false, true) {
						deaths.Add(1)
					}
					if dead.Load() && !back.Load() {
						panic(http.ErrAbortHandler)
					}
					forward(t, live.tcp, w, r)
				}))
				cfg.Addresses = append(cfg.Addresses, address)
			}
			p := dialed(t, cfg)
			ask := func() error {
				_, err := p.Foreground(t.Context(), inference.ForegroundRequest{Subject: subject("x")})
				return err
			}
			for range 4 {
				if err := ask(); !fault.Is(err, fault.Unavailable) {
					t.Fatalf("error is %v", err)
				}
			}
			if got := deaths.Load(); got != tt.dead {
				t.Errorf("%d died, want %d", got, tt.dead)
			}
			kills.Store(false)
			back.Store(true)
			for err := ask(); err != nil; err = ask() { // until one is back
				if !fault.Is(err, fault.Unavailable) {
					t.Fatal(err)
				}
			}
		})
	}
}

// That another model answers about a picture does not make it harmless: a third
// sidecar is not given it either.
func TestPool_RemembersWhatKilledThoughAnotherModelAnswers(t *testing.T) {
	live := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, nil)
	cfg := sidecar.DefaultPoolConfig()
	cfg.MinProbe, cfg.MaxProbe, cfg.Log = time.Millisecond, time.Millisecond, slog.New(slog.DiscardHandler)
	var first, died atomic.Int32 // the one that stays away, and a bit for each
	for i := range 3 {
		me := int32(1) << i
		address, _ := breaking(t, 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if kills := r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/faces"); kills || first.Load() == me {
				if kills {
					first.CompareAndSwap(0, me)
					died.Or(me)
				}
				panic(http.ErrAbortHandler)
			}
			forward(t, live.tcp, w, r)
		}))
		cfg.Addresses = append(cfg.Addresses, address)
	}
	p := dialed(t, cfg)
	faces := func() {
		if _, err := p.Faces(t.Context(), inference.FacesRequest{Subject: subject("x")}); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("error is %v", err)
		}
	}
	faces()
	for err := error(fault.New(fault.Unavailable, "", "")); err != nil; { // until one is back
		if _, err = p.Foreground(t.Context(), inference.ForegroundRequest{Subject: subject("x")}); err != nil && !fault.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
	}
	faces()
	if n := bits.OnesCount32(uint32(died.Load())); n != 2 {
		t.Errorf("%d sidecars died, want 2", n)
	}
}

// dialed is a pool that is closed when the test ends.
func dialed(t *testing.T, cfg sidecar.PoolConfig) *sidecar.Pool {
	t.Helper()
	p, err := sidecar.DialPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return p
}

// stand serves at a socket of the given path until stop is called.
func stand(t *testing.T, path string, client inference.Client) (stop func()) {
	t.Helper()
	cfg := sidecar.DefaultConfig()
	cfg.Log = slog.New(slog.DiscardHandler)
	s, err := sidecar.New(cfg, client, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	return func() {
		if err := errors.Join(s.Close(context.WithoutCancel(t.Context())), <-served); err != nil {
			t.Error(err)
		}
	}
}

func TestPool_LeavesOneOutUntilItAnswersAgain(t *testing.T) {
	f := newFleet(t, 1)
	path := filepath.Join(t.TempDir(), "s")
	f.addresses = append(f.addresses, "unix:"+path)
	second := &clienttest.Stub{}
	stop := stand(t, path, second)
	p, log := dialPool(t, "", f.addresses...)
	registry := prometheus.NewRegistry()
	registry.MustRegister(p)
	n := 0
	next := func() inference.Subject { // a content that the second is first for
		for ; ; n++ {
			if s := subject(fmt.Sprint(n)); f.order(s)[0] == 1 {
				n++
				return s
			}
		}
	}
	ask := func(want []int) {
		t.Helper()
		if _, err := p.Faces(t.Context(), inference.FacesRequest{Subject: next()}); err != nil {
			t.Fatal(err)
		}
		if got := f.took(); !slices.Equal(got, want) {
			t.Errorf("the first looked %d times, want %d", len(got), len(want))
		}
	}
	said := func(want string) {
		t.Helper()
		if got := <-log; got != want {
			t.Fatalf("the log says %q, want %q", got, want)
		}
	}
	ask(nil)
	stop()
	ask([]int{0})
	said("sidecar is left out unix:" + path)
	ask([]int{0})
	if got := p.Status(t.Context()); got.State != inference.StateReady || got.Sidecars[1].State != inference.StateDown || got.Sidecars[1].Reason == "" {
		t.Errorf("status is %+v", got)
	}
	if up := gauges(t, registry, "focal_sidecar_up"); up[f.addresses[0]] != 1 || up[f.addresses[1]] != 0 {
		t.Errorf("up is %v", up)
	}

	// There, but not ready: a question would be wasted on it.
	second.State = inference.StateStarting
	stop = stand(t, path, second)
	ask([]int{0})
	stop()
	second = &clienttest.Stub{}
	stop = stand(t, path, second)
	defer func() { stop() }()
	said("sidecar answers again unix:" + path)
	ask(nil)
	if up := gauges(t, registry, "focal_sidecar_up"); up[f.addresses[0]] != 1 || up[f.addresses[1]] != 1 {
		t.Errorf("up is %v", up)
	}
	if busy := gauges(t, registry, "focal_sidecar_in_flight"); busy[f.addresses[0]] != 0 || busy[f.addresses[1]] != 0 {
		t.Errorf("in flight are %v", busy)
	}
}

// gauges returns a family by the label sidecar.
func gauges(t *testing.T, g prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == "sidecar" {
					found[l.GetValue()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
		}
	}
	return found
}

func TestPool_NobodyIsThere(t *testing.T) {
	dir := t.TempDir()
	p, _ := dialPool(t, "", "unix:"+filepath.Join(dir, "a"), "unix:"+filepath.Join(dir, "b"))
	for range 2 { // found out, then known
		_, err := p.Faces(t.Context(), inference.FacesRequest{Subject: subject("x")})
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("error is %v, want unavailable", err)
		}
	}
	if got := p.Status(t.Context()); got.State != inference.StateDown || len(got.Sidecars) != 2 || got.Reason == "" {
		t.Errorf("status is %+v, want down with a reason", got)
	}
	if _, err := p.Gatherer().Gather(); err != nil {
		t.Errorf("the page of those who are there: %v", err)
	}
}

func TestPool_SaysWhatAllAreTogether(t *testing.T) {
	with := func(state inference.State, provider string, missing []string, all ...inference.ModelStatus) inference.Client {
		return fixed{&clienttest.Stub{}, inference.Status{State: state, Provider: provider, Missing: missing, Models: all}}
	}
	face := inference.ModelStatus{Name: "a", Version: "1", Task: models.TaskFace, State: "idle", Default: true}
	loaded := face
	loaded.State, loaded.Memory = "resident", 7
	other := inference.ModelStatus{Name: "b", Version: "1", Task: models.TaskForeground, State: "failed", Error: "damaged"}
	a := serve(t, sidecar.DefaultConfig(), with(inference.StateStarting, "", nil), nil)
	b := serve(t, sidecar.DefaultConfig(), with(inference.StateReady, "cuda", []string{"x"}, face), nil)
	c := serve(t, sidecar.DefaultConfig(), with(inference.StateReady, "cpu", []string{"x", "y"}, other, loaded), nil)
	p, _ := dialPool(t, "", a.socket, b.tcp, c.socket)
	got := p.Status(t.Context())
	want := inference.Status{
		State: inference.StateReady, Provider: "cuda", Models: []inference.ModelStatus{loaded, other}, Missing: []string{"x", "y"},
		Sidecars: []inference.SidecarStatus{
			{Address: a.socket, State: inference.StateStarting},
			{Address: b.tcp, State: inference.StateReady, Provider: "cuda"},
			{Address: c.socket, State: inference.StateReady, Provider: "cpu"},
		},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("status is\n%+v, want\n%+v", got, want)
	}
}

// fixed is a client with a status of its own.
type fixed struct {
	*clienttest.Stub
	status inference.Status
}

func (f fixed) Status(context.Context) inference.Status { return f.status }

func TestPoolGatherer_NamesTheSidecarOfEachSeries(t *testing.T) {
	var addresses []string
	for i := range 2 {
		registry := prometheus.NewRegistry()
		runs := prometheus.NewCounter(prometheus.CounterOpts{Name: "focal_model_loads_total", Help: "x"})
		runs.Add(float64(3 + i))
		goroutines := prometheus.NewGauge(prometheus.GaugeOpts{Name: "go_goroutines", Help: "x"})
		goroutines.Set(float64(5 + i))
		registry.MustRegister(runs, goroutines)
		cfg := sidecar.DefaultConfig()
		cfg.Metrics = registry
		addresses = append(addresses, serve(t, cfg, &clienttest.Stub{}, nil).socket)
	}
	p, _ := dialPool(t, "", addresses...)
	own := prometheus.NewRegistry()
	goroutines := prometheus.NewGauge(prometheus.GaugeOpts{Name: "go_goroutines", Help: "x"})
	own.MustRegister(goroutines, p)
	page := prometheus.Gatherers{own, p.Gatherer()}
	for name, want := range map[string][2]float64{"focal_model_loads_total": {3, 4}, "go_goroutines": {5, 6}} {
		got := gauges(t, page, name)
		if len(got) != 2 || got[addresses[0]] != want[0] || got[addresses[1]] != want[1] {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestDialPool_RefusesAddressesThatCannotBe(t *testing.T) {
	for addresses, says := range map[string]string{
		"":                              "no address",
		"unix:/a,":                      "want unix:/path or http://host:port",
		"unix:/a,b:8081":                "want unix:/path or http://host:port",
		"unix:/a,http://b:1,unix:/a":    "unix:/a is named twice",
		"http://user:secret@b:1,unix:a": "want unix:/path or http://host:port",
	} {
		cfg := sidecar.DefaultPoolConfig()
		if addresses != "" {
			cfg.Addresses = strings.Split(addresses, ",")
		}
		if _, err := sidecar.DialPool(cfg); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: error is %v, want %q", addresses, err, says)
		}
	}
}
