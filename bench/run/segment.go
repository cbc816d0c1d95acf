package run

import (
	"bytes"
	"context"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"focal/bench/dataset"
	"focal/bench/measure"
	"focal/bench/report"
	"focal/core/pixel"
	"focal/inference"
	"focal/models"
	"focal/models/vision"
)

// Segmenter makes masks.
type Segmenter interface {
	Worker
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
type segmenter struct{ member }

var _ Segmenter = segmenter{}

// Segmenter returns a foreground model of the repository.
func (h *House) Segmenter(name string) (Segmenter, error) {
	m, err := h.member(name, models.TaskForeground)
	return segmenter{m}, err
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
	large, err := vision.FitMask(found.Mask, subject.Source)
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

// Segment measures one segmenter on one set.
func Segment(ctx context.Context, s Segmenter, set *dataset.Pairs, j *Journal, o Options) (report.Model, []report.Picture, report.Dataset, error) {
	d := report.Dataset{Name: set.Name, Layout: set.Layout, Problems: set.Problems}
	l := loop[dataset.Pair, Cut, report.Picture]{
		worker: s, ask: s.Segment, read: o.readPair, recall: j.picture, journal: j, options: o,
		entry: func(p *report.Picture) *report.Entry { return &p.Entry },
		wrap:  func(p *report.Picture) line { return line{Picture: p} },
	}
	m, pictures, err := l.run(ctx, &d, set.Stems(), set.Pairs)
	return m, pictures, d, err
}

func (o Options) readPair(m report.Model, p dataset.Pair) (s shot[Cut, report.Picture], problems []dataset.Problem, ok bool) {
	file, truth, problems, ok := p.Load()
	if !ok {
		return s, problems, false
	}
	s.source = Source{Set: m.Dataset, Path: p.Image, File: file}
	s.line.Entry = report.Entry{
		Dataset: m.Dataset, Model: m.Model, Stem: p.Stem, Image: p.Image, Subsets: p.Subsets,
		Key: key(file, truth.Pix, []byte(nameOf(m)), []byte(strconv.Itoa(o.Threshold))),
	}
	s.judge = func(line *report.Picture, cut Cut) error { return o.judge(line, cut, truth) }
	return s, problems, true
}

// judge compares a mask with the truth and keeps it as a file.
func (o Options) judge(r *report.Picture, cut Cut, truth pixel.Mask) error {
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
	if r.Boundary, err = measure.BoundaryIoU(cut.Mask, truth, o.Threshold); err != nil {
		return err
	}
	r.Times = cut.Times
	r.Mask = filepath.Join("masks", folderName(r.Model), r.Dataset, r.Stem+".png")
	path := filepath.Join(o.Out, r.Mask)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, cut.PNG, 0o644)
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
