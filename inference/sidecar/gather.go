package sidecar

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"focal/core/fault"
)

// ownPrefixes are the metric families that every process of ours has of its
// own: where two processes share a page they need a label to tell them apart.
var ownPrefixes = [...]string{"go_", "process_", "promhttp_", "focal_vips_", "focal_http_"}

// Gatherer returns the sidecar's metrics, so that the image server's page can
// hold both: families of ownPrefixes get the label process="sidecar". While
// the sidecar is away Gather fails after DialConfig.StatusTimeout: serve the
// page with promhttp.ContinueOnError.
func (c *Client) Gatherer() prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		const op = "sidecar.Client.Gather"
		ctx, cancel := context.WithTimeout(context.Background(), c.cfg.StatusTimeout)
		defer cancel()
		got, err := c.send(ctx, message{op: op, method: http.MethodGet, path: "/metrics", header: http.Header{"Accept": {"text/plain"}}})
		if err != nil {
			return nil, err
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		byName, err := parser.TextToMetricFamilies(bytes.NewReader(got.body))
		if err != nil {
			return nil, fault.New(fault.Internal, op, "the sidecar's metrics: %w", err)
		}
		families := make([]*dto.MetricFamily, 0, len(byName))
		for name, family := range byName {
			if isOwn(name) {
				label(family, "process", "sidecar")
			}
			families = append(families, family)
		}
		slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
		return families, nil
	})
}

func isOwn(name string) bool {
	return slices.ContainsFunc(ownPrefixes[:], func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// label adds key="value" to every metric of f; labels stay sorted, as a
// gatherer promises.
func label(f *dto.MetricFamily, key, value string) {
	for _, m := range f.Metric {
		m.Label = append(m.Label, &dto.LabelPair{Name: &key, Value: &value})
		slices.SortFunc(m.Label, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
	}
}
