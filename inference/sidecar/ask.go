package sidecar

import (
	"context"
	"net/url"
	"strconv"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
)

// question is what the query string of both findings asks.
type question struct {
	model     string
	threshold *float64
	maxFaces  int
	frame     int
	priority  int
}

// parseQuestion reads a query string. Unknown parameters are refused: a
// misspelt threshold must not pass as an answer.
func parseQuestion(query string, known ...string) (question, url.Values, error) {
	const op = "sidecar.parseQuestion"
	values, err := url.ParseQuery(query)
	if err != nil {
		return question{}, nil, fault.New(fault.Invalid, op, "query: %w", err)
	}
	var q question
	for name := range values {
		value := values.Get(name)
		ok := false
		for _, k := range known {
			ok = ok || k == name
		}
		if !ok {
			return q, nil, fault.New(fault.Invalid, op, "unknown parameter %q; known here: %v", name, known)
		}
		switch name {
		case "model":
			q.model = value
		case "threshold":
			var t float64
			t, err = parseThreshold(value)
			q.threshold = &t
		case "max_faces":
			q.maxFaces, err = parseCount(value)
		case "frame":
			q.frame, err = parseCount(value)
		case "priority":
			q.priority, err = parseCount(value)
		}
		if err != nil {
			return q, nil, fault.New(fault.Invalid, op, "%s: %w", name, err)
		}
	}
	return q, values, nil
}

func parseCount(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err
}

// class returns the share of the device that r counts to.
func (r *request) class() inference.Class {
	if r.trusted {
		return inference.ClassServer
	}
	return inference.ClassDirect
}

// known is the subject of a GET. The image server sends what is not known; strangers
// may only be curious.
func known(r *request, q question) (inference.Subject, error) {
	content, err := pixel.ParseDigest(r.PathValue("sha256"))
	if err != nil {
		return inference.Subject{}, fault.New(fault.Invalid, "sidecar.known", "%w", err)
	}
	return inference.Subject{Content: content, Frame: q.frame, Coming: r.trusted}, nil
}

// ask puts a question about a posted picture:
//
//  1. Raw pixels: one question, they are at hand if they are needed.
//  2. A file: first by its content alone, so that a known answer costs no
//     decoding.
//  3. Nothing is known: look at the file, then ask again. The look comes
//     before the question, because the size of the source, which only the look
//     reveals, is stored with the answer. Whoever was faster meanwhile only
//     makes the second question cheaper.
func ask[T any](ctx context.Context, looker Looker, p *picture, frame int,
	put func(context.Context, inference.Subject) (T, error)) (T, error) {
	subject := inference.Subject{Content: p.content, Frame: frame, Source: p.source}
	if frame != 0 && !(p.raw() && p.named) {
		// Which frame pixels show is known only to who took them from a source.
		var none T
		return none, fault.New(fault.Invalid, "sidecar.ask", "frame %d: only the first frame of a picture sent here is looked at", frame)
	}
	if p.raw() { // 1
		subject.Look = handOver(p.pixels)
		if !p.drawn {
			p.pixels.Pix = nil
		}
		return put(ctx, subject)
	}
	subject.Coming = true
	answer, err := put(ctx, subject) // 2
	if !fault.Is(err, fault.NotFound) {
		return answer, err
	}
	look, source, err := looker.Look(ctx, p.file) // 3
	if err != nil {
		subject.Look = func(context.Context) (pixel.Buffer, error) { return look, err }
		_, _ = put(ctx, subject) // nobody holds a place for it any more
		return answer, err
	}
	subject.Source = source
	subject.Look = handOver(look)
	look = pixel.Buffer{}
	return put(ctx, subject)
}

// handOver returns a Look that can be called once. What a model makes of a look is
// a fraction of it, and waits for much longer: the look must not wait with it.
func handOver(look pixel.Buffer) func(context.Context) (pixel.Buffer, error) {
	return func(context.Context) (pixel.Buffer, error) {
		given := look
		if look = (pixel.Buffer{}); given.Pix == nil {
			return given, fault.New(fault.Internal, "sidecar.handOver", "the look was asked for twice")
		}
		return given, nil
	}
}

// sentSize is the size of the picture as the caller sees it: the pixels that
// it sent, else the oriented source.
func sentSize(p picture, f inference.Facts) pixel.Size {
	if p.raw() {
		return p.pixels.Size()
	}
	return f.Source
}

// state adds what is known about an answer to its headers.
func (a answer) state(task string, content pixel.Digest, shown pixel.Size, f inference.Facts) {
	a.header.Set(headerInference, formatFacts(task, f))
	a.header.Set(headerContent, formatContent(content))
	a.header.Set(headerSize, formatSize(shown))
	a.header.Set(headerSourceSize, formatSize(f.Source))
	a.header.Set(headerTiming, formatTiming(f))
}
