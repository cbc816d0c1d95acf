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
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"focal/core/fault"
	"focal/core/pipeline"
	"focal/core/vips"
	"focal/server/api"
	"focal/server/results"
	"focal/server/source"
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
	results  *results.Keeper
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
	models := newHeard(s.half.client.Status)
	pictures, err := pipeline.New(c.Pictures, asker{s.half.client, models})
	if err != nil {
		return err
	}
	c.Results.Log = s.log
	if c.Results.Maker, err = maker(c); err != nil {
		return err
	}
	if s.results, err = results.New(c.Results, pictures, models); err != nil {
		return err
	}
	registry.MustRegister(caches{s.sources, s.results})
	a := api.DefaultConfig()
	a.Version, a.Timeout, a.Log, a.PurgeToken = c.Version, c.Timeout, s.log, c.PurgeToken
	a.SignKeys, a.Presets, a.OnlyPresets = c.SignKeys, c.Presets, c.OnlyPresets
	a.Admitted = c.Pictures.Workers + c.Queue
	a.Configured = c.Sources.Root != "" || len(c.Sources.Origins) > 0
	a.Samples = func() []string { return samples(c.Sources.Root) }
	a.Ready = s.half.ready(c.Version)
	a.Registry, a.Gatherer = registry, s.half.gatherers(registry)
	s.api, err = api.New(a, s.sources, s.results, pictures)
	return err
}

// maker names what every picture depends on that no request says: the program
// by its bytes, since a version may stand for many builds, the library that
// draws, and the limits.
func maker(c ServeConfig) (string, error) {
	program := []byte(c.Version)
	if c.Results.Dir != "" || c.Results.Bucket != "" { // what is in memory is of this process
		f, err := os.Open("/proc/self/exe")
		if err != nil {
			return "", fault.New(fault.Unavailable, "app.maker", "%w", err)
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return "", fault.New(fault.Unavailable, "app.maker", "%w", err)
		}
		program = h.Sum(nil)
	}
	p := c.Pictures
	return fmt.Sprintf("%x vips %s limits %d %d %d", program, vips.Version(), p.MaxPixels, p.MaxSide, p.MaxBytes), nil
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
	if s.results != nil {
		errs = append(errs, s.results.Close(ctx))
	}
	if s.half != nil {
		errs = append(errs, s.half.close(ctx))
	}
	if s.sources != nil {
		errs = append(errs, s.sources.Close(ctx))
	}
	return errors.Join(errs...)
}
