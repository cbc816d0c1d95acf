package ort

import (
	"strconv"
	"time"

	onnx "github.com/yalue/onnxruntime_go"

	"focal/core/fault"
	"focal/models"
)

// Bare is a model with nothing of focal's round it, which everything else is held
// against: a session with ONNX Runtime's own defaults and its own arena, on this
// engine's device and with as many threads a run. Of a card the provider has no
// option but its number.
type Bare struct {
	// Load is how long it took to make the session.
	Load time.Duration

	session *onnx.DynamicAdvancedSession
	outputs int
}

// OpenBare makes a bare session of m. Whoever calls closes it.
func (e *Engine) OpenBare(m models.Model) (*Bare, error) {
	const op = "ort.OpenBare"
	if e.card != nil {
		defer processSignals.keep()()
	}
	in, out, err := e.ports(m)
	if err != nil {
		return nil, err
	}
	options, err := e.bareOptions()
	if err != nil {
		return nil, classify(op, fault.Internal, err)
	}
	defer options.Destroy()
	began := time.Now()
	s, err := open(m, in, out, options)
	if err != nil {
		return nil, classify(op, fault.Internal, err)
	}
	return &Bare{time.Since(began), s, len(out)}, nil
}

func (e *Engine) bareOptions() (*onnx.SessionOptions, error) {
	o, err := onnx.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	if e.card == nil {
		return o, o.SetIntraOpNumThreads(e.config.Threads)
	}
	p, err := onnx.NewCUDAProviderOptions()
	if err != nil {
		return nil, err
	}
	defer p.Destroy()
	if err := p.Update(map[string]string{"device_id": strconv.Itoa(e.card.index)}); err != nil {
		return nil, err
	}
	return o, o.AppendExecutionProviderCUDA(p)
}

// Loop runs inputs one time after the other, as long as more says so before each,
// and returns how long each run took. C allocates the outputs, and nobody looks
// at them. Several loops may go side by side.
func (b *Bare) Loop(inputs []models.Tensor, more func() bool) (runs []time.Duration, err error) {
	const op = "ort.Bare"
	values := make([]onnx.Value, len(inputs))
	for i, t := range inputs {
		v, err := onnx.NewTensor(onnx.Shape(t.Shape), t.Data)
		if err != nil {
			return nil, classify(op, fault.Internal, err)
		}
		defer v.Destroy()
		values[i] = v
	}
	for more() {
		results := make([]onnx.Value, b.outputs)
		began := time.Now()
		err := b.session.Run(values, results)
		runs = append(runs, time.Since(began))
		for _, r := range results {
			if r != nil {
				_ = r.Destroy()
			}
		}
		if err != nil {
			return nil, classify(op, fault.Internal, err)
		}
	}
	return runs, nil
}

// Close ends the session. No loop may be under way.
func (b *Bare) Close() error { return b.session.Destroy() }

// Held is what is taken of the card by this process, its context included, or
// where the driver does not tell processes apart by all; on the CPU, by the C
// heap. -1 where nobody says.
func (e *Engine) Held() int64 { return e.held() }
