package results

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"

	"focal/core/pipeline"
	"focal/core/pixel"
)

// A sealed picture is
//
//	mark · length of the head (4 bytes, big endian) · head (JSON) · body · seal
//
// where the seal is the SHA-256 of the key and everything before it. So what was
// cut short, changed, or lies under another name than its own is found out.
const mark = "focal picture 1\n"

// largest is how many bytes the body of a picture may have that is written to a
// store.
const largest = 64 << 20

// largestSealed is how long a file in a store may be.
const largestSealed = largest + 1<<20

// head is what is kept beside the body.
type head struct {
	Type     string     `json:"type"`
	Width    int        `json:"width,omitempty"`
	Height   int        `json:"height,omitempty"`
	Warnings []string   `json:"warnings,omitempty"`
	Facts    []headFact `json:"facts,omitempty"`
}

type headFact struct {
	Task     string `json:"task"`
	Model    string `json:"model"`
	Digest   string `json:"digest"`
	Provider string `json:"provider"`
	Detail   string `json:"detail"`
}

// seal writes a picture down under its key.
func seal(key pixel.Digest, r pipeline.Result) []byte {
	h := head{Type: r.ContentType, Width: r.Size.Width, Height: r.Size.Height, Warnings: r.Warnings}
	for _, f := range r.Facts {
		h.Facts = append(h.Facts, headFact{string(f.Task), f.Model, f.Digest.String(), f.Provider, f.Detail})
	}
	text, err := json.Marshal(h)
	if err != nil {
		panic(err) // strings and numbers only
	}
	out := make([]byte, 0, len(mark)+4+len(text)+len(r.Body)+sha256.Size)
	out = append(out, mark...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(text)))
	out = append(out, text...)
	out = append(out, r.Body...)
	sum := sealOf(key, out)
	return append(out, sum[:]...)
}

func sealOf(key pixel.Digest, b []byte) (d pixel.Digest) {
	h := sha256.New()
	h.Write(key[:])
	h.Write(b)
	h.Sum(d[:0])
	return d
}

var errSeal = errors.New("the seal is broken")

// unseal is the inverse of seal. The body is part of b.
func unseal(key pixel.Digest, b []byte) (pipeline.Result, error) {
	const frame = len(mark) + 4
	if len(b) < frame+sha256.Size {
		return pipeline.Result{}, errSeal
	}
	rest, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if want := sealOf(key, rest); !bytes.Equal(sum, want[:]) || string(rest[:len(mark)]) != mark {
		return pipeline.Result{}, errSeal
	}
	length := uint64(binary.BigEndian.Uint32(rest[len(mark):]))
	if rest = rest[frame:]; length > uint64(len(rest)) {
		return pipeline.Result{}, errSeal
	}
	var h head
	if err := json.Unmarshal(rest[:length], &h); err != nil {
		return pipeline.Result{}, err
	}
	r := pipeline.Result{
		Body: rest[length:], ContentType: h.Type, Warnings: h.Warnings, Size: pixel.Size{Width: h.Width, Height: h.Height},
	}
	for _, f := range h.Facts {
		d, err := pixel.ParseDigest(f.Digest)
		if err != nil {
			return pipeline.Result{}, err
		}
		r.Facts = append(r.Facts, pipeline.Fact{Task: pipeline.Task(f.Task), Model: f.Model, Digest: d, Provider: f.Provider, Detail: f.Detail})
	}
	return r, nil
}
