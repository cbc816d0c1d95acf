package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"os"
	"slices"
	"strings"

	"focal/core/fault"
	"focal/core/pixel"
)

//go:embed page.html
var pageText string

// Evidence is what a page shows pictures of; without it the page has figures
// only.
type Evidence struct {
	Out      string // folder that masks lie in
	Pictures []Picture
	// Truth reads a picture's truth again.
	Truth     func(set, stem string) (pixel.Mask, error)
	Portraits []Portrait
}

// Page is one self-contained HTML page: nothing is fetched to show it.
type Page struct {
	Title    string
	Runs     []Results
	Times    []TimeRow
	Accuracy []AccuracyRow
	Faces    []FaceRow
	Charts   []Chart
	Cases    []Case
	Datasets []Dataset
	Leaks    []string
	Batches  []BatchRow
	Multiple bool
	HasFaces bool
	HasMasks bool
}

// TimeRow is a line of the table of times, with a cell for every run.
type TimeRow struct {
	Dataset, Model string
	Cells          []*TimeCell // nil where a run did not measure it
}

// TimeCell is what one run measured.
type TimeCell struct {
	Model
	Timing Timing
	Rate   float64
}

// AccuracyRow is a line of the table of accuracy, with a cell for every run.
type AccuracyRow struct {
	Dataset, Subset, Model string
	Leak                   bool
	Cells                  []*Segment
}

// FaceRow is a line of the table of faces, with a cell for every run.
type FaceRow struct {
	Dataset, Subset, Model string
	Leak                   bool
	Cells                  []*Faces
}

// BatchRow is a model's throughput by batch size in one run.
type BatchRow struct {
	Run, Model string
	Rates      []Rate
}

// NewPage puts runs side by side, one column each.
func NewPage(runs []Results, evidence Evidence) (*Page, error) {
	p := &Page{Title: "focal-bench", Runs: runs, Multiple: len(runs) > 1}
	p.tabulate()
	for _, r := range runs {
		p.Datasets = append(p.Datasets, r.Datasets...)
		p.HasMasks = p.HasMasks || len(r.Segment) > 0
		p.HasFaces = p.HasFaces || len(r.Faces) > 0
	}
	p.Charts = charts(runs, evidence)
	var err error
	p.Cases, err = worst(evidence)
	return p, err
}

// tabulate fills the tables. Rows come in the order of the first run that has
// them.
func (p *Page) tabulate() {
	times, accuracy, faces := map[string]int{}, map[string]int{}, map[string]int{}
	leaks, n := map[string]bool{}, len(p.Runs)
	timed := func(run int, m Model, t Timing, rate float64) {
		at := place(times, m.Dataset+"\x00"+m.Model, &p.Times, TimeRow{m.Dataset, m.Model, make([]*TimeCell, n)})
		p.Times[at].Cells[run] = &TimeCell{m, t, rate}
		if len(m.Leak) > 0 {
			leaks[fmt.Sprintf("%s was trained on %s, and %s seems to come from there: its figures are too good", m.Model, strings.Join(m.Leak, ", "), m.Dataset)] = true
		}
		if len(m.Batches) > 0 && !slices.ContainsFunc(p.Batches, func(b BatchRow) bool { return b.Run == p.Runs[run].Label && b.Model == m.Model }) {
			p.Batches = append(p.Batches, BatchRow{p.Runs[run].Label, m.Model, m.Batches})
		}
	}
	for run, r := range p.Runs {
		for i, s := range r.Segment {
			at := place(accuracy, s.Dataset+"\x00"+s.Subset+"\x00"+s.Model.Model, &p.Accuracy, AccuracyRow{s.Dataset, s.Subset, s.Model.Model, len(s.Leak) > 0, make([]*Segment, n)})
			p.Accuracy[at].Cells[run] = &r.Segment[i]
			if s.Subset == "all" {
				timed(run, s.Model, s.Timing, s.Rate)
			}
		}
		for i, f := range r.Faces {
			at := place(faces, f.Dataset+"\x00"+f.Subset+"\x00"+f.Model.Model, &p.Faces, FaceRow{f.Dataset, f.Subset, f.Model.Model, len(f.Leak) > 0, make([]*Faces, n)})
			p.Faces[at].Cells[run] = &r.Faces[i]
			if f.Subset == "all" {
				timed(run, f.Model, f.Timing, f.Rate)
			}
		}
	}
	p.Leaks = slices.Sorted(maps.Keys(leaks))
}

// place returns the index of the row called name, which it makes if need be.
func place[R any](index map[string]int, name string, rows *[]R, row R) int {
	at, ok := index[name]
	if !ok {
		at = len(*rows)
		index[name], *rows = at, append(*rows, row)
	}
	return at
}

// Write writes the page.
func (p *Page) Write(path string) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"share":   func(v float64) string { return fmt.Sprintf("%.4f", v) },
		"ms":      milliseconds,
		"mib":     func(n int64) string { return fmt.Sprintf("%.0f", float64(n)/(1<<20)) },
		"percent": func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) },
		"short":   func(s string) string { return s[:min(12, len(s))] },
		"join":    strings.Join,
	}).Parse(pageText)
	if err != nil {
		return fault.New(fault.Internal, "report.Page", "%w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return fault.New(fault.Internal, "report.Page", "%w", err)
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

func milliseconds(v float64) string {
	switch {
	case v == 0:
		return "–"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}
