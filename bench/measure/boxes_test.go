package measure_test

import (
	"math"
	"slices"
	"testing"

	"focal/bench/measure"
	"focal/core/pixel"
)

func box(x, y, w, h float64) pixel.Box { return pixel.Box{X: x, Y: y, W: w, H: h} }

func found(score float64, b pixel.Box) measure.Detection {
	return measure.Detection{Box: b, Score: score}
}

func TestOverlap_MatchesHandCalculation(t *testing.T) {
	near(t, "half", measure.Overlap(box(0, 0, 2, 2), box(1, 0, 2, 2)), 2.0/6, 1e-12)
	near(t, "apart", measure.Overlap(box(0, 0, 1, 1), box(1, 0, 1, 1)), 0, 0)
}

func TestJudge_GivesABoxToTheBestScore(t *testing.T) {
	p := measure.Boxes{
		Found:   []measure.Detection{found(.6, box(0, 0, 10, 10)), found(.9, box(0, 0, 10, 9)), found(.5, box(100, 0, 10, 10))},
		Truth:   []pixel.Box{box(0, 0, 10, 10)},
		Ignored: []pixel.Box{box(100, 0, 10, 10)},
	}
	got, marked := measure.Judge(p, 0.5, measure.AllSizes)
	if want := []measure.Verdict{{Score: .9, Hit: true}, {Score: .6}}; !slices.Equal(got, want) || marked != 1 {
		t.Errorf("got %v of %d, want %v of 1", got, marked, want)
	}
}

// A face of another size class is neither a hit nor a miss, and a detection of
// another class that hits nothing is no false alarm.
func TestJudge_LooksAtOneSizeOnly(t *testing.T) {
	p := measure.Boxes{
		Found: []measure.Detection{found(.9, box(0, 0, 100, 100)), found(.8, box(200, 0, 20, 20)), found(.7, box(500, 0, 100, 100)), found(.6, box(700, 0, 10, 10))},
		Truth: []pixel.Box{box(0, 0, 100, 100), box(200, 0, 20, 20)},
	}
	got, marked := measure.Judge(p, 0.5, measure.Small)
	if want := []measure.Verdict{{Score: .8, Hit: true}, {Score: .6}}; !slices.Equal(got, want) || marked != 1 {
		t.Errorf("got %v of %d, want %v of 1", got, marked, want)
	}
}

// Hit, miss, hit, of four marked: precision 1 and 2/3 at the two steps.
func TestAveragePrecision_MatchesHandCalculation(t *testing.T) {
	v := []measure.Verdict{{Score: .5, Hit: true}, {Score: .9, Hit: true}, {Score: .7}}
	near(t, "AP", measure.AveragePrecision(v, 4), (1+2.0/3)/4, 1e-12)
	// Recalls 0 to 0.25 have precision 1 (26 points), to 0.5 2/3 (25 points).
	near(t, "AP101", measure.AveragePrecision101(v, 4), (26+25*2.0/3)/101, 1e-12)
	if !math.IsNaN(measure.AveragePrecision(v, 0)) || !math.IsNaN(measure.AveragePrecision101(v, 0)) {
		t.Error("without marked boxes there is no precision")
	}
	tally := measure.At(v, 4, .7)
	if tally != (measure.Tally{Hits: 1, False: 1, Missed: 3}) {
		t.Errorf("tally %+v", tally)
	}
	near(t, "precision", tally.Precision(), 0.5, 0)
	near(t, "recall", tally.Recall(), 0.25, 0)
}

func TestCrops_CountCentresAndArea(t *testing.T) {
	window, faces := box(0, 0, 10, 10), []pixel.Box{box(0, 0, 4, 4), box(2, 0, 4, 4), box(9, 9, 6, 6)}
	near(t, "centres", measure.CentresInside(window, faces), 2.0/3, 1e-12)
	// Two overlap: 16 + 16 − 8, and one corner of 1.
	near(t, "covered", measure.Covered(window, faces), 25.0/100, 1e-12)
}
