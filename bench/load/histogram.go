package load

import (
	"fmt"
	"io"
	"math/bits"
	"strings"
	"time"
)

// Histogram counts durations with an error of at most a thousandth, whatever
// their size, in constant memory: microseconds in buckets that are as wide as
// 1/1024 of their values (after HdrHistogram, Tene). The zero value is empty.
type Histogram struct {
	counts []int64
	total  int64
	max    time.Duration
	sum    time.Duration
}

const (
	subBits = 11 // values below 2^subBits have a bucket each
	half    = 1 << (subBits - 1)
)

// bucketOf returns the bucket of a number of microseconds.
func bucketOf(us uint64) int {
	if us < 1<<subBits {
		return int(us)
	}
	shift := bits.Len64(us) - subBits
	return shift*half + int(us>>shift)
}

// upper is the largest number of microseconds of a bucket.
func upper(bucket int) uint64 {
	if bucket < 1<<subBits {
		return uint64(bucket)
	}
	shift := bucket/half - 1
	return (uint64(bucket-shift*half)+1)<<shift - 1
}

// Add counts a duration; one below zero counts as zero.
func (h *Histogram) Add(d time.Duration) {
	d = max(0, d)
	b := bucketOf(uint64(d.Microseconds()))
	if b >= len(h.counts) {
		h.counts = append(h.counts, make([]int64, b+1-len(h.counts))...)
	}
	h.counts[b]++
	h.total++
	h.sum += d
	h.max = max(h.max, d)
}

// Merge adds all of o.
func (h *Histogram) Merge(o *Histogram) {
	if n := len(o.counts) - len(h.counts); n > 0 {
		h.counts = append(h.counts, make([]int64, n)...)
	}
	for b, n := range o.counts {
		h.counts[b] += n
	}
	h.total, h.sum, h.max = h.total+o.total, h.sum+o.sum, max(h.max, o.max)
}

// Count is how many durations were added.
func (h *Histogram) Count() int64 { return h.total }

// Quantile returns the smallest bucket's end that a share q of all durations
// does not exceed; 0 where nothing was added.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	want := max(1, int64(q*float64(h.total)+0.9999999))
	var seen int64
	for b, n := range h.counts {
		if seen += n; seen >= want {
			return min(time.Duration(upper(b))*time.Microsecond, h.max)
		}
	}
	return h.max
}

// WriteTo writes the distribution as HdrHistogram's tools do (.hgrm), in
// milliseconds, so that its plotter draws it.
func (h *Histogram) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")
	var seen, last int64
	for bucket, n := range h.counts {
		seen += n
		// A line where the share that is slower has shrunk by a fifth.
		if n == 0 || seen < h.total && (h.total-last)*4 < (h.total-seen)*5 {
			continue
		}
		last = seen
		value := float64(min(time.Duration(upper(bucket))*time.Microsecond, h.max)) / float64(time.Millisecond)
		share := float64(seen) / float64(h.total)
		if seen == h.total {
			fmt.Fprintf(&b, "%12.3f %2.12f %10d %14s\n", value, share, seen, "inf")
			break
		}
		fmt.Fprintf(&b, "%12.3f %2.12f %10d %14.2f\n", value, share, seen, 1/(1-share))
	}
	l := h.Latency()
	fmt.Fprintf(&b, "#[Mean    = %12.3f]\n#[Max     = %12.3f, Total count    = %12d]\n", l.Mean, l.Max, h.total)
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

// Latency summarises a histogram, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

// Latency summarises what was added.
func (h *Histogram) Latency() Latency {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	l := Latency{P50: ms(h.Quantile(.5)), P90: ms(h.Quantile(.9)), P95: ms(h.Quantile(.95)), P99: ms(h.Quantile(.99)), P999: ms(h.Quantile(.999)), Max: ms(h.max)}
	if h.total > 0 {
		l.Mean = ms(h.sum / time.Duration(h.total))
	}
	return l
}
