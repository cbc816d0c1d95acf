package ort

import (
	"strconv"
	"time"

	onnx "github.com/yalue/onnxruntime_go"

	"focal/core/fault"
	"focal/models"
)

// Bare is how long a model takes without anything of focal's round it.
type Bare struct {
	Load  time.Duration   // of the session
	First time.Duration   // run
	Runs  []time.Duration // after it
}

// RunBare is what everything else is held against: a session of m's file with
// ONNX Runtime's own defaults on this engine's device, its own arena, and n runs
// one after the other of one input, whose outputs it allocates. Nothing else may
// run meanwhile. Of a card the provider has no option but its number.
func (e *Engine) RunBare(m models.Model, inputs []models.Tensor, n int) (b Bare, err error) {
	const op = "ort.RunBare"
	if e.card != nil {
		defer processSignals.keep()()
	}
	in, out, err := e.ports(m)
	if err != nil {
		return b, err
	}
	options, err := e.bareOptions()
	if err != nil {
		return b, classify(op, fault.Internal, err)
	}
	defer options.Destroy()
	began := time.Now()
	s, err := onnx.NewDynamicAdvancedSession(m.Path, in, out, options)
	if err != nil {
		return b, classify(op, fault.Internal, err)
	}
	defer s.Destroy()
	b.Load = time.Since(began)
	values := make([]onnx.Value, len(inputs))
	for i, t := range inputs {
		v, err := onnx.NewTensor(onnx.Shape(t.Shape), t.Data)
		if err != nil {
			return b, classify(op, fault.Internal, err)
		}
		defer v.Destroy()
		values[i] = v
	}
	for i := range n + 1 {
		results := make([]onnx.Value, len(out))
		began := time.Now()
		err := s.Run(values, results)
		took := time.Since(began)
		for _, r := range results {
			if r != nil {
				_ = r.Destroy()
			}
		}
		if err != nil {
			return b, classify(op, fault.Internal, err)
		}
		if i == 0 {
			b.First = took
		} else {
			b.Runs = append(b.Runs, took)
		}
	}
	return b, nil
}

func (e *Engine) bareOptions() (*onnx.SessionOptions, error) {
	o, err := onnx.NewSessionOptions()
	if err != nil || e.card == nil {
		return o, err
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

// Held is what is taken of the card by this process, its context included, or
// where the driver does not tell processes apart by all; on the CPU, by the C
// heap. -1 where nobody says.
func (e *Engine) Held() int64 { return e.held() }
