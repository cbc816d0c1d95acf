// Package route decides which of several sidecars is asked: a fleet is copies
// of one sidecar that do not know each other, and everybody who asks follows the
// same rule.
//
// The same content goes to the same copy, so that its results are found there,
// unless that copy has more to do than the others. It knows names and counts
// only: who is alive, and how to ask, is its caller's business. The simulator
// drives it too.
package route

import (
	"cmp"
	"hash/fnv"
	"slices"

	"focal/core/pixel"
)

const (
	// overload is how far beyond the mean of the runs in flight a copy may be and
	// still take one: consistent hashing with bounded loads, after Mirrokni,
	// Thorup and Zadimoghaddam (2018).
	overload = 1.25
	// few runs in flight are no overload, whatever the mean is: a device that
	// batches has room for them, and turning them away would lose results.
	few = 4
)

// Order returns the indices of names in the order in which they are asked about
// a content, by rendezvous hashing (Thaler and Ravishankar, 1998): where a name
// is missing, all others keep their places, so that only its contents move. It
// is the same in every process, whatever the order of names.
func Order(content pixel.Digest, names []string) []int {
	weights, order := make([]uint64, len(names)), make([]int, len(names))
	for i, name := range names {
		h := fnv.New64a()
		h.Write(content[:]) // never fails
		h.Write([]byte(name))
		weights[i], order[i] = mix(h.Sum64()), i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(weights[b], weights[a]), cmp.Compare(names[a], names[b]))
	})
	return order
}

// mix spreads the last bytes of an FNV hash over all bits (the finaliser of
// MurmurHash3).
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// Taker returns the first of order, which must not be empty, that takes one
// more run: it would have few in flight, or at most 1.25 times the mean of order.
// The one with the fewest always does.
func Taker(order []int, inFlight func(i int) int) int {
	total := 1 // the one to be placed
	for _, i := range order {
		total += inFlight(i)
	}
	bound := max(few, overload*float64(total)/float64(len(order)))
	for _, i := range order {
		if float64(inFlight(i)+1) <= bound {
			return i
		}
	}
	// Not reached: the least is at most (total-1)/n, and one more than that is
	// within the bound where n is 4 or less, or the mean is.
	return slices.MinFunc(order, func(a, b int) int { return cmp.Compare(inFlight(a), inFlight(b)) })
}
