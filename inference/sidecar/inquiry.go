package sidecar

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
)

// inquiry is a question as it goes over the wire, whoever is asked.
type inquiry struct {
	task    string // as the routes name it
	query   url.Values
	accept  string
	subject inference.Subject
}

// reply is an answer with its facts read.
type reply struct {
	response
	facts inference.Facts
}

// asker puts an inquiry to whoever can answer it.
type asker func(context.Context, inquiry) (reply, error)

func askFaces(ctx context.Context, r inference.FacesRequest, ask asker) (inference.Faces, error) {
	q := inquiry{"faces", commonQuery(r.Subject, r.Model, r.Priority), typeJSON, r.Subject}
	if r.Threshold != nil {
		q.query.Set("threshold", strconv.FormatFloat(*r.Threshold, 'g', -1, 64))
	}
	if r.MaxFaces > 0 {
		q.query.Set("max_faces", strconv.Itoa(r.MaxFaces))
	}
	got, err := ask(ctx, q)
	if err != nil {
		return inference.Faces{}, err
	}
	found := inference.Faces{Facts: got.facts}
	if found.Faces, err = decodeFaces(got.body); err != nil {
		return inference.Faces{}, fault.New(fault.Internal, "sidecar.Faces", "%w", err)
	}
	return found, nil
}

func askForeground(ctx context.Context, r inference.ForegroundRequest, ask asker) (inference.Foreground, error) {
	got, err := ask(ctx, inquiry{"foreground", commonQuery(r.Subject, r.Model, r.Priority), typeGray8, r.Subject})
	if err != nil {
		return inference.Foreground{}, err
	}
	size, err := parseSize(got.header.Get(headerSize))
	mask := pixel.Mask{Width: size.Width, Height: size.Height, Pix: got.body}
	if err == nil {
		err = mask.Validate()
	}
	if err != nil {
		return inference.Foreground{}, fault.New(fault.Internal, "sidecar.Foreground", "foreground answer: %w", err)
	}
	return inference.Foreground{Facts: got.facts, Mask: mask}, nil
}

func commonQuery(s inference.Subject, model string, priority int) url.Values {
	query := url.Values{}
	if model != "" {
		query.Set("model", model)
	}
	if s.Frame > 0 {
		query.Set("frame", strconv.Itoa(s.Frame))
	}
	if priority > 0 {
		query.Set("priority", strconv.Itoa(priority))
	}
	return query
}

// byContent asks whether the answer is known; nothing is computed for it.
func (q inquiry) byContent() message {
	return message{
		op: "sidecar.Client.Get", method: http.MethodGet,
		path: "/v1/" + q.task + "/" + q.subject.Content.String(), query: q.query, header: http.Header{"Accept": {q.accept}},
	}
}

// byLook asks with the pixels, named by the source's content.
func (q inquiry) byLook(look pixel.Buffer) message {
	source := q.subject.Source
	if source == (pixel.Size{}) {
		source = look.Size()
	}
	return message{
		op: "sidecar.Client.Post", method: http.MethodPost,
		path: "/v1/" + q.task, query: q.query, body: look.Pix,
		header: http.Header{
			"Accept":         {q.accept},
			"Content-Type":   {typeRGB8},
			headerSize:       {formatSize(look.Size())},
			headerContent:    {formatContent(q.subject.Content)},
			headerSourceSize: {formatSize(source)},
		},
	}
}

// look makes the pixels to be looked at.
func (q inquiry) look(ctx context.Context) (pixel.Buffer, error) {
	const op = "sidecar.Client.Post"
	look, err := q.subject.Look(ctx)
	if err != nil {
		return pixel.Buffer{}, err
	}
	if err := look.Validate(); err != nil {
		return pixel.Buffer{}, fault.New(fault.Internal, op, "look: %w", err)
	}
	if look.Channels != 3 {
		return pixel.Buffer{}, fault.New(fault.Internal, op, "look has %d channels: want RGB", look.Channels)
	}
	return look, nil
}

// readReply reads the facts of what m was answered with.
func readReply(m message, got response, err error) (reply, error) {
	if got, err = refused(m, got, err); err != nil {
		return reply{}, err
	}
	facts, err := parseFacts(got.header.Get(headerInference))
	if err == nil {
		facts.Source, err = parseSize(got.header.Get(headerSourceSize))
	}
	if err != nil {
		return reply{}, fault.New(fault.Internal, m.op, "answer: %w", err)
	}
	facts.Queue, facts.Run = parseTiming(got.header.Get(headerTiming))
	return reply{response: got, facts: facts}, nil
}
