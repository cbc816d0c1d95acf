package results

import (
	"context"
	"errors"

	"focal/core/fault"
	"focal/core/pixel"
)

// Purge deletes the pictures of the sources whose digests are given, and of
// those that were found at place. It returns the digests of all. Pictures that
// are being made of them are not kept.
func (k *Keeper) Purge(ctx context.Context, place pixel.Digest, contents []pixel.Digest) ([]pixel.Digest, error) {
	ctx, cancel := context.WithTimeout(ctx, purgePatience)
	defer cancel()
	k.purges.Add(1)
	all := map[pixel.Digest]bool{}
	for _, c := range contents {
		all[c] = true
	}
	var errs []error
	for _, t := range k.tiers {
		names, err := t.shelf.list(ctx, folder(sources, place))
		errs = append(errs, err)
		for _, name := range names {
			if d, err := pixel.ParseDigest(name); err == nil {
				all[d] = true
			}
		}
	}
	k.memory.RemoveAll(func(p *kept) bool {
		if p.place == place {
			all[p.content] = true
		}
		return p.place == place
	})
	k.memory.RemoveAll(func(p *kept) bool { return all[p.content] })
	var list []pixel.Digest
	for d := range all {
		list = append(list, d)
		for _, t := range k.tiers {
			errs = append(errs, t.shelf.deleteBelow(ctx, folder(pictures, d)))
		}
	}
	for _, t := range k.tiers {
		errs = append(errs, t.shelf.deleteBelow(ctx, folder(sources, place)))
	}
	if err := errors.Join(errs...); err != nil {
		return list, fault.New(fault.Unavailable, "results.Purge", "a store could not be purged: %w", err)
	}
	return list, nil
}
