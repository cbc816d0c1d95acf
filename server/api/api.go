// Package api is the HTTP face of the image server: routes, admission,
// answers, errors.
//
// fasthttp lives here and nowhere else: a *fasthttp.RequestCtx dies when its
// handler returns, so every byte that goes further is copied at the door. The
// package knows nothing of inference beyond the headers that speak of it, and
// nothing of how a picture is made. It owns the listener's goroutines, which
// end with Close.
//
// fasthttp neither recovers panics, nor bounds a handler's time, nor notices a
// client that leaves: the first two are done here, and a request whose client
// left works on to its deadline.
package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/server/results"
	"focal/server/source"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// Sources fetches originals.
type Sources interface {
	// Fetch returns the original that ref names; its Release gives its memory
	// back.
	Fetch(ctx context.Context, ref string) (*source.Original, error)
	// Location returns where a client can get the original by itself; false
	// means that no such place may be named.
	Location(ref string) (url string, ok bool)
	// Purge forgets what is kept of ref; see source.Fetcher.
	Purge(ref string) (place pixel.Digest, forgotten []pixel.Digest, err error)
	// Receive takes an upload in place of an original.
	Receive(ctx context.Context, body io.Reader) (*source.Original, error)
}

// Studio makes pictures of uploads, which nobody keeps.
type Studio interface {
	Compose(ctx context.Context, c pipeline.Composition) (pipeline.Result, error)
	About(ctx context.Context, file []byte) (pipeline.About, error)
}

// Pictures makes pictures, or has them.
type Pictures interface {
	Make(ctx context.Context, r results.Request) (results.Result, error)
	// Purge deletes the pictures of sources; see results.Keeper.
	Purge(ctx context.Context, place pixel.Digest, contents []pixel.Digest) ([]pixel.Digest, error)
}

// Config bounds and describes the server.
type Config struct {
	Version string
	Timeout time.Duration // of one request, all its waits included (--timeout)
	// Admitted is how many requests may be under way or waiting; more are
	// refused before any work (--queue).
	Admitted int
	// SignKeys makes the server refuse pictures whose URL none of them signed
	// (--sign-key); none: URLs need no signature.
	SignKeys []string
	// PurgeToken and SignKeys are the bearer tokens that may purge; with none
	// nobody may.
	PurgeToken string
	// Presets are option lists by name (--presets); OnlyPresets serves no
	// other (--only-presets).
	Presets     map[string]string
	OnlyPresets bool
	// Ready answers /readyz: a value for JSON, and whether the server is ready.
	Ready func(ctx context.Context) (body any, ready bool)
	// Samples lists sources that the start page links to.
	Samples func() []string
	// Configured says whether there is any place that path sources come from.
	Configured bool
	Registry   prometheus.Registerer
	Gatherer   prometheus.Gatherer
	Log        *slog.Logger
}

// DefaultConfig returns a half-minute timeout and room for 128 requests.
func DefaultConfig() Config {
	return Config{Version: "dev", Timeout: 30 * time.Second, Admitted: 128, Log: slog.New(slog.DiscardHandler)}
}

// Validate reports unusable values.
func (c Config) Validate() error {
	switch {
	case c.Timeout <= 0:
		return fmt.Errorf("--timeout %s: want more than nothing", c.Timeout)
	case c.Admitted < 1:
		return fmt.Errorf("--queue %d: want at least 1", c.Admitted)
	case c.Ready == nil, c.Samples == nil, c.Registry == nil, c.Gatherer == nil, c.Log == nil:
		return errors.New("api: Ready, Samples, Registry, Gatherer and Log must be set")
	}
	return nil
}

// Server answers requests. It is safe for concurrent use.
type Server struct {
	config   Config
	sources  Sources
	pictures Pictures
	studio   Studio
	presets  presets
	metrics  *metrics
	http     *fasthttp.Server
	scrape   fasthttp.RequestHandler

	admitted atomic.Int64  // transform requests under way or waiting
	serial   atomic.Uint64 // makes request ids unique within the process
}

// The largest request head: signed URLs with long option lists reach 5 kB.
const maxHead = 32 << 10

// New builds a server.
func New(c Config, sources Sources, pictures Pictures, studio Studio) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	presets, err := newPresets(c.Presets, c.OnlyPresets)
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, sources: sources, pictures: pictures, studio: studio, presets: presets}
	s.metrics = newMetrics(c.Registry, func() float64 { return float64(s.admitted.Load()) })
	s.scrape = scrapeHandler(c.Gatherer)
	s.http = &fasthttp.Server{
		Name:           "focal",
		Handler:        s.handle,
		ErrorHandler:   s.refuseUnread,
		ReadBufferSize: maxHead,
		ReadTimeout:    30 * time.Second,
		WriteTimeout:   2 * time.Minute,
		IdleTimeout:    2 * time.Minute,
		// Bodies are read by their routes, within their limits.
		StreamRequestBody:             true,
		MaxRequestBodySize:            64 << 10, // what is read ahead of them
		DisablePreParseMultipartForm:  true,
		DisableHeaderNamesNormalizing: false,
		NoDefaultContentType:          true,
		CloseOnShutdown:               true,
		Logger:                        quiet{c.Log},
	}
	return s, nil
}

// Serve answers on l until Close; it returns nil then.
func (s *Server) Serve(l net.Listener) error { return s.http.Serve(l) }

// Close stops accepting and waits for the requests under way, until ctx ends.
func (s *Server) Close(ctx context.Context) error { return s.http.ShutdownWithContext(ctx) }

// quiet takes fasthttp's own messages, which speak of single connections, as
// debug output.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(format string, args ...any) { q.log.Debug(fmt.Sprintf(format, args...)) }
