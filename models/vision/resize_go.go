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

// interpolate is Linear or Cubic.
func interpolate(src []byte, channels int, from, to pixel.Size, k Kernel) ([]byte, error) {
	if k == Cubic {
		return bend(src, channels, from, to), nil
	}
	var across []taps
	if from.Width != to.Width {
		across = nearest(from.Width, to.Width)
	}
	return mix(src, channels, from, to, nearest(from.Height, to.Height), across), nil
}

// nearest are the taps of pixels that blend the two nearest ones.
func nearest(from, to int) []taps {
	all := make([]taps, to)
	scale := float64(from) / float64(to)
	for i := range all {
		at := min(max((float64(i)+0.5)*scale-0.5, 0), float64(from-1))
		p := int(at)
		second := uint32(math.Round((at - float64(p)) * one))
		all[i] = taps{p, []uint32{one - second, second}}
		if second == 0 { // the last pixel has no neighbour
			all[i].weights = all[i].weights[:1]
		}
	}
	return all
}

// curve says from which four pixels along one axis a new pixel is made by Cubic.
type curve struct {
	at     [4]int
	weight [4]float32
}

// curves is Keys' kernel with a = -0.75 (Cubic convolution interpolation for
// digital image processing, 1981, equation 4 with free a).
func curves(from, to int) []curve {
	const a = -0.75
	near := func(d float64) float64 { return ((a+2)*d-(a+3))*d*d + 1 }
	far := func(d float64) float64 { return ((a*d-5*a)*d+8*a)*d - 4*a }
	all := make([]curve, to)
	scale := float64(from) / float64(to)
	for i := range all {
		at := (float64(i)+0.5)*scale - 0.5
		p := math.Floor(at)
		f := at - p
		for k, w := range [4]float64{far(f + 1), near(f), near(1 - f), far(2 - f)} {
			all[i].at[k], all[i].weight[k] = min(max(int(p)-1+k, 0), from-1), float32(w)
		}
	}
	return all
}

// bend is Cubic, along the rows first.
func bend(src []byte, channels int, from, to pixel.Size) []byte {
	across, down := curves(from.Width, to.Width), curves(from.Height, to.Height)
	wide, stride := from.Width*channels, to.Width*channels
	rows := make([]float32, from.Height*stride)
	for y := range from.Height {
		row, out := src[y*wide:(y+1)*wide], rows[y*stride:(y+1)*stride]
		for x, c := range across {
			w := &c.weight
			for k := range channels {
				v := w[0]*float32(row[c.at[0]*channels+k]) + w[1]*float32(row[c.at[1]*channels+k])
				out[x*channels+k] = v + w[2]*float32(row[c.at[2]*channels+k]) + w[3]*float32(row[c.at[3]*channels+k])
			}
		}
	}
	dst := make([]byte, to.Height*stride)
	for y, c := range down {
		line := func(i int) []float32 { return rows[c.at[i]*stride : (c.at[i]+1)*stride] }
		out, p, q, r, s := dst[y*stride:(y+1)*stride], line(0), line(1), line(2), line(3)
		for x := range out {
			v := c.weight[0]*p[x] + c.weight[1]*q[x] + c.weight[2]*r[x] + c.weight[3]*s[x]
			out[x] = byte(min(max(int32(v+0.5), 0), 255))
		}
	}
	return dst
}
