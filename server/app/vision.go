package app

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"sync"
	"time"

	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/inference"
	"focal/server/results"
)

// asker lets the pipeline ask an inference client: the pipeline declares what
// it needs, and the two halves of the house meet only here.
type asker struct {
	client inference.Client
	heard  *heard // nil where nobody needs it
}

var _ pipeline.Vision = asker{}

func (a asker) Faces(ctx context.Context, s pipeline.Subject, lowest *float64) (pipeline.Finding[[]pixel.Face], error) {
	found, err := a.client.Faces(ctx, inference.FacesRequest{Subject: subject(s), Threshold: lowest})
	if err != nil {
		return pipeline.Finding[[]pixel.Face]{}, err
	}
	return finding(a.heard, pipeline.TaskFace, found.Facts, found.Faces), nil
}

func (a asker) Foreground(ctx context.Context, s pipeline.Subject) (pipeline.Finding[pixel.Mask], error) {
	found, err := a.client.Foreground(ctx, inference.ForegroundRequest{Subject: subject(s)})
	if err != nil {
		return pipeline.Finding[pixel.Mask]{}, err
	}
	return finding(a.heard, pipeline.TaskForeground, found.Facts, found.Mask), nil
}

func subject(s pipeline.Subject) inference.Subject {
	return inference.Subject{Content: s.Content, Source: s.Source, Look: s.Look}
}

func finding[T any](h *heard, t pipeline.Task, f inference.Facts, value T) pipeline.Finding[T] {
	d := modelDigest(f.File, f.Recipe, f.Threshold)
	h.hear(t, d)
	return pipeline.Finding[T]{Value: value, Model: f.Model, Digest: d, Provider: f.Provider, How: string(f.How)}
}

// modelDigest names everything of a model that moves a picture.
func modelDigest(file, recipe pixel.Digest, threshold float64) pixel.Digest {
	b := append(file[:], recipe[:]...)
	return sha256.Sum256(binary.BigEndian.AppendUint64(b, math.Float64bits(threshold)))
}

// hearing is how long what was heard of the models is believed: a model that
// was replaced is noticed after that, however many pictures come from stores.
const hearing = 5 * time.Second

// heard remembers which models answer. While nobody can be asked, what was
// heard last stands: kept pictures are there then too.
type heard struct {
	status func(context.Context) inference.Status
	now    func() time.Time

	asking sync.Mutex // held by who asks; the rest waits only if it knows nothing

	mu    sync.Mutex // protects the rest
	known map[pipeline.Task]pixel.Digest
	until time.Time // believed before
}

var _ results.Models = (*heard)(nil)

func newHeard(status func(context.Context) inference.Status) *heard {
	return &heard{status: status, now: time.Now, known: map[pipeline.Task]pixel.Digest{}}
}

// hear takes down which model has answered.
func (h *heard) hear(t pipeline.Task, d pixel.Digest) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known[t] = d
}

// Digest returns the digest of the model that a task is given to.
func (h *heard) Digest(ctx context.Context, t pipeline.Task) (pixel.Digest, bool) {
	d, ok, fresh := h.look(t)
	switch {
	case fresh:
		return d, ok
	case !ok:
		h.asking.Lock()
	case !h.asking.TryLock():
		return d, ok
	}
	defer h.asking.Unlock()
	if d, ok, fresh = h.look(t); fresh { // somebody else has asked meanwhile
		return d, ok
	}
	h.ask(ctx)
	d, ok, _ = h.look(t)
	return d, ok
}

func (h *heard) look(t pipeline.Task) (d pixel.Digest, ok, fresh bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d, ok = h.known[t]
	return d, ok, h.now().Before(h.until)
}

// ask asks which models would answer now.
func (h *heard) ask(ctx context.Context) {
	s := h.status(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until = h.now().Add(hearing)
	for _, m := range s.Models {
		file, errFile := pixel.ParseDigest(m.SHA256)
		recipe, errRecipe := pixel.ParseDigest(m.Recipe)
		if s.State == inference.StateReady && m.Default && errFile == nil && errRecipe == nil {
			h.known[pipeline.Task(m.Task)] = modelDigest(file, recipe, m.Threshold)
		}
	}
}
