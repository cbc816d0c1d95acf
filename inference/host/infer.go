package host

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/sched"
	"focal/models"
)

// facts are those of an answer that q's model has just given.
func (h *Host) facts(m *served, out outcome) inference.Facts {
	return inference.Facts{
		Model: m.Name, File: m.File, Recipe: m.recipe, Provider: h.engine.Provider(), How: inference.Run,
		Queue: out.queue, Run: out.run, Batch: out.batch,
	}
}

// infer runs one prepared look and decodes its outputs.
func (h *Host) infer(ctx context.Context, q question, deadline time.Time, look pixel.Size, p models.Prepared) (answer, error) {
	it := item{inputs: []models.Tensor{p.Tensor}, fill: func(into []float32) { q.model.fill(p, into) }}
	r := sched.Request{Class: q.class, Priority: q.priority, Deadline: deadline, Key: q.blame()}
	out, err := h.loop.submit(ctx, q.model, r, it)
	if err != nil {
		return answer{}, err
	}
	a, start := answer{facts: h.facts(q.model, out)}, time.Now()
	if err := q.model.decode(p, out.outputs, &a); err != nil {
		return answer{}, err
	}
	a.facts.Prepare, a.facts.Decode = out.fill, time.Since(start)
	a.facts.Source = look
	if q.Source != (pixel.Size{}) {
		a.facts.Source = q.Source
	}
	return a, nil
}

// Infer runs raw tensors through the same queues, batches and budget as
// pictures. Every item of the batch is a request of its own: items of several
// callers share a run, and a large batch is no way to the head of the line.
// Nothing is cached.
//
// Errors are fault.NotFound for a model or version that there is not,
// fault.Invalid for tensors that do not fit the model, fault.TooLarge for more
// than it takes, and those of inference.Client.
func (h *Host) Infer(ctx context.Context, r inference.TensorsRequest) (inference.Tensors, error) {
	m, err := h.catalog.version(r.Model, r.Version)
	if err != nil {
		return inference.Tensors{}, err
	}
	start := time.Now()
	out, err := h.inferAll(ctx, m, r)
	if err != nil {
		h.metrics.asked(m.Name, fault.KindOf(err).String())
		h.statistics.failed(m.Model, time.Since(start))
		return inference.Tensors{}, err
	}
	facts := h.facts(m, out)
	h.metrics.asked(m.Name, string(inference.Run))
	h.statistics.answered(m.Model, facts, time.Since(start), false)
	return inference.Tensors{Facts: facts, Version: m.Version, Outputs: out.outputs}, nil
}

// inferAll checks the inputs, splits them into items and runs those.
func (h *Host) inferAll(ctx context.Context, m *served, r inference.TensorsRequest) (outcome, error) {
	const op = "host.Infer"
	if err := checkInputs(r.Inputs, m.Inputs); err != nil {
		return outcome{}, fault.New(fault.Invalid, op, "model %s: %w", m.Name, err)
	}
	if err := checkSize(r.Inputs, m.Manifest); err != nil {
		return outcome{}, fault.New(fault.TooLarge, op, "model %s: %w", m.Name, err)
	}
	n := r.Inputs[0].Shape[0]
	if n > int64(h.cfg.QueueLimit) {
		return outcome{}, fault.New(fault.TooLarge, op, "a batch of %d: the queue takes %d (--inference-queue)", n, h.cfg.QueueLimit)
	}
	items, err := split(r.Inputs, int(n))
	if err != nil {
		return outcome{}, err
	}
	if !h.gate.enter() {
		return outcome{}, closed()
	}
	defer h.gate.leave()
	out, err := h.runAll(ctx, m, items, r)
	if fault.Is(err, fault.Internal) && odd(r.Inputs, m.Manifest) {
		return outcome{}, fault.New(fault.Invalid, op, "model %s does not run inputs of this shape: %w", m.Name, err)
	}
	if err != nil {
		return outcome{}, h.explain(err)
	}
	return out, nil
}

// runAll submits the items side by side and joins their outputs. The first
// failure withdraws those that still wait.
func (h *Host) runAll(ctx context.Context, m *served, items [][]models.Tensor, r inference.TensorsRequest) (outcome, error) {
	deadline, _ := ctx.Deadline()
	group, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.abort, cancel)()
	outs := make([]outcome, len(items))
	for i, inputs := range items {
		group.Go(func() (err error) {
			asked := sched.Request{Class: r.Class, Priority: r.Priority, Deadline: deadline}
			if h.cfg.Blackbox != nil {
				asked.Key = blameTensors(m, inputs)
			}
			outs[i], err = h.loop.submit(ctx, m, asked, item{inputs: inputs})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return outcome{}, err
	}
	return join(outs)
}

// join stacks the outputs of items. Items of one shape may have outputs of
// several, where a model's outputs depend on what it sees: those cannot be
// stacked, in a batch no more than here.
func join(outs []outcome) (outcome, error) {
	all, longest := make([][]models.Tensor, len(outs)), outs[0]
	for i, out := range outs {
		all[i] = out.outputs
		if canvasOf(out.outputs) != canvasOf(outs[0].outputs) {
			return outcome{}, fault.New(fault.Internal, "host.Infer", "items of one batch have outputs of different shapes")
		}
		if out.queue > longest.queue {
			longest = out
		}
	}
	longest.outputs = stack(all)
	return longest, nil
}
