package sidecar

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"focal/core/fault"
)

// message is one request to a sidecar.
type message struct {
	op     string
	method string
	path   string
	query  url.Values
	header http.Header
	body   []byte
}

// response is an answer read to its end.
type response struct {
	status int
	header http.Header
	body   []byte
}

// send exchanges m, and turns an answer that is no 200 into its error.
func (c *Client) send(ctx context.Context, m message) (response, error) {
	got, err := c.exchange(ctx, m)
	return refused(m, got, err)
}

func refused(m message, got response, err error) (response, error) {
	if err == nil && got.status != http.StatusOK {
		err = parseProblem(m.op, got.status, got.header, got.body)
	}
	return got, err
}

// How a sidecar can be away. They are in the chain of an Unavailable error.
var (
	errNobody = errors.New("nobody answers there")
	errBroken = errors.New("the connection broke")
)

// tries is how often a question is sent whose connection breaks. A question may
// end the sidecar twice: from then on it is refused by name (host.Config.Blackbox),
// and whoever was in the same boat is answered.
const tries = 3

// exchange sends m and reads the answer. Where the connection broke the sidecar
// was killed over it: once more, over a fresh connection, which waits in the
// listener's backlog until the next sidecar is there or the caller's time is
// over. The kept connections lead to the dead one too and are dropped first.
func (c *Client) exchange(ctx context.Context, m message) (got response, err error) {
	for range tries {
		if got, err = c.once(ctx, m); !errors.Is(err, errBroken) {
			break
		}
		c.http.CloseIdleConnections()
	}
	return got, err
}

// once sends m and reads the answer:
//
//  1. An answer of any status is an answer.
//  2. The caller's time is over: Timeout or Canceled.
//  3. No connection: nobody listens there (Unavailable), or so many wait that
//     the backlog is full (Busy).
//  4. The connection broke: Unavailable.
func (c *Client) once(ctx context.Context, m message) (response, error) {
	got, err := c.try(ctx, m)
	if err == nil { // 1
		return got, nil
	}
	if ctx.Err() != nil { // 2
		return got, fault.New(fault.KindOf(ctx.Err()), m.op, "no answer from the inference sidecar in time: %w", ctx.Err())
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" { // 3
		if errors.Is(err, syscall.EAGAIN) {
			return got, fault.New(fault.Busy, m.op, "the inference socket's backlog is full: %w", err).After(time.Second)
		}
		return got, fault.New(fault.Unavailable, m.op, "no inference sidecar at %s: %w (%w)", c.cfg.Address, errNobody, err)
	}
	return got, fault.New(fault.Unavailable, m.op, "the inference sidecar at %s was lost over a question: %w (%w)", c.cfg.Address, errBroken, err) // 4
}

// try sends m once. Errors are those of the connection.
func (c *Client) try(ctx context.Context, m message) (response, error) {
	target := *c.base
	target.Path, target.RawQuery = m.path, m.query.Encode()
	req, err := http.NewRequestWithContext(ctx, m.method, target.String(), bytes.NewReader(m.body))
	if err != nil {
		return response{}, err
	}
	for key, values := range m.header {
		req.Header[key] = values
	}
	if c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	if deadline, ok := ctx.Deadline(); ok {
		// Relative, because the clocks of two machines differ.
		req.Header.Set(headerTimeout, strconv.FormatInt(max(0, time.Until(deadline).Milliseconds()), 10))
	}
	resp, err := c.http.RoundTrip(req)
	if err != nil {
		return response{}, err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return response{}, err
	}
	return response{status: resp.StatusCode, header: resp.Header, body: body}, nil
}
