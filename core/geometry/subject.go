package geometry

import (
	"math"

	"focal/core/pixel"
)

// Subject is where the foreground of a working picture stands. The zero value
// is a picture without any.
type Subject struct {
	Box pixel.Box // the smallest round it, in fractions of the working picture
	// Across is how much of it stands in each column, from left to right, and
	// Down in each row; each divides the picture into stretches of one length.
	// Nil where that is not known.
	Across, Down []float64
}

// SubjectFocus returns the focus for a subject: its window, or the centre where
// there is none.
func SubjectFocus(src pixel.Size, s Subject, zoom float64, t Target) Focus {
	if _, ok := clip(s.Box); !ok {
		return Focus{}
	}
	return Focus{Mode: Region, Window: SubjectWindow(src, s, zoom, t)}
}

// SubjectWindow returns the window that a crop to the subject cuts from a
// picture of size src. It is as large as that of a face of the same box would
// be, see FaceWindow. On each axis it stands
//
//  1. where that of the face would, if it holds the whole box,
//  2. else as near to there as it can while it holds enough of the subject.
func SubjectWindow(src pixel.Size, s Subject, zoom float64, t Target) Window {
	w := FaceWindow(src, s.Box, zoom, t)
	pw, ph := float64(src.Width), float64(src.Height)
	if s.Box.W*pw > w.W { // 2
		w.X = fullest(s.Across, pw, w.W, w.X, enoughAcross)
	}
	if s.Box.H*ph > w.H {
		w.Y = fullest(s.Down, ph, w.H, w.Y, enoughDown)
	}
	return w
}

// What will do of the most that a window could hold. From left to right the
// bulk is the subject. From top to bottom it is the broad lower part of things
// that stand and sit, and the head is above it.
const (
	enoughAcross = 1
	enoughDown   = 0.9
)

// fullest returns where on a stretch of 0..whole a window of the given length
// holds enough of the most of profile that it could: of such places the nearest
// to at.
//
// Between two places where neither end of the window crosses a border of the
// profile's parts, what it holds changes evenly, so that it holds most at one of
// them; the nearest is looked for among them, and at.
func fullest(profile []float64, whole, length, at, enough float64) float64 {
	if len(profile) == 0 {
		return at
	}
	part := whole / float64(len(profile))
	sums := make([]float64, len(profile)+1)
	for i, v := range profile {
		sums[i+1] = sums[i] + v
	}
	before := func(x float64) float64 { // how much stands left of x
		i := min(int(x/part), len(profile)-1)
		return sums[i] + profile[i]*(x/part-float64(i))
	}
	held := func(x float64) float64 { return before(x+length) - before(x) }
	places := []float64{clamp(at, 0, whole-length)}
	for i := range sums {
		border := float64(i) * part
		places = append(places, clamp(border, 0, whole-length), clamp(border-length, 0, whole-length))
	}
	most := 0.0
	for _, x := range places {
		most = math.Max(most, held(x))
	}
	best := math.Inf(1)
	for _, x := range places {
		const slack = 1e-9
		if held(x) >= (enough-slack)*most && math.Abs(x-at) < math.Abs(best-at) {
			best = x
		}
	}
	return best
}
