package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"focal/core/fault"
	"focal/inference"
	"focal/inference/sidecar"

	"github.com/prometheus/client_golang/prometheus"
)

// half is the inference half of the house as the image server sees it,
// wherever it runs.
type half struct {
	client inference.Client
	// gatherer brings the figures of another process; nil where there is none.
	gatherer prometheus.Gatherer
	// firstStart is closed once it is known whether inference works.
	firstStart <-chan struct{}
	close      func(context.Context) error
}

// openHalf builds the inference half that c.Inference names.
func openHalf(c ServeConfig, metrics prometheus.Registerer, log *slog.Logger) (*half, error) {
	switch {
	case c.Inference == "off":
		return &half{client: inference.Off{}, firstStart: closed(), close: nothing}, nil
	case c.Inference == "embedded":
		h, err := OpenInference(c.Models, metrics)
		if err != nil {
			return nil, err
		}
		return &half{client: h, firstStart: closed(), close: h.Close}, nil
	case c.Inference == "spawn":
		return spawn(c, metrics, log)
	case strings.HasPrefix(c.Inference, "unix:"), strings.HasPrefix(c.Inference, "http://"), strings.HasPrefix(c.Inference, "https://"):
		if strings.Contains(c.Inference, ",") {
			return openPool(c, metrics, log)
		}
		client, err := dial(c.Inference, c.Token, c.Timeout)
		if err != nil {
			return nil, err
		}
		return &half{client: client, gatherer: client.Gatherer(), firstStart: closed(), close: client.Close}, nil
	default:
		return nil, fault.New(fault.Invalid, "app.openHalf", "--inference %q: want spawn, embedded, off, or the addresses of sidecars, unix:/path or http://host:port, with commas between", c.Inference)
	}
}

// openPool connects to sidecars that others run.
func openPool(c ServeConfig, metrics prometheus.Registerer, log *slog.Logger) (*half, error) {
	pc := sidecar.DefaultPoolConfig()
	pc.Addresses, pc.Log = strings.Split(c.Inference, ","), log
	pc.Dial.Token, pc.Dial.Timeout = c.Token, c.Timeout
	pool, err := sidecar.DialPool(pc)
	if err != nil {
		return nil, err
	}
	if err := metrics.Register(pool); err != nil {
		return nil, errors.Join(fault.New(fault.Internal, "app.openPool", "metrics: %w", err), pool.Close(context.Background()))
	}
	return &half{client: pool, gatherer: pool.Gatherer(), firstStart: closed(), close: pool.Close}, nil
}

// spawn starts the sidecar as a child and connects to it.
func spawn(c ServeConfig, metrics prometheus.Registerer, log *slog.Logger) (*half, error) {
	cc := DefaultChildConfig()
	cc.Args, cc.Log = c.Child, log
	// The child's lines are log lines already.
	cc.Output = func(line string) { fmt.Fprintln(os.Stderr, line) }
	cc.Env = append(cc.Env, c.ChildEnv...)
	child, err := StartChild(cc, metrics)
	if err != nil {
		return nil, err
	}
	client, err := dial(child.Address(), "", c.Timeout)
	if err != nil {
		return nil, errors.Join(err, child.Close(context.Background()))
	}
	return &half{
		client:     supervised{client, child},
		gatherer:   client.Gatherer(),
		firstStart: child.FirstStart(),
		close: func(ctx context.Context) error {
			return errors.Join(client.Close(ctx), child.Close(ctx))
		},
	}, nil
}

func dial(address, token string, timeout time.Duration) (*sidecar.Client, error) {
	c := sidecar.DefaultDialConfig()
	c.Address, c.Token, c.Timeout = address, token, timeout
	return sidecar.Dial(c)
}

// supervised is a client whose other end is a child of ours: while the child
// is known to be down nobody waits for it, and the supervisor's word about its
// state is better than silence on a socket.
type supervised struct {
	*sidecar.Client
	child *Child
}

var _ inference.Client = supervised{}

func (s supervised) up() error {
	if state, reason := s.child.State(); state == inference.StateDown {
		return fault.New(fault.Unavailable, "app.supervised", "the inference sidecar is down: %s", reason)
	}
	return nil
}

// Faces asks the child.
func (s supervised) Faces(ctx context.Context, r inference.FacesRequest) (inference.Faces, error) {
	if err := s.up(); err != nil {
		return inference.Faces{}, err
	}
	return s.Client.Faces(ctx, r)
}

// Foreground asks the child.
func (s supervised) Foreground(ctx context.Context, r inference.ForegroundRequest) (inference.Foreground, error) {
	if err := s.up(); err != nil {
		return inference.Foreground{}, err
	}
	return s.Client.Foreground(ctx, r)
}

// Status is the child's own where it answers, else the supervisor's.
func (s supervised) Status(ctx context.Context) inference.Status {
	if state, reason := s.child.State(); state != inference.StateReady {
		return inference.Status{State: state, Reason: reason}
	}
	return s.Client.Status(ctx)
}

// closed returns a channel that is closed already.
func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func nothing(context.Context) error { return nil }

// gatherers joins our figures with another process's.
func (h *half) gatherers(own prometheus.Gatherer) prometheus.Gatherer {
	if h.gatherer == nil {
		return own
	}
	return prometheus.Gatherers{own, h.gatherer}
}
