package sidecar

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"focal/core/fault"
	"focal/inference"
)

// DialConfig is what the client end may be told.
type DialConfig struct {
	// Address is unix:/path or http://host:port.
	Address string
	// Token is sent as a bearer token. Over TCP results are stored under the
	// source's content only where the sidecar knows the same token.
	Token string
	// Timeout is the longest that a question may take whose context has no
	// deadline (--timeout).
	Timeout time.Duration
	// StatusTimeout is the longest that Status and a Gatherer wait.
	StatusTimeout time.Duration
	// ConnectTimeout is the longest that a TCP connection may take to be there. In
	// a Unix socket's backlog a question waits for as long as it has time.
	ConnectTimeout time.Duration
	// IdleConnections is how many connections are kept for later requests.
	IdleConnections int
}

// DefaultDialConfig returns everything but the address.
func DefaultDialConfig() DialConfig {
	return DialConfig{Timeout: 30 * time.Second, StatusTimeout: 2 * time.Second, ConnectTimeout: 2 * time.Second, IdleConnections: 64}
}

// Validate reports the first field that cannot work.
func (c DialConfig) Validate() error {
	const op = "sidecar.DialConfig"
	if _, _, err := splitAddress(c.Address); err != nil {
		return fault.New(fault.Invalid, op, "--inference: %w", err)
	}
	switch {
	case c.Timeout <= 0 || c.StatusTimeout <= 0 || c.ConnectTimeout <= 0:
		return fault.New(fault.Invalid, op, "timeouts are %v, %v and %v: want more than 0", c.Timeout, c.StatusTimeout, c.ConnectTimeout)
	case c.IdleConnections <= 0:
		return fault.New(fault.Invalid, op, "idle connections are %d: want more than 0", c.IdleConnections)
	}
	return nil
}

// splitAddress returns the base URL of an address, and the path of its socket
// where it is one.
func splitAddress(address string) (base *url.URL, socket string, err error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path == "" {
			return nil, "", fmt.Errorf("address %q has no path", address)
		}
		return &url.URL{Scheme: "http", Host: "sidecar"}, path, nil
	}
	base, err = url.Parse(address)
	if err != nil {
		return nil, "", err
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil || strings.Trim(base.Path, "/") != "" || base.RawQuery != "" {
		return nil, "", fmt.Errorf("address %q: want unix:/path or http://host:port", address)
	}
	base.Path = ""
	return base, "", nil
}

// Client asks a sidecar. It is safe for concurrent use.
type Client struct {
	cfg  DialConfig
	base *url.URL
	http *http.Transport
}

var _ inference.Client = (*Client)(nil)

// Dial makes a client. It connects with the first question: a sidecar that is
// not there yet is no error here.
func Dial(cfg DialConfig) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	base, socket, err := splitAddress(cfg.Address)
	if err != nil {
		return nil, fault.New(fault.Invalid, "sidecar.Dial", "%w", err)
	}
	// A zero Transport: no proxy, no compression, no redirects.
	t := &http.Transport{
		MaxIdleConnsPerHost: cfg.IdleConnections,
		IdleConnTimeout:     time.Minute, // before the server's: the client closes first
		DisableCompression:  true,
	}
	t.DialContext = (&net.Dialer{Timeout: cfg.ConnectTimeout}).DialContext
	if socket != "" {
		var d net.Dialer
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", socket)
		}
	}
	return &Client{cfg: cfg, base: base, http: t}, nil
}

// Close closes the connections that are not in use; requests under way finish.
func (c *Client) Close(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// Faces asks for the faces of a subject.
func (c *Client) Faces(ctx context.Context, r inference.FacesRequest) (inference.Faces, error) {
	return askFaces(ctx, r, c.ask)
}

// Foreground asks for the foreground mask of a subject.
func (c *Client) Foreground(ctx context.Context, r inference.ForegroundRequest) (inference.Foreground, error) {
	return askForeground(ctx, r, c.ask)
}

// ask puts one question:
//
//  1. By content: nothing is decoded for what is known.
//  2. What is not known needs a look; without one the answer is NotFound.
//  3. The look goes over as raw pixels, named by the source's content.
func (c *Client) ask(ctx context.Context, q inquiry) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout) // no longer than ctx's own deadline
	defer cancel()
	m := q.byContent() // 1
	got, err := c.exchange(ctx, m)
	known, err := readReply(m, got, err)
	if !fault.Is(err, fault.NotFound) || q.subject.Look == nil { // 2
		return known, err
	}
	look, err := q.look(ctx)
	if err != nil {
		return reply{}, err
	}
	m = q.byLook(look) // 3
	got, err = c.exchange(ctx, m)
	return readReply(m, got, err)
}

// Status asks /readyz. A sidecar that does not answer is down; whoever started
// it as a child knows better whether it is only starting.
func (c *Client) Status(ctx context.Context) inference.Status {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.StatusTimeout)
	defer cancel()
	down := func(err error) inference.Status {
		return inference.Status{State: inference.StateDown, Reason: err.Error()}
	}
	got, err := c.exchange(ctx, message{op: "sidecar.Client.Status", method: http.MethodGet, path: "/readyz"})
	if err != nil {
		return down(err)
	}
	var body readyBody
	if err := json.Unmarshal(got.body, &body); err != nil || body.Inference.State == "" {
		return down(fmt.Errorf("%s answered /readyz with status %d and no state", c.cfg.Address, got.status))
	}
	return body.Inference
}
