package measure

import (
	"math"

	"focal/core/pixel"
)

// Levels counts the pixels of every grey value of a result, inside and outside
// the foreground of the truth. All that depends on a threshold alone can be
// had from it, for every threshold.
type Levels struct {
	In  [256]int64 `json:"in"`
	Out [256]int64 `json:"out"`
}

// NewLevels compares mask with truth, which must be of one size.
func NewLevels(mask, truth pixel.Mask) (Levels, error) {
	var l Levels
	if err := fit(mask, truth); err != nil {
		return l, err
	}
	for i, v := range mask.Pix {
		if truth.Pix[i] >= Threshold {
			l.In[v]++
		} else {
			l.Out[v]++
		}
	}
	return l, nil
}

// At returns the counts where the result's foreground is what is threshold and
// above.
func (l *Levels) At(threshold int) Counts {
	var c Counts
	for v := range l.In {
		if v >= threshold {
			c.Both += l.In[v]
			c.Predicted += l.In[v] + l.Out[v]
		}
		c.Truth += l.In[v]
		c.Pixels += l.In[v] + l.Out[v]
	}
	return c
}

// Curve returns the counts at each of the 256 thresholds.
func (l *Levels) Curve() [256]Counts {
	var all [256]Counts
	c := l.At(256)
	for v := 255; v >= 0; v-- {
		c.Both += l.In[v]
		c.Predicted += l.In[v] + l.Out[v]
		all[v] = c
	}
	return all
}

// Adaptive returns the counts at the adaptive threshold of Achanta et al.
// (CVPR 2009): twice the mean of the result, at most full white.
func (l *Levels) Adaptive() Counts {
	var sum, n int64
	for v := range l.In {
		sum += int64(v) * (l.In[v] + l.Out[v])
		n += l.In[v] + l.Out[v]
	}
	if n == 0 {
		return Counts{}
	}
	return l.At(int(min((2*sum+n-1)/n, 255))) // a whole value is above the mean when it is above it rounded up
}

// FCurve returns the F-measure (β² = 0.3) at each threshold. The maximal F of a
// set is the largest value of the mean curve of its pictures, the mean F the
// mean of that curve, as is usual (Borji et al., Salient object detection: a
// benchmark, TIP 2015).
func (l *Levels) FCurve() [256]float64 {
	var f [256]float64
	for t, c := range l.Curve() {
		f[t] = c.F(Beta2)
	}
	return f
}

// ECurve returns the E-measure at each threshold.
func (l *Levels) ECurve() [256]float64 {
	var e [256]float64
	for t, c := range l.Curve() {
		e[t] = c.E()
	}
	return e
}

// E is the enhanced-alignment measure of two binary masks (Fan et al.,
// Enhanced-alignment measure for binary foreground map evaluation, IJCAI 2018):
// with a and b the two masks less their means, each pixel's alignment is
// ξ = 2ab/(a²+b²), and E = Σ (1+ξ)²/4 / (pixels−1).
//
// A pixel is one of four kinds, so four terms do. The divisor, which lets a
// perfect mask reach a little more than 1, is that of the authors' program; so
// are the two cases where the truth is one colour.
func (c Counts) E() float64 {
	n := float64(c.Pixels)
	var sum float64
	switch c.Truth {
	case 0:
		sum = float64(c.Pixels - c.Predicted)
	case c.Pixels:
		sum = float64(c.Predicted)
	default:
		p, t := float64(c.Predicted)/n, float64(c.Truth)/n
		both, missed := float64(c.Both), float64(c.Truth-c.Both)
		extra := float64(c.Predicted - c.Both)
		sum = both*enhanced(1-p, 1-t) + extra*enhanced(1-p, -t) +
			missed*enhanced(-p, 1-t) + (n-both-missed-extra)*enhanced(-p, -t)
	}
	return sum / (n - 1 + epsilon)
}

func enhanced(a, b float64) float64 {
	xi := 2 * a * b / (a*a + b*b + epsilon)
	return (1 + xi) * (1 + xi) / 4
}

// epsilon keeps divisors from being zero: the distance from 1 to the next
// number, as in the authors' programs.
var epsilon = math.Nextafter(1, 2) - 1
