package ort

import (
	"math/bits"
	"sync"
)

// pins are buffers of the host's memory that the card reads by itself: a copy
// out of them goes on beside other work, and faster. They are kept for the next
// run, by powers of two, and never freed.
type pins struct {
	allocate func(floats int) ([]float32, error)

	mu   sync.Mutex // protects what follows
	free map[int][][]float32
	out  map[*float32]struct{} // first numbers of the buffers that are in use
	sum  int                   // floats allocated
	none bool                  // the system gives no more
}

const (
	leastPin = 1 << 12 // floats
	mostPins = 1 << 28 // floats, which are 1 GiB
)

func newPins(allocate func(int) ([]float32, error)) *pins {
	return &pins{allocate: allocate, free: map[int][][]float32{}, out: map[*float32]struct{}{}}
}

// take returns a buffer of n floats and what gives it back; nil where there is
// none: the caller's own memory will do.
func (p *pins) take(n int) (buffer []float32, back func()) {
	size := max(leastPin, 1<<bits.Len(uint(n-1)))
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.free[size]
	if len(list) == 0 {
		if p.none || p.sum+size > mostPins {
			return nil, nil
		}
		fresh, err := p.allocate(size)
		if err != nil {
			p.none = true
			return nil, nil
		}
		p.sum += size
		list = [][]float32{fresh}
	}
	whole := list[len(list)-1]
	p.free[size] = list[:len(list)-1]
	p.out[&whole[0]] = struct{}{}
	return whole[:n], func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.out, &whole[0])
		p.free[size] = append(p.free[size], whole)
	}
}

// has reports whether data, which is not empty, is one of the buffers in use, from
// its start.
func (p *pins) has(data []float32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.out[&data[0]]
	return ok
}
