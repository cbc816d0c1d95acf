//go:build !opencv

package vision

import (
	"math"

	"focal/core/pixel"
)

// Backend names the library that resizes.
func Backend() string { return "go" }

// Live is the number of C objects that this package holds: none in this build.
func Live() int64 { return 0 }

// taps says from which source pixels one new pixel is made: weight[i] of the
// pixel at[i].
type taps struct {
	at     []int
	weight []float32
}

// resize works in two passes, rows first, over rows of interleaved bytes.
func resize(src []byte, channels int, from, to pixel.Size, k Kernel) ([]byte, error) {
	across, down := axis(from.Width, to.Width, k), axis(from.Height, to.Height, k)
	stride := to.Width * channels
	rows := make([]float32, from.Height*stride)
	for y := range from.Height {
		shrinkRow(rows[y*stride:(y+1)*stride], src[y*from.Width*channels:(y+1)*from.Width*channels], across, channels)
	}
	dst := make([]byte, to.Height*stride)
	sum := make([]float32, stride)
	for y, t := range down {
		clear(sum)
		for i, at := range t.at {
			w := t.weight[i]
			for x, v := range rows[at*stride : (at+1)*stride] {
				sum[x] += w * v
			}
		}
		row := dst[y*stride : (y+1)*stride]
		for x, v := range sum {
			row[x] = byte(min(max(v+0.5, 0), 255))
		}
	}
	return dst, nil
}

func shrinkRow(dst []float32, src []byte, across []taps, channels int) {
	for x, t := range across {
		for c := range channels {
			var v float32
			for i, at := range t.at {
				v += t.weight[i] * float32(src[at*channels+c])
			}
			dst[x*channels+c] = v
		}
	}
}

// axis returns the taps of every new position along one axis.
func axis(from, to int, k Kernel) []taps {
	scale := float64(from) / float64(to)
	all := make([]taps, to)
	for i := range all {
		switch {
		case k == Area && scale > 1:
			all[i] = covered(float64(i)*scale, float64(i+1)*scale, from)
		case k == Cubic:
			all[i] = cubic((float64(i)+0.5)*scale-0.5, from)
		default:
			all[i] = linear((float64(i)+0.5)*scale-0.5, from)
		}
	}
	return all
}

// covered weighs the pixels between the positions a and b by how much of each
// lies there.
func covered(a, b float64, n int) taps {
	b = min(b, float64(n))
	var t taps
	for p := int(a); p < n && float64(p) < b; p++ {
		share := min(b, float64(p+1)) - max(a, float64(p))
		if share > 1e-9 {
			t.at, t.weight = append(t.at, p), append(t.weight, float32(share/(b-a)))
		}
	}
	return t
}

func linear(at float64, n int) taps {
	p := math.Floor(at)
	f := float32(at - p)
	return taps{at: []int{clamp(int(p), n), clamp(int(p)+1, n)}, weight: []float32{1 - f, f}}
}

// cubic is Keys' kernel with a = -0.75 (Cubic convolution interpolation for
// digital image processing, 1981, equation 4 with free a).
func cubic(at float64, n int) taps {
	const a = -0.75
	p := math.Floor(at)
	f := at - p
	near := func(d float64) float64 { return ((a+2)*d-(a+3))*d*d + 1 }
	far := func(d float64) float64 { return ((a*d-5*a)*d+8*a)*d - 4*a }
	w := [4]float64{far(f + 1), near(f), near(1 - f), far(2 - f)}
	t := taps{at: make([]int, 4), weight: make([]float32, 4)}
	for i := range w {
		t.at[i], t.weight[i] = clamp(int(p)-1+i, n), float32(w[i])
	}
	return t
}

func clamp(p, n int) int { return min(max(p, 0), n-1) }
