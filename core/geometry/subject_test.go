package geometry

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"focal/core/pixel"
)

// A picture of 1000×800. A subject of 200×400 at (600, 200) fits every window
// here but the last; one of 800×100 at (100, 350), whose weight is in its last
// eighth, fits none that is narrower.
func TestSubjectWindow_StandsWhereTheSubjectDoes(t *testing.T) {
	src := size(1000, 800)
	tall := Subject{Box: pixel.Box{X: 0.6, Y: 0.25, W: 0.2, H: 0.5}}
	// Ten columns of 100 pixels: nothing, then a thin tail, then a heavy end.
	long := Subject{
		Box:    pixel.Box{X: 0.1, Y: 0.4375, W: 0.8, H: 0.125},
		Across: []float64{0, 1, 1, 1, 1, 1, 1, 1, 9, 0},
		Down:   []float64{0, 0, 0, 1, 1, 0, 0, 0},
	}
	for _, c := range []struct {
		name    string
		subject Subject
		zoom    float64
		target  Target
		want    Window
	}{
		{"no target: the box", tall, 1, Target{}, Window{600, 200, 200, 400}},
		{"half as close", tall, 0.5, Target{}, Window{500, 0, 400, 800}},
		{"a fit that does not crop", tall, 1, Target{100, 100, Contain}, Window{600, 200, 200, 400}},
		{"the box, grown to a square", tall, 1, Target{100, 100, Cover}, Window{500, 200, 400, 400}},
		{"the largest square, round its middle", tall, 0, Target{100, 100, Cover}, Window{200, 0, 800, 800}},
		// 4:1 of 1000 is 250 high: lower than the subject, whose profile is unknown.
		{"too low", tall, 0, Target{400, 100, Cover}, Window{0, 275, 1000, 250}},
		// 1:4 of 800 is 200 wide. The heavy end fills 100 of it; of the windows
		// that hold it and as much of the rest as can be, one: 700 to 900.
		{"too narrow: the heavy end", long, 0, Target{100, 400, Cover}, Window{700, 0, 200, 800}},
		// 800×800 can hold all of it: centred as a face would be.
		{"wide enough", long, 0, Target{100, 100, Cover}, Window{100, 0, 800, 800}},
		// Nothing is scaled: 300 of 1000 columns hold 9 + 1 + 1.
		{"crop to a small size", long, 1, Target{300, 800, Crop}, Window{600, 0, 300, 800}},
	} {
		if got := SubjectWindow(src, c.subject, c.zoom, c.target); !sameWindow(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if f := SubjectFocus(src, Subject{}, 1, Target{100, 100, Cover}); f != (Focus{}) {
		t.Errorf("without a subject: got %v", f)
	}
}

func TestFullest_PrefersTheNearestOfEqualPlaces(t *testing.T) {
	for _, c := range []struct {
		profile                   []float64
		length, at, enough, where float64
	}{
		{[]float64{1, 1, 1, 1}, 10, 17, 1, 17},       // anywhere
		{[]float64{0, 0, 0, 0}, 10, 17, 1, 17},       // nothing anywhere
		{[]float64{5, 0, 0, 5}, 10, 12, 1, 0},        // both ends hold as much: the nearer
		{[]float64{5, 0, 0, 5}, 10, 19, 1, 30},       // of them
		{[]float64{0, 1, 1, 0}, 10, 0, 1, 10},        // as near to the left as holds it all
		{[]float64{0, 1, 1, 0}, 20, 0, 1, 10},        //
		{[]float64{0, 1, 3, 0}, 15, 0, 1, 15},        // 20..30 all, and half of 10..20
		{[]float64{0, 0, 0, 9}, 40, 0, 1, 0},         // no room to move
		{nil, 10, 7, 1, 7},                           // nobody knows
		{[]float64{0, 0.1, 0.1, 0.1}, 25, 15, 1, 15}, // 15 is as far as it goes
		{[]float64{9, 9, 10, 10}, 20, 0, 0.9, 0},     // 18 of 20 will do
		{[]float64{8, 9, 10, 10}, 20, 0, 0.9, 10},    // 17 will not: 19 at the next border
	} {
		if got := fullest(c.profile, 40, c.length, c.at, c.enough); math.Abs(got-c.where) > 1e-9 {
			t.Errorf("%v, %v long, from %v: got %v, want %v", c.profile, c.length, c.at, got, c.where)
		}
	}
}

// Whatever the subject, the window lies in the picture, has the size of the
// face window, holds the whole box where it can, and where it cannot, as much
// as any window of its size holds, or from top to bottom nine tenths of that.
func TestSubjectWindow_HoldsTheSubjectOrEnoughOfIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src, asked := drawSize(t, "source"), drawSize(t, "target")
		target := Target{asked.Width, asked.Height, Fit(rapid.IntRange(0, int(ScaleUp)).Draw(t, "fit"))}
		across, left, right := drawProfile(t, "across")
		down, top, bottom := drawProfile(t, "down")
		s := Subject{Box: pixel.Box{X: left, Y: top, W: right - left, H: bottom - top}, Across: across, Down: down}
		zoom := rapid.Float64Range(0, 1).Draw(t, "zoom")
		w, face := SubjectWindow(src, s, zoom, target), FaceWindow(src, s.Box, zoom, target)
		if w.W != face.W || w.H != face.H {
			t.Fatalf("%v is not of the size of %v", w, face)
		}
		holdsEnough(t, across, float64(src.Width), w.X, w.W, left, right, 1)
		holdsEnough(t, down, float64(src.Height), w.Y, w.H, top, bottom, 0.9)
	})
}

// drawProfile draws a profile and where its first and last part with anything
// in it begin and end.
func drawProfile(t *rapid.T, name string) (profile []float64, from, to float64) {
	profile = rapid.SliceOfN(rapid.SampledFrom([]float64{0, 0, 1, 2, 7}), 1, 24).Draw(t, name)
	n := float64(len(profile))
	from, to = 1, 0
	for i, v := range profile {
		if v > 0 {
			from, to = math.Min(from, float64(i)/n), float64(i+1)/n
		}
	}
	if to == 0 {
		t.Skip("nothing")
	}
	return profile, from, to
}

func holdsEnough(t *rapid.T, profile []float64, whole, at, length, from, to, enough float64) {
	const slack = 1e-6
	if at < 0 || at+length > whole+slack {
		t.Fatalf("%v to %v is not inside %v", at, at+length, whole)
	}
	if (to-from)*whole <= length {
		if at > from*whole+slack || at+length < to*whole-slack {
			t.Fatalf("%v to %v could hold %v to %v", at, at+length, from*whole, to*whole)
		}
		return
	}
	held := func(at float64) (sum float64) {
		part := whole / float64(len(profile))
		for i, v := range profile {
			a, b := math.Max(at, float64(i)*part), math.Min(at+length, float64(i+1)*part)
			sum += v * math.Max(0, b-a) / part
		}
		return sum
	}
	for try := range 101 {
		if other := (whole - length) * float64(try) / 100; enough*held(other) > held(at)+slack {
			t.Fatalf("at %v it holds %v, at %v it would hold %v", at, held(at), other, held(other))
		}
	}
}
