package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Warnings says what a reader of the figures must know beside them.
func (r Results) Warnings() []string {
	var all []string
	warn := func(format string, args ...any) { all = once(all, fmt.Sprintf(format, args...)) }
	for _, d := range r.Datasets {
		var kinds []string
		for _, k := range slices.Sorted(maps.Keys(d.Counts)) {
			kinds = append(kinds, fmt.Sprintf("%d %s", d.Counts[k], k))
		}
		if len(kinds) > 0 {
			warn("%s: problems with files (%s), for which %d were left out; results.json names each", d.Name, strings.Join(kinds, ", "), d.LeftOut)
		}
	}
	row := func(m Model, subset string, failed int, threshold string) {
		if len(m.Leak) > 0 {
			warn("* %s was trained on %s, and %s seems to come from there: its figures may be too good", m.Model, strings.Join(m.Leak, ", "), m.Dataset)
		}
		if len(m.Tuned) > 0 {
			warn("the threshold of %s was chosen on %s, and %s seems to come from there: what depends on it may be too good", m.Model, strings.Join(m.Tuned, ", "), m.Dataset)
		}
		if threshold != "" && subset == "all" {
			warn("%s on %s: %s", m.Model, m.Dataset, threshold)
		}
		if failed > 0 && subset == "all" {
			warn("%s failed on %d pictures of %s: they are in none of its figures", m.Model, failed, m.Dataset)
		}
	}
	for _, s := range r.Segment {
		row(s.Model, s.Subset, s.Failed, s.ThresholdWarning)
	}
	for _, f := range r.Faces {
		row(f.Model, f.Subset, f.Failed, f.ThresholdWarning)
	}
	if m := r.Machine; m.Cores > 0 && m.Load > float64(m.Cores) {
		warn("%.1f programs wanted the %d cores when the run began: compare its times with each other only", m.Load, m.Cores)
	}
	return all
}
