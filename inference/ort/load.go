package ort

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	onnx "github.com/yalue/onnxruntime_go"

	"focal/core/fault"
	"focal/inference"
	"focal/models"
)

// Load makes a session of m's file, or of its Data where it has some. The file's inputs and outputs are compared
// with the manifest's by position, because alternative files of one model name
// them differently: type, rank and known axes must agree. A file may have more
// outputs than the manifest (U²-Net has its side outputs behind the one that
// matters); they are not asked for. The first time that it sees a file it runs batch
// 1 once, at the smallest canvas, on the CPU at one that is no square; later whoever
// waits would wait for two runs. C cannot be stopped while it reads a file: ctx is looked at between
// the steps. Errors: fault.NotFound for no file, fault.Corrupt or
// fault.Unsupported for a bad one, fault.Busy for want of memory.
func (e *Engine) Load(ctx context.Context, m models.Model) (inference.Session, error) {
	if e.card != nil {
		defer processSignals.keep()()
	}
	defer giveBackPages() // reading a file takes as much as what is made of it
	end := e.activity.begin()
	s, err := e.load(ctx, m)
	if e.card != nil && fault.Is(err, fault.Busy) { // the room of sessions that nothing runs on will do
		if err = e.card.shares.leave(); err == nil {
			s, err = e.load(ctx, m)
		}
	}
	alone := end()
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Name, err)
	}
	if !alone {
		s.rest = 0 // what the heap grew by is not this model's alone
	}
	return s, nil
}

func (e *Engine) load(ctx context.Context, m models.Model) (*session, error) {
	const op = "ort.Load"
	if err := ctx.Err(); err != nil {
		return nil, fault.New(fault.KindOf(err), op, "%w", err)
	}
	if err := e.Trim(); err != nil { // the books count on it
		return nil, err
	}
	if m.Data == nil {
		if err := checkFile(m.Path); err != nil {
			return nil, err
		}
	}
	names, again := e.proven.names(m)
	if !again {
		var err error
		if names.inputs, names.outputs, err = e.ports(m); err != nil {
			return nil, err
		}
	}
	small, err := e.least(m.Manifest)
	if err != nil {
		return nil, err
	}
	s, err := e.create(m, names.inputs, names.outputs)
	if err != nil {
		return nil, err
	}
	s.least = small
	if again {
		return s, nil
	}
	if err := s.warm(ctx, m); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	e.proven.add(m, names)
	return s, nil
}

func checkFile(path string) error {
	const op = "ort.Load"
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fault.New(fault.NotFound, op, "no file %s", filepath.Base(path))
	case err != nil:
		return fault.New(fault.Internal, op, "%w", err)
	case !info.Mode().IsRegular():
		return fault.New(fault.Corrupt, op, "%s is not a file", filepath.Base(path))
	}
	return nil
}

// ports returns the file's names of the manifest's inputs and outputs. The
// binding tells them only of a session of its own, so there is one for a
// moment; without optimisation it costs a fraction of the real one.
func (e *Engine) ports(m models.Model) (inputs, outputs []string, err error) {
	const op = "ort.Load"
	in, out, err := e.describe(m)
	if err != nil {
		return nil, nil, classify(op, fault.Corrupt, err)
	}
	if len(in) != len(m.Inputs) {
		return nil, nil, fault.New(fault.Unsupported, op, "the file has %d inputs, the manifest %d", len(in), len(m.Inputs))
	}
	if len(out) < len(m.Outputs) || len(m.Outputs) == 0 {
		return nil, nil, fault.New(fault.Unsupported, op, "the file has %d outputs, the manifest %d", len(out), len(m.Outputs))
	}
	if inputs, err = match("input", in, m.Inputs); err != nil {
		return nil, nil, err
	}
	if outputs, err = match("output", out[:len(m.Outputs)], m.Outputs); err != nil {
		return nil, nil, err
	}
	return inputs, outputs, nil
}

func (e *Engine) describe(m models.Model) (inputs, outputs []onnx.InputOutputInfo, err error) {
	if m.Data != nil {
		// The binding takes no options with bytes; these models are small.
		return onnx.GetInputOutputInfoWithONNXData(m.Data)
	}
	// On the CPU whatever the device is: nothing runs.
	options, err := sessionOptions(e.config.Threads, false)
	if err != nil {
		return nil, nil, err
	}
	e.live.Add(1)
	defer e.free(options)
	if err := options.SetGraphOptimizationLevel(onnx.GraphOptimizationLevelDisableAll); err != nil {
		return nil, nil, err
	}
	return onnx.GetInputOutputInfoWithOptions(m.Path, options)
}

// match compares ports by position and returns the file's names.
func match(kind string, file []onnx.InputOutputInfo, manifest []models.Port) ([]string, error) {
	names := make([]string, len(file))
	for i, f := range file {
		p := manifest[i]
		names[i] = f.Name
		if f.OrtValueType != onnx.ONNXTypeTensor || f.DataType != onnx.TensorElementDataTypeFloat || (p.Type != "" && p.Type != "float32") {
			return nil, fault.New(fault.Unsupported, "ort.Load", "%s %d is %s in the file and %q in the manifest: want float32 in both", kind, i, f.DataType, p.Type)
		}
		if !agree(kind, f.Dimensions, p.Shape) {
			return nil, fault.New(fault.Unsupported, "ort.Load", "%s %d has shape %v in the file and %v in the manifest", kind, i, []int64(f.Dimensions), p.Shape)
		}
	}
	return names, nil
}

// agree compares shapes; an axis that is not positive is free. An input axis
// that the manifest leaves free must be free in the file, for other sizes will
// come; of an output the file may know more, or say nothing.
func agree(kind string, file, manifest []int64) bool {
	if len(file) != len(manifest) || len(file) == 0 {
		return false
	}
	for i := range file {
		switch {
		case file[i] == manifest[i] || file[i] <= 0:
		case manifest[i] <= 0 && kind == "output":
		default:
			return false
		}
	}
	return true
}

// create makes the session that stays, and measures it: before its first run,
// because a run may give back what earlier ones left in the arena.
func (e *Engine) create(m models.Model, inputs, outputs []string) (*session, error) {
	file, err := stampOf(m)
	if err != nil {
		return nil, err
	}
	before := e.held()
	c, err := e.open(m, inputs, outputs)
	if err != nil {
		return nil, err
	}
	s := &session{engine: e, inputs: m.Inputs, outputs: m.Outputs, rest: e.grown(before), known: newKnown()}
	if e.card == nil {
		s.c = c
	} else {
		s.plan(c, e.another(m, inputs, outputs, file), func(c *onnx.DynamicAdvancedSession) { e.free(c) })
	}
	return s, nil
}

// stampOf tells files apart that have lain at m's path one after the other. Of bytes
// it is nil.
func stampOf(m models.Model) (os.FileInfo, error) {
	if m.Data != nil {
		return nil, nil
	}
	info, err := os.Stat(m.Path)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "ort.Load", "%s has gone: %w", filepath.Base(m.Path), err)
	}
	return info, nil
}

// another opens one more C session of m, if its file is still the one that was
// loaded: another file there is another model.
func (e *Engine) another(m models.Model, inputs, outputs []string, loaded os.FileInfo) func() (*onnx.DynamicAdvancedSession, error) {
	return func() (*onnx.DynamicAdvancedSession, error) {
		c, err := e.open(m, inputs, outputs)
		// Afterwards: it may have been replaced while it was read.
		now, gone := stampOf(m)
		if gone == nil && (loaded == nil || os.SameFile(loaded, now) && now.Size() == loaded.Size() && now.ModTime().Equal(loaded.ModTime())) {
			return c, err
		}
		if err == nil {
			e.free(c)
		}
		return nil, fault.New(fault.Unavailable, "ort.Run", "%s has changed or gone since it was loaded", filepath.Base(m.Path))
	}
}

// open makes a C session of m.
func (e *Engine) open(m models.Model, inputs, outputs []string) (*onnx.DynamicAdvancedSession, error) {
	if e.card != nil {
		defer processSignals.keep()()
	}
	options, err := e.options(m, inputs)
	if err != nil {
		return nil, err
	}
	defer e.free(options)
	c, err := open(m, inputs, outputs, options)
	if err != nil && e.card != nil && e.card.unread(err) {
		c, err = open(m, inputs, outputs, options)
	}
	if err != nil {
		return nil, classify("ort.Load", fault.Corrupt, err)
	}
	e.live.Add(1)
	return c, nil
}

func open(m models.Model, inputs, outputs []string, o *onnx.SessionOptions) (*onnx.DynamicAdvancedSession, error) {
	if m.Data != nil {
		return onnx.NewDynamicAdvancedSessionWithONNXData(m.Data, inputs, outputs, o)
	}
	return onnx.NewDynamicAdvancedSession(m.Path, inputs, outputs, o)
}

// options are those of a session of m, whose inputs have these names in the
// file. Whoever calls frees them.
func (e *Engine) options(m models.Model, inputs []string) (*onnx.SessionOptions, error) {
	o, err := sessionOptions(e.config.Threads, m.Planned(e.Provider()))
	if err != nil {
		return nil, classify("ort.Load", fault.Internal, err)
	}
	e.live.Add(1)
	if e.card == nil {
		return o, nil
	}
	if err := e.card.use(o, m, inputs); err != nil {
		e.free(o)
		if fault.Is(err, fault.Internal) {
			err = classify("ort.Load", fault.Internal, err)
		}
		return nil, err
	}
	return o, nil
}

func sessionOptions(threads int, memoryPattern bool) (*onnx.SessionOptions, error) {
	o, err := onnx.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		o.SetIntraOpNumThreads(threads),
		o.SetInterOpNumThreads(1),
		o.SetExecutionMode(onnx.ExecutionModeSequential),
		o.SetMemPattern(memoryPattern),
		o.AddSessionConfigEntry("session.use_env_allocators", "1"),
		// Threads that wait by spinning take the cores of the image server.
		o.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
	)
	if err != nil {
		return nil, errors.Join(err, o.Destroy())
	}
	return o, nil
}

// free destroys a C object that was counted; the binding's errors here are
// always nil.
func (e *Engine) free(o interface{ Destroy() error }) {
	_ = o.Destroy()
	e.live.Add(-1)
}

// warm runs batch 1 of zeros of the least shapes. What that takes is given back,
// for a loaded model to hold no more than itself.
func (s *session) warm(ctx context.Context, m models.Model) error {
	_, _, err := s.run(ctx, s.zeros(), inference.Room{})
	if s.twins != nil && m.Canvases.Max > 0 {
		s.twins.release() // another canvas is as likely
	}
	if fault.Is(err, fault.Internal) {
		// The manifest's own sizes do not run: the file is not what it says.
		return fault.New(fault.Unsupported, "ort.Load", "first run: %w", err)
	}
	return err
}

// least returns the shapes of the smallest inputs, on the CPU those that are no
// squares: on a card each shape has a session of its own.
func (e *Engine) least(m models.Manifest) ([][]int64, error) {
	var shapes [][]int64
	for i, p := range m.Inputs {
		shape, err := smallest(m, p)
		if err != nil {
			return nil, err
		}
		if e.card == nil {
			oblong(m, p, shape)
		}
		if models.Elements(shape) < 0 {
			return nil, fault.New(fault.Unsupported, "ort.Load", "input %d has shape %v", i, shape)
		}
		shapes = append(shapes, shape)
	}
	return shapes, nil
}

// zeros are the smallest inputs.
func (s *session) zeros() []models.Tensor {
	var inputs []models.Tensor
	for _, shape := range s.least {
		inputs = append(inputs, models.Tensor{Shape: shape, Data: make([]float32, models.Elements(shape))})
	}
	return inputs
}

// smallest fills the free axes of an input: batch 1, and for height and width
// (the last two of four) the least canvas of the manifest.
func smallest(m models.Manifest, p models.Port) ([]int64, error) {
	shape := make([]int64, len(p.Shape))
	for i, n := range p.Shape {
		switch {
		case n > 0:
			shape[i] = n
		case i == 0:
			shape[i] = 1
		case len(p.Shape) == 4 && i >= 2:
			shape[i] = int64(leastSide(m, i == 3))
		}
		if shape[i] <= 0 {
			return nil, fault.New(fault.Invalid, "ort.Load", "input %s leaves axis %d free and the manifest gives neither canvases nor a recipe size for it", p.Name, i)
		}
	}
	return shape, nil
}

// oblong makes a square of free sides twice as wide, where canvases go so far.
//
// ONNX Runtime plans the memory of a run in one block and keeps the plan for the
// next run of its shape, but tells shapes apart by the exclusive or of their
// sizes: that is the same for all squares, and the first one's plan stays. After a
// small one no other has a plan. Then its tensors are blocks of their own, and two
// runs side by side take them from each other, out of the other core's cache.
func oblong(m models.Manifest, p models.Port, shape []int64) {
	if len(shape) == 4 && p.Shape[2] <= 0 && p.Shape[3] <= 0 && shape[2] == shape[3] && 2*shape[3] <= int64(m.Canvases.Max) {
		shape[3] *= 2
	}
}

func leastSide(m models.Manifest, width bool) int {
	switch {
	case m.Canvases.Step > 0:
		return m.Canvases.Step
	case m.Recipe.Resize == "fit":
		return m.Recipe.LongSide
	case width:
		return m.Recipe.Width
	default:
		return m.Recipe.Height
	}
}
