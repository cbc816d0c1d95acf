package host

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"focal/core/cache"
	"focal/inference/sched"
)

// metrics are the counts of what happened. What is so now is read from the
// scheduler when somebody asks: see state.
type metrics struct {
	requests  *prometheus.CounterVec
	queue     *prometheus.HistogramVec
	run       *prometheus.HistogramVec
	batch     *prometheus.HistogramVec
	rejected  *prometheus.CounterVec
	loads     *prometheus.CounterVec
	loadTime  *prometheus.HistogramVec
	evictions *prometheus.CounterVec
	age       prometheus.Histogram
}

const namespace = "focal"

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	}
	short := prometheus.ExponentialBuckets(0.0005, 2, 16) // 0.5 ms to 16 s
	long := prometheus.ExponentialBuckets(0.005, 2, 14)   // 5 ms to 41 s
	return &metrics{
		requests:  counter("inference_requests_total", "Questions answered, by how (run, hit, coalesced) or by the kind of the error.", "model", "result"),
		queue:     histogram("inference_queue_seconds", "Wait of an item for the device.", short, "model"),
		run:       histogram("inference_run_seconds", "Run of a batch on the device.", short, "model", "provider"),
		batch:     histogram("inference_batch_size", "Items in a batch.", prometheus.ExponentialBuckets(1, 2, 8), "model"),
		rejected:  counter("inference_rejected_total", "Items that the scheduler refused.", "model", "reason"),
		loads:     counter("model_loads_total", "Loads that succeeded.", "model"),
		loadTime:  histogram("model_load_seconds", "Load of a model, warm-up included.", long, "model"),
		evictions: counter("model_evictions_total", "Models unloaded.", "model", "reason"),
		age: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "model_age_at_eviction_seconds", Help: "How long a model had been loaded when it was unloaded.",
			Buckets: prometheus.ExponentialBuckets(0.25, 4, 10),
		}),
	}
}

func (m *metrics) asked(model, result string) { m.requests.WithLabelValues(model, result).Inc() }

func (m *metrics) refused(model string, why sched.Reason) {
	m.rejected.WithLabelValues(model, string(why)).Inc()
}

func (m *metrics) queued(model string, d time.Duration) {
	m.queue.WithLabelValues(model).Observe(d.Seconds())
}

func (m *metrics) ran(model, provider string, out outcome) {
	m.run.WithLabelValues(model, provider).Observe(out.run.Seconds())
	m.batch.WithLabelValues(model).Observe(float64(out.batch))
}

func (m *metrics) loaded(model string, took time.Duration) {
	m.loads.WithLabelValues(model).Inc()
	m.loadTime.WithLabelValues(model).Observe(took.Seconds())
}

func (m *metrics) evicted(model string, why sched.Reason, age time.Duration) {
	m.evictions.WithLabelValues(model, string(why)).Inc()
	m.age.Observe(age.Seconds())
}

// Collectors returns the metrics of the Host, for a registry.
func (h *Host) Collectors() []prometheus.Collector {
	m := h.metrics
	return []prometheus.Collector{m.requests, m.queue, m.run, m.batch, m.rejected, m.loads, m.loadTime, m.evictions, m.age, state{h}}
}

// state collects what is so at the time of the scrape: one snapshot, so that
// the books add up in every one.
type state struct{ host *Host }

var (
	residentDesc   = desc("model_resident", "1 while the model is loaded.", "model")
	memoryDesc     = desc("model_memory_bytes", "Bytes booked for the model, at rest and running.", "model")
	waitingDesc    = desc("inference_queue_length", "Items that wait for the model.", "model")
	queueLimitDesc = desc("inference_queue_limit", "Items that may wait for the model, for each class (--inference-queue).", "model")
	budgetDesc     = desc("memory_budget_bytes", "Bytes that models may hold together (--memory-budget).")
	reservedDesc   = desc("memory_reserved_bytes", "Bytes booked: never above the budget.")
	usedDesc       = desc("memory_used_bytes", "Bytes that models hold, as the device reads it.")
	hitsDesc       = desc("cache_hits_total", "Results that were known.", "tier")
	missesDesc     = desc("cache_misses_total", "Results that were not known.", "tier")
	cacheDesc      = desc("cache_bytes", "Bytes of results kept.", "tier")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (s state) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		residentDesc, memoryDesc, waitingDesc, queueLimitDesc, budgetDesc, reservedDesc, usedDesc, hitsDesc, missesDesc, cacheDesc,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (s state) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	lookups := func(stats cache.Stats, tier string) {
		out <- prometheus.MustNewConstMetric(hitsDesc, prometheus.CounterValue, float64(stats.Hits), tier)
		out <- prometheus.MustNewConstMetric(missesDesc, prometheus.CounterValue, float64(stats.Misses), tier)
	}
	kept := s.host.answers.Stats()
	lookups(kept, "memory")
	gauge(cacheDesc, float64(kept.Bytes), "memory")
	if shared := s.host.cfg.Shared; shared != nil {
		lookups(shared.Stats(), "shared")
	}
	if used := s.host.engine.Used(); used >= 0 {
		gauge(usedDesc, float64(used))
	}
	snap, ok := s.host.loop.snapshot()
	if !ok {
		return
	}
	gauge(budgetDesc, float64(snap.Budget))
	gauge(reservedDesc, float64(snap.Reserved))
	for _, m := range byName(snap.Models) {
		gauge(residentDesc, float64(m.resident), m.name)
		gauge(memoryDesc, float64(m.bytes), m.name)
		gauge(waitingDesc, float64(m.waiting), m.name)
		gauge(queueLimitDesc, float64(m.limit), m.name)
	}
}

// load is what all versions of a model come to: label sets must not repeat.
type load struct {
	name                     string
	resident, waiting, limit int
	bytes                    int64
}

func byName(models []sched.ModelSnapshot) []*load {
	var all []*load
	index := map[string]*load{}
	for _, m := range models {
		l := index[m.Name]
		if l == nil {
			l = &load{name: m.Name, limit: m.QueueLimit}
			index[m.Name] = l
			all = append(all, l)
		}
		if m.State == "resident" {
			l.resident = 1
		}
		l.waiting += m.Queued
		l.bytes += m.Booked + m.RunBytes
	}
	return all
}
