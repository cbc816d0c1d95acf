package ort

import (
	"slices"
	"strings"
	"sync"

	onnx "github.com/yalue/onnxruntime_go"

	"focal/core/fault"
)

// twins are the C sessions of a model on a card: one for each shape of its inputs.
//
// In one session every change of canvas or batch would cost more than many runs:
// the CUDA provider keeps what cuDNN has planned for a convolution for its last
// shape only (ONNX Runtime's issue 23006, since 1.20), and planning a small model
// takes from a tenth of a second to three. Two runs side by side would plan each
// other's convolutions away, node by node.
type twins struct {
	open  func() (*onnx.DynamicAdvancedSession, error)
	close func(*onnx.DynamicAdvancedSession)
	gone  func(shape string) // hears of each that is closed
	most  int

	mu  sync.Mutex // protects what follows
	all []*twin    // the one used last at the end
}

// twin is one of them.
type twin struct {
	shape  string // of the inputs; empty: of none yet
	users  int
	opened sync.Once
	c      *onnx.DynamicAdvancedSession
	err    error
}

// mostTwins bounds them, whatever room the books have: seven canvases in six batch
// sizes are 42.
const mostTwins = 48

// plan has s run on twins, of which the first is open.
func (s *session) plan(first *onnx.DynamicAdvancedSession, open func() (*onnx.DynamicAdvancedSession, error), close func(*onnx.DynamicAdvancedSession)) {
	t := &twin{c: first}
	t.opened.Do(func() {})
	s.twins = &twins{open: open, close: close, gone: s.forget, most: mostTwins, all: []*twin{t}}
}

// forget has nothing booked and nothing known of a shape that has no session any
// more.
func (s *session) forget(shape string) {
	s.known.shrunk(shape)
	s.engine.card.shares.gone(use{s, shape})
}

// take returns the session for inputs of a shape, to be put back.
func (w *twins) take(shape string) (*twin, error) {
	w.mu.Lock()
	at := slices.IndexFunc(w.all, func(t *twin) bool { return t.shape == shape })
	if at < 0 {
		at = slices.IndexFunc(w.all, func(t *twin) bool { return t.shape == "" })
	}
	t := &twin{}
	if at >= 0 {
		t = w.all[at]
		w.all = slices.Delete(w.all, at, at+1)
	}
	t.shape = shape
	t.users++
	w.all = append(w.all, t)
	var surplus *twin
	if len(w.all) > w.most {
		surplus = w.remove(func(t *twin) bool { return t.users == 0 })
	}
	w.mu.Unlock()
	w.end(surplus)
	t.opened.Do(func() { t.c, t.err = w.open() })
	if t.err != nil {
		w.mu.Lock()
		w.remove(func(other *twin) bool { return other == t })
		w.mu.Unlock()
		return nil, t.err
	}
	return t, nil
}

func (w *twins) put(t *twin) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.users--
}

// has reports whether there is a session for a shape.
func (w *twins) has(shape string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.all, func(t *twin) bool { return t.shape == shape })
}

// release has those that nothing runs on belong to no shape: the next one to come
// takes them over.
func (w *twins) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.all {
		if t.users == 0 {
			t.shape = ""
		}
	}
}

// idle takes the session of a shape if nothing runs on it; nil: there is none.
func (w *twins) idle(shape string) *twin {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.all {
		if t.shape == shape && t.users == 0 && t.c != nil {
			t.users++
			return t
		}
	}
	return nil
}

// drop closes the session of a shape unless something runs on it, or it is the last
// one: a loaded model keeps one.
func (w *twins) drop(shape string) (dropped bool) {
	w.mu.Lock()
	var t *twin
	if len(w.all) > 1 {
		t = w.remove(func(t *twin) bool { return t.shape == shape && t.users == 0 })
	}
	w.mu.Unlock()
	w.end(t)
	return t != nil
}

// closeAll closes all: nothing runs any more.
func (w *twins) closeAll() {
	w.mu.Lock()
	all := w.all
	w.all = nil
	w.mu.Unlock()
	for _, t := range all {
		w.end(t)
	}
}

// remove takes the first twin that is so out of the list, with mu held.
func (w *twins) remove(so func(*twin) bool) *twin {
	at := slices.IndexFunc(w.all, so)
	if at < 0 {
		return nil
	}
	t := w.all[at]
	w.all = slices.Delete(w.all, at, at+1)
	return t
}

func (w *twins) end(t *twin) {
	if t != nil && t.c != nil {
		w.close(t.c)
		w.gone(t.shape)
	}
}

// shrink has a twin's arena give back everything, at the end of a run that stops
// before its first node: any other would plan for its own inputs.
func (s *session) shrink(t *twin) error {
	const op = "ort.Trim"
	values, end, err := s.feed(s.zeros())
	defer end()
	if err != nil {
		return classify(op, fault.Internal, err)
	}
	options, err := s.engine.runOptions(s.engine.card.arena)
	if err != nil {
		return classify(op, fault.Internal, err)
	}
	defer s.engine.free(options)
	if err := options.Terminate(); err != nil {
		return classify(op, fault.Internal, err)
	}
	err = t.c.RunWithOptions(values, make([]onnx.Value, len(s.outputs)), options)
	if err != nil && !strings.Contains(err.Error(), "terminate") {
		return classify(op, fault.Internal, err)
	}
	return nil
}
