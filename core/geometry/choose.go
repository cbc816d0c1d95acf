package geometry

import (
	"slices"

	"focal/core/pixel"
)

// Choose returns the boxes that decide a crop: all of them for which = 0, else
// the which-th largest by area, 1 being the largest; none where there are not
// so many. Of boxes of one area the earlier is the larger. The boxes are parts
// of one picture, so that fractions compare as pixels do.
func Choose(boxes []pixel.Box, which int) []pixel.Box {
	if which == 0 {
		return boxes
	}
	if which < 0 || which > len(boxes) {
		return nil
	}
	sorted := slices.Clone(boxes)
	slices.SortStableFunc(sorted, func(a, b pixel.Box) int {
		switch one, other := a.W*a.H, b.W*b.H; {
		case one > other:
			return -1
		case one < other:
			return 1
		default:
			return 0
		}
	})
	return sorted[which-1 : which]
}

// Grow returns b with its sides times by, round the same middle; it may reach
// out of the picture.
func Grow(b pixel.Box, by float64) pixel.Box {
	return pixel.Box{X: b.X - b.W*(by-1)/2, Y: b.Y - b.H*(by-1)/2, W: b.W * by, H: b.H * by}
}
