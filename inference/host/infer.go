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
	inputs := []models.Tensor{p.Tensor}
	r := sched.Request{Canvas: canvasOf(inputs), Class: q.class, Priority: q.priority, Deadline: deadline}
	out, err := h.loop.submit(ctx, q.model, r, inputs)
	if err != nil {
		return answer{}, err
	}
	a, start := answer{facts: h.facts(q.model, out)}, time.Now()
	if err := q.model.decode(p, out.outputs, &a); err != nil {
		return answer{}, err
	}
	a.facts.Decode = time.Since(start)
	a.facts.Source = look
	if q.Source != (pixel.Size{}) {
		a.facts.Source = q.Source
	}
	return a, nil
}

// Infer runs raw tensors, by position and with a common batch axis, through
// the same queues, batches and budget as pictures. Every item of the batch is
// a request of its own: items of several callers share a run, and a large
// batch is no way to the head of the line. Nothing is cached. The outputs come
// by position; the facts are those of the item that waited longest.
//
// Errors are fault.Invalid for tensors that do not fit the model, and those of
// inference.Client.
func (h *Host) Infer(ctx context.Context, model string, inputs []models.Tensor, class inference.Class, priority int) ([]models.Tensor, inference.Facts, error) {
	const op = "host.Infer"
	m, err := h.catalog.get(model, fault.Invalid)
	if err != nil {
		return nil, inference.Facts{}, err
	}
	if err := checkInputs(inputs, m.Inputs); err != nil {
		return nil, inference.Facts{}, fault.New(fault.Invalid, op, "model %s: %w", model, err)
	}
	if n := inputs[0].Shape[0]; n > int64(h.cfg.QueueLimit) {
		return nil, inference.Facts{}, fault.New(fault.TooLarge, op, "a batch of %d: the queue takes %d (--inference-queue)", n, h.cfg.QueueLimit)
	}
	if !h.gate.enter() {
		return nil, inference.Facts{}, closed()
	}
	defer h.gate.leave()
	out, err := h.inferAll(ctx, m, inputs, class, priority)
	if err != nil {
		err = h.explain(err)
		h.metrics.asked(m.Name, fault.KindOf(err).String())
		return nil, inference.Facts{}, err
	}
	h.metrics.asked(m.Name, string(inference.Run))
	return out.outputs, h.facts(m, out), nil
}

// inferAll submits the items side by side and joins their outputs. The first
// failure withdraws those that still wait.
func (h *Host) inferAll(ctx context.Context, m *served, inputs []models.Tensor, class inference.Class, priority int) (outcome, error) {
	deadline, _ := ctx.Deadline()
	group, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.abort, cancel)()
	items, err := split(inputs, int(inputs[0].Shape[0]))
	if err != nil {
		return outcome{}, err
	}
	outs := make([]outcome, len(items))
	for i, item := range items {
		group.Go(func() (err error) {
			r := sched.Request{Canvas: canvasOf(item), Class: class, Priority: priority, Deadline: deadline}
			outs[i], err = h.loop.submit(ctx, m, r, item)
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
