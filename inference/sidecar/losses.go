package sidecar

import (
	"errors"
	"slices"
	"time"

	"focal/core/pixel"
)

// loss is what is known of a picture over whose pixels sidecars were lost and that
// none has answered since.
type loss struct {
	members []int // at most maxLost
	last    time.Time
}

const (
	maxLost   = 2    // sidecars that are lost over one picture
	maxLosses = 4096 // pictures remembered; of more it is not known
)

// lost learns from what became of the pixels of a content at one sidecar: it was
// lost over them, or they were answered, and kill nobody.
func (p *Pool) lost(content pixel.Digest, at int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		delete(p.losses, content)
	}
	if !errors.Is(err, errBroken) {
		return
	}
	now := time.Now()
	for c, l := range p.losses {
		if p.forgotten(l, now) {
			delete(p.losses, c)
		}
	}
	l, known := p.losses[content]
	if !known && len(p.losses) >= maxLosses {
		return
	}
	if !slices.Contains(l.members, at) && len(l.members) < maxLost {
		l.members = append(l.members, at)
	}
	l.last = now
	p.losses[content] = l
}

func (p *Pool) forgotten(l loss, now time.Time) bool { return now.Sub(l.last) >= p.cfg.Remember }

// takers returns the two that a content is kept for, because they were lost over it:
// they run it with the device to itself, and refuse it by name when it has killed
// them again. Nil: anybody may have it. It is called with mu held.
func (p *Pool) takers(content pixel.Digest) []int {
	if l := p.losses[content]; len(l.members) == maxLost && !p.forgotten(l, time.Now()) {
		return l.members
	}
	return nil
}

// without takes one out of those who are left for a content, and those who may not
// have it since.
func (p *Pool) without(left []int, at int, content pixel.Digest) []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	takers := p.takers(content)
	return slices.DeleteFunc(left, func(i int) bool { return i == at || takers != nil && !slices.Contains(takers, i) })
}
