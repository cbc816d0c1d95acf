package sidecar_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/clienttest"
	"focal/inference/sidecar"
)

func dial(t testing.TB, address, token string) *sidecar.Client {
	t.Helper()
	cfg := sidecar.DefaultDialConfig()
	cfg.Address, cfg.Token = address, token
	c, err := sidecar.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return c
}

// subject is a source of 4×3 whose look is half as large.
func subject(name string) inference.Subject {
	content, _ := contentOf(name)
	return inference.Subject{Content: content, Source: pixel.Size{Width: 4, Height: 4}, Look: func(context.Context) (pixel.Buffer, error) {
		return pixel.Buffer{Width: 2, Height: 2, Channels: 3, Pix: make([]byte, 12)}, nil
	}}
}

func TestClient_KeepsThePromisesOfAClient(t *testing.T) {
	t.Run("Unix", func(t *testing.T) {
		clienttest.Run(t, func(t *testing.T) inference.Client {
			return dial(t, serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, nil).socket, "")
		})
	})
	t.Run("TCPWithToken", func(t *testing.T) {
		clienttest.Run(t, func(t *testing.T) inference.Client {
			cfg := sidecar.DefaultConfig()
			cfg.Token = "secret"
			return dial(t, serve(t, cfg, &clienttest.Stub{}, nil).tcp, "secret")
		})
	})
}

func TestClient_GetsTheFactsAsTheyAre(t *testing.T) {
	stub := &clienttest.Stub{}
	want, err := stub.Faces(t.Context(), inference.FacesRequest{Subject: subject("x")})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, nil).socket, "")
	got, err := c.Faces(t.Context(), inference.FacesRequest{Subject: subject("x")})
	if err != nil || got.Facts != want.Facts {
		t.Errorf("facts are %+v, want %+v (%v)", got.Facts, want.Facts, err)
	}
	clienttest.Near(t, want.Faces, got.Faces)
}

func TestClient_KindsSurviveTheSocket(t *testing.T) {
	var refusal error
	stub := &clienttest.Stub{Before: func(context.Context, inference.Subject, inference.Class) error { return refusal }}
	c := dial(t, serve(t, sidecar.DefaultConfig(), stub, nil).socket, "")
	for kind := fault.Internal; kind <= fault.Canceled; kind++ {
		refusal = fault.New(kind, "stub", "because of %v", kind).After(5 * time.Second)
		_, err := c.Faces(t.Context(), inference.FacesRequest{Subject: inference.Subject{}})
		if !fault.Is(err, kind) || fault.RetryAfter(err) != 5*time.Second {
			t.Errorf("%v arrives as %v after %v: %v", kind, fault.KindOf(err), fault.RetryAfter(err), err)
		}
		if kind != fault.Internal && err.Error() != refusal.Error() {
			t.Errorf("%v says %q, want %q", kind, err, refusal)
		}
	}
}

func TestClient_ForbiddenWithTheWrongToken(t *testing.T) {
	cfg := sidecar.DefaultConfig()
	cfg.Token = "secret"
	c := dial(t, serve(t, cfg, &clienttest.Stub{}, nil).tcp, "guess")
	if _, err := c.Faces(t.Context(), inference.FacesRequest{Subject: subject("x")}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("error is %v, want forbidden", err)
	}
}

// breaking is a sidecar that dies over the first n requests: it reads each,
// and closes the connection. Later ones are answered by next, if any. It
// counts what it reads.
func breaking(t *testing.T, n int, next http.Handler) (address string, requests <-chan string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan string, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if i >= n {
				serveOne(conn, next)
				continue
			}
			req, err := http.ReadRequest(bufio.NewReader(conn))
			if err == nil {
				_, err = io.Copy(io.Discard, req.Body)
				read <- req.Method
			}
			if err := errors.Join(err, conn.Close()); err != nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return "unix:" + path, read
}

// serveOne answers the requests of one connection.
func serveOne(conn net.Conn, h http.Handler) {
	l := &oneConn{conn: make(chan net.Conn, 1)}
	l.conn <- conn
	close(l.conn)
	// Serve ends with the listener; the connection lives on.
	_ = http.Serve(l, h)
}

type oneConn struct{ conn chan net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	if c, ok := <-l.conn; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }

func TestClient_AsksTwiceMoreWhenTheConnectionBreaks(t *testing.T) {
	live := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, nil)
	for _, c := range []struct {
		name   string
		breaks int
		kind   fault.Kind
		fails  bool
	}{
		{"Once", 1, 0, false},
		{"Twice", 2, 0, false},
		{"Thrice", 3, fault.Unavailable, true},
		{"Always", 50, fault.Unavailable, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { forward(t, live.tcp, w, r) })
			address, requests := breaking(t, c.breaks, proxy)
			_, err := dial(t, address, "").Faces(t.Context(), inference.FacesRequest{Subject: subject(c.name)})
			if c.fails && !fault.Is(err, c.kind) || !c.fails && err != nil {
				t.Errorf("error is %v", err)
			}
			if n := len(requests); n != min(c.breaks, 3) {
				t.Errorf("%d requests went to a dying sidecar, want %d", n, min(c.breaks, 3))
			}
		})
	}
}

// forward passes r on to base.
func forward(t *testing.T, base string, w http.ResponseWriter, r *http.Request) {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	target, err := out.URL.Parse(base + r.URL.RequestURI())
	if err != nil {
		t.Error(err)
		return
	}
	out.URL = target
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		if r.Context().Err() == nil { // else the client has left
			t.Error(err)
		}
		return
	}
	defer resp.Body.Close()
	for key, values := range resp.Header {
		w.Header()[key] = values
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		t.Error(err)
	}
}

func TestClient_LooksOnceHoweverOftenItAsks(t *testing.T) {
	live := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, nil)
	var broken atomic.Bool
	// The connection breaks over the first POST, the question is known to
	// nobody.
	address, _ := breaking(t, 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && broken.CompareAndSwap(false, true) {
			panic(http.ErrAbortHandler)
		}
		forward(t, live.tcp, w, r)
	}))
	looks := 0
	s := subject("once")
	look := s.Look
	s.Look = func(ctx context.Context) (pixel.Buffer, error) {
		looks++
		return look(ctx)
	}
	if _, err := dial(t, address, "").Faces(t.Context(), inference.FacesRequest{Subject: s}); err != nil || looks != 1 || !broken.Load() {
		t.Errorf("looked %d times, error %v, want once and none", looks, err)
	}
}

func TestClient_WaitsInTheBacklogToItsDeadline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path) // accepts nothing: no child yet
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := dial(t, "unix:"+path, "").Faces(ctx, inference.FacesRequest{Subject: subject("x")}); !fault.Is(err, fault.Timeout) {
		t.Errorf("error is %v, want timeout", err)
	}
}

func TestClient_NobodyListens(t *testing.T) {
	c := dial(t, "unix:"+filepath.Join(t.TempDir(), "nobody"), "")
	if _, err := c.Foreground(t.Context(), inference.ForegroundRequest{Subject: subject("x")}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("error is %v, want unavailable", err)
	}
	if got := c.Status(t.Context()); got.State != inference.StateDown || got.Reason == "" {
		t.Errorf("status is %+v, want down with a reason", got)
	}
}

func TestClient_PassesOnTheStatus(t *testing.T) {
	got := dial(t, serve(t, sidecar.DefaultConfig(), &clienttest.Stub{State: inference.StateStarting}, nil).socket, "").Status(t.Context())
	if got.State != inference.StateStarting || len(got.Models) != 2 || got.Models[1].Name != clienttest.StubForeground {
		t.Errorf("status is %+v", got)
	}
}

func TestClient_TellsASidecarFromAnotherServer(t *testing.T) {
	address, _ := breaking(t, 0, http.NotFoundHandler())
	c := dial(t, address, "")
	s := subject("x")
	s.Look = func(context.Context) (pixel.Buffer, error) {
		t.Error("looked for a server that is no sidecar")
		return pixel.Buffer{}, nil
	}
	if _, err := c.Faces(t.Context(), inference.FacesRequest{Subject: s}); !fault.Is(err, fault.Internal) {
		t.Errorf("error is %v, want internal", err)
	}
	if got := c.Status(t.Context()); got.State != inference.StateDown {
		t.Errorf("status is %+v, want down", got)
	}
}

func TestDial_RefusesOtherAddresses(t *testing.T) {
	for _, address := range []string{"", "unix:", "localhost:8081", "ftp://host", "http://", "http://host/path", "http://host?x=1"} {
		cfg := sidecar.DefaultDialConfig()
		cfg.Address = address
		if _, err := sidecar.Dial(cfg); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: error is %v, want invalid", address, err)
		}
	}
}

func TestGatherer_JoinsTheMetricsOfTwoProcesses(t *testing.T) {
	registry := func() *prometheus.Registry {
		r := prometheus.NewRegistry()
		r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		return r
	}
	child := registry()
	runs := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "focal_inference_requests_total", Help: "x"}, []string{"model", "result"})
	runs.WithLabelValues("u2netp", "run").Add(3)
	child.MustRegister(runs)
	cfg := sidecar.DefaultConfig()
	cfg.Metrics = child
	c := dial(t, serve(t, cfg, &clienttest.Stub{}, nil).socket, "")
	families, err := prometheus.Gatherers{registry(), c.Gatherer()}.Gather()
	if err != nil {
		t.Fatalf("the pages clash: %v", err)
	}
	found := map[string]*dto.MetricFamily{}
	for _, f := range families {
		found[f.GetName()] = f
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "go_gc_duration_seconds"} {
		metrics := found[name].GetMetric()
		labelled := 0
		for _, m := range metrics {
			for _, l := range m.GetLabel() {
				if l.GetName() == "process" && l.GetValue() == "sidecar" {
					labelled++
				}
			}
		}
		if len(metrics) != 2 || labelled != 1 {
			t.Errorf("%s has %d metrics, %d of the sidecar, want 2 and 1", name, len(metrics), labelled)
		}
	}
	m := found["focal_inference_requests_total"].GetMetric()
	if len(m) != 1 || m[0].GetCounter().GetValue() != 3 || len(m[0].GetLabel()) != 2 {
		t.Errorf("the sidecar's own figure is %v", m)
	}
}

func TestGatherer_FailsForASidecarThatIsAway(t *testing.T) {
	c := dial(t, "unix:"+filepath.Join(t.TempDir(), "nobody"), "")
	if _, err := c.Gatherer().Gather(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("error is %v, want unavailable", err)
	}
	address, _ := breaking(t, 0, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.Copy(w, strings.NewReader("no metrics {\n"))
	}))
	if _, err := dial(t, address, "").Gatherer().Gather(); !fault.Is(err, fault.Internal) {
		t.Errorf("error is %v, want internal", err)
	}
}
