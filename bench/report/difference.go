package report

import (
	"fmt"
	"slices"

	"focal/bench/measure"
)

// Difference is the mean IoU of model A less that of model B on the pictures
// that both have measured. The pictures are compared one by one, so that hard
// ones cancel: it is far surer than two intervals that overlap.
type Difference struct {
	Dataset string     `json:"dataset"`
	Subset  string     `json:"subset"`
	A       string     `json:"a"`
	B       string     `json:"b"`
	Images  int        `json:"images"`
	IoU     float64    `json:"iou"`
	CI95    [2]float64 `json:"ci95"`
	Sure    bool       `json:"sure"` // 0 is outside of the interval, of enough pictures
}

// surelyFrom is how many pictures a difference must have been seen on: a
// bootstrap of a handful takes their likeness for certainty.
const surelyFrom = 10

// Differences compares every two models on every set, on what people drew.
func Differences(pictures []Picture, threshold int, seed uint64) []Difference {
	var sets, models []string
	values := map[[2]string]map[string]float64{} // set and model, then picture
	for i := range pictures {
		p := &pictures[i]
		if p.Error != "" || slices.Contains(p.Subsets, "soft") {
			continue
		}
		k := [2]string{p.Dataset, p.Model}
		sets, models = once(sets, p.Dataset), once(models, p.Model)
		if values[k] == nil {
			values[k] = map[string]float64{}
		}
		c := p.Counts(threshold)
		values[k][p.Stem] = c.IoU()
	}
	var all []Difference
	for _, set := range sets {
		for i, a := range models {
			for _, b := range models[i+1:] {
				d := Difference{Dataset: set, Subset: "hard", A: a, B: b}
				d.compare(values[[2]string{set, a}], values[[2]string{set, b}], seed)
				if d.Images > 0 {
					all = append(all, d)
				}
			}
		}
	}
	return all
}

func (d *Difference) compare(a, b map[string]float64, seed uint64) {
	var stems []string
	for stem := range a {
		if _, both := b[stem]; both {
			stems = append(stems, stem)
		}
	}
	slices.Sort(stems)
	var of, than []float64
	for _, stem := range stems {
		of, than = append(of, a[stem]), append(than, b[stem])
	}
	d.Images, d.IoU, d.CI95 = len(stems), measure.Mean(of)-measure.Mean(than), measure.Difference(of, than, seed)
	d.Sure = d.Images >= surelyFrom && (d.CI95[0] > 0 || d.CI95[1] < 0)
}

// Text says it in words.
func (d Difference) Text() string {
	better, worse, by, low, high := d.A, d.B, d.IoU, d.CI95[0], d.CI95[1]
	if by < 0 {
		better, worse, by, low, high = d.B, d.A, -by, -high, -low
	}
	if d.Images < surelyFrom {
		return fmt.Sprintf("%s: %d pictures do not tell %s and %s apart (IoU %.4f)", d.Dataset, d.Images, better, worse, by)
	}
	if !d.Sure {
		return fmt.Sprintf("%s: %s and %s differ by no more than chance (IoU %.4f, 95 %% [%.4f, %.4f], %d pictures)", d.Dataset, better, worse, by, low, high, d.Images)
	}
	return fmt.Sprintf("%s: %s is better than %s by IoU %.4f, 95 %% [%.4f, %.4f], %d pictures", d.Dataset, better, worse, by, low, high, d.Images)
}
