package ort

import (
	"fmt"
	"sync"

	"focal/core/pixel"
	"focal/models"
)

// proven remembers which files have been loaded and have run, with the names of
// their ports: a model that comes back after others had its room is neither read
// twice nor run for nobody. Whoever loads makes sure that the file is still the
// one that the model names.
type proven struct {
	mu  sync.Mutex // protects all
	all map[string]names
}

// names are those of the file, by the manifest's position.
type names struct{ inputs, outputs []string }

// mostProven bounds what is remembered.
const mostProven = 256

// claim is everything that a load checks of a file: the file itself, and what its
// manifest says of it. Empty of a file without a digest.
func claim(m models.Model) string {
	if m.File == (pixel.Digest{}) {
		return ""
	}
	return fmt.Sprint(m.File, m.Inputs, m.Outputs, m.Canvases, m.Recipe, m.Planned("cpu"))
}

func (p *proven) names(m models.Model) (names, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.all[claim(m)]
	return n, ok
}

func (p *proven) add(m models.Model, n names) {
	key := claim(m)
	if key == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil || len(p.all) >= mostProven {
		p.all = map[string]names{}
	}
	p.all[key] = n
}
