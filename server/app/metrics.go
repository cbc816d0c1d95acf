package app

import (
	"time"

	"focal/core/vips"
	"focal/server/results"
	"focal/server/source"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// newRegistry returns a registry with Go's and the process's collectors.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "focal_vips_memory_bytes", Help: "Bytes that libvips holds in pixel buffers; decoders' memory is not in it.",
		}, func() float64 { now, _ := vips.Memory(); return float64(now) }),
	)
	return r
}

// stepMetrics returns the pipeline's observer.
func stepMetrics(r prometheus.Registerer) func(string, time.Duration) {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "focal_render_duration_seconds", Help: "Time of the steps of making a picture: probe, look, infer, render.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"step"})
	r.MustRegister(h)
	return func(step string, d time.Duration) { h.WithLabelValues(step).Observe(d.Seconds()) }
}

// caches collects what the caches of the server's half say of themselves: the
// counters of the inference half's, with other tiers. It describes nothing,
// because in one process both are in one registry, which takes a name from one
// collector only.
type caches struct {
	sources *source.Fetcher
	results *results.Keeper
}

var (
	cacheHits     = cacheDesc("cache_hits_total", "Results that were known.")
	cacheMisses   = cacheDesc("cache_misses_total", "Results that were not known.")
	cacheBytes    = cacheDesc("cache_bytes", "Bytes of results kept.")
	storeFailures = cacheDesc("results_failures_total", "Reads and writes of a store that failed, and pictures in it that were damaged.")
	storeDropped  = cacheDesc("results_dropped_total", "Writes to a store that were left out: too many at once, a full directory, a store that rests.")
	sourceFetches = prometheus.NewDesc("focal_source_fetches_total",
		"Sources of origins by how they came: fresh from the source cache, renewed there by a 304, fetched, or joined to another's fetch.", []string{"result"}, nil)
	sourceTaken  = prometheus.NewDesc("focal_source_memory_bytes", "Bytes of originals held.", nil, nil)
	sourceBudget = prometheus.NewDesc("focal_source_memory_budget_bytes", "Bytes of originals that may be held (--source-memory).", nil, nil)
)

func cacheDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("focal_"+name, help, []string{"tier"}, nil)
}

// Describe describes nothing.
func (caches) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c caches) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, n uint64, label string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), label)
	}
	gauge := func(d *prometheus.Desc, n int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	s := c.sources.Stats()
	counter(cacheHits, s.Fresh+s.Renewed, "source")
	counter(cacheMisses, s.Fetched, "source")
	gauge(cacheBytes, s.Bytes, "source")
	for result, n := range map[string]uint64{"fresh": s.Fresh, "renewed": s.Renewed, "fetched": s.Fetched, "joined": s.Joined} {
		counter(sourceFetches, n, result)
	}
	taken, budget := c.sources.Reserved()
	gauge(sourceTaken, taken)
	gauge(sourceBudget, budget)
	for _, t := range c.results.Stats() {
		counter(cacheHits, t.Hits, t.Tier)
		counter(cacheMisses, t.Misses, t.Tier)
		counter(storeFailures, t.Failures, t.Tier)
		counter(storeDropped, t.Dropped, t.Tier)
		if t.Bytes >= 0 {
			gauge(cacheBytes, t.Bytes, t.Tier)
		}
	}
}
