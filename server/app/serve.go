// Package app is the parts list: it builds every part of focal in the order in
// which they depend on each other, hands each what it needs, and takes them
// down in the reverse order.
//
// With bench it is the one place that sees both halves of the house, pictures
// and inference; what one needs of the other is adapted here. It decides
// nothing about pictures or models itself.
package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"focal/core/fault"
	"focal/core/pipeline"
	"focal/core/vips"
	"focal/server/api"
	"focal/server/source"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// drain is how long shutting down may take, from a fresh start: the context
// that ended the service has ended already.
const drain = 20 * time.Second

// Open starts libvips, once per process: main or TestMain calls it before it
// builds anything here, and nobody closes it. ONNX Runtime, which cannot be
// started twice either, is opened by the first part that runs models.
func Open(log *slog.Logger) error {
	c := vips.DefaultConfig()
	c.Log = func(message string) { log.Debug("libvips", "message", message) }
	return vips.Open(c)
}

// Server is the image server with everything that belongs to it.
type Server struct {
	listener net.Listener
	api      *api.Server
	half     *half
	sources  *source.Fetcher
	log      *slog.Logger
}

// NewServer builds the image server and opens its port. libvips must be open.
func NewServer(c ServeConfig, log *slog.Logger) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Server{log: log}
	var err error
	// The port comes first: a server that cannot have it should not start a
	// child and load models to find out.
	if s.listener, err = net.Listen("tcp", c.Listen); err != nil {
		return nil, fault.New(fault.Invalid, "app.NewServer", "--listen %s: %w", c.Listen, err)
	}
	if err := s.build(c); err != nil {
		return nil, errors.Join(err, s.Close(context.Background()))
	}
	return s, nil
}

func (s *Server) build(c ServeConfig) error {
	registry := newRegistry()
	var err error
	if s.sources, err = source.New(c.Sources); err != nil {
		return err
	}
	if s.half, err = openHalf(c, registry, s.log); err != nil {
		return err
	}
	c.Pictures.Observe = stepMetrics(registry)
	pictures, err := pipeline.New(c.Pictures, asker{s.half.client})
	if err != nil {
		return err
	}
	a := api.DefaultConfig()
	a.Version, a.Timeout, a.Log = c.Version, c.Timeout, s.log
	a.SignKeys, a.Presets, a.OnlyPresets = c.SignKeys, c.Presets, c.OnlyPresets
	a.Admitted = c.Pictures.Workers + c.Queue
	a.Configured = c.Sources.Root != "" || len(c.Sources.Origins) > 0
	a.Samples = func() []string { return samples(c.Sources.Root) }
	a.Ready = s.half.ready(c.Version)
	a.Registry, a.Gatherer = registry, s.half.gatherers(registry)
	s.api, err = api.New(a, s.sources, pictures)
	return err
}

// Address is where the server listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Run serves until ctx ends, then shuts down: stop accepting, drain, close the
// inference half, which finishes its batches.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.api.Serve(s.listener) }()
	s.log.Info("serving", "address", s.Address())
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		s.log.Info("shutting down")
	}
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	return errors.Join(err, s.Close(ctx))
}

// Close takes down what was built, whatever that is.
func (s *Server) Close(ctx context.Context) error {
	var errs []error
	if s.api != nil {
		errs = append(errs, s.api.Close(ctx))
	} else {
		errs = append(errs, s.listener.Close())
	}
	if s.half != nil {
		errs = append(errs, s.half.close(ctx))
	}
	if s.sources != nil {
		errs = append(errs, s.sources.Close(ctx))
	}
	return errors.Join(errs...)
}

// newRegistry returns a registry with Go's and the process's collectors.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "focal_vips_memory_bytes", Help: "Bytes that libvips holds in pixel buffers; decoders' memory is not in it.",
		}, func() float64 { now, _ := vips.Memory(); return float64(now) }),
	)
	return r
}

// stepMetrics returns the pipeline's observer.
func stepMetrics(r prometheus.Registerer) func(string, time.Duration) {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "focal_render_duration_seconds", Help: "Time of the steps of making a picture: probe, look, infer, render.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"step"})
	r.MustRegister(h)
	return func(step string, d time.Duration) { h.WithLabelValues(step).Observe(d.Seconds()) }
}
