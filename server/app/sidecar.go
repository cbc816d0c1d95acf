package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"

	"focal/core/fault"
	"focal/core/pipeline"
	"focal/inference/sidecar"
)

// Sidecar is the inference sidecar with everything that belongs to it.
type Sidecar struct {
	listeners []net.Listener
	inherited *Inheritance // nil without a parent
	host      *Inference
	server    *sidecar.Server
	log       *slog.Logger
}

// NewSidecar builds the sidecar and opens what it listens on. libvips must be
// open.
func NewSidecar(c SidecarConfig, log *slog.Logger) (*Sidecar, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Sidecar{log: log}
	if err := s.listen(c); err != nil {
		return nil, errors.Join(err, s.Close(context.Background()))
	}
	if err := s.build(c); err != nil {
		return nil, errors.Join(err, s.Close(context.Background()))
	}
	return s, nil
}

func (s *Sidecar) listen(c SidecarConfig) error {
	if c.Inherited {
		var err error
		if s.inherited, err = Inherited(); err != nil {
			return err
		}
		s.listeners = append(s.listeners, s.inherited.Listener)
	}
	for _, address := range []string{c.Listen, c.Extra} {
		if address == "" {
			continue
		}
		l, err := listenAt(address)
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, l)
	}
	return nil
}

// listenAt opens unix:/path or host:port.
func listenAt(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		l, err := listenPrivately(path)
		if err != nil {
			return nil, fault.New(fault.Invalid, "app.listenAt", "%s: %w", address, err)
		}
		return l, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fault.New(fault.Invalid, "app.listenAt", "%s: %w", address, err)
	}
	return l, nil
}

func (s *Sidecar) build(c SidecarConfig) error {
	registry := newRegistry()
	var err error
	c.Models.Blackbox = blackboxOf(s.listeners[0].Addr(), c.Models.Models)
	idle := heldByGo()
	beside := func() int64 { return heldByGo() - idle }
	if s.host, err = openInference(c.Models, registry, beside); err != nil {
		return err
	}
	// The sidecar reads picture files with the same look, limits and slots as
	// the server.
	looker, err := pipeline.New(c.Pictures, nil)
	if err != nil {
		return err
	}
	sc := sidecar.DefaultConfig()
	sc.Version, sc.Token, sc.MaxBody, sc.Timeout = c.Version, c.Token, c.MaxBody, c.Timeout
	sc.Memory = c.Memory
	sc.MaxPixels, sc.Workers = int(c.Pictures.MaxPixels), c.Pictures.Workers
	sc.Metrics, sc.Log = registry, s.log
	s.server, err = sidecar.New(sc, s.host.Host, looker)
	return err
}

// Run serves until ctx ends or the parent lets go, then shuts down: stop
// accepting, answer what was accepted, unload the models.
func (s *Sidecar) Run(ctx context.Context) error {
	if s.inherited != nil {
		var leave context.CancelFunc
		ctx, leave = context.WithCancel(ctx)
		defer leave()
		stop := context.AfterFunc(s.inherited.Stay, leave)
		defer stop()
	}
	defer collectEarly(garbage)()
	served := make(chan error, len(s.listeners))
	for _, l := range s.listeners {
		s.log.Info("sidecar serving", "address", l.Addr().String())
		go func() { served <- s.server.Serve(l) }()
	}
	var err error
	if s.inherited != nil {
		err = s.inherited.Ready()
	}
	if err == nil {
		select {
		case err = <-served:
		case <-ctx.Done():
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	return errors.Join(err, s.Close(ctx))
}

// Close takes down what was built, whatever that is.
func (s *Sidecar) Close(ctx context.Context) error {
	var errs []error
	if s.server != nil {
		errs = append(errs, s.server.Close(ctx))
	}
	for _, l := range s.listeners {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.host != nil {
		errs = append(errs, s.host.Close(ctx))
	}
	return errors.Join(errs...)
}
