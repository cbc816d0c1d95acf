package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"focal/core/fault"
	"focal/core/pipeline"
	"focal/core/transform"
	"focal/server/results"
	"focal/server/source"

	"github.com/valyala/fasthttp"
)

// asked is a transform that has been understood.
type asked struct {
	list     string // the options as they were written
	options  transform.Options
	ref      string // the source, as it was sent
	warnings []string
}

// image answers a transform: admit, understand, fetch, make, answer. rest is
// what follows the prefix, as it was sent.
func (s *Server) image(ctx *fasthttp.RequestCtx, rest, query string) {
	id, work, done, ok := s.begin(ctx)
	if !ok {
		return
	}
	defer done()
	a, err := s.understand(ctx, rest, query)
	if err == nil {
		err = s.deliver(ctx, work, a)
	}
	if err == nil {
		return
	}
	kind := fault.KindOf(err)
	s.config.Log.Info("refused", "id", id, "kind", kind.String(), "error", err.Error(), "options", a.list, "source", a.ref)
	s.fail(ctx, err)
	if a.options.RedirectOnError {
		s.redirect(ctx, kind, a.ref)
	}
}

// begin admits a request and gives it its id and its time, all its waits
// included. done is its end; where ok is false it has been refused.
func (s *Server) begin(ctx *fasthttp.RequestCtx) (id string, work context.Context, done func(), ok bool) {
	id = s.requestID()
	ctx.Response.Header.Set("Focal-Request-Id", id)
	if !s.admit(ctx) {
		return id, nil, nil, false
	}
	// The client's leaving is not noticed, so the deadline is all that ends a
	// request early.
	work, cancel := context.WithTimeout(context.Background(), s.config.Timeout)
	return id, work, func() { cancel(); s.admitted.Add(-1) }, true
}

// admit counts a request in, which its caller counts out, or refuses it.
func (s *Server) admit(ctx *fasthttp.RequestCtx) bool {
	if n := s.admitted.Add(1); n > int64(s.config.Admitted) {
		s.admitted.Add(-1)
		s.fail(ctx, fault.New(fault.Busy, "api.admit", "%d requests are under way, the most that --queue allows", s.config.Admitted).After(time.Second))
		return false
	}
	return true
}

// understand checks the request and reads the URL: the signature covers it as
// it was sent, and what is left of the query belongs to the source.
func (s *Server) understand(ctx *fasthttp.RequestCtx, rest, query string) (a asked, err error) {
	if source.Looped(string(ctx.Request.Header.Peek("Via"))) {
		return a, fault.New(fault.Loop, "api.image", "this request comes from an image server that fetches its source here")
	}
	if len(s.config.SignKeys) > 0 {
		if query, err = verify(s.config.SignKeys, imagePrefix+rest, query, time.Now()); err != nil {
			return a, err
		}
	}
	if query != "" {
		rest += "?" + query
	}
	if a.list, a.ref, err = transform.Split(rest); err != nil {
		return a, err
	}
	if a.options, a.warnings, err = s.presets.parse(a.list); err != nil {
		return a, err
	}
	options, hints := a.options.Resolve(hintsOf(func(name string) string { return string(ctx.Request.Header.Peek(name)) }))
	a.options = options
	ctx.Response.Header.Set("Vary", varyOf(hints))
	return a, nil
}

// redirect turns an answer of failure into one that leads to the source, where
// there is a place to lead to. It does not where the request itself is wrong or
// not allowed, or the source is a transform: a redirect would go round the
// refusal, or in circles.
func (s *Server) redirect(ctx *fasthttp.RequestCtx, kind fault.Kind, ref string) {
	switch kind {
	case fault.Invalid, fault.Forbidden, fault.BadURL, fault.Loop:
		return
	}
	if location, ok := s.sources.Location(ref); ok {
		ctx.Response.Header.Set("Location", location)
		ctx.SetStatusCode(fasthttp.StatusFound)
	}
}

// deliver fetches the source, has the picture made and answers with it.
func (s *Server) deliver(ctx *fasthttp.RequestCtx, work context.Context, a asked) error {
	start := time.Now()
	original, err := s.sources.Fetch(work, a.ref)
	if err != nil {
		return fetchError{err}
	}
	defer original.Release()
	fetched := time.Since(start)

	result, err := s.pictures.Make(work, results.Request{
		Request: pipeline.Request{
			Source:  pipeline.Source{Bytes: original.Bytes, Digest: original.Digest},
			Options: a.options,
			Accept:  acceptOf(string(ctx.Request.Header.Peek("Accept"))),
		},
		Place: original.Place, Private: original.Private(),
	})
	if err != nil {
		return err
	}
	result.Warnings = slices.Concat(a.warnings, result.Warnings) // its own are shared with others
	s.answer(ctx, original, result, fetched)
	return nil
}

// fetchError marks an error of fetching the source: some kinds have other
// numbers there.
type fetchError struct{ error }

// Unwrap returns the error as it came.
func (e fetchError) Unwrap() error { return e.error }

// requestID returns a name for a request that is unique in the process; it is
// in the answer and in the log.
func (s *Server) requestID() string {
	return fmt.Sprintf("%x-%x", processStart, s.serial.Add(1))
}

var processStart = time.Now().UnixMilli()
