package report

import (
	"fmt"
	"math"
	"slices"

	"focal/bench/measure"
	"focal/core/geometry"
	"focal/core/pixel"
)

// Portrait is one picture's faces measured: a line of the journal. Boxes are
// x, y, w, h in pixels of the oriented picture, those found with their score.
type Portrait struct {
	Entry
	Bytes   int          `json:"bytes"`
	Width   int          `json:"width"`
	Height  int          `json:"height"`
	Found   [][5]float64 `json:"found"`
	Truth   [][4]float64 `json:"truth"`
	Ignored [][4]float64 `json:"ignored,omitempty"`
}

// Faces is a row of results: one model on one subset of one set.
type Faces struct {
	Model
	Subset    string  `json:"subset"`
	Threshold float64 `json:"threshold"` // the score from which a face is reported
	// ThresholdWarning says that Threshold may have been chosen on these pictures.
	ThresholdWarning string `json:"threshold_warning,omitempty"`
	Images           int    `json:"images"`
	Failed           int    `json:"failed"`
	Marked           int    `json:"marked"` // true faces

	AP50     float64    `json:"ap50"` // area under the precision envelope (PASCAL VOC since 2010)
	AP50CI   [2]float64 `json:"ap50_ci95"`
	AP50COCO float64    `json:"ap50_coco"` // 101 points of recall
	AP       float64    `json:"ap"`        // COCO's mean over overlaps of 0.5, 0.55 … 0.95
	// The rest is at Threshold and an overlap of 0.5.
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
	Hits      int     `json:"hits"`
	False     int     `json:"false"`
	Missed    int     `json:"missed"`
	// Best is the score of the largest F1. It was chosen on these very pictures,
	// so its figure is too good for any other.
	Best        BestScore `json:"best_score"`
	NoFace      int       `json:"no_face_images"` // pictures without a marked face
	FalseAlarms int       `json:"false_alarms"`   // faces reported on those
	Alarmed     int       `json:"alarmed_images"`

	Sizes  []BySize `json:"sizes"`
	Outer  Crop     `json:"outer"` // the smallest box round all faces
	Crops  []Crop   `json:"crops"`
	Timing Timing   `json:"time_ms"`
	Rate   float64  `json:"images_per_second"`
	Bytes  int64    `json:"bytes_per_image"` // mean size of the files
}

// BestScore is a score that was tuned on the set that it is judged on.
type BestScore struct {
	Score   float64 `json:"score"`
	F1      float64 `json:"f1"`
	Warning string  `json:"warning"`
}

// BySize is what COCO's size classes give.
type BySize struct {
	Size   string  `json:"size"`
	Marked int     `json:"marked"`
	AP50   float64 `json:"ap50"`
	AP     float64 `json:"ap"`
	Recall float64 `json:"recall"` // at Threshold
}

// Crop is how well gravity=face served the pictures with marked faces.
type Crop struct {
	Name    string  `json:"name"`
	Images  int     `json:"images"`
	Centres float64 `json:"centres_inside"` // mean share of true face centres inside
	All     float64 `json:"all_inside"`     // share of pictures with all of them inside
	Filled  float64 `json:"faces_share"`    // mean share of the crop that true faces take
	Missed  int     `json:"without_detection"`
}

// FacesRows makes the rows of one model on one set: all, and one for each tag.
// own is the model's threshold, threshold the one that is used.
func FacesRows(m Model, pictures []Portrait, threshold, own float64, seed uint64) []Faces {
	var rows []Faces
	for _, subset := range subsetsOf(pictures, func(p Portrait) []string { return p.Subsets }) {
		f := Faces{Model: m, Subset: subset, Threshold: threshold}
		var good []Portrait
		for _, p := range pictures {
			switch {
			case !slices.Contains(p.Subsets, subset):
			case p.Error != "":
				f.Failed++
			default:
				good = append(good, p)
			}
		}
		f.fill(good, seed)
		if threshold != own && f.Images > 0 {
			f.ThresholdWarning = byHand(fmt.Sprint(threshold), f.F1 >= f.Best.F1-0.0005)
		}
		rows = append(rows, f)
	}
	return rows
}

func (f *Faces) fill(good []Portrait, seed uint64) {
	f.Images = len(good)
	if len(good) == 0 {
		return
	}
	v, marked := judge(good, 0.5, measure.AllSizes)
	f.Marked = marked
	f.AP50, f.AP50COCO = number(measure.AveragePrecision(v, marked)), number(measure.AveragePrecision101(v, marked))
	f.AP = overlapsMean(good, measure.AllSizes)
	f.AP50CI = f.interval(good, seed)
	t := measure.At(v, marked, f.Threshold)
	f.Hits, f.False, f.Missed, f.Precision, f.Recall = t.Hits, t.False, t.Missed, t.Precision(), t.Recall()
	f.F1, f.Best = t.F1(), bestScore(v, marked)
	f.alarms(good)
	for _, s := range []struct {
		name  string
		sizes measure.Sizes
	}{{"small", measure.Small}, {"medium", measure.Medium}, {"large", measure.Large}} {
		v, marked := judge(good, 0.5, s.sizes)
		f.Sizes = append(f.Sizes, BySize{
			Size: s.name, Marked: marked, AP50: number(measure.AveragePrecision(v, marked)), AP: overlapsMean(good, s.sizes),
			Recall: measure.At(v, marked, f.Threshold).Recall(),
		})
	}
	f.crops(good)
	var times []Times
	for _, p := range good {
		times = append(times, p.Times)
		f.Bytes += int64(p.Bytes) / int64(len(good))
	}
	if f.Timing = timing(times); f.Timing.Total.Mean > 0 {
		f.Rate = 1000 / f.Timing.Total.Mean
	}
}

// bestScore tries every score at which something was found.
func bestScore(verdicts []measure.Verdict, marked int) BestScore {
	best := BestScore{Warning: tunedHere}
	for _, v := range verdicts {
		if f := measure.At(verdicts, marked, v.Score).F1(); f > best.F1 {
			best.Score, best.F1 = v.Score, f
		}
	}
	return best
}

// number is v, or 0 where there was nothing to measure.
func number(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

func judge(pictures []Portrait, overlap float64, sizes measure.Sizes) (all []measure.Verdict, marked int) {
	for _, p := range pictures {
		v, n := measure.Judge(p.boxes(), overlap, sizes)
		all, marked = append(all, v...), marked+n
	}
	return all, marked
}

func overlapsMean(pictures []Portrait, sizes measure.Sizes) float64 {
	var all []float64
	for _, o := range measure.Overlaps() {
		v, marked := judge(pictures, o, sizes)
		all = append(all, number(measure.AveragePrecision101(v, marked)))
	}
	return measure.Mean(all)
}

// interval is the bootstrap interval of AP50, which is no mean: whole pictures
// are drawn again.
func (f *Faces) interval(good []Portrait, seed uint64) [2]float64 {
	verdicts, marked := make([][]measure.Verdict, len(good)), make([]int, len(good))
	for i, p := range good {
		verdicts[i], marked[i] = measure.Judge(p.boxes(), 0.5, measure.AllSizes)
	}
	return measure.IntervalOf(len(good), seed, func(drawn []int) float64 {
		var all []measure.Verdict
		n := 0
		for _, i := range drawn {
			all, n = append(all, verdicts[i]...), n+marked[i]
		}
		return number(measure.AveragePrecision(all, n))
	})
}

func (p Portrait) boxes() measure.Boxes {
	var b measure.Boxes
	for _, f := range p.Found {
		b.Found = append(b.Found, measure.Detection{Box: pixel.Box{X: f[0], Y: f[1], W: f[2], H: f[3]}, Score: f[4]})
	}
	b.Truth, b.Ignored = plainBoxes(p.Truth), plainBoxes(p.Ignored)
	return b
}

func plainBoxes(list [][4]float64) []pixel.Box {
	var out []pixel.Box
	for _, b := range list {
		out = append(out, pixel.Box{X: b[0], Y: b[1], W: b[2], H: b[3]})
	}
	return out
}

// alarms counts what is reported on pictures without a marked face.
func (f *Faces) alarms(good []Portrait) {
	for _, p := range good {
		if len(p.Truth)+len(p.Ignored) > 0 {
			continue
		}
		f.NoFace++
		n := 0
		for _, d := range p.Found {
			if d[4] >= f.Threshold {
				n++
			}
		}
		f.FalseAlarms += n
		if n > 0 {
			f.Alarmed++
		}
	}
}

// crops measures the box round all faces, and square crops at three zooms, by
// the arithmetic that the server crops with.
func (f *Faces) crops(good []Portrait) {
	const side = 256
	target := geometry.Target{Width: side, Height: side, Fit: geometry.Cover}
	f.Outer = f.crop("outer box", good, func(p Portrait, faces []pixel.Box) (pixel.Box, bool) {
		b, ok := geometry.OuterBox(faces)
		w, h := float64(p.Width), float64(p.Height)
		return pixel.Box{X: b.X * w, Y: b.Y * h, W: b.W * w, H: b.H * h}, ok
	})
	for _, c := range []struct {
		name string
		zoom float64
	}{{"square, zoom 0", 0}, {"square, zoom 0.5", 0.5}, {"square, zoom 1", 1}} {
		f.Crops = append(f.Crops, f.crop(c.name, good, func(p Portrait, faces []pixel.Box) (pixel.Box, bool) {
			size := pixel.Size{Width: p.Width, Height: p.Height}
			l, err := geometry.Arrange(size, target, geometry.FaceFocus(size, faces, c.zoom, target))
			return pixel.Box(l.Window), err == nil
		}))
	}
}

// crop judges the window that each picture with true faces gets; one without a
// window counts as 0.
func (f *Faces) crop(name string, good []Portrait, window func(Portrait, []pixel.Box) (pixel.Box, bool)) Crop {
	c := Crop{Name: name}
	var centres, filled []float64
	for _, p := range good {
		truth := plainBoxes(p.Truth)
		if len(truth) == 0 {
			continue
		}
		c.Images++
		faces := p.reported(f.Threshold)
		if len(faces) == 0 {
			c.Missed++
		}
		share, covered := 0.0, 0.0
		if w, ok := window(p, faces); ok {
			share, covered = measure.CentresInside(w, truth), measure.Covered(w, truth)
		}
		if share == 1 {
			c.All++
		}
		centres, filled = append(centres, share), append(filled, covered)
	}
	c.Centres, c.Filled = measure.Mean(centres), measure.Mean(filled)
	if c.Images > 0 {
		c.All /= float64(c.Images)
	}
	return c
}

// reported returns the faces from a score upwards, in fractions of the picture.
func (p Portrait) reported(threshold float64) []pixel.Box {
	var out []pixel.Box
	w, h := float64(p.Width), float64(p.Height)
	for _, d := range p.Found {
		if d[4] >= threshold {
			out = append(out, pixel.Box{X: d[0] / w, Y: d[1] / h, W: d[2] / w, H: d[3] / h})
		}
	}
	return out
}
