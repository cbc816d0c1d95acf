package measure

import (
	"math"

	"focal/core/pixel"
)

// WeightedF is the weighted F-measure, β = 1 (Margolin, Zelnik-Manor and Tal,
// How to evaluate foreground maps?, CVPR 2014). Errors inside the object count
// less where their neighbours are right; errors outside count up to twice, the
// farther away the more. 0 where the truth has no foreground.
func WeightedF(mask, truth pixel.Mask) (float64, error) {
	if err := fit(mask, truth); err != nil {
		return 0, err
	}
	in := foreground(truth)
	squared, index := nearest(in, truth.Width, truth.Height)
	if index[0] < 0 {
		return 0, nil // no foreground anywhere
	}
	wrong := make([]float64, len(in))
	for i, v := range mask.Pix {
		if wrong[i] = float64(v) / 255; in[i] {
			wrong[i] = 1 - wrong[i]
		}
	}
	// Background takes the error of the nearest object pixel, so that the
	// smoothing treats the object's edge correctly.
	across := make([]float64, len(in))
	for i := range across {
		across[i] = wrong[index[i]]
	}
	smooth := blurred(across, truth.Width, truth.Height)
	var objects, inside, outside float64
	for i, e := range wrong {
		if in[i] {
			objects++
			inside += min(e, smooth[i])
			continue
		}
		outside += e * (2 - math.Exp(math.Log(0.5)/5*math.Sqrt(squared[i])))
	}
	hit := objects - inside
	recall := 1 - inside/objects
	precision := hit / (hit + outside + epsilon)
	return 2 * recall * precision / (recall + precision + epsilon), nil
}

// blurred filters with the paper's 7×7 Gaussian of σ = 5; outside the picture
// there is 0. The kernel is a product, so rows and columns are filtered apart.
func blurred(v []float64, width, height int) []float64 {
	const radius, sigma = 3, 5
	var kernel [2*radius + 1]float64
	sum := 0.0
	for i := range kernel {
		d := float64(i - radius)
		kernel[i] = math.Exp(-d * d / (2 * sigma * sigma))
		sum += kernel[i]
	}
	rows, out := make([]float64, len(v)), make([]float64, len(v))
	for y := range height {
		for x := range width {
			for i, k := range kernel {
				if at := x + i - radius; at >= 0 && at < width {
					rows[y*width+x] += k / sum * v[y*width+at]
				}
			}
		}
	}
	for y := range height {
		for i, k := range kernel {
			at := y + i - radius
			if at < 0 || at >= height {
				continue
			}
			for x := range width {
				out[y*width+x] += k / sum * rows[at*width+x]
			}
		}
	}
	return out
}
