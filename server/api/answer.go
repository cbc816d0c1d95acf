package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"focal/core/fault"
	"focal/core/pipeline"
	"focal/server/results"
	"focal/server/source"

	"github.com/valyala/fasthttp"
)

// contentPolicy keeps a picture that is opened as a page from doing anything;
// it is the one that Cloudflare sends.
const contentPolicy = "default-src 'none'; navigate-to 'none'; form-action 'none'; img-src data:; style-src 'unsafe-inline';"

// degradedAge is how long a picture from the ladder may be kept: long enough
// to spare a part that is down, short enough that a cache forgets it.
const degradedAge = "public, max-age=10"

// answer writes a finished picture, or 304 where the client has it.
func (s *Server) answer(ctx *fasthttp.RequestCtx, original *source.Original, r results.Result, fetched time.Duration) {
	h := &ctx.Response.Header
	sum := sha256.Sum256(r.Body)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	h.Set("ETag", etag)
	h.Set("Content-Security-Policy", contentPolicy)
	if d := r.Findings.Degraded; d != nil {
		h.Set("Focal-Degraded", fmt.Sprintf("%s=%s; reason=%s", d.From, d.To, d.Reason))
	}
	switch {
	case r.Fleeting:
		h.Set("Cache-Control", "no-store")
	case r.Findings.Degraded != nil:
		h.Set("Cache-Control", degradedAge)
	default:
		header, warning := fresh(original.CacheControl)
		if header != "" {
			h.Set("Cache-Control", header)
		}
		if warning != "" {
			r.Warnings = append(r.Warnings, warning)
		}
	}
	if !original.LastModified.IsZero() {
		h.Set("Last-Modified", original.LastModified.UTC().Format(http.TimeFormat))
	}
	h.Set("Cache-Status", "focal; "+string(r.Status))
	h.Set("Accept-Ranges", "none") // a part of a picture that is made anew each time helps nobody
	if v := inferenceHeader(r.Facts); v != "" {
		h.Set("Focal-Inference", v)
	}
	for _, w := range r.Warnings {
		h.Add("Warning", `cf-images 299 "`+w+`"`)
	}
	t := r.Timing
	h.Set("Server-Timing", fmt.Sprintf("fetch;dur=%s, decode;dur=%s, infer;dur=%s, render;dur=%s",
		millis(fetched), millis(t.Decode), millis(t.Infer), millis(t.Render)))
	h.Set("Cf-Resized", fmt.Sprintf("internal=ok/m q=0 n=%d c=%d+%d v=%s l=%d",
		fetched.Milliseconds(), t.Decode.Milliseconds(), t.Render.Milliseconds(), s.config.Version, len(r.Body)))
	if s.unchanged(ctx, etag, original.LastModified) {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	ctx.SetContentType(r.ContentType)
	ctx.Response.SetBodyRaw(r.Body)
}

// inferenceHeader tells how each finding was made, one item a finding.
func inferenceHeader(facts []pipeline.Fact) string {
	var items []string
	for _, f := range facts {
		items = append(items, fmt.Sprintf("%s; model=%s; provider=%s; result=%s; %s", f.Task, f.Model, f.Provider, f.How, f.Detail))
	}
	return strings.Join(items, ", ")
}

// unchanged says whether the client has this very picture (RFC 9110 §13.2.2):
// If-None-Match decides alone where it is sent, else If-Modified-Since.
func (s *Server) unchanged(ctx *fasthttp.RequestCtx, etag string, modified time.Time) bool {
	if tags := ctx.Request.Header.Peek("If-None-Match"); tags != nil {
		return matches(string(tags), etag)
	}
	since, err := http.ParseTime(string(ctx.Request.Header.Peek("If-Modified-Since")))
	return err == nil && !modified.IsZero() && !modified.Truncate(time.Second).After(since)
}

// matches reads If-None-Match (RFC 9110 §13.1.2) with weak comparison.
func matches(header, etag string) bool {
	for item := range strings.SplitSeq(header, ",") {
		item = strings.TrimPrefix(strings.TrimSpace(item), "W/")
		if item == etag || item == "*" {
			return true
		}
	}
	return false
}

// millis writes a duration as Server-Timing does, in milliseconds.
func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64)
}

// text answers with plain text.
func (s *Server) text(ctx *fasthttp.RequestCtx, status int, body string) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(body)
}

// fail answers with an error in Cloudflare's form: text, a code, the header
// that clients test for.
func (s *Server) fail(ctx *fasthttp.RequestCtx, err error) {
	n := numbersOf(err)
	message := err.Error()
	if fault.Is(err, fault.Internal) {
		s.config.Log.Error("internal error", "error", err.Error())
		message = "internal error"
	}
	ctx.Response.ResetBody()
	h := &ctx.Response.Header
	h.Set("Cf-Resized", "err="+strconv.Itoa(n.code))
	h.Set("Cache-Control", "no-store")
	if after := fault.RetryAfter(err); n.status == fasthttp.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.Itoa(max(1, int((after+time.Second-1)/time.Second))))
	}
	s.text(ctx, n.status, fmt.Sprintf("ERROR %d: %s\n", n.code, oneLine(message)))
}

// oneLine keeps foreign text from breaking the form of an error.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// ready answers /readyz.
func (s *Server) ready(ctx *fasthttp.RequestCtx) {
	// Not the request's own context: who still watched that when the server
	// shuts down would race with it.
	work, cancel := context.WithTimeout(context.Background(), s.config.Timeout)
	defer cancel()
	body, ready := s.config.Ready(work)
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(body); err != nil {
		s.fail(ctx, fault.New(fault.Internal, "api.ready", "%w", err))
		return
	}
	if !ready {
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(b.Bytes())
}
