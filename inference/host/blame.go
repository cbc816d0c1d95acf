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

// blameTensors is that of raw tensors. The hash is a fast one: they are hashed
// for each request, and it is only told apart from what has ended a process.
func blameTensors(m *served, inputs []models.Tensor) sched.Key {
	h := xxhash.New()
	for _, t := range inputs {
		if len(t.Data) > 0 {
			h.Write(unsafe.Slice((*byte)(unsafe.Pointer(&t.Data[0])), 4*len(t.Data))) // never fails
		}
	}
	return sched.RunKey(m.spec.ID, h.Sum([]byte(canvasOf(inputs))))
}
