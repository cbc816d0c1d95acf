package ort

import (
	"context"
	"errors"
	"sync"

	"focal/core/fault"
	"focal/inference"
	"focal/models"
)

// shares are what the sessions of a card hold for their runs. Each has an arena
// of its own, which keeps what runs have taken until a run of that session is
// told to give everything back. Memory fresh from the card would cost a small
// model as much as its run, so that is done only where the books have no room for
// what is kept: beside what is loaded and all that runs.
type shares struct {
	mu sync.Mutex // protects of
	of map[*session]*share
}

// share is of one session, in bytes as they were booked.
type share struct {
	running int64
	keeps   int64 // the most that ran together since the arena was empty
}

func newShares() *shares { return &shares{of: map[*session]*share{}} }

// begin books a run and returns the sessions that have to give back what they
// keep first: none, or all that run nothing.
func (h *shares) begin(s *session, room inference.Room) (others []*session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	mine := h.of[s]
	if mine == nil {
		mine = &share{}
		h.of[s] = mine
	}
	mine.running += room.Run
	mine.keeps = max(mine.keeps, mine.running)
	if sum := h.sum(); sum <= room.All {
		return nil
	}
	return h.idle()
}

func (h *shares) end(s *session, room inference.Room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if mine := h.of[s]; mine != nil {
		mine.running -= room.Run
	}
}

// empty says that a session has given back what it kept; closed forgets it.
func (h *shares) empty(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if mine := h.of[s]; mine != nil {
		mine.keeps = mine.running
	}
}

func (h *shares) closed(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.of, s)
}

// sum and idle are called with mu held.
func (h *shares) sum() int64 {
	sum := int64(0)
	for _, o := range h.of {
		sum += o.keeps
	}
	return sum
}

func (h *shares) idle() []*session {
	var list []*session
	for s, o := range h.of {
		if o.running == 0 && o.keeps > 0 {
			list = append(list, s)
		}
	}
	return list
}

// spare is what is kept of runs that have ended.
func (h *shares) spare() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	sum := int64(0)
	for _, o := range h.of {
		sum += o.keeps - o.running
	}
	return sum
}

// trim has all that run nothing give back what they keep.
func (h *shares) trim() error {
	h.mu.Lock()
	list := h.idle()
	h.mu.Unlock()
	return giveBack(list)
}

func giveBack(list []*session) error {
	var errs []error
	for _, s := range list {
		errs = append(errs, s.giveBack())
	}
	return errors.Join(errs...)
}

// giveBack empties the arena of s, at the end of a run of its smallest input. One
// that was closed meanwhile has none.
func (s *session) giveBack() error {
	s.mu.RLock()
	open := s.c != nil
	s.mu.RUnlock()
	if !open {
		return nil
	}
	_, _, err := s.attempt(context.Background(), s.zeros(), besides{shrink: true})
	if err != nil {
		return fault.New(fault.KindOf(err), "ort.Trim", "%w", err)
	}
	s.known.shrunk()
	s.engine.card.shares.empty(s)
	return nil
}

// within is a run on a card in the room that the books give it. Where memory runs
// out all the same, what is kept lies badly, or another process was faster: it
// runs again without it.
func (s *session) within(ctx context.Context, inputs []models.Tensor, room inference.Room) (outputs []models.Tensor, held int64, err error) {
	shares := s.engine.card.shares
	others := shares.begin(s, room)
	defer shares.end(s, room)
	if err := giveBack(others); err != nil {
		return nil, 0, err
	}
	outputs, held, err = s.attempt(ctx, inputs, besides{})
	if fault.Is(err, fault.Busy) {
		if bad := shares.trim(); bad != nil {
			return nil, 0, errors.Join(err, bad)
		}
		outputs, held, err = s.attempt(ctx, inputs, besides{})
	}
	return outputs, held, err
}
