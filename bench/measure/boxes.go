package measure

import (
	"cmp"
	"math"
	"slices"

	"focal/core/pixel"
)

// Detection is one box that a model found, in any unit that the truth has too.
type Detection struct {
	Box   pixel.Box
	Score float64
}

// Boxes are those of one picture.
type Boxes struct {
	Found   []Detection
	Truth   []pixel.Box
	Ignored []pixel.Box // neither hit nor miss
}

// Sizes are the areas, in pixels, that are looked at: Min ≤ area ≤ Max.
type Sizes struct{ Min, Max float64 }

// The size classes of COCO (Lin et al., Microsoft COCO, 2014): a small box is
// at most 32×32 pixels, a large one at least 96×96. As in COCO's program, a box
// of exactly a border's area is of both classes.
var (
	AllSizes = Sizes{0, math.Inf(1)}
	Small    = Sizes{0, 32 * 32}
	Medium   = Sizes{32 * 32, 96 * 96}
	Large    = Sizes{96 * 96, math.Inf(1)}
)

func (s Sizes) holds(b pixel.Box) bool {
	a := b.W * b.H
	return a >= s.Min && a <= s.Max
}

// Verdict says of one detection whether it hit.
type Verdict struct {
	Score float64
	Hit   bool
}

// Judge matches the detections of one picture with its truth at an overlap
// (IoU), best score first:
//
//  1. The free true box of the largest overlap, if that is enough: a hit.
//  2. Else a free true box outside of sizes: no verdict, and the box is taken.
//  3. Else an ignored box that it overlaps enough: no verdict.
//  4. Else, if the detection itself is outside of sizes: no verdict.
//  5. Else a miss.
//
// marked is the number of true boxes that could be hit. For all sizes it is
// the rule of PASCAL VOC with ignored boxes, for the size classes COCO's.
func Judge(p Boxes, overlap float64, sizes Sizes) (verdicts []Verdict, marked int) {
	var counted, outside []pixel.Box
	for _, b := range p.Truth {
		if sizes.holds(b) {
			counted = append(counted, b)
		} else {
			outside = append(outside, b)
		}
	}
	marked = len(counted)
	found := slices.Clone(p.Found)
	slices.SortStableFunc(found, func(a, b Detection) int { return cmp.Compare(b.Score, a.Score) })
	for _, d := range found {
		switch {
		case take(&counted, d.Box, overlap): // 1
			verdicts = append(verdicts, Verdict{d.Score, true})
		case take(&outside, d.Box, overlap): // 2
		case touches(p.Ignored, d.Box, overlap): // 3
		case !sizes.holds(d.Box): // 4
		default: // 5
			verdicts = append(verdicts, Verdict{d.Score, false})
		}
	}
	return verdicts, marked
}

// take removes the box that b overlaps most, if that is enough.
func take(free *[]pixel.Box, b pixel.Box, overlap float64) bool {
	best, at := 0.0, -1
	for i, f := range *free {
		if o := Overlap(f, b); o > best {
			best, at = o, i
		}
	}
	if at < 0 || best < overlap {
		return false
	}
	*free = slices.Delete(*free, at, at+1)
	return true
}

func touches(list []pixel.Box, b pixel.Box, overlap float64) bool {
	return slices.ContainsFunc(list, func(i pixel.Box) bool { return Overlap(i, b) >= overlap })
}

// Overlap is the intersection over union of two boxes, 0 where either is empty.
func Overlap(a, b pixel.Box) float64 {
	w := math.Min(a.X+a.W, b.X+b.W) - math.Max(a.X, b.X)
	h := math.Min(a.Y+a.H, b.Y+b.H) - math.Max(a.Y, b.Y)
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h / (a.W*a.H + b.W*b.H - w*h)
}

// Envelope is precision after each hit, made monotonic: the precision envelope.
// Its length is the number of hits; recall grows by one marked box with each.
func Envelope(verdicts []Verdict) []float64 {
	sorted := slices.Clone(verdicts)
	slices.SortStableFunc(sorted, func(a, b Verdict) int { return cmp.Compare(b.Score, a.Score) })
	var at []float64
	for i, v := range sorted {
		if v.Hit {
			at = append(at, float64(len(at)+1)/float64(i+1))
		}
	}
	for i := len(at) - 2; i >= 0; i-- {
		at[i] = max(at[i], at[i+1])
	}
	return at
}

// AveragePrecision is the area under the precision envelope at every step of
// recall (Everingham et al., PASCAL VOC since 2010). Without marked boxes it is
// not a number.
func AveragePrecision(verdicts []Verdict, marked int) float64 {
	if marked == 0 {
		return math.NaN()
	}
	area := 0.0
	for _, p := range Envelope(verdicts) {
		area += p
	}
	return area / float64(marked)
}

// AveragePrecision101 is the mean of the precision envelope at recalls of 0,
// 0.01 … 1, as COCO's program counts it. Without marked boxes it is not a
// number.
func AveragePrecision101(verdicts []Verdict, marked int) float64 {
	if marked == 0 {
		return math.NaN()
	}
	at, sum := Envelope(verdicts), 0.0
	for i := range 101 {
		// The first hit that brings recall to i/100 is hit number ⌈i·marked/100⌉.
		hit := max(1, (i*marked+99)/100)
		if hit <= len(at) {
			sum += at[hit-1]
		}
	}
	return sum / 101
}

// Overlaps are the overlaps of COCO's AP[.5:.95].
func Overlaps() []float64 {
	var all []float64
	for i := range 10 {
		all = append(all, float64(50+5*i)/100)
	}
	return all
}

// Tally counts verdicts of at least a score.
type Tally struct{ Hits, False, Missed int }

// At counts verdicts from a score upwards against the marked boxes.
func At(verdicts []Verdict, marked int, score float64) Tally {
	t := Tally{Missed: marked}
	for _, v := range verdicts {
		switch {
		case v.Score < score:
		case v.Hit:
			t.Hits++
			t.Missed--
		default:
			t.False++
		}
	}
	return t
}

// Precision is the share of detections that hit.
func (t Tally) Precision() float64 { return share(int64(t.Hits), int64(t.Hits+t.False)) }

// Recall is the share of marked boxes that were hit.
func (t Tally) Recall() float64 { return share(int64(t.Hits), int64(t.Hits+t.Missed)) }

// F1 is the harmonic mean of precision and recall, 0 where nothing was hit.
func (t Tally) F1() float64 {
	if t.Hits == 0 {
		return 0
	}
	return 2 * float64(t.Hits) / float64(2*t.Hits+t.False+t.Missed)
}

// CentresInside is the share of boxes whose centre lies in window; 1 of none.
func CentresInside(window pixel.Box, boxes []pixel.Box) float64 {
	inside := int64(0)
	for _, b := range boxes {
		x, y := b.X+b.W/2, b.Y+b.H/2
		if x >= window.X && x <= window.X+window.W && y >= window.Y && y <= window.Y+window.H {
			inside++
		}
	}
	return ratio(inside, int64(len(boxes)))
}

// Covered is the share of window that boxes cover, overlaps counted once.
func Covered(window pixel.Box, boxes []pixel.Box) float64 {
	if window.W <= 0 || window.H <= 0 {
		return 0
	}
	xs, ys := []float64{window.X, window.X + window.W}, []float64{window.Y, window.Y + window.H}
	for _, b := range boxes {
		xs = append(xs, clamp(b.X, xs[0], xs[1]), clamp(b.X+b.W, xs[0], xs[1]))
		ys = append(ys, clamp(b.Y, ys[0], ys[1]), clamp(b.Y+b.H, ys[0], ys[1]))
	}
	slices.Sort(xs)
	slices.Sort(ys)
	area := 0.0
	for i := range len(xs) - 1 {
		for j := range len(ys) - 1 {
			x, y := (xs[i]+xs[i+1])/2, (ys[j]+ys[j+1])/2
			if slices.ContainsFunc(boxes, func(b pixel.Box) bool {
				return x > b.X && x < b.X+b.W && y > b.Y && y < b.Y+b.H
			}) {
				area += (xs[i+1] - xs[i]) * (ys[j+1] - ys[j])
			}
		}
	}
	return area / (window.W * window.H)
}

func clamp(v, low, high float64) float64 { return math.Max(low, math.Min(high, v)) }
