// Package sidecar is both ends of the inference socket: Server offers an
// inference.Client over plain HTTP, Client is an inference.Client that asks
// such a server. Server and Client of one version understand each other; the
// routes are also for strangers, see docs/inference-api.md.
//
// It knows headers, bodies and kinds. It must not know which models there are
// or how they run (that is behind inference.Client), and it opens no picture
// files itself (that is behind Looker). HTTP numbers stand in status.go only.
//
// Server owns the connections of its listeners and the bodies it holds, Close
// ends both. Client owns its idle connections. Neither starts a goroutine of
// its own beyond those of net/http.
package sidecar

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
)

// Looker reads picture files. Errors are of the kinds of core/fault.
type Looker interface {
	// Look makes the look of a file by the rules of pixel.LookVersion, and
	// says how large the oriented source is.
	Look(ctx context.Context, file []byte) (look pixel.Buffer, source pixel.Size, err error)
	// Cutout draws the file with mask as its alpha: an RGBA PNG of the
	// oriented picture's size.
	Cutout(ctx context.Context, file []byte, mask pixel.Mask) (png []byte, err error)
}

// Config is what the server end may be told.
type Config struct {
	// Token makes a caller over TCP trusted, as a bearer token; empty: only
	// callers over the Unix socket are.
	Token string
	// MaxBody is the largest request body in bytes (--max-source-bytes).
	MaxBody int64
	// MaxPixels bounds the masks and cut-outs drawn here (--max-pixels).
	MaxPixels int
	// Memory is how many bytes of bodies of callers that are not trusted may
	// be held at once (--source-memory). The image server is not counted: it
	// sends small looks, after an admission of its own.
	Memory int64
	// Timeout is the longest that a request may take, and how long it takes
	// at most without a Focal-Timeout (--timeout).
	Timeout time.Duration
	// Workers is how many masks are enlarged and encoded side by side
	// (--workers).
	Workers int
	// Version is what /readyz and /openapi.json say.
	Version string
	// Metrics is what /metrics gathers; nil: nothing.
	Metrics prometheus.Gatherer
	// Log takes panics and internal errors; nil: slog.Default.
	Log *slog.Logger
}

// DefaultConfig returns the limits of `focal sidecar` without flags.
func DefaultConfig() Config {
	return Config{
		MaxBody:   100e6,
		MaxPixels: 100e6,
		Memory:    256 << 20,
		Timeout:   30 * time.Second,
		Workers:   runtime.GOMAXPROCS(0),
		Version:   "dev",
	}
}

// Validate reports the first field that cannot work.
func (c Config) Validate() error {
	const op = "sidecar.Config"
	switch {
	case c.MaxBody <= 0:
		return fault.New(fault.Invalid, op, "--max-source-bytes is %d: want more than 0", c.MaxBody)
	case c.MaxPixels <= 0:
		return fault.New(fault.Invalid, op, "--max-pixels is %d: want more than 0", c.MaxPixels)
	case c.Memory < c.MaxBody:
		return fault.New(fault.Invalid, op, "--source-memory (%d) is smaller than --max-source-bytes (%d): one body would never fit", c.Memory, c.MaxBody)
	case c.Timeout <= 0:
		return fault.New(fault.Invalid, op, "--timeout is %v: want more than 0", c.Timeout)
	case c.Workers <= 0:
		return fault.New(fault.Invalid, op, "--workers is %d: want more than 0", c.Workers)
	}
	return nil
}

// Server answers the routes of the inference endpoint.
type Server struct {
	cfg     Config
	client  inference.Client
	tensors Tensors // the client; nil where it is none
	looker  Looker
	log     *slog.Logger
	memory  *semaphore.Weighted // bytes of bodies of callers that are not trusted
	draw    *semaphore.Weighted // masks being enlarged and encoded
	http    *http.Server
}

// New makes a server that asks client. Where that is a Tensors, the Open
// Inference Protocol is served too. Without a looker it takes raw pixels only
// and answers 415 to files.
func New(cfg Config, client inference.Client, looker Looker) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Server{
		cfg: cfg, client: client, looker: looker, log: cfg.Log,
		memory: semaphore.NewWeighted(cfg.Memory),
		draw:   semaphore.NewWeighted(int64(cfg.Workers)),
	}
	s.tensors, _ = client.(Tensors)
	s.http = &http.Server{
		Handler:           s.mux(),
		ReadHeaderTimeout: 10 * time.Second,
		// Counted from the end of the headers: the request's own time, and as
		// much again for a slow reader of the answer. Bodies have the
		// request's own deadline, see readBody.
		WriteTimeout:   2 * cfg.Timeout,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Serve answers connections of l until Close, and then returns nil. It may be
// called for several listeners: callers over a Unix socket are trusted.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fault.New(fault.Internal, "sidecar.Serve", "serve %s: %w", l.Addr(), err)
	}
	return nil
}

// Close stops accepting, lets requests under way finish until ctx ends, then
// breaks their connections.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err == nil {
		return nil
	}
	return fault.New(fault.Timeout, "sidecar.Close", "requests were still under way: %w", errors.Join(err, s.http.Close()))
}

// request is one request as the handlers see it.
type request struct {
	*http.Request
	w       http.ResponseWriter // for the limits of the body only: answers are returned
	trusted bool
}

// answer is a whole answer: it is made before anything is written, so that an
// error or a panic on the way always finds an unwritten response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func newAnswer(status int, contentType string, body []byte) answer {
	a := answer{status: status, header: http.Header{}, body: body}
	a.header.Set("Content-Type", contentType)
	return a
}

// jsonAnswer encodes v, which must be a value of this package that can be.
func jsonAnswer(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("encode %T: %w", v, err)) // a number that is not finite: a defect, recovered at the edge
	}
	return newAnswer(status, typeJSON, append(body, '\n'))
}

// handler makes the answer of one route and method.
type handler func(context.Context, *request) (answer, error)

// route is one path and what is served there.
type route struct {
	path    string
	methods map[string]http.Handler
}

// routes is the whole surface; openapi.json says the same in full.
func (s *Server) routes() []route {
	return append([]route{
		{"/v1/faces/{sha256}", s.get(s.getFaces)},
		{"/v1/foreground/{sha256}", s.get(s.getForeground)},
		{"/v1/faces", s.post(s.postFaces)},
		{"/v1/foreground", s.post(s.postForeground)},
		{"/healthz", s.get(s.healthz)},
		{"/readyz", s.get(s.readyz)},
		{"/openapi.json", s.get(s.openAPI)},
		{"/metrics", map[string]http.Handler{http.MethodGet: s.metrics(), http.MethodHead: s.metrics()}},
	}, s.tensorRoutes()...)
}

func (s *Server) get(h handler) map[string]http.Handler {
	return map[string]http.Handler{http.MethodGet: s.edge(h), http.MethodHead: s.edge(h)}
}

func (s *Server) post(h handler) map[string]http.Handler {
	return map[string]http.Handler{http.MethodPost: s.edge(h)}
}

// mux picks a route by path and then the handler by method. The patterns name
// no method, so that the refusals are ours and speak JSON.
func (s *Server) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.path, func(w http.ResponseWriter, req *http.Request) {
			h, ok := r.methods[req.Method]
			if !ok {
				allowed := make([]string, 0, len(r.methods))
				for m := range r.methods {
					allowed = append(allowed, m)
				}
				slices.Sort(allowed)
				s.write(w, req, methodAnswer(req.Method, strings.Join(allowed, ", ")))
				return
			}
			h.ServeHTTP(w, req)
		})
	}
	mux.Handle("/", s.edge(func(_ context.Context, r *request) (answer, error) {
		return answer{}, fault.New(fault.NotFound, "sidecar.mux", "nothing is served at %s; /openapi.json lists the routes", r.URL.Path)
	}))
	return mux
}

// edge turns a handler into HTTP: deadline, trust, recovery, errors.
func (s *Server) edge(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := s.handle(h, w, r)
		if err != nil {
			if fault.Is(err, fault.Internal) {
				s.log.Error("inference request", "method", r.Method, "path", r.URL.Path, "error", err)
			}
			s.drain(w, r, fault.KindOf(err))
			a = problemAnswer(err)
		}
		s.write(w, r, a)
	})
}

// handle runs h; a panic in it costs this request and nothing else.
func (s *Server) handle(h handler, w http.ResponseWriter, r *http.Request) (a answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Internal, "sidecar.handle", "panic: %v\n%s", p, debug.Stack())
		}
	}()
	trusted, err := s.trusts(r)
	if err != nil {
		return answer{}, err
	}
	timeout, err := s.timeout(r.Header)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	return h(ctx, &request{Request: r, w: w, trusted: trusted})
}

// drain reads what a caller is still sending before it is refused: most read
// the answer only when they have sent all, and breaking off would reset the
// connection and lose the reason. Who waits for a 100-continue has sent
// nothing, and need not; who was too slow gets no more time.
func (s *Server) drain(w http.ResponseWriter, r *http.Request, kind fault.Kind) {
	if r.ContentLength == 0 || r.Header.Get("Expect") != "" || kind == fault.Timeout || kind == fault.Canceled {
		return
	}
	const patience = 5 * time.Second
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience)); err != nil {
		return // the connection is gone
	}
	if _, err := io.CopyN(io.Discard, r.Body, s.cfg.MaxBody); err != nil && err != io.EOF {
		s.log.Debug("read the rest of a refused body", "path", r.URL.Path, "error", err)
	}
}

// trusts reports whether r comes over the Unix socket or brings the token. A
// token that is not ours is refused rather than ignored: its sender believes
// to be trusted.
func (s *Server) trusts(r *http.Request) (bool, error) {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && addr.Network() == "unix" {
		return true, nil
	}
	token, brought := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if s.cfg.Token == "" || !brought {
		return false, nil
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.cfg.Token)) != 1 {
		return false, fault.New(fault.Forbidden, "sidecar.trusts", "the bearer token is not the one of this sidecar")
	}
	return true, nil
}

// timeout returns how long a request may take.
func (s *Server) timeout(h http.Header) (time.Duration, error) {
	value := h.Get(headerTimeout)
	if value == "" {
		return s.cfg.Timeout, nil
	}
	asked, err := parseTimeout(value)
	if err != nil {
		return 0, fault.New(fault.Invalid, "sidecar.timeout", "%w", err)
	}
	return min(asked, s.cfg.Timeout), nil
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, a answer) {
	for key, values := range a.header {
		w.Header()[key] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(a.status)
	if _, err := w.Write(a.body); err != nil && r.Context().Err() == nil {
		s.log.Debug("inference answer", "path", r.URL.Path, "error", err)
	}
}
