package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	"focal/core/fault"
	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/core/transform"
	"focal/server/results"
	"focal/server/source"

	"github.com/valyala/fasthttp"
)

// maxParts is how many parts a body of the binding may have: pictures and fields.
const maxParts = 40

// tellBinding gives an error the header that the binding's client reads its
// number from.
func tellBinding(h *fasthttp.ResponseHeader) {
	if v := h.Peek("Cf-Resized"); bytes.HasPrefix(v, []byte("err=")) {
		h.SetBytesV("Cf-Images-Binding", v)
	}
}

// binding answers what a worker's Images binding asks: POST /transform and POST
// /info.
func (s *Server) binding(ctx *fasthttp.RequestCtx, route string) {
	id, work, done, ok := s.begin(ctx)
	if !ok {
		return
	}
	defer done()
	if err := s.serveBinding(ctx, work, route); err != nil {
		s.config.Log.Info("refused", "id", id, "route", route, "kind", fault.KindOf(err).String(), "error", err.Error())
		s.fail(ctx, err)
	}
}

func (s *Server) serveBinding(ctx *fasthttp.RequestCtx, work context.Context, route string) error {
	const op = "api.binding"
	h := &ctx.Request.Header
	switch {
	case source.Looped(string(h.Peek("Via"))):
		return fault.New(fault.Loop, op, "this request comes from an image server that fetches its source here")
	case len(s.config.SignKeys) > 0 && !bears(string(h.Peek("Authorization")), s.config.SignKeys):
		return fault.New(fault.Forbidden, op, "want Authorization: Bearer with a --sign-key")
	case s.config.OnlyPresets && route == "transform":
		return fault.New(fault.Forbidden, op, "only presets are served here (--only-presets)")
	case ctx.RequestBodyStream() == nil:
		return fault.New(fault.Invalid, op, "want multipart/form-data")
	}
	start := time.Now()
	upload, err := s.sources.Receive(work, ctx.RequestBodyStream())
	if err != nil {
		return fetchError{bodyError(op, err)}
	}
	defer upload.Release()
	parts, err := partsOf(string(h.ContentType()), upload.Bytes, maxParts)
	if err != nil {
		return err
	}
	q, err := readQuestion(parts)
	if err != nil {
		return err
	}
	received := time.Since(start)
	if route == "info" {
		return s.about(ctx, work, q)
	}
	composition, warnings, err := q.composition()
	if err != nil {
		return err
	}
	made, err := s.studio.Compose(work, composition)
	if err != nil {
		return err
	}
	made.Warnings = append(warnings, made.Warnings...)
	s.answer(ctx, &source.Original{CacheControl: "no-store"}, results.Result{Result: made, Status: "fwd=bypass"}, received)
	return nil
}

// question is the body of a request, part by part.
type question struct {
	images [][]byte          // the canvas, then what is drawn, in the order of the parts
	fields map[string]string // the others
}

// fields are the parts that are no pictures.
var fields = []string{"transforms", "output_format", "output_quality", "background", "anim"}

func readQuestion(parts []part) (question, error) {
	const op = "api.binding"
	q := question{fields: map[string]string{}}
	for _, p := range parts {
		switch {
		case p.name == "image" && len(q.images) > 0:
			return q, fault.New(fault.Invalid, op, "image has to come first, and once")
		case p.name == "image", p.name == "draw_image" && len(q.images) > 0:
			q.images = append(q.images, p.body)
		case p.name == "text_input", p.name == "draw_text":
			return q, fault.New(fault.Unsupported, op, "%s: text is not drawn here", p.name)
		case slices.Contains(fields, p.name):
			q.fields[p.name] = string(p.body)
		default:
			return q, fault.New(fault.Invalid, op, "a part that is not known, or out of its order")
		}
	}
	if len(q.images) == 0 {
		return q, fault.New(fault.Invalid, op, "there is no image")
	}
	return q, nil
}

// composition reads what is asked for.
func (q question) composition() (c pipeline.Composition, warnings []string, err error) {
	program := q.fields["transforms"]
	if program == "" {
		program = "[]"
	}
	if c.Steps, warnings, err = transform.ParseProgram([]byte(program), len(q.images)); err != nil {
		return c, nil, err
	}
	c.Output, err = transform.ParseOutput(q.fields["output_format"], q.fields["output_quality"], q.fields["background"], q.fields["anim"])
	for _, file := range q.images {
		c.Images = append(c.Images, pipeline.Source{Bytes: file, Digest: pixel.Digest(sha256.Sum256(file))})
	}
	return c, warnings, err
}

// about is what /info answers. An SVG has no size in pixels.
type about struct {
	Format   string `json:"format"`
	FileSize int    `json:"file_size,omitempty"`
	Width    int    `json:"width,omitempty"`
	Height   int    `json:"height,omitempty"`
}

func (s *Server) about(ctx *fasthttp.RequestCtx, work context.Context, q question) error {
	a, err := s.studio.About(work, q.images[0])
	if err != nil {
		return err
	}
	answer := about{Format: a.ContentType}
	if a.Size != (pixel.Size{}) {
		answer.FileSize, answer.Width, answer.Height = a.Bytes, a.Size.Width, a.Size.Height
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return fault.New(fault.Internal, "api.about", "%w", err)
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
	return nil
}
