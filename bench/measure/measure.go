// Package measure says how good an answer is, and how sure one can be of the
// figure: masks against drawn masks, boxes against drawn boxes, times.
//
// It is pure arithmetic: it knows no model, no file and no clock, owns no
// goroutine and no memory, and every function is safe for concurrent use.
// Where a formula comes from is said beside it; docs/metrics.md has them all.
package measure

import (
	"fmt"

	"focal/core/pixel"
)

// Threshold is the grey value from which a pixel counts as foreground, 128 of
// 255, in the truth always and in a result where nothing else is said.
const Threshold = 128

// Counts are the pixels of one comparison of two binary masks. Those of
// several pictures add up to the pooled figures of a set.
type Counts struct {
	Both      int64 `json:"both"`      // foreground in result and truth
	Predicted int64 `json:"predicted"` // foreground in the result
	Truth     int64 `json:"truth"`     // foreground in the truth
	Pixels    int64 `json:"pixels"`
}

// Add returns the counts of both sets of pixels.
func (c Counts) Add(o Counts) Counts {
	return Counts{c.Both + o.Both, c.Predicted + o.Predicted, c.Truth + o.Truth, c.Pixels + o.Pixels}
}

// IoU is intersection over union (Jaccard 1912): |A∩B| / |A∪B|. Two empty
// masks agree: 1.
func (c Counts) IoU() float64 {
	return ratio(c.Both, c.Predicted+c.Truth-c.Both)
}

// Dice is twice the intersection over the sum (Dice 1945): 2|A∩B| / (|A|+|B|).
// Two empty masks agree: 1.
func (c Counts) Dice() float64 {
	return ratio(2*c.Both, c.Predicted+c.Truth)
}

// Accuracy is the share of pixels on which result and truth agree.
func (c Counts) Accuracy() float64 {
	return ratio(c.Pixels-(c.Predicted+c.Truth-2*c.Both), c.Pixels)
}

// Precision is the share of what was found that is true; 0 where nothing was
// found or is true.
func (c Counts) Precision() float64 { return share(c.Both, c.Predicted) }

// Recall is the share of what is true that was found; 0 where nothing is true.
func (c Counts) Recall() float64 { return share(c.Both, c.Truth) }

// Beta2 is the β² of the F-measure of saliency: precision weighs more than
// recall (Achanta et al., Frequency-tuned salient region detection, CVPR 2009).
const Beta2 = 0.3

// F is the F-measure (1+β²)·P·R / (β²·P+R), 0 where nothing was hit.
func (c Counts) F(beta2 float64) float64 {
	p, r := c.Precision(), c.Recall()
	if c.Both == 0 {
		return 0
	}
	return (1 + beta2) * p * r / (beta2*p + r)
}

// ratio is part over whole, 1 where there is no whole.
func ratio(part, whole int64) float64 {
	if whole == 0 {
		return 1
	}
	return float64(part) / float64(whole)
}

// share is part over whole, 0 where there is no whole.
func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// Count compares mask with truth, both at their thresholds.
func Count(mask, truth pixel.Mask, threshold int) (Counts, error) {
	l, err := NewLevels(mask, truth)
	return l.At(threshold), err
}

// AbsoluteError is the sum of the differences of two masks, in grey values:
// divided by 255 and the number of pixels it is the mean absolute error
// (Perazzi et al., Saliency filters, CVPR 2012). Soft truth is not thresholded.
func AbsoluteError(mask, truth pixel.Mask) (int64, error) {
	if err := fit(mask, truth); err != nil {
		return 0, err
	}
	var sum int64
	for i, v := range mask.Pix {
		d := int64(v) - int64(truth.Pix[i])
		sum += max(d, -d)
	}
	return sum, nil
}

// fit reports masks that cannot be compared.
func fit(mask, truth pixel.Mask) error {
	if err := mask.Validate(); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	if err := truth.Validate(); err != nil {
		return fmt.Errorf("truth: %w", err)
	}
	if mask.Size() != truth.Size() {
		return fmt.Errorf("the result is %d×%d, the truth %d×%d", mask.Width, mask.Height, truth.Width, truth.Height)
	}
	return nil
}

// foreground says of each pixel of the truth whether it is foreground.
func foreground(truth pixel.Mask) []bool {
	in := make([]bool, len(truth.Pix))
	for i, v := range truth.Pix {
		in[i] = v >= Threshold
	}
	return in
}
