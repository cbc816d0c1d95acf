package measure

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Summary describes a sample: its median, 95th percentile and mean.
type Summary struct {
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	Mean float64 `json:"mean"`
}

// Summarise describes values; of none it is all zero.
func Summarise(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	sorted := slices.Sorted(slices.Values(values))
	return Summary{P50: Quantile(sorted, 0.5), P95: Quantile(sorted, 0.95), Mean: Mean(sorted)}
}

// Mean is the arithmetic mean, 0 of nothing.
func Mean(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// Quantile returns the q-quantile of sorted values by linear interpolation
// between the two nearest (Hyndman and Fan 1996, type 7); 0 of nothing.
func Quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// resamples is how often the bootstrap draws; the ends of a 95 % interval move
// by about a fortieth of its width from seed to seed.
const resamples = 2000

// Interval is the 95 % confidence interval of the mean of values, by the
// percentile bootstrap (Efron 1979): the pictures are drawn again, with
// replacement. One seed gives one interval. Of fewer than two values it is the
// mean, twice.
func Interval(values []float64, seed uint64) [2]float64 {
	return IntervalOf(len(values), seed, func(drawn []int) float64 {
		sum := 0.0
		for _, i := range drawn {
			sum += values[i]
		}
		return sum / float64(max(1, len(drawn)))
	})
}

// IntervalOf is Interval for a figure that is no mean: statistic computes it
// from the indices of n pictures as they were drawn.
func IntervalOf(n int, seed uint64, statistic func(drawn []int) float64) [2]float64 {
	drawn := make([]int, n)
	for i := range drawn {
		drawn[i] = i
	}
	if n < 2 {
		v := statistic(drawn)
		return [2]float64{v, v}
	}
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	values := make([]float64, resamples)
	for i := range values {
		for j := range drawn {
			drawn[j] = r.IntN(n)
		}
		values[i] = statistic(drawn)
	}
	slices.Sort(values)
	return [2]float64{Quantile(values, 0.025), Quantile(values, 0.975)}
}

// Difference is the 95 % confidence interval of the mean of a[i]−b[i], the same
// pictures under two models: paired, so that hard pictures cancel. Where it
// does not hold 0, the difference is more than noise.
func Difference(a, b []float64, seed uint64) [2]float64 {
	d := make([]float64, min(len(a), len(b)))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	return Interval(d, seed)
}
