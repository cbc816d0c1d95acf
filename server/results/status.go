package results

import (
	"slices"

	"focal/core/cache"
	"focal/core/pipeline"
)

// Status says how a picture was come by, in the words of Cache-Status (RFC 9211).
type Status string

// answer is p for one who asked: a finding that was not made for him says so.
func answer(p *kept, outcome cache.Outcome) Result {
	r := Result{Result: p.Result}
	how, status := "", "fwd=miss"
	switch {
	case outcome == cache.Hit:
		how, status = "hit", "hit; detail=results-memory"
	case p.tier != "":
		how, status = "hit", "hit; detail="+p.tier
	case outcome == cache.Joined:
		how, status = "coalesced", "fwd=miss; collapsed"
	}
	r.Status = Status(status)
	if how == "" {
		return r
	}
	r.Facts = slices.Clone(r.Facts)
	for i := range r.Facts {
		if how == "hit" || r.Facts[i].How == "run" {
			r.Facts[i].How = how
		}
	}
	if how == "hit" {
		r.Timing = pipeline.Timing{}
	}
	return r
}

// TierStats are counts of one store since New, and what it holds.
type TierStats struct {
	Tier         string // results-memory, results-dir or results-s3
	Hits, Misses uint64
	Failures     uint64 // reads and writes that failed, and pictures that were damaged
	Dropped      uint64 // writes left out: too many at once, a full directory, a store that rests
	Bytes        int64  // held; -1: not known
}

// Stats returns the counts of all stores.
func (k *Keeper) Stats() []TierStats {
	var all []TierStats
	if k.config.Memory > 0 {
		s := k.memory.Stats()
		all = append(all, TierStats{Tier: "results-memory", Hits: s.Hits, Misses: s.Misses, Bytes: s.Bytes})
	}
	for _, t := range k.tiers {
		all = append(all, t.stats())
	}
	return all
}
