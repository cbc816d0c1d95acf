package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Table is a table of a page: names at the left, then the same columns for
// every run.
type Table struct {
	ID, Title, Note string
	Names           []string // headings of the names
	Runs            []string // where there are several
	Columns         []string // headings, of all runs
	Width           int      // columns of one run
	Rows            []Row
}

// Row is a line of a Table.
type Row struct {
	Names []string
	Leak  bool
	First bool // of its group: rows that are about the same pictures
	Cells []Cell
}

// Cell is what stands in a Row: Main figures are bold, Best ones are the best of
// their group, Warn is about what is not in the figures.
type Cell struct {
	Text, Small, Warn string
	Main, Best        bool
}

// none is a cell of what was not measured.
var none = Cell{Text: "–"}

// column makes the cells of a table. better, where there is one, is larger for
// the better of two rows.
type column[T any] struct {
	heading string
	always  bool // there too where there is little room
	cell    func(T) Cell
	better  func(T) float64
}

// entry is what one run has of a row.
type entry[T any] struct {
	group string // rows of one group are about the same pictures
	names []string
	leak  bool
	run   int
	value T
	empty bool // no picture was measured: only the first column has something to say
}

// tabulate puts entries into rows: groups in the order of their first entry, and
// within a group rows in theirs. short leaves out the columns that have no room
// where several runs stand side by side.
func tabulate[T any](t Table, runs []Results, short bool, columns []column[T], entries []entry[T]) Table {
	if short {
		columns = slices.DeleteFunc(slices.Clone(columns), func(c column[T]) bool { return !c.always })
	}
	if len(runs) > 1 {
		for _, r := range runs {
			t.Runs = append(t.Runs, r.Label)
		}
	}
	t.Width = len(columns)
	for range runs {
		for _, c := range columns {
			t.Columns = append(t.Columns, c.heading)
		}
	}
	groups := map[string]int{}
	for _, e := range entries {
		if _, ok := groups[e.group]; !ok {
			groups[e.group] = len(groups)
		}
	}
	slices.SortStableFunc(entries, func(a, b entry[T]) int { return groups[a.group] - groups[b.group] })
	at := map[string]int{}
	group := ""
	for _, e := range entries {
		name := e.group + "\x00" + strings.Join(e.names, "\x00")
		i, ok := at[name]
		if !ok {
			i = len(t.Rows)
			at[name] = i
			t.Rows = append(t.Rows, Row{Names: e.names, First: e.group != group || i == 0, Cells: slices.Repeat([]Cell{none}, len(t.Columns))})
			group = e.group
		}
		t.Rows[i].Leak = t.Rows[i].Leak || e.leak
		for j, c := range columns {
			if !e.empty || j == 0 {
				t.Rows[i].Cells[e.run*t.Width+j] = c.cell(e.value)
			}
		}
	}
	best(&t, columns, entries, at)
	return t
}

// best marks the best of each group, run and column; where there is but one,
// there is no best.
func best[T any](t *Table, columns []column[T], entries []entry[T], at map[string]int) {
	type place struct {
		group       string
		run, column int
	}
	highest, count := map[place]float64{}, map[place]int{}
	visit := func(do func(p place, value float64, cell *Cell)) {
		for _, e := range entries {
			for j, c := range columns {
				if c.better != nil && !e.empty {
					row := &t.Rows[at[e.group+"\x00"+strings.Join(e.names, "\x00")]]
					do(place{e.group, e.run, j}, c.better(e.value), &row.Cells[e.run*t.Width+j])
				}
			}
		}
	}
	visit(func(p place, v float64, _ *Cell) {
		if count[p] == 0 || v > highest[p] {
			highest[p] = v
		}
		count[p]++
	})
	visit(func(p place, v float64, c *Cell) { c.Best = count[p] > 1 && v == highest[p] && !math.IsInf(v, -1) })
}

func share(v float64) Cell { return Cell{Text: fmt.Sprintf("%.4f", v)} }

func surely(v float64, ci [2]float64) Cell {
	return Cell{Text: fmt.Sprintf("%.4f", v), Small: fmt.Sprintf("[%.3f, %.3f]", ci[0], ci[1]), Main: true}
}

func percent(v float64) Cell { return Cell{Text: fmt.Sprintf("%.1f %%", 100*v)} }

func mib(n int64) Cell {
	if n == 0 {
		return none
	}
	return Cell{Text: fmt.Sprintf("%.1f", float64(n)/(1<<20))}
}

func pictures(measured, failed int) Cell {
	c := Cell{Text: fmt.Sprint(measured)}
	if failed > 0 {
		c.Warn = fmt.Sprintf("+%d failed", failed)
	}
	return c
}

func perSecond(rate float64) Cell {
	if rate == 0 {
		return none
	}
	return Cell{Text: fmt.Sprintf("%.2f", rate)}
}

// timeCell is what one run measured of a model on a set.
type timeCell struct {
	Model
	timing Timing
	rate   float64
}

func timeColumns() []column[timeCell] {
	of := func(heading string, always, main bool, v func(timeCell) float64) column[timeCell] {
		c := column[timeCell]{heading: heading, always: always, cell: func(t timeCell) Cell {
			return Cell{Text: milliseconds(v(t)), Main: main}
		}}
		if main {
			c.better = func(t timeCell) float64 {
				if t.timing.Count == 0 {
					return math.Inf(-1)
				}
				return -v(t)
			}
		}
		return c
	}
	first := of("inference p50", true, true, func(t timeCell) float64 { return t.timing.Infer.P50 })
	plain := first.cell
	first.cell = func(t timeCell) Cell {
		c := plain(t)
		if t.timing.Cached > 0 {
			c.Warn = fmt.Sprintf("without %d remembered", t.timing.Cached)
		}
		return c
	}
	return []column[timeCell]{
		first,
		of("p95", false, false, func(t timeCell) float64 { return t.timing.Infer.P95 }),
		of("mean", false, false, func(t timeCell) float64 { return t.timing.Infer.Mean }),
		of("total p50", true, true, func(t timeCell) float64 { return t.timing.Total.P50 }),
		of("p95", false, false, func(t timeCell) float64 { return t.timing.Total.P95 }),
		of("mean", false, false, func(t timeCell) float64 { return t.timing.Total.Mean }),
		of("decode", false, false, func(t timeCell) float64 { return t.timing.Decode.Mean }),
		of("pre", false, false, func(t timeCell) float64 { return t.timing.Pre.Mean }),
		of("queue", false, false, func(t timeCell) float64 { return t.timing.Queue.Mean }),
		of("model", false, false, func(t timeCell) float64 { return t.timing.Run.Mean }),
		of("post", false, false, func(t timeCell) float64 { return t.timing.Post.Mean }),
		of("encode", false, false, func(t timeCell) float64 { return t.timing.Encode.Mean }),
		of("cold", true, false, func(t timeCell) float64 { return t.Cold }),
		{heading: "img/s", always: true, cell: func(t timeCell) Cell { return perSecond(t.rate) }},
		{heading: "host MiB", always: true, cell: func(t timeCell) Cell { return mib(t.PeakRSS) }},
		{heading: "device MiB", always: true, cell: func(t timeCell) Cell { return mib(cmp.Or(t.PeakDevice, t.ModelBytes)) }},
		{heading: "weights MiB", cell: func(t timeCell) Cell { return mib(t.FileBytes) }},
	}
}

func segmentColumns() []column[*Segment] {
	of := func(heading string, v func(*Segment) float64, sign float64) column[*Segment] {
		return column[*Segment]{heading: heading, cell: func(s *Segment) Cell { return share(v(s)) }, better: func(s *Segment) float64 { return sign * v(s) }}
	}
	figure := func(heading string, f func(*Segment) Figure) column[*Segment] {
		return column[*Segment]{heading, true, func(s *Segment) Cell { return surely(f(s).Mean, f(s).CI95) }, func(s *Segment) float64 { return f(s).Mean }}
	}
	pooled := func(f func(*Segment) Figure) column[*Segment] {
		return of("pooled", func(s *Segment) float64 { return f(s).Pooled }, 1)
	}
	iou, dice, accuracy := func(s *Segment) Figure { return s.IoU }, func(s *Segment) Figure { return s.Dice }, func(s *Segment) Figure { return s.Accuracy }
	return []column[*Segment]{
		{heading: "images", always: true, cell: func(s *Segment) Cell { return pictures(s.Images, s.Failed) }},
		figure("IoU", iou), pooled(iou), figure("Dice", dice), pooled(dice), figure("pixel accuracy", accuracy), pooled(accuracy),
		of("MAE", func(s *Segment) float64 { return s.MAE }, -1),
		of("max F", func(s *Segment) float64 { return s.FMax }, 1),
		of("mean F", func(s *Segment) float64 { return s.FMean }, 1),
		of("weighted F", func(s *Segment) float64 { return s.WeightedF }, 1),
		of("S", func(s *Segment) float64 { return s.S }, 1),
		of("max E", func(s *Segment) float64 { return s.EMax }, 1),
		{"boundary IoU", true, func(s *Segment) Cell { return share(s.BoundaryIoU) }, func(s *Segment) float64 { return s.BoundaryIoU }},
	}
}

func faceColumns() []column[*Faces] {
	of := func(heading string, always bool, v func(*Faces) float64) column[*Faces] {
		return column[*Faces]{heading, always, func(f *Faces) Cell { return share(v(f)) }, v}
	}
	size := func(heading string, i int) column[*Faces] {
		return column[*Faces]{heading: heading, cell: func(f *Faces) Cell {
			return Cell{Text: fmt.Sprintf("%.4f", f.Sizes[i].AP50), Small: fmt.Sprint(f.Sizes[i].Marked)}
		}, better: func(f *Faces) float64 { return f.Sizes[i].AP50 }}
	}
	return []column[*Faces]{
		{heading: "images", always: true, cell: func(f *Faces) Cell { return pictures(f.Images, f.Failed) }},
		{"AP 0.5", true, func(f *Faces) Cell { return surely(f.AP50, f.AP50CI) }, func(f *Faces) float64 { return f.AP50 }},
		of("AP 0.5:0.95", false, func(f *Faces) float64 { return f.AP }),
		{heading: "score", cell: func(f *Faces) Cell { return Cell{Text: fmt.Sprintf("%.2f", f.Threshold), Warn: f.ThresholdWarning} }},
		of("precision", true, func(f *Faces) float64 { return f.Precision }),
		of("recall", true, func(f *Faces) float64 { return f.Recall }),
		{heading: "false alarms", always: true, cell: func(f *Faces) Cell {
			return Cell{Text: fmt.Sprint(f.FalseAlarms), Small: fmt.Sprintf("on %d of %d", f.Alarmed, f.NoFace)}
		}, better: func(f *Faces) float64 { return -float64(f.FalseAlarms) }},
		size("AP 0.5 small", 0), size("medium", 1), size("large", 2),
		{heading: "img/s", always: true, cell: func(f *Faces) Cell { return perSecond(f.Rate) }},
		{heading: "weights MiB", cell: func(f *Faces) Cell { return mib(f.FileBytes) }},
		{heading: "kB/image", cell: func(f *Faces) Cell { return Cell{Text: fmt.Sprintf("%.0f", float64(f.Bytes)/1000)} }},
	}
}

// cropColumns has the crops of runs: the box round all faces, and squares.
func cropColumns(names []string) []column[*Faces] {
	all := []column[*Faces]{{heading: "images", always: true, cell: func(f *Faces) Cell { return pictures(f.Outer.Images, f.Failed) }}}
	for i, name := range names {
		crop := func(f *Faces) Crop {
			if i == 0 {
				return f.Outer
			}
			return f.Crops[i-1]
		}
		all = append(all,
			column[*Faces]{name + ": centres inside", true, func(f *Faces) Cell { c := share(crop(f).Centres); c.Main = true; return c }, func(f *Faces) float64 { return crop(f).Centres }},
			column[*Faces]{heading: "all inside", cell: func(f *Faces) Cell { return percent(crop(f).All) }},
			column[*Faces]{heading: "faces' share", always: true, cell: func(f *Faces) Cell { return percent(crop(f).Filled) }})
	}
	return append(all,
		column[*Faces]{heading: "img/s", cell: func(f *Faces) Cell { return perSecond(f.Rate) }},
		column[*Faces]{heading: "weights MiB", cell: func(f *Faces) Cell { return mib(f.FileBytes) }})
}
