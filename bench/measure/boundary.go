package measure

import (
	"math"

	"focal/core/pixel"
)

// BoundaryShare is how far the boundary of a mask reaches inwards, as a share
// of the picture's diagonal.
const BoundaryShare = 0.02

// BoundaryIoU is the IoU of what lies within d pixels of the two masks'
// contours and inside them (Cheng et al., Boundary IoU, CVPR 2021), d being 2 %
// of the diagonal, rounded, and at least 1. It sees errors at edges that IoU is
// blind to on large objects. The picture's border is a contour too, and
// distance is counted in steps to the eight neighbours, both as in the authors'
// program, which erodes d times with a 3×3 square.
func BoundaryIoU(mask, truth pixel.Mask, threshold int) (float64, error) {
	if err := fit(mask, truth); err != nil {
		return 0, err
	}
	w, h := truth.Width, truth.Height
	d := max(1, int(math.RoundToEven(BoundaryShare*math.Hypot(float64(w), float64(h)))))
	found := make([]bool, len(mask.Pix))
	for i, v := range mask.Pix {
		found[i] = int(v) >= threshold
	}
	a, b := rim(found, w, h, d), rim(foreground(truth), w, h, d)
	var c Counts
	for i := range a {
		c.Pixels++
		if a[i] {
			c.Predicted++
		}
		if b[i] {
			c.Truth++
		}
		if a[i] && b[i] {
			c.Both++
		}
	}
	return c.IoU(), nil
}

// rim returns the pixels of set that are within d steps of one that is not,
// those outside the picture included.
func rim(set []bool, width, height, d int) []bool {
	// A pixel survives an erosion by d if its (2d+1)-square is all set; the
	// square is a run of rows of runs of columns.
	whole := eroded(eroded(set, width, height, 1, width, d), height, width, width, 1, d)
	out := make([]bool, len(set))
	for i := range set {
		out[i] = set[i] && !whole[i]
	}
	return out
}

// eroded keeps what has d set neighbours on both sides along one axis: lines of
// n values, step apart, the lines themselves jump apart.
func eroded(set []bool, n, lines, step, jump, d int) []bool {
	out := make([]bool, len(set))
	for line := range lines {
		start, run := line*jump, 0
		for i := range n {
			if run++; !set[start+i*step] {
				run = 0
			}
			// The run that ends here is long enough for the pixel d before.
			if run >= 2*d+1 {
				out[start+(i-d)*step] = true
			}
		}
	}
	return out
}
