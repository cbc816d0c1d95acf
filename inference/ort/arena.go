package ort

import (
	"fmt"
	"slices"
	"sync"

	onnx "github.com/yalue/onnxruntime_go"

	"focal/inference"
)

// arena gives back what the shared arena does not use. ONNX Runtime shrinks
// arenas only at the end of a run that asks for it, and then the results of
// that run are still in the arena, each holding the whole block that it lies
// in: after a batch of large pictures a hundred megabytes or more. So the runs
// that matter do not ask; when their results are out, a run of a model that
// does nothing asks for them.
//
// Memory fresh from the system costs a quarter of a run's time, and of a small
// model's as much as the run. So what a run leaves is kept while the books have
// room for it: beside what is loaded and all that runs. Before anybody else
// needs it, everything that holds nothing is given back.
type arena struct {
	mu            sync.Mutex // protects what follows; one shrinking at a time, since all use the same tensors
	session       *onnx.DynamicAdvancedSession
	options       *onnx.RunOptions
	input, output []onnx.Value
	kept          []kept
	running       int64 // bytes of the runs under way
}

// use names the runs that take the same blocks.
type use struct {
	session *session
	shape   string
}

// kept is what a run has left in the arena, for the next one like it.
type kept struct {
	use
	bytes int64
}

// mostKept bounds the list: callers with raw tensors choose shapes as they like.
const mostKept = 64

// begin makes room for a run and returns the bytes that end is to be told:
//
//  1. A run like it has left its memory: it takes that. Not if it is to be
//     measured, which needs an arena with nothing in it.
//  2. There is room beside what is kept and what runs.
//  3. Else all that is kept is given back.
func (a *arena) begin(u use, room inference.Room, measure bool) (bytes int64, clean bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	bytes = room.Run
	at := slices.IndexFunc(a.kept, func(k kept) bool { return k.use == u })
	switch {
	case at >= 0 && !measure: // 1
		bytes = a.kept[at].bytes
		a.kept = slices.Delete(a.kept, at, at+1)
	case measure || a.keeps()+a.running+bytes > room.All || len(a.kept) >= mostKept: // 3
		clean, err = true, a.shrink()
	}
	a.running += bytes
	return bytes, clean, err
}

// end ends a run, and keeps what it leaves or gives everything back.
func (a *arena) end(u use, bytes int64, keep bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running -= bytes
	if keep {
		a.kept = append(a.kept, kept{u, bytes})
		return nil
	}
	return a.shrink()
}

// spare is what is kept of runs that have ended, in bytes.
func (a *arena) spare() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.keeps()
}

// trim gives back what is kept.
func (a *arena) trim() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.shrink()
}

// keeps is spare with mu held.
func (a *arena) keeps() int64 {
	sum := int64(0)
	for _, k := range a.kept {
		sum += k.bytes
	}
	return sum
}

// shrinkKey has a run's arenas give back what they do not use, at its end.
const shrinkKey = "memory.enable_memory_arena_shrinkage"

// newArena registers the arena that all sessions share, of at most limit bytes
// where that is above 0. It lasts as long as the process.
func newArena(limit int64) (*arena, error) {
	const (
		sameAsRequested = 1  // grow by what is needed, so that all of it can go
		asUsual         = -1 // what ONNX Runtime does by itself
	)
	config, err := onnx.NewArenaCfg(int(limit), sameAsRequested, asUsual, asUsual)
	if err != nil {
		return nil, fmt.Errorf("arena: %w", err)
	}
	defer config.Destroy()
	where, err := onnx.GetMemoryInfo()
	if err != nil {
		return nil, fmt.Errorf("arena: %w", err)
	}
	if err := onnx.CreateAndRegisterAllocator(where, config); err != nil {
		return nil, fmt.Errorf("arena: %w", err)
	}
	a, err := newShrinker()
	if err != nil {
		return nil, fmt.Errorf("arena: %w", err)
	}
	return a, nil
}

// newShrinker makes what shrink runs. What a failing step leaves behind is left
// behind: ONNX Runtime cannot be opened a second time.
func newShrinker() (*arena, error) {
	options, err := sessionOptions(1, false)
	if err != nil {
		return nil, err
	}
	defer options.Destroy()
	a := &arena{}
	if a.session, err = onnx.NewDynamicAdvancedSessionWithONNXData(identity(), []string{"x"}, []string{"y"}, options); err != nil {
		return nil, err
	}
	if a.options, err = onnx.NewRunOptions(); err != nil {
		return nil, err
	}
	if err := a.options.AddRunConfigEntry(shrinkKey, "cpu:0"); err != nil {
		return nil, err
	}
	for _, v := range []*[]onnx.Value{&a.input, &a.output} {
		t, err := onnx.NewEmptyTensor[float32](onnx.NewShape(1))
		if err != nil {
			return nil, err
		}
		*v = []onnx.Value{t}
	}
	return a, nil
}

// shrink frees every block of the arena that holds nothing, with mu held.
func (a *arena) shrink() error {
	a.kept = a.kept[:0]
	if err := a.session.RunWithOptions(a.input, a.output, a.options); err != nil {
		return fmt.Errorf("arena: %w", err)
	}
	return nil
}

// identity is an ONNX file whose graph copies one number: y = Identity(x),
// opset 13. The field numbers are those of onnx.proto.
func identity() []byte {
	number := field(2, field(1, varint(1, 1), field(2, field(1, varint(1, 1))))) // tensor of float32, shape [1]
	graph := field(7,
		field(1, text(1, "x"), text(2, "y"), text(4, "Identity")),
		text(2, "identity"),
		field(11, text(1, "x"), number),
		field(12, text(1, "y"), number))
	const irVersion, opset = 7, 13
	return join(varint(1, irVersion), graph, field(8, varint(2, opset)))
}

// field, text and varint write protobuf fields; lengths and numbers stay under
// 128, where they are one byte.
func field(number byte, parts ...[]byte) []byte {
	body := join(parts...)
	return append([]byte{number<<3 | 2, byte(len(body))}, body...)
}

func text(number byte, s string) []byte { return field(number, []byte(s)) }

func varint(number, value byte) []byte { return []byte{number << 3, value} }

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
