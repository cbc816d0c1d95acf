package measure_test

import (
	"math"
	"testing"

	"focal/bench/measure"
	"focal/core/pixel"
)

// drawn makes a mask of rows of digits and letters: '.' is 0, '#' is 255, a
// digit d is 25·d.
func drawn(rows ...string) pixel.Mask {
	m := pixel.Mask{Width: len(rows[0]), Height: len(rows)}
	for _, row := range rows {
		for _, c := range row {
			switch {
			case c == '.':
				m.Pix = append(m.Pix, 0)
			case c == '#':
				m.Pix = append(m.Pix, 255)
			default:
				m.Pix = append(m.Pix, byte(25*(c-'0')))
			}
		}
	}
	return m
}

func near(t *testing.T, what string, got, want, by float64) {
	t.Helper()
	if !(math.Abs(got-want) <= by) {
		t.Errorf("%s is %.6f, want %.6f", what, got, want)
	}
}

// The example of Cloudflare's post on background removal: of 1000 pixels 900
// are background and all found, of the 100 of the object 5 are.
func TestCounts_MatchTheExampleOfThePost(t *testing.T) {
	c := measure.Counts{Both: 5, Predicted: 5, Truth: 100, Pixels: 1000}
	near(t, "accuracy", c.Accuracy(), 0.905, 1e-12)
	near(t, "IoU", c.IoU(), 0.05, 1e-12)
	near(t, "Dice", c.Dice(), 2*5.0/105, 1e-12)
}

func TestCounts_AgreeThatNothingEqualsNothing(t *testing.T) {
	c := measure.Counts{Pixels: 9}
	near(t, "IoU", c.IoU(), 1, 0)
	near(t, "Dice", c.Dice(), 1, 0)
	near(t, "accuracy", c.Accuracy(), 1, 0)
	near(t, "F", c.F(measure.Beta2), 0, 0)
}

func TestLevels_CountAtEveryThreshold(t *testing.T) {
	// Values 0, 100, 200, 255 against background, object, object, object.
	l, err := measure.NewLevels(drawn(".48#"), drawn(".###"))
	if err != nil {
		t.Fatal(err)
	}
	for threshold, want := range map[int]measure.Counts{
		0:   {Both: 3, Predicted: 4, Truth: 3, Pixels: 4},
		100: {Both: 3, Predicted: 3, Truth: 3, Pixels: 4},
		101: {Both: 2, Predicted: 2, Truth: 3, Pixels: 4},
		255: {Both: 1, Predicted: 1, Truth: 3, Pixels: 4},
	} {
		if got := l.At(threshold); got != want || l.Curve()[threshold] != want {
			t.Errorf("at %d: %+v and %+v, want %+v", threshold, got, l.Curve()[threshold], want)
		}
	}
	// P = 3/4 and R = 1 at 0, P = R = 1 up to 100: 1.3·0.75/(0.3·0.75+1).
	near(t, "F at 0", l.FCurve()[0], 1.3*0.75/1.225, 1e-12)
	near(t, "F at 50", l.FCurve()[50], 1, 1e-12)
	// Twice the mean is 2·555/4 = 277.5, more than white: 255.
	if got := l.Adaptive(); got.Predicted != 1 {
		t.Errorf("adaptive: %+v", got)
	}
}

func TestAbsoluteError_LeavesSoftTruthSoft(t *testing.T) {
	got, err := measure.AbsoluteError(drawn(".4#"), drawn("44."))
	if err != nil || got != 100+0+255 {
		t.Errorf("got %d, %v", got, err)
	}
}

func TestMeasures_RefuseMasksOfDifferentSizes(t *testing.T) {
	a, b := drawn(".."), drawn("...")
	if _, err := measure.NewLevels(a, b); err == nil {
		t.Error("levels")
	}
	if _, err := measure.Structure(a, b); err == nil {
		t.Error("structure")
	}
	if _, err := measure.WeightedF(a, b); err == nil {
		t.Error("weighted F")
	}
	if _, err := measure.BoundaryIoU(a, b, 128); err == nil {
		t.Error("boundary IoU")
	}
	if _, err := measure.AbsoluteError(a, b); err == nil {
		t.Error("absolute error")
	}
}

// Half of the pixels are object, and half of the object was found. With
// means 1/4 and 1/2: hits 2·(3/4·1/2)/(9/16+1/4), and so on.
func TestE_MatchesHandCalculation(t *testing.T) {
	xi := func(a, b float64) float64 { x := 2 * a * b / (a*a + b*b); return (1 + x) * (1 + x) / 4 }
	want := (1*xi(.75, .5) + 1*xi(-.25, .5) + 2*xi(-.25, -.5)) / 3
	near(t, "E", measure.Counts{Both: 1, Predicted: 1, Truth: 2, Pixels: 4}.E(), want, 1e-9)
	near(t, "E without object", measure.Counts{Predicted: 1, Pixels: 5}.E(), 1, 1e-9)
	near(t, "E all object", measure.Counts{Both: 3, Predicted: 3, Truth: 5, Pixels: 5}.E(), 0.75, 1e-9)
}

// On one colour S is the mean of the result, or 1 less that.
func TestStructure_OfOneColour(t *testing.T) {
	for _, c := range []struct {
		truth string
		want  float64
	}{{"....", 0.75}, {"####", 0.25}} {
		got, err := measure.Structure(drawn("#..."), drawn(c.truth))
		if err != nil {
			t.Fatal(err)
		}
		near(t, c.truth, got, c.want, 1e-12)
	}
}

// A perfect mask: both objects score 2·1/(1+1+0) = 1, all parts are alike.
func TestStructure_OfAPerfectMaskIsOne(t *testing.T) {
	m := drawn("....", ".##.", ".##.", "....")
	got, err := measure.Structure(m, m)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "S", got, 1, 1e-9)
}

// The object is more than the filter's radius away from the border, where the
// filter sees the nothing around the picture.
func TestWeightedF_OfAPerfectMaskIsOneAndOfNoneIsZero(t *testing.T) {
	const side = 10
	m, none := pixel.Mask{Width: side, Height: side, Pix: make([]byte, side*side)}, make([]byte, side*side)
	for i := 4; i < 6; i++ {
		m.Pix[i*side+4], m.Pix[i*side+5] = 255, 255
	}
	for name, c := range map[string]struct {
		pix  []byte
		want float64
	}{"perfect": {m.Pix, 1}, "none": {none, 0}} {
		got, err := measure.WeightedF(pixel.Mask{Width: side, Height: side, Pix: c.pix}, m)
		if err != nil {
			t.Fatal(err)
		}
		near(t, name, got, c.want, 1e-9)
	}
}

// One object pixel that was found, one false pixel at distance 2: the weighted
// false alarm is 2 − exp(ln ½ / 5 · 2), and 2PR/(P+R) with R = 1.
func TestWeightedF_WeighsFalseAlarmsByDistance(t *testing.T) {
	got, err := measure.WeightedF(drawn("#.#"), drawn("#.."))
	if err != nil {
		t.Fatal(err)
	}
	precision := 1 / (1 + 2 - math.Pow(0.5, 2.0/5))
	near(t, "weighted F", got, 2*precision/(1+precision), 1e-9)
}

// A 10×10 picture has a diagonal of 14.1: the boundary is 1 pixel wide. A 6×6
// square has a rim of 20 pixels, the 4×4 square inside it one of 12, and they
// share none; a square moved by one shares 10 of 30.
func TestBoundaryIoU_SeesEdgesOnly(t *testing.T) {
	square := func(x, y, side int) pixel.Mask {
		m := pixel.Mask{Width: 10, Height: 10, Pix: make([]byte, 100)}
		for i := range side {
			for j := range side {
				m.Pix[(y+i)*10+x+j] = 255
			}
		}
		return m
	}
	for name, c := range map[string]struct {
		mask pixel.Mask
		want float64
	}{
		"same":    {square(2, 2, 6), 1},
		"smaller": {square(3, 3, 4), 0},
		"moved":   {square(3, 2, 6), 10.0 / 30},
	} {
		got, err := measure.BoundaryIoU(c.mask, square(2, 2, 6), 128)
		if err != nil {
			t.Fatal(err)
		}
		near(t, name, got, c.want, 1e-12)
	}
	// The picture's border is a contour: a full picture has a rim of 36.
	got, err := measure.BoundaryIoU(square(0, 0, 10), square(1, 1, 8), 128)
	if err != nil || got != 0 {
		t.Errorf("border: %v, %v", got, err)
	}
}

func TestSummarise_InterpolatesBetweenValues(t *testing.T) {
	s := measure.Summarise([]float64{4, 1, 3, 2})
	near(t, "p50", s.P50, 2.5, 1e-12)
	near(t, "p95", s.P95, 3.85, 1e-12)
	near(t, "mean", s.Mean, 2.5, 1e-12)
}

// The mean of n values has a standard error of s/√n; 1.96 of them to each side
// is the interval that the bootstrap comes near to.
func TestInterval_ComesNearTheNormalOne(t *testing.T) {
	var values []float64
	for i := range 100 {
		values = append(values, float64(i%10))
	}
	got := measure.Interval(values, 1)
	half := 1.96 * math.Sqrt(8.25) / 10
	near(t, "low", got[0], 4.5-half, 0.06)
	near(t, "high", got[1], 4.5+half, 0.06)
	if got != measure.Interval(values, 1) {
		t.Error("one seed gave two intervals")
	}
}

func TestDifference_OfAConstantIsExact(t *testing.T) {
	if got := measure.Difference([]float64{1, 5, 9}, []float64{0, 4, 8}, 7); got != [2]float64{1, 1} {
		t.Errorf("got %v", got)
	}
}
