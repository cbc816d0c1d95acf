package sidecar

import (
	"context"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"focal/inference"
)

// Status asks every sidecar that is not left out, and says what they are
// together: ready as soon as one is. Models are those of all, each as it stands
// where it is readiest; missing is what any of those that are ready lacks.
func (p *Pool) Status(ctx context.Context) inference.Status {
	all := make([]inference.Status, len(p.members))
	var asked sync.WaitGroup
	for i := range p.members {
		asked.Go(func() { all[i] = p.statusOf(ctx, i) })
	}
	asked.Wait()
	return together(p.cfg.Addresses, all)
}

func (p *Pool) statusOf(ctx context.Context, at int) inference.Status {
	m := p.members[at]
	p.mu.Lock()
	away := m.away
	p.mu.Unlock()
	if away != "" {
		return inference.Status{State: inference.StateDown, Reason: away}
	}
	s := m.client.Status(ctx)
	if s.State != inference.StateReady && ctx.Err() == nil {
		p.suspect(at, notReady(s))
	}
	return s
}

// together makes one status of all. What is said of the whole is what the first
// one says that is ready; if none is, the first one that is starting.
func together(addresses []string, all []inference.Status) inference.Status {
	first := all[0]
	var sum inference.Status
	for i, s := range all {
		if readiness(s.State) > readiness(first.State) {
			first = s
		}
		sum.Sidecars = append(sum.Sidecars, inference.SidecarStatus{Address: addresses[i], State: s.State, Provider: s.Provider, Reason: s.Reason})
		if s.State != inference.StateReady {
			continue
		}
		for _, m := range s.Models {
			sum.Models = addModel(sum.Models, m)
		}
		for _, name := range s.Missing {
			if !slices.Contains(sum.Missing, name) {
				sum.Missing = append(sum.Missing, name)
			}
		}
	}
	sum.State, sum.Provider, sum.Reason = first.State, first.Provider, first.Reason
	return sum
}

func readiness(s inference.State) int {
	return slices.Index([]inference.State{inference.StateStarting, inference.StateReady}, s)
}

// addModel adds a model to those of other sidecars; the same one is named once.
func addModel(all []inference.ModelStatus, m inference.ModelStatus) []inference.ModelStatus {
	at := slices.IndexFunc(all, func(o inference.ModelStatus) bool {
		return o.Name == m.Name && o.Version == m.Version && o.SHA256 == m.SHA256 && o.Recipe == m.Recipe
	})
	if at < 0 {
		return append(all, m)
	}
	m.Default = m.Default || all[at].Default
	if loaded(m.State) > loaded(all[at].State) {
		all[at] = m
	}
	all[at].Default = m.Default
	return all
}

func loaded(state string) int {
	return slices.Index([]string{"failed", "idle", "loading", "resident"}, state)
}

// Gatherer returns the metrics of all sidecars, as Client.Gatherer does of one;
// each of their series gets the label sidecar, its address. Who is left out
// has none, and focal_sidecar_up says so.
func (p *Pool) Gatherer() prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		pages := make(prometheus.Gatherers, len(p.members))
		var asked sync.WaitGroup
		for i := range p.members {
			asked.Go(func() { pages[i] = p.page(i) })
		}
		asked.Wait()
		return pages.Gather() // and joins families of one name
	})
}

// page gathers one sidecar's metrics.
func (p *Pool) page(at int) prometheus.Gatherer {
	m := p.members[at]
	p.mu.Lock()
	away := m.away
	p.mu.Unlock()
	if away != "" {
		return prometheus.Gatherers{}
	}
	families, err := m.client.Gatherer().Gather()
	p.mind(at, err)
	for _, f := range families {
		label(f, "sidecar", p.cfg.Addresses[at])
	}
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return families, err })
}

var (
	upDesc       = prometheus.NewDesc("focal_sidecar_up", "1 for a sidecar that is asked, 0 for one that is left out until it answers again.", []string{"sidecar"}, nil)
	inFlightDesc = prometheus.NewDesc("focal_sidecar_in_flight", "Pictures that were sent to a sidecar and are not answered yet.", []string{"sidecar"}, nil)
)

// Describe implements prometheus.Collector.
func (p *Pool) Describe(out chan<- *prometheus.Desc) { out <- upDesc; out <- inFlightDesc }

// Collect implements prometheus.Collector.
func (p *Pool) Collect(out chan<- prometheus.Metric) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, m := range p.members {
		up := 1.0
		if m.away != "" {
			up = 0
		}
		out <- prometheus.MustNewConstMetric(upDesc, prometheus.GaugeValue, up, p.cfg.Addresses[i])
		out <- prometheus.MustNewConstMetric(inFlightDesc, prometheus.GaugeValue, float64(m.inFlight), p.cfg.Addresses[i])
	}
}
