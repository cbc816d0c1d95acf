package clienttest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/models"
)

// Names of the models that a Stub has.
const (
	StubFace       = "stub-face"
	StubForeground = "stub-foreground"
)

// StubThreshold is the threshold of a Stub for requests that name none.
const StubThreshold = 0.6

// Stub is an inference.Client that keeps the promises of this package and runs
// no model: what it finds is computed from the content's digest. The zero
// value is ready, and safe for concurrent use.
type Stub struct {
	// Before, if set, is called before every question is answered; an error is
	// the answer.
	Before func(ctx context.Context, s inference.Subject, c inference.Class) error
	// State is what Status says; empty: ready.
	State inference.State

	mu    sync.Mutex // protects known
	known map[stubKey]pixel.Size
}

type stubKey struct {
	content pixel.Digest
	frame   int
	model   string
}

var _ inference.Client = (*Stub)(nil)

// Faces answers StubFaces, filtered.
func (s *Stub) Faces(ctx context.Context, r inference.FacesRequest) (inference.Faces, error) {
	facts, err := s.answer(ctx, r.Subject, r.Class, r.Model, StubFace)
	if err != nil {
		return inference.Faces{}, err
	}
	threshold := StubThreshold
	if r.Threshold != nil {
		threshold = *r.Threshold
	}
	faces := slices.DeleteFunc(StubFaces(r.Content), func(f pixel.Face) bool { return f.Score < threshold })
	if r.MaxFaces > 0 {
		faces = faces[:min(r.MaxFaces, len(faces))]
	}
	return inference.Faces{Facts: facts, Faces: faces}, nil
}

// Foreground answers StubMask.
func (s *Stub) Foreground(ctx context.Context, r inference.ForegroundRequest) (inference.Foreground, error) {
	facts, err := s.answer(ctx, r.Subject, r.Class, r.Model, StubForeground)
	return inference.Foreground{Facts: facts, Mask: StubMask(r.Content)}, err
}

// Status names both models as defaults.
func (s *Stub) Status(context.Context) inference.Status {
	return inference.Status{
		State: cmp.Or(s.State, inference.StateReady), Provider: "cpu",
		Models: []inference.ModelStatus{
			{Name: StubFace, Version: "1", Task: models.TaskFace, State: "resident", Default: true},
			{Name: StubForeground, Version: "1", Task: models.TaskForeground, State: "idle", Default: true},
		},
	}
}

func (s *Stub) answer(ctx context.Context, subject inference.Subject, class inference.Class, model, known string) (inference.Facts, error) {
	const op = "clienttest.Stub"
	if s.Before != nil {
		if err := s.Before(ctx, subject, class); err != nil {
			return inference.Facts{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return inference.Facts{}, fault.New(fault.KindOf(err), op, "%w", err)
	}
	if model = cmp.Or(model, known); model != known {
		return inference.Facts{}, fault.New(fault.Invalid, op, "unknown model %q", model)
	}
	facts := inference.Facts{
		Model: model, File: pixel.Digest{1, 2, 3}, Recipe: pixel.Digest{4, 5, 6}, Provider: "cpu", How: inference.Hit,
	}
	key := stubKey{subject.Content, subject.Frame, model}
	s.mu.Lock()
	source, ok := s.known[key]
	s.mu.Unlock()
	if ok {
		facts.Source = source
		return facts, nil
	}
	if subject.Look == nil {
		return inference.Facts{}, fault.New(fault.NotFound, op, "nothing is known about %v", subject.Content)
	}
	look, err := subject.Look(ctx)
	if err != nil {
		return inference.Facts{}, err
	}
	if facts.Source = subject.Source; facts.Source == (pixel.Size{}) {
		facts.Source = look.Size()
	}
	s.mu.Lock()
	if s.known == nil {
		s.known = map[stubKey]pixel.Size{}
	}
	s.known[key] = facts.Source
	s.mu.Unlock()
	facts.How, facts.Queue, facts.Run, facts.Batch = inference.Run, 437*time.Microsecond, 21_000_001*time.Nanosecond, 3
	return facts, nil
}

// StubFaces are the faces of a content by falling score: two above
// StubThreshold, the first with landmarks, and one below. Their places depend
// on the content and have many digits.
func StubFaces(content pixel.Digest) []pixel.Face {
	at := func(i int) float64 { return float64(content[i]) / 257 }
	faces := []pixel.Face{
		{Box: pixel.Box{X: at(0), Y: at(1), W: at(2) / 3, H: at(3) / 3}, Score: 0.998046875},
		{Box: pixel.Box{X: -at(4) / 7, Y: at(5), W: at(6), H: at(7)}, Score: 0.7},
		{Box: pixel.Box{X: 1. / 3, Y: 2. / 3, W: 1. / 7, H: 1. / 9}, Score: 0.3},
	}
	for i := range 5 {
		faces[0].Landmarks = append(faces[0].Landmarks, pixel.Point{X: at(8 + i), Y: at(13 + i)})
	}
	return faces
}

// StubMask is the foreground of a content: 4 pixels wide and 2 high, with
// values from the content.
func StubMask(content pixel.Digest) pixel.Mask {
	return pixel.Mask{Width: 4, Height: 2, Pix: slices.Clone(content[:8])}
}
