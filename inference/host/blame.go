package host

import (
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"focal/inference/sched"
	"focal/models"
)

// blame is the key of what is to blame if a process ends over q.
func (q question) blame() sched.Key {
	key := q.key()
	return sched.RunKey(q.model.spec.ID, key[:])
}

// Of a large tensor so many pieces of so many numbers, evenly spread, are hashed:
// all of it would cost a small model a fortieth of its run.
const (
	pieces      = 64
	pieceLength = 1024
)

// blameTensors is that of raw tensors. The hash is a fast one: they are hashed
// for each request, and it is only told apart from what has ended a process.
func blameTensors(m *served, inputs []models.Tensor) sched.Key {
	h := xxhash.New()
	for _, t := range inputs {
		length, step := pieceLength, len(t.Data)/pieces
		if step <= pieceLength {
			length, step = len(t.Data), len(t.Data)
		}
		for at := 0; at+length <= len(t.Data) && length > 0; at += step {
			h.Write(unsafe.Slice((*byte)(unsafe.Pointer(&t.Data[at])), 4*length)) // never fails
		}
	}
	return sched.RunKey(m.spec.ID, h.Sum([]byte(canvasOf(inputs))))
}
