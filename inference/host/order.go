package host

import (
	"context"
	"slices"
	"time"

	"focal/core/fault"
	"focal/inference"
	"focal/inference/sched"
	"focal/models"
)

// Load makes the model called name resident, in the version that the
// repository holds now, and returns when it is, or why it is not: it waits and
// makes room like any request. It lifts what Unload has imposed. Where a new
// version does not load, the old one goes on serving. A loaded model leaves
// again by the rules of sched, when others need its room.
//
// Errors are fault.NotFound for a model that is not in the repository, and
// those of inference.Client.
func (h *Host) Load(ctx context.Context, name string, class inference.Class) error {
	if !h.gate.enter() {
		return closed()
	}
	defer h.gate.leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.abort, cancel)()

	h.Refresh()
	m, err := h.catalog.take(name)
	if err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	if _, err := h.loop.submit(ctx, m, sched.Request{Load: true, Class: class, Deadline: deadline}, item{}); err != nil {
		return h.explain(err)
	}
	return nil
}

// Unload sends the model called name away, pinned or not, and refuses requests
// for it until Load. Who waits for it is answered first: Unload returns before
// that, as soon as nothing new is taken. Results that are known stay known.
// Another start knows nothing of it. fault.NotFound is a model that is not in
// the repository.
func (h *Host) Unload(name string) error {
	gone, err := h.catalog.forbid(name)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	if !h.loop.do(func(now time.Time) {
		defer close(done)
		for _, m := range gone {
			h.loop.sched.OnRetire(now, m.spec.ID, sched.EvictedOrder)
			h.loop.forget(m.spec.ID)
		}
	}) {
		return closed()
	}
	<-done
	return nil
}

// Model returns what is known of a model without loading it; an empty version
// is the one that serves. Errors are fault.NotFound, and fault.Unavailable for
// a model that cannot be used now.
func (h *Host) Model(name, version string) (models.Model, error) {
	m, err := h.catalog.version(name, version)
	if err != nil {
		return models.Model{}, err
	}
	return m.Model, nil
}

// Batching returns how runs of the model called name are put together here. Errors
// are those of Model.
func (h *Host) Batching(name, version string) (inference.Batching, error) {
	m, err := h.catalog.version(name, version)
	if err != nil {
		return inference.Batching{}, err
	}
	b := inference.Batching{
		Most: max(m.spec.MaxBatch, 1), Delay: m.spec.MaxDelay, Instances: h.cfg.Slots,
		Lowest: sched.LowestPriority, Default: sched.DefaultPriority,
	}
	if m.spec.Instances > 0 {
		b.Instances = min(b.Instances, m.spec.Instances)
	}
	for n := 1; m.spec.Buckets && n <= b.Most; n *= 2 {
		b.Sizes = append(b.Sizes, n)
	}
	return b, nil
}

// take lifts a ban and returns the version that is to be loaded: the one that
// comes, else the one that serves.
func (c *catalog) take(name string) (*served, error) {
	c.mu.Lock()
	delete(c.away, name)
	m := c.coming[name]
	c.mu.Unlock()
	if m != nil {
		return m, nil
	}
	return c.get(name, fault.NotFound)
}

// forbid lets nobody have the model called name any more, and returns the
// versions that may be in use: the one that comes first, for it must not take
// over.
func (c *catalog) forbid(name string) ([]*served, error) {
	if err := c.holds(name); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	gone := slices.DeleteFunc([]*served{c.coming[name], c.ready[name]}, func(m *served) bool { return m == nil })
	delete(c.coming, name)
	delete(c.ready, name)
	c.away[name] = true
	return gone, nil
}

// holds says whether there is a model called name, in use or in the repository.
func (c *catalog) holds(name string) error {
	c.mu.Lock()
	known := c.ready[name] != nil || c.away[name]
	c.mu.Unlock()
	if known {
		return nil
	}
	_, err := c.look(name, fault.NotFound)
	return err
}

// isAway reports whether name was unloaded on request.
func (c *catalog) isAway(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.away[name]
}

// version returns the model called name if it has this version.
func (c *catalog) version(name, version string) (*served, error) {
	m, err := c.get(name, fault.NotFound)
	if err != nil {
		return nil, err
	}
	if version != "" && version != m.Version {
		return nil, fault.New(fault.NotFound, "host.Find", "model %s is served in version %s, not %q", name, m.Version, version)
	}
	return m, nil
}

func unloaded(name string) error {
	return fault.New(fault.Unavailable, "host.Find", "model %s was unloaded on request, and stays so until it is loaded on request", name)
}
