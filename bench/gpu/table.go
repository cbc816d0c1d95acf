package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

const mebibyte = 1 << 20

// show prints one line for people.
func (l line) show(out io.Writer) {
	fmt.Fprintf(out, "%-10s %s\n", l.Stage, l.figures())
}

// figures are what is known, with units.
func (l line) figures() string {
	s := l.Model
	add := func(format string, known bool, args ...any) {
		if known {
			s += fmt.Sprintf(" "+format, args...)
		}
	}
	add("%s", l.Shape != "", l.Shape)
	add("batch %d", l.Batch > 0, l.Batch)
	add("n=%d", l.N > 0, l.N)
	add("p50 %.2f ms", l.P50 > 0, l.P50)
	add("p99 %.2f ms", l.P99 > 0, l.P99)
	add("(bare %.2f ms, %.2f×)", l.Bare > 0, l.Bare, ratio(l.P50, l.Bare))
	add("load %.1f + first %.1f ms (bare %.1f + %.1f, %.2f×)", l.Load > 0, l.Load, l.First, l.BareLoad, l.BareFirst, ratio(l.Load+l.First, l.BareLoad+l.BareFirst))
	add("%.1f/s", l.Rate > 0, l.Rate)
	add("(bare %.1f/s, %.2f×)", l.BareRate > 0, l.BareRate, ratio(l.Rate, l.BareRate))
	add("rest %d MiB", l.Rest > 0, l.Rest/mebibyte)
	add("run %d MiB", l.Run > 0, l.Run/mebibyte)
	add("budget %d MiB", l.Budget > 0, l.Budget/mebibyte)
	add("least budget %d MiB", l.Least != 0, l.Least/mebibyte)
	add("at last %d MiB", l.Last != 0, l.Last/mebibyte)
	add("process %d MiB", l.Process > 0, l.Process/mebibyte)
	add("left %d KiB", l.Left != 0, l.Left/1024)
	add("model's share %.0f %%", l.Share > 0, 100*l.Share)
	add("%d failures", l.Failures > 0, l.Failures)
	add("in %.1f s", l.Seconds > 0, l.Seconds)
	add("ERROR %s", l.Error != "", l.Error)
	return s
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// read returns the results in a file. A line that was cut off is left out.
func read(path string) ([]line, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []line
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) == nil {
			all = append(all, l)
		}
	}
	return all, nil
}

// table prints the goals with what was measured of them, then everything.
func table(out io.Writer, path string) error {
	all, err := read(path)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "goal\tmeasured\tof")
	for _, g := range goals {
		found := false
		for _, l := range all {
			if value, ok := g.of(l, all); ok {
				verdict := "missed"
				if g.met(value) {
					verdict = "met"
				}
				fmt.Fprintf(w, "%s\t%.2f %s\t%s %s batch %d, %s\n", g.text, value, verdict, l.Model, l.Shape, l.Batch, l.Device)
				found = true
			}
		}
		if !found {
			fmt.Fprintf(w, "%s\tnot measured\t\n", g.text)
		}
	}
	fmt.Fprintln(w)
	for _, l := range all {
		fmt.Fprintf(w, "%s\t%s\n", l.Stage, l.figures())
	}
	return w.Flush()
}

// goal is a figure to be reached on a card.
type goal struct {
	text string
	of   func(l line, all []line) (float64, bool)
	met  func(float64) bool
}

func atLeast(n float64) func(float64) bool { return func(v float64) bool { return v >= n } }
func atMost(n float64) func(float64) bool  { return func(v float64) bool { return v <= n } }

var goals = []goal{
	{"rate through the scheduler ≥ 0.95 of the bare loop", func(l line, _ []line) (float64, bool) {
		return ratio(l.Rate, l.BareRate), l.Stage == "through" && l.BareRate > 0
	}, atLeast(.95)},
	{"largest batch ≥ 3.7 × one by one, at 320 pixels", func(l line, all []line) (float64, bool) {
		if l.Stage != "curves" || l.Batch < 8 || l.Shape != "3x320x320" && l.Shape != "3x240x320" {
			return 0, false
		}
		for _, one := range all {
			if one.Stage == l.Stage && one.Model == l.Model && one.Shape == l.Shape && one.Batch == 1 && one.Device == l.Device {
				return ratio(l.Rate, one.Rate), one.Rate > 0
			}
		}
		return 0, false
	}, atLeast(3.7)},
	{"RetinaFace at 1024², batch 1: MiB of the card, context included", func(l line, _ []line) (float64, bool) {
		return float64(l.Process) / mebibyte, l.Stage == "swap" && l.Model == "retinaface-mobilenet025" && l.Shape == "3x1024x1024" && l.N == 1
	}, atMost(1024)},
	{"U²-Net 320² in FP16, pictures a second", func(l line, _ []line) (float64, bool) {
		return l.Rate, l.Stage == "through" && l.Model == "standin-u2net-fp16"
	}, atLeast(1000)},
	{"BiRefNet-class graph at 1024² ≤ 1.1 × its bare run", func(l line, _ []line) (float64, bool) {
		return ratio(l.P50, l.Bare), l.Stage == "curves" && (l.Model == "standin-birefnet" || l.Model == "standin-birefnet-fp16") && l.Bare > 0
	}, atMost(1.1)},
	{"load and first run ≤ 1.2 × bare", func(l line, _ []line) (float64, bool) {
		return ratio(l.Load+l.First, l.BareLoad+l.BareFirst), l.Stage == "swap" && l.N == 2 && l.BareLoad > 0
	}, atMost(1.2)},
	{"models for 4 × the budget: failures", func(l line, _ []line) (float64, bool) {
		return float64(l.Failures), l.Stage == "overcommit" && strings.HasSuffix(l.What, "walk")
	}, atMost(0)},
	{"models for 4 × the budget: MiB left behind", func(l line, _ []line) (float64, bool) {
		return float64(l.Left) / mebibyte, l.Stage == "overcommit" && l.What == "walk"
	}, atMost(64)},
	{"model's share of a cut-out ≥ 0.8", func(l line, _ []line) (float64, bool) {
		return l.Share, l.Stage == "latency" && l.Share > 0
	}, atLeast(.8)},
}
