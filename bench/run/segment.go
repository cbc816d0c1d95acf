package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"focal/bench/dataset"
	"focal/bench/measure"
	"focal/bench/report"
	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/models"
	"focal/models/vision"
)

// Segmenter makes masks: a model of ours, rembg, an endpoint.
type Segmenter interface {
	// Describe says what it is; TrainedOn what it has learnt from.
	Describe() report.Model
	TrainedOn() []string
	// Memory is the most that its process held resident, and what is booked
	// for the model, in bytes; 0 where it is not known.
	Memory(ctx context.Context) (resident, booked int64)
	// Segment returns the mask of a picture at the picture's size.
	Segment(ctx context.Context, s Source) (Cut, error)
}

// Cut is what a Segmenter gives.
type Cut struct {
	Mask  pixel.Mask
	PNG   []byte // the same, as it is sent
	Times report.Times
}

// segmenter is a foreground model of ours.
type segmenter struct {
	house *House
	model models.Model
}

var _ Segmenter = segmenter{}

// Segmenter returns a foreground model of the repository.
func (h *House) Segmenter(name string) (Segmenter, error) {
	m, err := h.Model(name)
	if err != nil {
		return nil, err
	}
	if m.Task != models.TaskForeground {
		return nil, fault.New(fault.Invalid, "run.Segmenter", "model %s is for task %s", name, m.Task)
	}
	return segmenter{h, m}, nil
}

func (s segmenter) Describe() report.Model { return s.house.describe(s.model) }
func (s segmenter) TrainedOn() []string    { return s.model.TrainedOn }

func (s segmenter) Memory(ctx context.Context) (resident, booked int64) {
	return peak("self"), s.house.booked(ctx, s.model.Name)
}

// Segment goes the way of `focal foreground --mask`.
func (s segmenter) Segment(ctx context.Context, src Source) (Cut, error) {
	start := time.Now()
	subject, decode, err := s.house.subject(ctx, src.File)
	if err != nil {
		return Cut{}, err
	}
	found, err := s.house.inference.Foreground(ctx, inference.ForegroundRequest{Subject: subject, Model: s.model.Name})
	if err != nil {
		return Cut{}, err
	}
	large, err := vision.ResizeMask(found.Mask, subject.Source, vision.Cubic)
	if err != nil {
		return Cut{}, err
	}
	masked := time.Since(start)
	file, err := encode(large)
	if err != nil {
		return Cut{}, err
	}
	total := time.Since(start)
	infer := masked - decode
	return Cut{Mask: large, PNG: file, Times: report.Times{
		Decode: ms(decode), Pre: ms(found.Prepare), Queue: ms(found.Queue), Run: ms(found.Run),
		// What is left is decoding tensors, enlarging, and handing over.
		Post:   ms(infer - found.Prepare - found.Queue - found.Run),
		Encode: ms(total - masked), Infer: ms(infer), Total: ms(total),
	}}, nil
}

// encode writes a mask as the sidecar does.
func encode(m pixel.Mask) ([]byte, error) {
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestSpeed}
	err := e.Encode(&b, grey(m))
	return b.Bytes(), err
}

// Segment measures one segmenter on one set. What the files are to blame for is
// in the Dataset, what the segmenter is to blame for in its pictures.
func Segment(ctx context.Context, s Segmenter, set *dataset.Pairs, j *Journal, o Options) (report.Model, []report.Picture, report.Dataset, error) {
	d := report.Dataset{Name: set.Name, Layout: set.Layout, Problems: set.Problems}
	m := s.Describe()
	m.Dataset, m.Clients = set.Name, o.Clients
	m.Leak = dataset.Leaks(s.TrainedOn(), set.Name, set.Stems())
	pairs := draw(set.Pairs, o.Limit, o.Seed)
	l := &segmentLoop{segmenter: s, model: m, journal: j, options: o, pictures: make([]*report.Picture, len(pairs))}
	resetPeak()
	bar := o.Progress(fmt.Sprintf("%s on %s", m.Model, set.Name), len(pairs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Clients)
	for i, p := range pairs {
		g.Go(func() error {
			err := l.picture(ctx, i, p)
			return errors.Join(err, bar.Add(1))
		})
	}
	if err := errors.Join(g.Wait(), bar.Finish()); err != nil {
		return m, nil, d, err
	}
	m, err := l.finish(ctx)
	d.Pictures, d.Problems = len(set.Pairs), append(d.Problems, l.problems...)
	var pictures []report.Picture
	for _, p := range l.pictures {
		if p != nil {
			pictures = append(pictures, *p)
		}
	}
	d.Measured = len(pictures)
	for _, p := range d.Problems {
		if p.Kind.Fatal() {
			d.LeftOut++
		}
	}
	return m, pictures, d, err
}

type segmentLoop struct {
	segmenter Segmenter
	journal   *Journal
	options   Options
	pictures  []*report.Picture // each written by one goroutine; nil for files left out

	mu       sync.Mutex // protects the rest
	model    report.Model
	problems []dataset.Problem
	ran      bool // at least one picture was measured now
}

// picture measures one pair, unless the journal knows it.
func (l *segmentLoop) picture(ctx context.Context, i int, p dataset.Pair) error {
	file, truth, problems, ok := p.Load()
	l.mu.Lock()
	l.problems = append(l.problems, problems...)
	model := l.model
	l.mu.Unlock()
	if !ok {
		return nil
	}
	r := report.Picture{Dataset: model.Dataset, Model: model.Model, Stem: p.Stem, Image: p.Image, Subsets: p.Subsets}
	r.Key = key(file, truth.Pix, []byte(nameOf(model)), []byte(strconv.Itoa(l.options.Threshold)))
	if known, ok := l.journal.picture(r.Key); ok {
		known.Subsets, known.Image = p.Subsets, p.Image
		l.pictures[i] = &known
		return nil
	}
	src := Source{Path: p.Image, File: file}
	if err := l.warm(ctx, src); err != nil {
		return err
	}
	cut, err := l.segment(ctx, src)
	if err == nil {
		err = l.judge(&r, cut, truth)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.Error = err.Error()
	}
	l.pictures[i] = &r
	return l.journal.write(line{Picture: &r})
}

func (l *segmentLoop) segment(ctx context.Context, src Source) (Cut, error) {
	ctx, cancel := context.WithTimeout(ctx, l.options.Timeout)
	defer cancel()
	return l.segmenter.Segment(ctx, src)
}

// warm runs the first picture once more than it is measured: that time is the
// cold one. An error is left for the measured run to find.
func (l *segmentLoop) warm(ctx context.Context, src Source) error {
	l.mu.Lock()
	defer l.mu.Unlock() // the others wait: they are not to be cold either
	if l.ran {
		return nil
	}
	l.ran = true
	start := time.Now()
	if _, err := l.segment(ctx, src); err == nil {
		l.model.Cold = ms(time.Since(start))
	}
	return ctx.Err()
}

// judge compares a mask with the truth and keeps it as a file.
func (l *segmentLoop) judge(r *report.Picture, cut Cut, truth pixel.Mask) error {
	var err error
	if r.Levels, err = measure.NewLevels(cut.Mask, truth); err != nil {
		return err
	}
	r.AbsError, err = measure.AbsoluteError(cut.Mask, truth)
	if err != nil {
		return err
	}
	if r.S, err = measure.Structure(cut.Mask, truth); err != nil {
		return err
	}
	if r.WeightedF, err = measure.WeightedF(cut.Mask, truth); err != nil {
		return err
	}
	if r.Boundary, err = measure.BoundaryIoU(cut.Mask, truth, l.options.Threshold); err != nil {
		return err
	}
	r.Times = cut.Times
	r.Mask = filepath.Join("masks", folderName(r.Model), r.Dataset, r.Stem+".png")
	path := filepath.Join(l.options.Out, r.Mask)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, cut.PNG, 0o644)
}

// finish adds what is known of the model when all is done.
func (l *segmentLoop) finish(ctx context.Context) (report.Model, error) {
	if !l.ran {
		return l.journal.model(l.model), nil
	}
	m := l.model
	m.PeakRSS, m.ModelBytes = l.segmenter.Memory(ctx)
	m.Batches = l.journal.model(m).Batches
	return m, l.journal.write(line{Model: &m})
}

// folderName makes a name fit for a folder.
func folderName(name string) string {
	clean := []rune(name)
	for i, r := range clean {
		if r == '/' || r == '\\' || r == ':' || r == '?' || r == '&' || r == '=' {
			clean[i] = '_'
		}
	}
	return string(clean)
}
