package ort

import (
	"sync"

	"focal/inference/gpu"
)

// What models hold of a card is what the driver says of this process, less what was
// there before the first. In a container with processes of its own the driver does
// not tell which process is this one. Then what a load or a run takes is a
// difference of two readings of the whole card, which is right while no other
// process moves, and what all models hold together is not known: the books count
// what they have booked, and are bounded by what is free.

// open takes the reading r, when only the context is there, as where to count from.
// How readings are taken stays: a difference of two kinds says nothing.
func (c *card) open(r gpu.Reading) {
	c.told = r.Ours >= 0
	c.atOpen = c.taken(r)
	c.others.notice(r.Total-r.Free, -1)
}

// taken is what a reading says is taken, by this process or where that is not told
// by all; -1: it does not say.
func (c *card) taken(r gpu.Reading) int64 {
	if c.told {
		return r.Ours
	}
	return r.Total - r.Free
}

// held is taken now, or -1.
func (c *card) held() int64 {
	r, err := c.read()
	if err != nil {
		return -1
	}
	return c.taken(r)
}

// grown is by how much more is taken than when the card was opened, or -1.
func (c *card) grown() int64 {
	held := c.held()
	if held < 0 {
		return -1
	}
	return max(0, held-c.atOpen)
}

// others notices other processes on a card whose driver does not tell them apart: it
// grows while this one does nothing.
type others struct {
	mu    sync.Mutex // protects what follows
	moved bool
	taken int64 // at the last reading
	work  int64 // begun by then; -1: some was under way
}

// othersGrow is by how much: a driver's own needs are smaller.
const othersGrow = 32 << 20

// notice hears that so much is taken, with nothing of ours under way and so many
// pieces of work begun before; work is -1 where some was.
func (o *others) notice(taken, work int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if work >= 0 && work == o.work && taken > o.taken+othersGrow {
		o.moved = true
	}
	o.taken, o.work = taken, work
}

// here reports whether one was noticed.
func (o *others) here() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.moved
}

// held is a reading for differences, or -1.
func (e *Engine) held() int64 {
	if e.card != nil {
		return e.card.held()
	}
	return heapInUse()
}

// grown is by how much what is held has grown since it was before, at least 0; 0 too
// where either reading says nothing, or others would be counted.
func (e *Engine) grown(before int64) int64 {
	now := e.held()
	if before < 0 || now < 0 || e.card != nil && e.card.doubts(now-before) {
		return 0
	}
	return max(0, now-before)
}

// doubts reports whether a growth may be another process's: one was noticed, or it is
// more than all models may hold, which would keep a model out for ever.
func (c *card) doubts(growth int64) bool {
	return !c.told && (c.others.here() || growth > c.budget)
}

// Grown is by how much more of the card is taken than when it was opened, by this
// process or where the driver does not tell it by all, in bytes: unlike Used it has
// what is kept for runs to come. -1 where nobody says, and on the CPU.
func (e *Engine) Grown() int64 {
	if e.card == nil {
		return -1
	}
	return e.card.grown()
}
