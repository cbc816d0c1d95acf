package measure_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"focal/bench/measure"
	"focal/bench/reference"
	"focal/core/pixel"
)

// testdata/peers.json holds what py_sod_metrics, OpenCV and pycocotools say;
// testdata/peers.py says how it was made.
type peers struct {
	Masks []struct {
		Mask           string
		Radius, Dx, Dy int
		FMax           float64 `json:"f_max"`
		FMean          float64 `json:"f_mean"`
		FAdaptive      float64 `json:"f_adaptive"`
		EMax           float64 `json:"e_max"`
		EMean          float64 `json:"e_mean"`
		EAdaptive      float64 `json:"e_adaptive"`
		S              float64
		WeightedF      float64 `json:"weighted_f"`
		MAE            float64
		BoundaryIoU    float64 `json:"boundary_iou"`
	}
	Faces struct {
		AP, AP50, AP75 float64
		Small          float64 `json:"ap_small"`
		Medium         float64 `json:"ap_medium"`
		Large          float64 `json:"ap_large"`
	}
}

func readPeers(t *testing.T) peers {
	t.Helper()
	text, err := os.ReadFile("testdata/peers.json")
	if err != nil {
		t.Fatal(err)
	}
	var p peers
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func truth(t *testing.T, name string) pixel.Mask {
	t.Helper()
	file, err := os.ReadFile(reference.Shared(t, "data", name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := reference.DecodeMask(file)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// resultOf repeats result_of of peers.py.
func resultOf(m pixel.Mask, radius, dx, dy int) pixel.Mask {
	at := func(x, y int) int {
		if x < 0 || y < 0 || x >= m.Width || y >= m.Height {
			return 0
		}
		return int(m.Pix[y*m.Width+x])
	}
	side := 2*radius + 1
	out := pixel.Mask{Width: m.Width, Height: m.Height, Pix: make([]byte, len(m.Pix))}
	for i := range out.Pix {
		x, y, sum := i%m.Width-dx, i/m.Width-dy, 0
		if x < 0 || y < 0 || x >= m.Width || y >= m.Height {
			continue
		}
		for j := range side * side {
			sum += at(x+j%side-radius, y+j/side-radius)
		}
		out.Pix[i] = byte(sum / (side * side))
	}
	return out
}

// Where several pixels are equally near, weighted F may take the error of
// another one than its peer does; all other figures are exact.
func TestMeasures_AgreeWithPySODMetrics(t *testing.T) {
	const exact, ties = 1e-6, 1e-3
	for _, p := range readPeers(t).Masks {
		t.Run(filepath.Base(p.Mask), func(t *testing.T) {
			mark := truth(t, p.Mask)
			mask := resultOf(mark, p.Radius, p.Dx, p.Dy)
			l, err := measure.NewLevels(mask, mark)
			if err != nil {
				t.Fatal(err)
			}
			f, e := l.FCurve(), l.ECurve()
			near(t, "maximal F", highest(f[:]), p.FMax, exact)
			near(t, "mean F", measure.Mean(f[:]), p.FMean, exact)
			near(t, "adaptive F", l.Adaptive().F(measure.Beta2), p.FAdaptive, exact)
			near(t, "maximal E", highest(e[:]), p.EMax, exact)
			near(t, "mean E", measure.Mean(e[:]), p.EMean, exact)
			near(t, "adaptive E", l.Adaptive().E(), p.EAdaptive, exact)
			s, err := measure.Structure(mask, mark)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "S", s, p.S, exact)
			w, err := measure.WeightedF(mask, mark)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "weighted F", w, p.WeightedF, ties)
			b, err := measure.BoundaryIoU(mask, mark, measure.Threshold)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "boundary IoU", b, p.BoundaryIoU, exact)
			// The peer thresholds soft truth first; of drawn truth it is the same.
			sum, err := measure.AbsoluteError(mask, mark)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(p.Mask, "soft_") {
				near(t, "MAE", float64(sum)/255/float64(len(mask.Pix)), p.MAE, exact)
			}
		})
	}
}

func highest(values []float64) float64 {
	best := math.Inf(-1)
	for _, v := range values {
		best = max(best, v)
	}
	return best
}

// The detections of shared/data/reference, as COCO's program judges them.
func TestAveragePrecision_AgreesWithCOCO(t *testing.T) {
	theirs := reference.Detections(t, "retinaface_mobilenet025", "1024")
	var pictures []measure.Boxes
	for _, p := range reference.Portraits(t) {
		pictures = append(pictures, measure.Boxes{Truth: p.Truth, Found: theirs[p.File]})
	}
	ap := func(overlap float64, sizes measure.Sizes) float64 {
		var all []measure.Verdict
		marked := 0
		for _, p := range pictures {
			v, n := measure.Judge(p, overlap, sizes)
			all, marked = append(all, v...), marked+n
		}
		return measure.AveragePrecision101(all, marked)
	}
	mean := func(sizes measure.Sizes) float64 {
		sum := 0.0
		for _, o := range measure.Overlaps() {
			sum += ap(o, sizes)
		}
		return sum / 10
	}
	want := readPeers(t).Faces
	// COCO's program compares recalls as floating numbers, and finds 336 of 480
	// short of 0.7: a step of recall may count one hit later.
	const exact = 1e-4
	near(t, "AP50", ap(0.5, measure.AllSizes), want.AP50, exact)
	near(t, "AP75", ap(0.75, measure.AllSizes), want.AP75, exact)
	near(t, "AP", mean(measure.AllSizes), want.AP, exact)
	near(t, "AP small", mean(measure.Small), want.Small, exact)
	near(t, "AP medium", mean(measure.Medium), want.Medium, exact)
	near(t, "AP large", mean(measure.Large), want.Large, exact)
}
