package api

import (
	"bytes"
	"errors"
	"fmt"
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

// methods says which methods a route has, and whether the request's is one.
func methods(ctx *fasthttp.RequestCtx, route string) (allowed string, good bool) {
	if route == "purge" {
		return "POST", ctx.IsPost()
	}
	return "GET, HEAD", ctx.IsGet() || ctx.IsHead()
}

// routeOf names the route of a path; the names are the metrics' label.
func routeOf(path string) string {
	switch {
	case strings.HasPrefix(path, imagePrefix):
		return "image"
	case path == "/healthz", path == "/readyz", path == "/metrics", path == "/purge":
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
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		s.text(ctx, fasthttp.StatusRequestEntityTooLarge, "the request body is too large\n")
	default:
		s.text(ctx, fasthttp.StatusBadRequest, "the request could not be read\n")
	}
	s.metrics.request("unread", ctx.Response.StatusCode(), 0)
}
