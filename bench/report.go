package main

import (
	"fmt"
	"os"
	"path/filepath"

	"focal/bench/report"
	"focal/core/fault"
)

// reportCommand is `focal-bench report`.
type reportCommand struct {
	Results   []string `arg:"" help:"results.json of each run, a column each, in this order." placeholder:"FILE"`
	Out       string   `help:"HTML page to write." default:"report.html" placeholder:"FILE"`
	gateFlags `embed:"" group:"Gate"`
}

// Run writes one page of all runs. With --baseline it holds the first of them
// to it.
func (c *reportCommand) Run() error {
	var runs []report.Results
	for _, path := range c.Results {
		r, err := report.Read(path)
		if err != nil {
			return err
		}
		if r.Label == "" {
			r.Label = filepath.Base(filepath.Dir(path))
		}
		runs = append(runs, r)
	}
	if len(runs) == 0 {
		return fault.New(fault.Invalid, "main.report", "name at least one results.json")
	}
	page, err := report.NewPage(runs, report.Evidence{})
	if err != nil {
		return err
	}
	if err := page.Write(c.Out); err != nil {
		return err
	}
	fmt.Print(report.Text(runs...))
	fmt.Fprintln(os.Stderr, "focal-bench: wrote", c.Out)
	return c.check(runs[0])
}
