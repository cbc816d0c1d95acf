// Package device measures models on one device beside a bare loop over ONNX
// Runtime: how long loading, running and unloading take, and how many items a
// second come through in turns with the bare loop. focal-bench and focal-gpu use
// it: it needs neither libvips nor a network.
//
// It owns no session beyond a call. Goroutines: those of a turn, which have ended
// when it returns.
package device

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"focal/inference"
	"focal/models"
)

// Input makes n items of noise for a model; free sides become side.
func Input(m models.Model, n, side int) []models.Tensor {
	random := rand.New(rand.NewPCG(1, 2))
	var all []models.Tensor
	for _, p := range m.Inputs {
		shape := slices.Clone(p.Shape)
		for axis := range shape {
			switch {
			case axis == 0:
				shape[axis] = int64(n)
			case shape[axis] < 0:
				shape[axis] = int64(side)
			}
		}
		t := models.Tensor{Shape: shape, Data: make([]float32, models.Elements(shape))}
		for i := range t.Data {
			t.Data[i] = random.Float32()
		}
		all = append(all, t)
	}
	return all
}

// Sides are those that a model is measured at: 0, its own, or of one that takes
// any a small one and the largest.
func Sides(m models.Model, largest int) []int {
	if most := min(largest, m.Canvases.Max); most > 0 {
		return slices.Compact([]int{min(320, most), most})
	}
	return []int{0}
}

// LargestSide is the last of Sides.
func LargestSide(m models.Model, largest int) int {
	sides := Sides(m, largest)
	return sides[len(sides)-1]
}

// Shape writes that of an item: 3x320x320.
func Shape(t []models.Tensor) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(t[0].Shape[1:]), " ", "x"), "[]")
}

// Quantile is the q-quantile of d, which need not be sorted; 0 of nothing.
func Quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// Timed runs a session after two runs that do not count, for about two seconds:
// 5 to 50 times. held is the most bytes that a run took, 0 where nobody knows.
func Timed(ctx context.Context, s inference.Session, in []models.Tensor) (times []time.Duration, held int64, err error) {
	const warm = 2
	n := warm + 1
	for i := 0; i < n && ctx.Err() == nil; i++ {
		began := time.Now()
		_, bytes, err := s.(inference.Measured).RunMeasured(context.Background(), in, inference.Room{Run: 1, All: 1 << 62})
		took := time.Since(began)
		held = max(held, bytes)
		if err != nil {
			return nil, 0, err
		}
		if i == warm {
			n = warm + int(min(50, max(5, 2*time.Second/max(took, time.Millisecond))))
		}
		if i >= warm {
			times = append(times, took)
		}
	}
	return times, held, nil
}

// Count says more as long as it has been asked at most n times.
func Count(n int) func() bool {
	return func() bool { n--; return n >= 0 }
}
