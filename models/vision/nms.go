package vision

import (
	"cmp"
	"slices"

	"focal/core/pixel"
)

// IoU is the intersection of two boxes over their union, 0 where either is
// empty. It does not matter whether the units of x and y are the same.
func IoU(a, b pixel.Box) float64 {
	w := min(a.X+a.W, b.X+b.W) - max(a.X, b.X)
	h := min(a.Y+a.H, b.Y+b.H) - max(a.Y, b.Y)
	if !(w > 0 && h > 0) {
		return 0
	}
	both := w * h
	return both / (a.W*a.H + b.W*b.H - both)
}

// NMS is greedy non-maximum suppression: box by box, the best first, one stays
// unless it overlaps a better one that stayed by more than iou, until limit
// boxes stay. It returns indices by falling score, equal scores in the order
// given. It takes at most limit × len(boxes) comparisons, so a limit also
// bounds the time.
//
// It is Go in both builds: OpenCV's takes boxes in whole pixels only.
func NMS(boxes []pixel.Box, scores []float64, iou float64, limit int) []int {
	order := make([]int, len(boxes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	var kept []int
	for _, i := range order {
		if len(kept) >= limit {
			break
		}
		if !slices.ContainsFunc(kept, func(k int) bool { return IoU(boxes[k], boxes[i]) > iou }) {
			kept = append(kept, i)
		}
	}
	return kept
}
