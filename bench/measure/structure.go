package measure

import (
	"math"

	"focal/core/pixel"
)

// Structure is the S-measure (Fan et al., Structure-measure: a new way to
// evaluate foreground maps, ICCV 2017) with α = 0.5: half how well the values
// within object and background agree with it, half how alike result and truth
// are in the four parts round the object's centroid. Where the truth is one
// colour it is the mean of the result, or 1 less that.
func Structure(mask, truth pixel.Mask) (float64, error) {
	if err := fit(mask, truth); err != nil {
		return 0, err
	}
	s := structure{in: foreground(truth), mask: mask.Pix, width: mask.Width, height: mask.Height}
	object, background := s.moments()
	all := len(mask.Pix)
	mean := (object.sum + background.sum) / float64(all)
	switch object.n {
	case 0:
		return 1 - mean, nil
	case all:
		return mean, nil
	}
	part := float64(object.n) / float64(all)
	// The background is judged by its inverse: 1 everywhere would be right.
	alike := part*object.likeness() + (1-part)*background.inverse().likeness()
	return max(0, 0.5*alike+0.5*s.regions()), nil
}

// moments are the number, sum and sum of squares of values of 0 to 1.
type moments struct {
	n            int
	sum, squares float64
}

func (m *moments) add(v float64) {
	m.n++
	m.sum += v
	m.squares += v * v
}

// inverse returns the moments of 1 less each value.
func (m moments) inverse() moments {
	n := float64(m.n)
	return moments{m.n, n - m.sum, n - 2*m.sum + m.squares}
}

// likeness is equation 4 of the paper: 2x̄ / (x̄²+1+σ).
func (m moments) likeness() float64 {
	n := float64(m.n)
	mean, deviation := m.sum/n, 0.0
	if m.n > 1 {
		deviation = math.Sqrt(max(0, m.squares-n*mean*mean) / (n - 1))
	}
	return 2 * mean / (mean*mean + 1 + deviation + epsilon)
}

type structure struct {
	in            []bool
	mask          []byte
	width, height int
}

func (s structure) moments() (object, background moments) {
	for i, v := range s.mask {
		if s.in[i] {
			object.add(float64(v) / 255)
		} else {
			background.add(float64(v) / 255)
		}
	}
	return object, background
}

// regions is the second half: the likeness of the four parts that meet in the
// centroid of the truth, weighed by area.
func (s structure) regions() float64 {
	cx, cy := s.centre()
	total := 0.0
	for _, r := range [4][4]int{{0, 0, cx, cy}, {cx, 0, s.width, cy}, {0, cy, cx, s.height}, {cx, cy, s.width, s.height}} {
		if area := (r[2] - r[0]) * (r[3] - r[1]); area > 0 {
			total += float64(area) / float64(len(s.mask)) * s.similarity(r[0], r[1], r[2], r[3])
		}
	}
	return total
}

// centre returns the pixel after the centroid. Halves go to the even pixel, as
// in the reference program.
func (s structure) centre() (x, y int) {
	var sx, sy, n float64
	for i, in := range s.in {
		if in {
			sx, sy, n = sx+float64(i%s.width), sy+float64(i/s.width), n+1
		}
	}
	return int(math.RoundToEven(sx/n)) + 1, int(math.RoundToEven(sy/n)) + 1
}

// similarity is the structural similarity of result and truth in one part
// (Wang et al., Image quality assessment, TIP 2004, without constants):
// 4x̄ȳσxy / ((x̄²+ȳ²)(σx²+σy²)), and 1 where both are flat.
func (s structure) similarity(left, top, right, bottom int) float64 {
	var sx, sy, sxx, syy, sxy, n float64
	for row := top; row < bottom; row++ {
		for i := row*s.width + left; i < row*s.width+right; i++ {
			v := float64(s.mask[i]) / 255
			sx, sxx, n = sx+v, sxx+v*v, n+1
			if s.in[i] {
				sy, syy, sxy = sy+1, syy+1, sxy+v
			}
		}
	}
	x, y := sx/n, sy/n
	vx, vy, cov := s.spread(sxx, n*x*x, n), s.spread(syy, n*y*y, n), (sxy-n*x*y)/(n-1+epsilon)
	above, below := 4*x*y*cov, (x*x+y*y)*(vx+vy)
	switch {
	case math.Abs(above) > 1e-15:
		return above / (below + epsilon)
	case below < 1e-15:
		return 1
	default:
		return 0
	}
}

// spread is a variance; what cancels to less than rounding is none.
func (structure) spread(squares, mean, n float64) float64 {
	d := squares - mean
	if d < 1e-9*squares {
		return 0
	}
	return d / (n - 1 + epsilon)
}
