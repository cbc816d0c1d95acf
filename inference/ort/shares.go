package ort

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"focal/core/fault"
	"focal/inference"
	"focal/models"
)

// shares are what the sessions of a card hold for their runs. Each twin has an
// arena of its own, which keeps what runs have taken until it is told to give
// everything back. Memory fresh from the card would cost a small model as much as
// its run, so that is done only when nothing runs, and where the books have no room
// for what is kept: beside what is loaded and all that runs.
type shares struct {
	twin int64 // bytes that a twin holds for itself, when its arena is empty

	mu   sync.Mutex // protects what follows
	of   map[use]*share
	runs int64 // begun
}

// share is of one twin, in bytes as they were booked.
type share struct {
	running int64
	keeps   int64 // the most that ran together since the arena was empty, itself with it
	last    int64 // the number of its latest run
}

// twinHolds is what a session of ONNX Runtime 1.29 was seen to take of an H100 for
// itself.
const twinHolds = 64 << 20

func newShares(twin int64) *shares { return &shares{twin: twin, of: map[use]*share{}} }

// begin books a run. Where that is more than there is room for, others have to give
// up something first, of those that run nothing the one used longest ago first:
//
//  1. what its arena keeps, since what is planned stays planned;
//  2. where that is not enough, itself.
func (h *shares) begin(u use, room inference.Room) (shrink, leave []use) {
	h.mu.Lock()
	defer h.mu.Unlock()
	mine := h.of[u]
	if mine == nil {
		mine = &share{}
		h.of[u] = mine
	}
	h.runs++
	mine.last = h.runs
	mine.running += room.Run
	mine.keeps = max(mine.keeps, mine.running)
	lacks := h.sum() - room.All
	if lacks <= 0 {
		return nil, nil
	}
	for _, o := range h.idle(false) { // 1
		if lacks <= 0 {
			return shrink, nil
		}
		lacks -= h.of[o].keeps - h.twin
		shrink = append(shrink, o)
	}
	for _, o := range h.idle(true) { // 2
		if lacks <= 0 {
			break
		}
		lacks -= min(h.of[o].keeps, h.twin)
		leave = append(leave, o)
	}
	return shrink, leave
}

func (h *shares) end(u use, room inference.Room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if mine := h.of[u]; mine != nil {
		mine.running -= room.Run
	}
}

// empty says that a twin has given back what it kept, gone that there is none any
// more; closed forgets those of a session.
func (h *shares) empty(u use) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if mine := h.of[u]; mine != nil && mine.running == 0 {
		mine.keeps = min(mine.keeps, h.twin)
	}
}

func (h *shares) gone(u use) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if mine := h.of[u]; mine != nil && mine.running == 0 {
		delete(h.of, u)
	}
}

func (h *shares) closed(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.of, func(u use, _ *share) bool { return u.session == s })
}

// sum and idle are called with mu held.
func (h *shares) sum() int64 {
	sum := int64(0)
	for _, o := range h.of {
		sum += o.keeps
	}
	return sum
}

// idle are the twins that run nothing, those with an empty arena too or not, the one
// used longest ago first.
func (h *shares) idle(empty bool) []use {
	var list []use
	for u, o := range h.of {
		if o.running == 0 && (empty || o.keeps > h.twin) {
			list = append(list, u)
		}
	}
	slices.SortFunc(list, func(a, b use) int { return cmp.Compare(h.of[a].last, h.of[b].last) })
	return list
}

// spare is what is kept of runs that have ended, their sessions with it.
func (h *shares) spare() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	sum := int64(0)
	for _, o := range h.of {
		sum += o.keeps - o.running
	}
	return sum
}

// trim has all that run nothing give back what they keep, but for what is planned.
func (h *shares) trim() error {
	h.mu.Lock()
	list := h.idle(false)
	h.mu.Unlock()
	return giveBack(list, false)
}

// leave has all that run nothing leave: each holds more than what it keeps of runs.
func (h *shares) leave() error {
	h.mu.Lock()
	list := h.idle(true)
	h.mu.Unlock()
	return giveBack(list, true)
}

// giveBack has twins give back what they keep. Where they are to leave,
// only the last one of each session stays.
func giveBack(list []use, leave bool) error {
	var errs []error
	for _, u := range list {
		errs = append(errs, u.session.giveBack(u, leave))
	}
	return errors.Join(errs...)
}

func (s *session) giveBack(u use, leave bool) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil
	}
	if leave && s.twins.drop(u.shape) {
		return nil
	}
	t := s.twins.idle(u.shape)
	if t == nil {
		return nil // it runs again, or is gone
	}
	defer s.twins.put(t)
	if err := s.shrink(t); err != nil {
		return err
	}
	s.known.shrunk(u.shape)
	s.engine.card.shares.empty(u)
	return nil
}

// within is a run on a card in the room that the books give it. Where memory runs
// out all the same, what is kept lies badly, or another process was faster: it
// runs again without it, and without the sessions that nothing runs on.
func (s *session) within(ctx context.Context, inputs []models.Tensor, room inference.Room) (outputs []models.Tensor, held int64, err error) {
	shares, u := s.engine.card.shares, use{s, shapesOf(inputs)}
	shrink, leave := shares.begin(u, room)
	defer func() {
		shares.end(u, room)
		if !s.twins.has(u.shape) { // it did not open, or s is closed
			s.forget(u.shape)
		}
	}()
	if err := errors.Join(giveBack(shrink, false), giveBack(leave, true)); err != nil {
		return nil, 0, err
	}
	outputs, held, err = s.attempt(ctx, inputs, besides{})
	if fault.Is(err, fault.Busy) {
		if bad := shares.leave(); bad != nil {
			return nil, 0, errors.Join(err, bad)
		}
		outputs, held, err = s.attempt(ctx, inputs, besides{})
	}
	return outputs, held, err
}
