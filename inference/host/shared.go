package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"

	"focal/core/cache"
	"focal/core/pixel"
	"focal/inference"
)

// Shared is a second tier of results, beyond this process: what another has
// found need not be found again. It never fails a request, only does not know.
type Shared interface {
	// Get returns what was put under key, by whomever, or nil.
	Get(ctx context.Context, key pixel.Digest) []byte
	// Put hands over a value, which nobody changes any more, and returns at once.
	Put(key pixel.Digest, value []byte)
	// Stats are the hits and misses of Get since the start.
	Stats() cache.Stats
}

// finding is an answer as it lies in the second tier: JSON, so that its owner
// can read it with the tools at hand. Model, recipe and source are in the key.
type finding struct {
	Provider string     `json:"provider"`
	Source   [2]int     `json:"source"`          // width and height
	Faces    []sighting `json:"faces,omitempty"` // fractions of the source, by falling score
	Mask     []byte     `json:"mask,omitempty"`  // PNG, grey, at the model's output size
}

type sighting struct {
	Box       [4]float64   `json:"box"`
	Score     float64      `json:"score"`
	Landmarks [][2]float64 `json:"landmarks,omitempty"`
}

// share hands a over to the second tier.
func (h *Host) share(key pixel.Digest, a answer) {
	if h.cfg.Shared == nil {
		return
	}
	b, err := pack(a)
	if err != nil {
		h.cfg.Log.Error("a result is not shared", "model", a.facts.Model, "err", err)
		return
	}
	h.cfg.Shared.Put(key, b)
}

// shared returns the answer to q that the second tier has. What cannot be
// read there is not known.
func (h *Host) shared(ctx context.Context, q question) (answer, bool) {
	if h.cfg.Shared == nil {
		return answer{}, false
	}
	b := h.cfg.Shared.Get(ctx, q.key())
	if b == nil {
		return answer{}, false
	}
	a, err := unpack(b)
	if err != nil {
		h.cfg.Log.Warn("a shared result cannot be read", "model", q.model.Name, "err", err)
		return answer{}, false
	}
	a.facts.Model, a.facts.File, a.facts.Recipe, a.facts.How = q.model.Name, q.model.File, q.model.recipe, inference.Hit
	return a, true
}

func pack(a answer) ([]byte, error) {
	f := finding{Provider: a.facts.Provider, Source: [2]int{a.facts.Source.Width, a.facts.Source.Height}}
	for _, face := range a.faces {
		s := sighting{Box: [4]float64{face.Box.X, face.Box.Y, face.Box.W, face.Box.H}, Score: face.Score}
		for _, p := range face.Landmarks {
			s.Landmarks = append(s.Landmarks, [2]float64{p.X, p.Y})
		}
		f.Faces = append(f.Faces, s)
	}
	if m := a.mask; m.Pix != nil {
		var b bytes.Buffer
		grey := &image.Gray{Pix: m.Pix, Stride: m.Width, Rect: image.Rect(0, 0, m.Width, m.Height)}
		encoder := png.Encoder{CompressionLevel: png.BestSpeed} // whoever asked waits for it
		if err := encoder.Encode(&b, grey); err != nil {
			return nil, err
		}
		f.Mask = b.Bytes()
	}
	return json.Marshal(f)
}

// unpack is the inverse of pack. Whoever may write to the server may have
// written anything.
func unpack(b []byte) (answer, error) {
	var f finding
	if err := json.Unmarshal(b, &f); err != nil {
		return answer{}, err
	}
	a := answer{}
	a.facts.Provider = f.Provider
	a.facts.Source = pixel.Size{Width: f.Source[0], Height: f.Source[1]}
	if f.Provider == "" || f.Source[0] <= 0 || f.Source[1] <= 0 {
		return answer{}, errors.New("no provider, or no size of the source")
	}
	last := math.Inf(1)
	for _, s := range f.Faces {
		if !(s.Score >= 0 && s.Score <= last) || !(s.Box[2] >= 0 && s.Box[3] >= 0) {
			return answer{}, fmt.Errorf("faces out of order, or without a size: %v after a score of %v", s, last)
		}
		last = s.Score
		face := pixel.Face{Box: pixel.Box{X: s.Box[0], Y: s.Box[1], W: s.Box[2], H: s.Box[3]}, Score: s.Score}
		for _, p := range s.Landmarks {
			face.Landmarks = append(face.Landmarks, pixel.Point{X: p[0], Y: p[1]})
		}
		a.faces = append(a.faces, face)
	}
	if f.Mask == nil {
		return a, nil
	}
	var err error
	a.mask, err = unpackMask(f.Mask)
	return a, err
}

// largestMask bounds what is decoded; models give at most 1024×1024.
const largestMask = 1 << 24

func unpackMask(b []byte) (pixel.Mask, error) {
	c, err := png.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return pixel.Mask{}, err
	}
	if int64(c.Width)*int64(c.Height) > largestMask {
		return pixel.Mask{}, fmt.Errorf("mask of %d×%d: want at most %d pixels", c.Width, c.Height, largestMask)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return pixel.Mask{}, err
	}
	grey, ok := img.(*image.Gray)
	if !ok {
		return pixel.Mask{}, fmt.Errorf("mask of %T: want 8-bit grey", img)
	}
	return pixel.Mask{Width: c.Width, Height: c.Height, Pix: grey.Pix}, nil
}
