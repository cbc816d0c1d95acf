package pipeline

import (
	"math"

	"focal/core/transform"
)

// adjust changes colours: brightness, contrast and gamma, each on every
// channel by itself, then saturation, then sharpness.
func adjust(p *picture) error {
	a := p.options.Adjust
	if a.Brightness != 0 || a.Contrast != 0 || a.Gamma != 0 {
		if err := p.image.MapTones(tones(a)); err != nil {
			return err
		}
	}
	if a.Saturation.Set {
		if err := p.image.Recombine(saturation(a.Saturation.Value)); err != nil {
			return err
		}
	}
	if a.Sharpen == 0 {
		return nil
	}
	return p.image.Sharpen(a.Sharpen)
}

// tones returns what each value of a channel becomes. With v in 0..1, each step
// clamped to it:
//
//	brightness  v·b            (brightness() of Filter Effects 1, §6.1)
//	contrast    v·c + ½ - ½·c  (contrast(), the same)
//	gamma       v^γ
//
// They work on sRGB values, as CSS filters do. The steps share one table, so
// that only the last is rounded.
func tones(a transform.Adjust) [256]byte {
	var t [256]byte
	for i := range t {
		v := float64(i) / 255
		if a.Brightness != 0 {
			v = unit(v * a.Brightness)
		}
		if a.Contrast != 0 {
			v = unit(v*a.Contrast + 0.5 - 0.5*a.Contrast)
		}
		if a.Gamma != 0 {
			v = math.Pow(v, a.Gamma)
		}
		t[i] = byte(math.Round(v * 255))
	}
	return t
}

func unit(v float64) float64 { return math.Max(0, math.Min(1, v)) }

// saturation returns the matrix of saturate() in Filter Effects 1, §9.6
// (feColorMatrix): 0 gives grey, 1 the picture.
func saturation(s float64) [3][3]float64 {
	return [3][3]float64{
		{0.213 + 0.787*s, 0.715 - 0.715*s, 0.072 - 0.072*s},
		{0.213 - 0.213*s, 0.715 + 0.285*s, 0.072 - 0.072*s},
		{0.213 - 0.213*s, 0.715 - 0.715*s, 0.072 + 0.928*s},
	}
}
