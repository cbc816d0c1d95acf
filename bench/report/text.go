package report

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"focal/bench/measure"
)

// Text is what a terminal shows of runs: the tables of a page, without the
// columns that only one run has room for, and what must be known beside them.
func Text(runs ...Results) string {
	var b strings.Builder
	tables, _ := tablesOf(runs, true)
	for _, t := range tables {
		fmt.Fprintf(&b, "%s\n", t.Title)
		t.print(&b)
	}
	for _, r := range runs {
		if len(runs) > 1 {
			fmt.Fprintln(&b, r.Label)
		}
		for _, warning := range r.Warnings() {
			fmt.Fprintln(&b, "!", warning)
		}
		for _, d := range r.Differences {
			fmt.Fprintln(&b, d.Text())
		}
		if len(r.Segment) > 0 {
			fmt.Fprintf(&b, "foreground is grey value >= %d of 255 in results and >= %d in truth\n", r.Segment[0].Threshold, measure.Threshold)
		}
	}
	return b.String()
}

func (t Table) print(b *strings.Builder) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush() // a strings.Builder takes everything
	if len(t.Runs) > 0 {
		fmt.Fprint(w, strings.Repeat("\t", len(t.Names)))
		for _, run := range t.Runs {
			fmt.Fprint(w, run, strings.Repeat("\t", t.Width))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s\t%s\t\n", strings.Join(t.Names, "\t"), strings.Join(t.Columns, "\t"))
	for _, r := range t.Rows {
		fmt.Fprint(w, r.Names[0])
		if r.Leak {
			fmt.Fprint(w, " *")
		}
		fmt.Fprintf(w, "\t%s\t", strings.Join(r.Names[1:], "\t"))
		for _, c := range r.Cells {
			fmt.Fprintf(w, "%s\t", strings.Join(strings.Fields(c.Text+" "+c.Small+" "+c.Warn), " "))
		}
		fmt.Fprintln(w)
	}
}
