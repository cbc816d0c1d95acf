package pipeline

import (
	"context"

	"focal/core/fault"

	"golang.org/x/sync/semaphore"
)

// slots admits work to the processor, weighed by the memory it will take: a
// small picture takes one worker's share, a large one the share of several, so
// that the sum of decodes stays bounded whatever comes. Waiting is first come,
// first served.
//
// Everything that calls libvips takes a slot first, probing a header included:
// a blocked C call holds a thread that Go keeps for ever.
type slots struct {
	sem      *semaphore.Weighted
	share    int64 // least weight: one worker's
	capacity int64
}

func newSlots(workers int, share int64) slots {
	capacity := share * int64(workers)
	return slots{sem: semaphore.NewWeighted(capacity), share: share, capacity: capacity}
}

// take waits for room for need bytes and returns the function that gives it
// back. A picture larger than all room together runs alone.
func (s slots) take(ctx context.Context, need int64) (release func(), err error) {
	weight := min(max(need, s.share), s.capacity)
	if err := s.sem.Acquire(ctx, weight); err != nil {
		return nil, fault.New(fault.KindOf(err), "pipeline.take", "waiting for a worker: %w", err)
	}
	return func() { s.sem.Release(weight) }, nil
}
