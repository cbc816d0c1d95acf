package ort

import (
	"fmt"
	"sync"

	onnx "github.com/yalue/onnxruntime_go"
)

// arena gives back what the shared arena does not use. ONNX Runtime shrinks
// arenas only at the end of a run that asks for it, and then the results of
// that run are still in the arena, each holding the whole block that it lies
// in: after a batch of large pictures a hundred megabytes or more. So the runs
// that matter do not ask; when their results are out, a run of a model that
// does nothing asks for them.
//
// It is done after every run, which costs the pages that the next one touches
// again: about a tenth of its time. Without it the arena's cap would count
// blocks that nobody uses, and runs that fit the books would be refused.
type arena struct {
	mu            sync.Mutex // one run at a time: all use the same tensors
	session       *onnx.DynamicAdvancedSession
	options       *onnx.RunOptions
	input, output []onnx.Value
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

// shrink frees every block of the arena that holds nothing.
func (a *arena) shrink() error {
	a.mu.Lock()
	defer a.mu.Unlock()
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
