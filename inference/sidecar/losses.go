package sidecar

import (
	"errors"
	"slices"
	"time"

	"focal/core/pixel"
)

// matter is what may kill a sidecar: a picture, and what is asked about it. That
// another model answers about the same picture says nothing of this one.
type matter struct {
	content     pixel.Digest
	frame       int
	task, model string
}

func (q inquiry) matter() matter {
	return matter{q.subject.Content, q.subject.Frame, q.task, q.query.Get("model")}
}

// loss is what is known of a matter over whose pixels sidecars were lost and that
// none has answered since.
type loss struct {
	members []int // at most maxLost
	last    time.Time
}

const (
	maxLost   = 2    // sidecars that are lost over one matter
	maxLosses = 4096 // matters remembered; of more it is not known
)

// lost learns from what became of a matter's pixels at one sidecar: it was lost
// over them, or they were answered, and kill nobody.
func (p *Pool) lost(m matter, at int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		delete(p.losses, m)
	}
	if !errors.Is(err, errBroken) {
		return
	}
	now := time.Now()
	for other, l := range p.losses {
		if p.forgotten(l, now) {
			delete(p.losses, other)
		}
	}
	l, known := p.losses[m]
	if !known && len(p.losses) >= maxLosses {
		return
	}
	if !slices.Contains(l.members, at) && len(l.members) < maxLost {
		l.members = append(l.members, at)
	}
	l.last = now
	p.losses[m] = l
}

func (p *Pool) forgotten(l loss, now time.Time) bool { return now.Sub(l.last) >= p.cfg.Remember }

// takers returns the two that a matter is kept for, because they were lost over it:
// they run it with the device to itself, and refuse it by name when it has killed
// them again. Nil: anybody may have it. It is called with mu held.
func (p *Pool) takers(m matter) []int {
	if l := p.losses[m]; len(l.members) == maxLost && !p.forgotten(l, time.Now()) {
		return l.members
	}
	return nil
}

// without takes one out of those who are left for a matter, and those who may not
// have it since.
func (p *Pool) without(left []int, at int, m matter) []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	takers := p.takers(m)
	return slices.DeleteFunc(left, func(i int) bool { return i == at || takers != nil && !slices.Contains(takers, i) })
}
