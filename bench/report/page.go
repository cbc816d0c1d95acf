package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
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
	Tables   []Table
	Batches  []BatchRow
	Charts   []Chart
	Gallery  []Case // pictures on which models differ, beside each other
	Cases    []Case // the worst of each model
	Datasets []Dataset
	Warnings []string
	Multiple bool
}

// BatchRow is a model's throughput by batch size in one run.
type BatchRow struct {
	Run, Model string
	Rates      []Rate
}

// NewPage puts runs side by side, one column each.
func NewPage(runs []Results, evidence Evidence) (*Page, error) {
	p := &Page{Title: "focal-bench", Runs: runs, Multiple: len(runs) > 1}
	for _, r := range runs {
		p.Datasets = append(p.Datasets, r.Datasets...)
		for _, w := range r.Warnings() {
			if p.Multiple {
				w = r.Label + ": " + w
			}
			p.Warnings = once(p.Warnings, w)
		}
	}
	p.Tables, p.Batches = tablesOf(runs, p.Multiple)
	p.Charts = charts(runs, evidence)
	var err error
	if p.Gallery, err = gallery(evidence); err != nil {
		return nil, err
	}
	p.Cases, err = worst(evidence)
	return p, err
}

// tablesOf makes the tables: the two of the post, and those of faces.
func tablesOf(runs []Results, short bool) (tables []Table, batches []BatchRow) {
	var times []entry[timeCell]
	var masks []entry[*Segment]
	var faces, crops []entry[*Faces]
	timed := func(run int, m Model, subset string, t Timing, rate float64) {
		if subset != "all" {
			return
		}
		times = append(times, entry[timeCell]{m.Dataset, []string{m.Model, m.Dataset}, false, run, timeCell{m, t, rate}, false})
		known := slices.ContainsFunc(batches, func(b BatchRow) bool { return b.Run == runs[run].Label && b.Model == m.Model })
		if len(m.Batches) > 0 && !known {
			batches = append(batches, BatchRow{runs[run].Label, m.Model, m.Batches})
		}
	}
	var cropNames []string
	for run, r := range runs {
		for i := range r.Segment {
			s := &r.Segment[i]
			masks = append(masks, entry[*Segment]{s.Dataset + "/" + s.Subset, []string{s.Model.Model, s.Dataset, s.Subset}, len(s.Leak) > 0, run, s, s.Images == 0})
			timed(run, s.Model, s.Subset, s.Timing, s.Rate)
		}
		for i := range r.Faces {
			f := &r.Faces[i]
			e := entry[*Faces]{f.Dataset + "/" + f.Subset, []string{f.Model.Model, f.Dataset, f.Subset}, len(f.Leak) > 0, run, f, f.Images == 0}
			faces = append(faces, e)
			timed(run, f.Model, f.Subset, f.Timing, f.Rate)
			if len(f.Crops) > 0 {
				crops = append(crops, e)
				cropNames = append([]string{f.Outer.Name}, f.Crops[0].Name, f.Crops[1].Name, f.Crops[2].Name)
			}
		}
	}
	names := []string{"Model", "Set", "Subset"}
	all := []Table{
		tabulate(Table{ID: "times", Title: "Times", Note: timesNote, Names: names[:2]}, runs, short, timeColumns(), times),
		tabulate(Table{ID: "accuracy", Title: "Accuracy", Note: accuracyNote, Names: names}, runs, short, segmentColumns(), masks),
		tabulate(Table{ID: "faces", Title: "Faces", Note: facesNote, Names: names}, runs, short, faceColumns(), faces),
		tabulate(Table{ID: "crops", Title: "Crops to faces", Note: cropsNote, Names: names}, runs, short, cropColumns(cropNames), crops),
	}
	return slices.DeleteFunc(all, func(t Table) bool { return len(t.Rows) == 0 }), batches
}

const (
	timesNote = "Milliseconds of one picture. Inference is from pixels to result: pre, queue, model and post. Total adds decoding the file and encoding the result. " +
		"Cold is the first picture, loading the model included. Host is the most that the process held while the model worked, device what is held for the model where it runs."
	accuracyNote = "Mean over pictures, and [95 % confidence interval]; pooled counts all pixels together. Foreground is a grey value from the threshold, 128 of 255 in the truth. " +
		"Soft pictures have a network's mask as truth and are reported apart; hard are all others. The best of each group is coloured; whether it is so by more than chance is said below."
	facesNote = "Average precision at an overlap of 0.5, and over overlaps 0.5 to 0.95; precision and recall at the model's own score. " +
		"Size classes are COCO's: up to 32×32 pixels, up to 96×96, and more."
	cropsNote = "On pictures with marked faces: the share of face centres inside the crop, of pictures with all of them inside, and of the crop that faces take."
)

// Write writes the page.
func (p *Page) Write(path string) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"share": func(v float64) string { return fmt.Sprintf("%.4f", v) },
		"ms":    milliseconds,
		"mib":   func(n int64) string { return fmt.Sprintf("%.0f", float64(n)/(1<<20)) },
		"short": func(s string) string { return s[:min(12, len(s))] },
		"join":  strings.Join,
		"tail":  func(s []string) []string { return s[1:] },
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
