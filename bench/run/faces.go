package run

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"focal/bench/dataset"
	"focal/bench/report"
	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/models"
)

// Finder finds faces: a model of ours, an endpoint.
type Finder interface {
	Worker
	// Threshold is the score from which it reports a face.
	Threshold() float64
	// Find returns every face above the model's floor.
	Find(ctx context.Context, s Source) (Found, error)
}

// Found is what a Finder gives: x, y, w, h in pixels of the oriented picture,
// and the score.
type Found struct {
	Boxes [][5]float64
	Times report.Times
}

// detector is a face model of ours.
type detector struct{ member }

var _ Finder = detector{}

// Finder returns a face model of the repository.
func (h *House) Finder(name string) (Finder, error) {
	m, err := h.member(name, models.TaskFace)
	return detector{m}, err
}

func (d detector) Threshold() float64 { return d.model.Defaults.Threshold }

// Find goes the way of `focal faces`.
func (d detector) Find(ctx context.Context, s Source) (Found, error) {
	start := time.Now()
	subject, decode, err := d.house.subject(ctx, s.File)
	if err != nil {
		return Found{}, err
	}
	everything := 0.0
	found, err := d.house.inference.Faces(ctx, inference.FacesRequest{Subject: subject, Model: d.model.Name, Threshold: &everything})
	if err != nil {
		return Found{}, err
	}
	total := time.Since(start)
	infer := total - decode
	return Found{scaled(found.Faces, subject.Source), report.Times{
		Decode: ms(decode), Pre: ms(found.Prepare), Queue: ms(found.Queue), Run: ms(found.Run),
		Post: ms(infer - found.Prepare - found.Queue - found.Run), Infer: ms(infer), Total: ms(total),
	}}, nil
}

// scaled turns faces in fractions of a picture into pixels.
func scaled(faces []pixel.Face, size pixel.Size) [][5]float64 {
	boxes := make([][5]float64, len(faces))
	w, h := float64(size.Width), float64(size.Height)
	for i, f := range faces {
		boxes[i] = [5]float64{round(f.Box.X*w, 1e3), round(f.Box.Y*h, 1e3), round(f.Box.W*w, 1e3), round(f.Box.H*h, 1e3), round(f.Score, 1e6)}
	}
	return boxes
}

// round keeps a journal readable; it moves no figure.
func round(v, steps float64) float64 { return math.Round(v*steps) / steps }

// Faces measures one finder on one set.
func Faces(ctx context.Context, f Finder, set *dataset.Faces, j *Journal, o Options) (report.Model, []report.Portrait, report.Dataset, error) {
	d := report.Dataset{Name: set.Name, Layout: set.Layout, Problems: set.Problems}
	l := loop[dataset.Portrait, Found, report.Portrait]{
		worker: f, ask: f.Find, read: readPortrait, recall: j.portrait, journal: j, options: o,
		entry: func(p *report.Portrait) *report.Entry { return &p.Entry },
		wrap:  func(p *report.Portrait) line { return line{Portrait: p} },
	}
	m, portraits, err := l.run(ctx, &d, set.Stems(), set.Portraits)
	return m, portraits, d, err
}

func readPortrait(m report.Model, p dataset.Portrait) (s shot[Found, report.Portrait], _ []dataset.Problem, ok bool) {
	file, size, marks, problem := p.Load()
	if problem != nil {
		return s, []dataset.Problem{*problem}, false
	}
	s.source = Source{Set: m.Dataset, Path: p.Image, File: file}
	s.line = report.Portrait{
		Entry: report.Entry{Dataset: m.Dataset, Model: m.Model, Stem: p.Stem, Image: p.Image, Subsets: p.Subsets},
		Bytes: len(file), Width: size.Width, Height: size.Height, Truth: corners(marks.Boxes), Ignored: corners(marks.Ignored),
	}
	drawn, err := json.Marshal([]any{s.line.Truth, s.line.Ignored})
	if err != nil {
		panic(fault.New(fault.Internal, "run.readPortrait", "numbers that are no JSON: %w", err))
	}
	s.line.Key = key(file, drawn, []byte(nameOf(m)))
	s.judge = func(line *report.Portrait, found Found) error {
		line.Found, line.Times = found.Boxes, found.Times
		return nil
	}
	return s, nil, true
}

func corners(boxes []pixel.Box) [][4]float64 {
	out := make([][4]float64, len(boxes))
	for i, b := range boxes {
		out[i] = [4]float64{b.X, b.Y, b.W, b.H}
	}
	return out
}
