package report

import (
	"fmt"
	"slices"

	"focal/bench/measure"
)

// Entry is what every line of the journal has: one picture, measured.
type Entry struct {
	Dataset string   `json:"dataset"`
	Model   string   `json:"model"`
	Stem    string   `json:"stem"`
	Image   string   `json:"image"` // path of the picture
	Subsets []string `json:"subsets"`
	// Key names all that the line depends on: a line of another key is stale.
	Key   string `json:"key"`
	Error string `json:"error,omitempty"` // why there is no result
	Times Times  `json:"time_ms"`
}

// Picture is one mask measured: a line of the journal.
type Picture struct {
	Entry
	Mask string `json:"mask,omitempty"` // path under the folder of results

	Levels    measure.Levels `json:"levels"`
	AbsError  int64          `json:"abs_error"` // sum, in grey values
	S         float64        `json:"s_measure"`
	WeightedF float64        `json:"weighted_f"`
	Boundary  float64        `json:"boundary_iou"`
}

// Counts are the picture's at a threshold.
func (p *Picture) Counts(threshold int) measure.Counts { return p.Levels.At(threshold) }

// Segment is a row of results: one model on one subset of one set.
type Segment struct {
	Model
	Subset    string `json:"subset"`
	Threshold int    `json:"threshold"` // grey value from which a result is foreground
	// ThresholdWarning says that Threshold may have been chosen on these pictures.
	ThresholdWarning string `json:"threshold_warning,omitempty"`
	Images           int    `json:"images"` // measured; every mean is over these
	Failed           int    `json:"failed"` // of the same subset, in no mean

	IoU         Figure     `json:"iou"`
	Dice        Figure     `json:"dice"`
	Accuracy    Figure     `json:"accuracy"`
	MAE         float64    `json:"mae"`
	MAEPooled   float64    `json:"mae_pooled"`
	FMax        float64    `json:"f_max"`
	FMean       float64    `json:"f_mean"`
	FAdaptive   float64    `json:"f_adaptive"`
	WeightedF   float64    `json:"weighted_f"`
	S           float64    `json:"s_measure"`
	EMax        float64    `json:"e_max"`
	EMean       float64    `json:"e_mean"`
	EAdaptive   float64    `json:"e_adaptive"`
	BoundaryIoU float64    `json:"boundary_iou"`
	BoundaryCI  [2]float64 `json:"boundary_iou_ci95"`

	Curve Curve `json:"curve"`
	// Best is the threshold of the largest mean IoU. It was chosen on these
	// very pictures, so its figure is too good for any other.
	Best   Best    `json:"best_threshold"`
	Timing Timing  `json:"time_ms"`
	Rate   float64 `json:"images_per_second"` // one after the other, by the mean total
}

// Curve is the mean over pictures at several thresholds.
type Curve struct {
	Threshold []int     `json:"threshold"`
	IoU       []float64 `json:"iou"`
	Dice      []float64 `json:"dice"`
	Accuracy  []float64 `json:"accuracy"`
	F         []float64 `json:"f"`
	// The same of all pixels together.
	IoUPooled      []float64 `json:"iou_pooled"`
	DicePooled     []float64 `json:"dice_pooled"`
	AccuracyPooled []float64 `json:"accuracy_pooled"`
}

// Best is a threshold that was tuned on the set that it is judged on.
type Best struct {
	Threshold int     `json:"threshold"`
	IoU       float64 `json:"iou"`
	Warning   string  `json:"warning"`
}

// curveStep is how far apart the thresholds of a Curve are.
const curveStep = 5

// Segments makes the rows of one model on one set: all, hard, soft, and a row
// for every tag, each where it has pictures. Sets without soft pictures have
// no row for hard ones, which would repeat the first.
func Segments(m Model, pictures []Picture, threshold int, seed uint64) []Segment {
	var rows []Segment
	for _, subset := range subsetsOf(pictures, func(p Picture) []string { return p.Subsets }) {
		rows = append(rows, segment(m, subset, inSubset(pictures, subset), threshold, seed))
	}
	return rows
}

func inSubset(pictures []Picture, subset string) []Picture {
	return slices.DeleteFunc(slices.Clone(pictures), func(p Picture) bool { return !slices.Contains(p.Subsets, subset) })
}

// subsetsOf returns the names of subsets: all first, then in order.
func subsetsOf[T any](items []T, of func(T) []string) []string {
	count, all := map[string]int{}, 0
	for _, i := range items {
		all++
		for _, s := range of(i) {
			count[s]++
		}
	}
	names := []string{"all"}
	for s, n := range count {
		if s != "all" && !(s == "hard" && n == all) {
			names = append(names, s)
		}
	}
	slices.Sort(names[1:])
	return names
}

func segment(m Model, subset string, pictures []Picture, threshold int, seed uint64) Segment {
	s := Segment{Model: m, Subset: subset, Threshold: threshold}
	var good []Picture
	for _, p := range pictures {
		if p.Error != "" {
			s.Failed++
			continue
		}
		good = append(good, p)
	}
	s.Images = len(good)
	if len(good) == 0 {
		return s
	}
	s.overlap(good, threshold, seed)
	s.saliency(good, seed)
	s.curves(good)
	var times []Times
	for _, p := range good {
		times = append(times, p.Times)
	}
	s.Timing = timing(times)
	if s.Timing.Total.Mean > 0 {
		s.Rate = 1000 / s.Timing.Total.Mean
	}
	return s
}

// overlap fills in what compares binary masks at one threshold.
func (s *Segment) overlap(good []Picture, threshold int, seed uint64) {
	var iou, dice, accuracy, mae []float64
	var pooled measure.Counts
	var wrong int64
	for i := range good {
		c := good[i].Counts(threshold)
		pooled, wrong = pooled.Add(c), wrong+good[i].AbsError
		iou, dice, accuracy = append(iou, c.IoU()), append(dice, c.Dice()), append(accuracy, c.Accuracy())
		mae = append(mae, float64(good[i].AbsError)/255/float64(c.Pixels))
	}
	s.IoU = Figure{measure.Mean(iou), pooled.IoU(), measure.Interval(iou, seed)}
	s.Dice = Figure{measure.Mean(dice), pooled.Dice(), measure.Interval(dice, seed)}
	s.Accuracy = Figure{measure.Mean(accuracy), pooled.Accuracy(), measure.Interval(accuracy, seed)}
	s.MAE, s.MAEPooled = measure.Mean(mae), float64(wrong)/255/float64(pooled.Pixels)
}

// saliency fills in the measures of salient object detection.
func (s *Segment) saliency(good []Picture, seed uint64) {
	var f, e [256]float64
	var fa, ea, weighted, structure, boundary []float64
	for i := range good {
		p := &good[i]
		fc, ec, adaptive := p.Levels.FCurve(), p.Levels.ECurve(), p.Levels.Adaptive()
		for t := range fc {
			f[t] += fc[t] / float64(len(good))
			e[t] += ec[t] / float64(len(good))
		}
		fa, ea = append(fa, adaptive.F(measure.Beta2)), append(ea, adaptive.E())
		weighted, structure, boundary = append(weighted, p.WeightedF), append(structure, p.S), append(boundary, p.Boundary)
	}
	s.FMax, s.FMean, s.FAdaptive = slices.Max(f[:]), measure.Mean(f[:]), measure.Mean(fa)
	s.EMax, s.EMean, s.EAdaptive = slices.Max(e[:]), measure.Mean(e[:]), measure.Mean(ea)
	s.WeightedF, s.S = measure.Mean(weighted), measure.Mean(structure)
	s.BoundaryIoU, s.BoundaryCI = measure.Mean(boundary), measure.Interval(boundary, seed)
}

// curves fills in what depends on the threshold.
func (s *Segment) curves(good []Picture) {
	var iou, dice, accuracy, f [256]float64
	var pooled [256]measure.Counts
	for i := range good {
		for t, c := range good[i].Levels.Curve() {
			pooled[t] = pooled[t].Add(c)
			iou[t] += c.IoU() / float64(len(good))
			dice[t] += c.Dice() / float64(len(good))
			accuracy[t] += c.Accuracy() / float64(len(good))
			f[t] += c.F(measure.Beta2) / float64(len(good))
		}
	}
	for t := 0; t < 256; t += curveStep {
		c := &s.Curve
		c.Threshold, c.IoU, c.Dice = append(c.Threshold, t), append(c.IoU, iou[t]), append(c.Dice, dice[t])
		c.Accuracy, c.F = append(c.Accuracy, accuracy[t]), append(c.F, f[t])
		p := pooled[t]
		c.IoUPooled, c.DicePooled, c.AccuracyPooled = append(c.IoUPooled, p.IoU()), append(c.DicePooled, p.Dice()), append(c.AccuracyPooled, p.Accuracy())
	}
	best := slices.Max(iou[:])
	s.Best = Best{slices.Index(iou[:], best), best, tunedHere}
	if s.Threshold != measure.Threshold {
		s.ThresholdWarning = byHand(fmt.Sprint(s.Threshold), iou[s.Threshold] >= best-0.0005)
	}
}

// tunedHere marks a figure at a threshold that was chosen by it.
const tunedHere = "tuned on this set"

// byHand is the warning of a threshold that is not the published one.
func byHand(threshold string, isBest bool) string {
	if isBest {
		return "threshold " + threshold + " was set by hand and is as good as any for these very pictures: it looks " + tunedHere
	}
	return "threshold " + threshold + " was set by hand: if these pictures were looked at for it, the figures are too good"
}
