package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"focal/core/fault"

	"github.com/valyala/fasthttp"
)

const imagePrefix = "/cdn-cgi/image/"

// handle routes a request. The path is taken as it was sent: fasthttp's own
// reading folds "https://" into "https:/", decodes %2F and resolves "..", all
// of which would change what the source is.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	start := time.Now()
	path, query := target(ctx.Request.Header.RequestURI())
	route := routeOf(path)
	defer func() {
		if v := recover(); v != nil {
			s.config.Log.Error("panic in a request", "route", route, "path", path, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			s.fail(ctx, fault.New(fault.Internal, "api.handle", "internal error"))
		}
		s.leave(ctx, route)
		s.metrics.request(route, ctx.Response.StatusCode(), time.Since(start))
	}()
	ctx.Response.Header.Set("X-Content-Type-Options", "nosniff")
	if allowed, good := methods(ctx, route); !good {
		ctx.Response.Header.Set("Allow", allowed)
		s.text(ctx, fasthttp.StatusMethodNotAllowed, "method not allowed: want "+allowed+"\n")
		return
	}
	switch route {
	case "purge":
		s.purge(ctx)
	case "transform", "info":
		s.binding(ctx, route)
	case "image":
		s.image(ctx, strings.TrimPrefix(path, imagePrefix), query)
	case "healthz":
		s.text(ctx, fasthttp.StatusOK, "ok\n")
	case "readyz":
		s.ready(ctx)
	case "metrics":
		s.scrape(ctx)
	case "start":
		s.start(ctx)
	default:
		s.text(ctx, fasthttp.StatusNotFound, "not found: pictures are at /cdn-cgi/image/<options>/<source>\n")
	}
}

// leave ends a request. What is left of its body would be taken for the next one:
// a little is read, so that an early answer arrives, before more of it the
// connection is closed.
func (s *Server) leave(ctx *fasthttp.RequestCtx, route string) {
	const little = 1 << 20
	if route == "transform" || route == "info" {
		tellBinding(&ctx.Response.Header)
	}
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return
	}
	if _, err := io.CopyN(io.Discard, stream, little); err != io.EOF {
		ctx.SetConnectionClose()
	}
}

// small reads a body of at most limit bytes.
func small(ctx *fasthttp.RequestCtx, limit int64) ([]byte, error) {
	const op = "api.body"
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(stream, limit+1))
	switch {
	case err != nil:
		return nil, bodyError(op, err)
	case int64(len(body)) > limit:
		return nil, fetchError{fault.New(fault.TooLarge, op, "the request body is larger than %d bytes", limit)}
	}
	return body, nil
}

// bodyError gives an error of reading a body a kind.
func bodyError(op string, err error) error {
	var known *fault.Error
	var network net.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return fault.New(fault.Timeout, op, "the request body took too long")
	default:
		return fault.New(fault.Invalid, op, "the request body could not be read: %w", err)
	}
}

// methods says which methods a route has, and whether the request's is one.
func methods(ctx *fasthttp.RequestCtx, route string) (allowed string, good bool) {
	switch route {
	case "purge", "transform", "info":
		return "POST", ctx.IsPost()
	}
	return "GET, HEAD", ctx.IsGet() || ctx.IsHead()
}

// routeOf names the route of a path; the names are the metrics' label.
func routeOf(path string) string {
	switch {
	case strings.HasPrefix(path, imagePrefix):
		return "image"
	case path == "/healthz", path == "/readyz", path == "/metrics", path == "/purge", path == "/transform", path == "/info":
		return path[1:]
	case path == "/":
		return "start"
	default:
		return "other"
	}
}

// target splits a request target (RFC 9112 §3.2) into path and query, and
// drops scheme and host of the absolute form. It copies.
func target(uri []byte) (path, query string) {
	if !bytes.HasPrefix(uri, []byte("/")) {
		if _, rest, ok := bytes.Cut(uri, []byte("://")); ok {
			if i := bytes.IndexByte(rest, '/'); i >= 0 {
				uri = rest[i:]
			} else {
				uri = []byte("/")
			}
		}
	}
	p, q, _ := bytes.Cut(uri, []byte("?"))
	return string(p), string(q)
}

// refuseUnread answers a request that fasthttp could not read.
func (s *Server) refuseUnread(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		s.text(ctx, fasthttp.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the request head is longer than %d bytes\n", maxHead))
	default:
		s.text(ctx, fasthttp.StatusBadRequest, "the request could not be read\n")
	}
	s.metrics.request("unread", ctx.Response.StatusCode(), 0)
}
