package run

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"focal/bench/dataset"
	"focal/bench/report"
	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/models"
)

// Detector is a face model of ours.
type Detector struct {
	house *House
	model models.Model
}

// Detector returns a face model of the repository.
func (h *House) Detector(name string) (Detector, error) {
	m, err := h.Model(name)
	if err != nil {
		return Detector{}, err
	}
	if m.Task != models.TaskFace {
		return Detector{}, fault.New(fault.Invalid, "run.Detector", "model %s is for task %s", name, m.Task)
	}
	return Detector{h, m}, nil
}

// Threshold is the score from which the model reports a face.
func (d Detector) Threshold() float64 { return d.model.Defaults.Threshold }

// Find returns every face above the model's floor, in pixels.
func (d Detector) Find(ctx context.Context, file []byte) ([][5]float64, report.Times, error) {
	start := time.Now()
	subject, decode, err := d.house.subject(ctx, file)
	if err != nil {
		return nil, report.Times{}, err
	}
	everything := 0.0
	found, err := d.house.inference.Faces(ctx, inference.FacesRequest{Subject: subject, Model: d.model.Name, Threshold: &everything})
	if err != nil {
		return nil, report.Times{}, err
	}
	total := time.Since(start)
	infer := total - decode
	boxes := make([][5]float64, len(found.Faces))
	w, h := float64(subject.Source.Width), float64(subject.Source.Height)
	for i, f := range found.Faces {
		boxes[i] = [5]float64{round(f.Box.X*w, 1e3), round(f.Box.Y*h, 1e3), round(f.Box.W*w, 1e3), round(f.Box.H*h, 1e3), round(f.Score, 1e6)}
	}
	return boxes, report.Times{
		Decode: ms(decode), Pre: ms(found.Prepare), Queue: ms(found.Queue), Run: ms(found.Run),
		Post: ms(infer - found.Prepare - found.Queue - found.Run), Infer: ms(infer), Total: ms(total),
	}, nil
}

// round keeps a journal readable; it moves no figure.
func round(v, steps float64) float64 { return math.Round(v*steps) / steps }

// Faces measures one detector on one set.
func Faces(ctx context.Context, d Detector, set *dataset.Faces, j *Journal, o Options) (report.Model, []report.Portrait, report.Dataset, error) {
	info := report.Dataset{Name: set.Name, Layout: set.Layout, Pictures: len(set.Portraits), Problems: set.Problems}
	m := d.house.describe(d.model)
	m.Dataset, m.Clients = set.Name, o.Clients
	m.Leak = dataset.Leaks(d.model.TrainedOn, set.Name, set.Stems())
	portraits := draw(set.Portraits, o.Limit, o.Seed)
	l := &facesLoop{detector: d, model: m, journal: j, options: o, portraits: make([]*report.Portrait, len(portraits))}
	resetPeak()
	bar := o.Progress(fmt.Sprintf("%s on %s", m.Model, set.Name), len(portraits))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Clients)
	for i, p := range portraits {
		g.Go(func() error {
			err := l.portrait(ctx, i, p)
			return errors.Join(err, bar.Add(1))
		})
	}
	if err := errors.Join(g.Wait(), bar.Finish()); err != nil {
		return m, nil, info, err
	}
	m, err := l.finish(ctx)
	info.Problems = append(info.Problems, l.problems...)
	var all []report.Portrait
	for _, p := range l.portraits {
		if p != nil {
			all = append(all, *p)
		}
	}
	info.Measured = len(all)
	for _, p := range info.Problems {
		if p.Kind.Fatal() {
			info.LeftOut++
		}
	}
	return m, all, info, err
}

type facesLoop struct {
	detector  Detector
	journal   *Journal
	options   Options
	portraits []*report.Portrait // each written by one goroutine; nil for files left out

	mu       sync.Mutex // protects the rest
	model    report.Model
	problems []dataset.Problem
	ran      bool
}

func (l *facesLoop) portrait(ctx context.Context, i int, p dataset.Portrait) error {
	file, size, marks, problem := p.Load()
	if problem != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.problems = append(l.problems, *problem)
		return nil
	}
	m := l.detector.house.describe(l.detector.model)
	r := report.Portrait{
		Dataset: l.model.Dataset, Model: m.Model, Stem: p.Stem, Image: p.Image, Subsets: p.Subsets,
		Bytes: len(file), Width: size.Width, Height: size.Height,
		Truth: corners(marks.Boxes), Ignored: corners(marks.Ignored),
	}
	m.Dataset = r.Dataset
	r.Key = key(file, []byte(p.Stem), []byte(nameOf(m)))
	if known, ok := l.journal.portrait(r.Key); ok {
		known.Subsets, known.Truth, known.Ignored, known.Image = r.Subsets, r.Truth, r.Ignored, r.Image
		l.portraits[i] = &known
		return nil
	}
	if err := l.warm(ctx, file); err != nil {
		return err
	}
	var err error
	if r.Found, r.Times, err = l.find(ctx, file); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.Error = err.Error()
	}
	l.portraits[i] = &r
	return l.journal.write(line{Portrait: &r})
}

func (l *facesLoop) find(ctx context.Context, file []byte) ([][5]float64, report.Times, error) {
	ctx, cancel := context.WithTimeout(ctx, l.options.Timeout)
	defer cancel()
	return l.detector.Find(ctx, file)
}

// warm is as that of masks.
func (l *facesLoop) warm(ctx context.Context, file []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ran {
		return nil
	}
	l.ran = true
	start := time.Now()
	if _, _, err := l.find(ctx, file); err == nil {
		l.model.Cold = ms(time.Since(start))
	}
	return ctx.Err()
}

func (l *facesLoop) finish(ctx context.Context) (report.Model, error) {
	if !l.ran {
		return l.journal.model(l.model), nil
	}
	m := l.model
	m.PeakRSS, m.ModelBytes = peak("self"), l.detector.house.booked(ctx, l.detector.model.Name)
	m.Batches = l.journal.model(m).Batches
	return m, l.journal.write(line{Model: &m})
}

func corners(boxes []pixel.Box) [][4]float64 {
	out := make([][4]float64, len(boxes))
	for i, b := range boxes {
		out[i] = [4]float64{b.X, b.Y, b.W, b.H}
	}
	return out
}
