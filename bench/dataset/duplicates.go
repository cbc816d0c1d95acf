package dataset

import (
	"fmt"
	"math/bits"
	"path/filepath"

	"focal/core/pixel"
	"focal/core/vips"
	"focal/models/vision"
)

// DifferenceHash is a fingerprint of a look that survives scaling and
// compression: the picture is shrunk to 9×8 grey pixels, and each bit says
// whether a pixel is darker than its right neighbour (Krawetz, Kind of like
// that, 2013).
func DifferenceHash(look pixel.Buffer) (uint64, error) {
	small, err := vision.Resize(look, pixel.Size{Width: 9, Height: 8}, vision.Area)
	if err != nil {
		return 0, err
	}
	grey := func(x, y int) int {
		p := small.Pix[small.Channels*(9*y+x):]
		return 299*int(p[0]) + 587*int(p[1]) + 114*int(p[2]) // ITU-R BT.601
	}
	var hash uint64
	for y := range 8 {
		for x := range 8 {
			hash <<= 1
			if grey(x, y) < grey(x+1, y) {
				hash |= 1
			}
		}
	}
	return hash, nil
}

// alike is the number of bits in which two pictures that are one differ at
// most. Unrelated pictures differ in about 32.
const alike = 4

// Hashes finds pictures that look alike, across all sets that it is shown.
type Hashes struct {
	seen []hashed
}

type hashed struct {
	path string
	hash uint64
}

// Add returns a problem if a picture looks like an earlier one.
func (h *Hashes) Add(path string, file []byte) (*Problem, error) {
	info, err := vips.Probe(file)
	if err != nil {
		return nil, err
	}
	look, err := vips.Look(file, info)
	if err != nil {
		return nil, err
	}
	hash, err := DifferenceHash(look)
	if err != nil {
		return nil, err
	}
	var found *Problem
	for _, s := range h.seen {
		if d := bits.OnesCount64(s.hash ^ hash); d <= alike && found == nil {
			at := filepath.Join(filepath.Base(filepath.Dir(filepath.Dir(s.path))), filepath.Base(s.path))
			found = &Problem{path, Duplicate, fmt.Sprintf("looks like %s (%d of 64 bits differ)", at, d)}
		}
	}
	h.seen = append(h.seen, hashed{path, hash})
	return found, nil
}
