package host

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"focal/core/cache"
	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/models"
)

// answer is what is kept of a question: everything above the manifest's floor.
// It is shared by all who ask, so nobody changes it.
type answer struct {
	faces []pixel.Face
	mask  pixel.Mask
	facts inference.Facts
}

// size is the memory that a holds, in bytes.
func (a answer) size() int64 {
	const self, face, point = 256, 72, 16
	n := int64(self) + int64(cap(a.faces))*face + int64(cap(a.mask.Pix))
	for _, f := range a.faces {
		n += int64(cap(f.Landmarks)) * point
	}
	return n
}

// question is a request for one answer of one model.
type question struct {
	inference.Subject
	model    *served
	class    inference.Class
	priority int
}

// key names the answer. What only moves how it is read (threshold, max_faces)
// or by whom it is computed (provider) is not in it.
func (q question) key() pixel.Digest {
	recipe := q.model.recipe
	b := append([]byte(nil), q.Content[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(q.Frame))
	b = append(b, q.model.File[:]...)
	b = append(b, recipe[:]...)
	b = append(b, pixel.LookVersion...) // last, since only its length varies
	return sha256.Sum256(b)
}

// Faces answers from what is known, else by looking. The faces must not be
// changed: others hold them too.
func (h *Host) Faces(ctx context.Context, r inference.FacesRequest) (inference.Faces, error) {
	const op = "host.Faces"
	if t := r.Threshold; t != nil && !(*t >= 0 && *t <= 1) {
		return inference.Faces{}, fault.New(fault.Invalid, op, "threshold %v: want 0 to 1", *t)
	}
	if r.MaxFaces < 0 {
		return inference.Faces{}, fault.New(fault.Invalid, op, "max_faces %d: want 0 (all) or more", r.MaxFaces)
	}
	m, err := h.catalog.find(r.Model, models.TaskFace)
	if err != nil {
		return inference.Faces{}, err
	}
	a, err := h.answer(ctx, question{r.Subject, m, r.Class, r.Priority})
	if err != nil {
		return inference.Faces{}, err
	}
	a.facts.Threshold = m.Defaults.Threshold
	threshold := m.Defaults.Threshold
	if r.Threshold != nil {
		threshold = *r.Threshold
	}
	return inference.Faces{Facts: a.facts, Faces: filter(a.faces, threshold, r.MaxFaces)}, nil
}

// filter returns the first faces of at least threshold, at most most of them
// (0: all). They are sorted by falling score.
func filter(faces []pixel.Face, threshold float64, most int) []pixel.Face {
	n := 0
	for n < len(faces) && faces[n].Score >= threshold && (most == 0 || n < most) {
		n++
	}
	return faces[:n:n]
}

// Foreground answers from what is known, else by looking. The mask's pixels
// must not be changed: others hold them too.
func (h *Host) Foreground(ctx context.Context, r inference.ForegroundRequest) (inference.Foreground, error) {
	m, err := h.catalog.find(r.Model, models.TaskForeground)
	if err != nil {
		return inference.Foreground{}, err
	}
	a, err := h.answer(ctx, question{r.Subject, m, r.Class, r.Priority})
	if err != nil {
		return inference.Foreground{}, err
	}
	return inference.Foreground{Facts: a.facts, Mask: a.mask}, nil
}

// answer is recall and look, with the facts of this caller.
func (h *Host) answer(ctx context.Context, q question) (answer, error) {
	if q.Frame < 0 {
		return answer{}, fault.New(fault.Invalid, "host.Answer", "frame %d: want 0 or more", q.Frame)
	}
	var a answer
	var how inference.How
	var err error
	start := time.Now()
	if q.Look == nil {
		a, how, err = h.recall(ctx, q)
	} else {
		a, how, err = h.look(ctx, q)
	}
	if err != nil {
		h.metrics.asked(q.model.Name, fault.KindOf(err).String())
		if !fault.Is(err, fault.NotFound) { // that is how to ask before sending a picture
			h.statistics.failed(q.model.Model, time.Since(start))
		}
		return answer{}, err
	}
	h.metrics.asked(q.model.Name, string(how))
	a.facts.How = how
	h.statistics.answered(q.model.Model, a.facts, time.Since(start), true)
	if how != inference.Run {
		a.facts.Prepare, a.facts.Queue, a.facts.Run, a.facts.Decode, a.facts.Batch = 0, 0, 0, 0, 0
	}
	if q.Source != (pixel.Size{}) {
		a.facts.Source = q.Source
	}
	return a, nil
}

// recall answers only what is known. For the rest it says whether sending the
// pixels is worth the trouble.
func (h *Host) recall(ctx context.Context, q question) (answer, inference.How, error) {
	if a, ok := h.answers.Get(q.key()); ok {
		return a, inference.Hit, nil
	}
	if a, ok := h.shared(ctx, q); ok {
		h.answers.Put(q.key(), a)
		return a, inference.Hit, nil
	}
	deadline, _ := ctx.Deadline()
	if err := h.loop.ask(q, deadline, q.Coming); err != nil {
		return answer{}, "", err
	}
	return answer{}, "", fault.New(fault.NotFound, "host.Recall", "no result of model %s is known for this content", q.model.Name)
}

// look answers from the cache, else from the one flight for the key, which
// goes on for the others when a caller leaves.
//
// The flight is in the hurry of the caller who started it. Whoever joined and
// hears Busy on account of that one's hurry may have more time: he tries once
// more.
func (h *Host) look(ctx context.Context, q question) (answer, inference.How, error) {
	deadline, _ := ctx.Deadline()
	fly := func(ctx context.Context) (answer, bool, error) {
		a, err := h.fly(ctx, q, deadline)
		return a, err == nil, err
	}
	key := q.key()
	a, outcome, err := h.answers.Do(ctx, key, h.cfg.AnswerLimit, fly)
	if outcome == cache.Joined && fault.Is(err, fault.Busy) && ctx.Err() == nil {
		a, outcome, err = h.answers.Do(ctx, key, h.cfg.AnswerLimit, fly)
	}
	if err != nil {
		return answer{}, "", h.explain(err)
	}
	if outcome == cache.Ran {
		return a, a.facts.How, nil
	}
	return a, [...]inference.How{cache.Hit: inference.Hit, cache.Joined: inference.Coalesced}[outcome], nil
}

// explain gives the errors of contexts a kind, and logs the stacks of panics.
func (h *Host) explain(err error) error {
	var p *cache.PanicError
	if errors.As(err, &p) {
		h.cfg.Log.Error("panic", "op", "answer", "panic", p.Value, "stack", string(p.Stack))
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	return fault.New(fault.KindOf(err), "host.Answer", "waiting for the model: %w", err)
}

// fly makes an answer: ask the second tier, refuse what would be late before
// anything is decoded, look, prepare, run, decode. Its ctx is the flight's,
// which ends when nobody waits any more; what has started to run is finished
// and kept all the same.
func (h *Host) fly(ctx context.Context, q question, deadline time.Time) (answer, error) {
	if !h.gate.enter() {
		return answer{}, closed()
	}
	defer h.gate.leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.abort, cancel)()

	if a, ok := h.shared(ctx, q); ok {
		return a, nil
	}
	if limit, ok := ctx.Deadline(); ok && (deadline.IsZero() || limit.Before(deadline)) {
		deadline = limit
	}
	if err := h.loop.ask(q, deadline, true); err != nil {
		return answer{}, err
	}
	size, prepared, took, err := q.ready(ctx)
	if err != nil {
		h.loop.away(q)
		return answer{}, err
	}
	a, err := h.infer(ctx, q, deadline, size, prepared)
	if err != nil {
		return answer{}, err
	}
	a.facts.Prepare += took
	h.share(q.key(), a)
	return a, nil
}

// ready looks at the picture and prepares it, and says how long preparing took.
func (q question) ready(ctx context.Context) (look pixel.Size, p models.Prepared, took time.Duration, err error) {
	picture, err := q.Look(ctx)
	if err != nil {
		return look, p, 0, err
	}
	if err := picture.Validate(); err != nil {
		return look, p, 0, fault.New(fault.Invalid, "host.Look", "%w", err)
	}
	start := time.Now()
	if p, err = q.model.prepare(picture); err != nil {
		return look, p, 0, err
	}
	if t := p.Tensor; len(t.Shape) == 0 || t.Shape[0] != 1 {
		return look, p, 0, fault.New(fault.Internal, "host.Prepare", "model %s: a tensor of shape %v has no batch axis of 1", q.model.Name, t.Shape)
	}
	return picture.Size(), p, time.Since(start), nil
}
