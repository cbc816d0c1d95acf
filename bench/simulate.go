package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"focal/bench/simulate"
	"focal/core/fault"
)

// simulateCommand is `focal-bench simulate`.
type simulateCommand struct {
	Seed       uint64        `help:"Draws models, arrivals and pictures." default:"1"`
	Requests   int           `help:"Requests of the trace." default:"1000000"`
	Models     int           `help:"Models, of a few to a few hundred megabytes." default:"40"`
	Zipf       float64       `help:"Exponent of popularity, of models and of pictures." default:"1"`
	Load       float64       `help:"Mean arrival rate, as a share of what the device could run one by one if all models were loaded." default:"0.6"`
	Burst      float64       `help:"How much faster requests come in a burst, all for one model." default:"8"`
	BurstShare float64       `help:"Share of the requests that come in bursts." default:"0.2"`
	Shift      time.Duration `help:"How often a popular model changes places with another; 0: never." default:"10m"`
	Memory     float64       `help:"Budget, as a share of what all models hold at rest." default:"0.35"`
	Deadline   time.Duration `help:"Of the image server's requests; direct callers wait five times as long." default:"2s"`
	Slots      int           `help:"Runs at the same time." default:"2"`
	Copies     int           `help:"Copies of a fleet; 1: no fleet." default:"4"`
	Pictures   int           `help:"Different pictures, for the fleet." default:"200000"`
	Cache      int           `help:"Results that a copy of the fleet keeps." default:"20000"`
	Out        string        `help:"Write the results as JSON." placeholder:"FILE"`
}

// simulated is the JSON of a run.
type simulated struct {
	Schema int                    `json:"schema"`
	Config simulate.Config        `json:"config"`
	One    []simulate.Result      `json:"one_device"`
	Fleet  []simulate.FleetResult `json:"fleet,omitempty"`
}

// Run simulates, prints two tables, and writes JSON where that is wanted.
func (c *simulateCommand) Run() error {
	s := simulated{Schema: 1, Config: simulate.Config{
		Seed: c.Seed, Requests: c.Requests, Models: c.Models, Zipf: c.Zipf, Load: c.Load, Burst: c.Burst, BurstShare: c.BurstShare,
		Shift: c.Shift, Memory: c.Memory, Deadline: c.Deadline, Slots: c.Slots, Copies: c.Copies, Pictures: c.Pictures, Cache: c.Cache,
	}}
	var err error
	if s.One, err = simulate.One(s.Config); err != nil {
		return err
	}
	if c.Copies > 1 {
		if s.Fleet, err = simulate.Fleet(s.Config); err != nil {
			return err
		}
	}
	if err := s.print(os.Stdout); err != nil {
		return err
	}
	return writeJSON(c.Out, s)
}

// writeJSON writes results to a file, or where none is named nowhere.
func writeJSON(path string, results any) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(results, "", " ")
	if err != nil {
		return fault.New(fault.Internal, "main.writeJSON", "%w", err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func (s simulated) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "policy\tin time\tlate\trefused\tserver\tdirect\tloads\tevictions\tswapping\tbusy\tbatch\tp50 ms\tp99 ms\tserver\tdirect\tfairness\tworst model\t")
	for _, r := range s.One {
		fmt.Fprintf(w, "%s\t%.2f %%\t%.2f %%\t%.2f %%\t%.2f %%\t%.2f %%\t%d\t%d\t%.0f %%\t%.0f %%\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f\t%.3f\t%.1f %%\t\n",
			r.Policy, 100*r.Goodput, 100*r.Late, 100*r.Refused, 100*r.Server, 100*r.Direct, r.Loads, r.Evicted, 100*r.Swapping, 100*r.Busy,
			r.Batch, r.P50, r.P99, r.ServerP99, r.DirectP99, r.Fairness, 100*r.Worst)
	}
	if len(s.Fleet) > 0 {
		fmt.Fprintln(w, "\t")
		fmt.Fprintf(w, "%d copies\tin time\tknown\tbalance\tfirst choice\tbusy\tp50 ms\tp99 ms\t\n", s.Config.Copies)
	}
	for _, r := range s.Fleet {
		fmt.Fprintf(w, "%s\t%.2f %%\t%.2f %%\t%.3f\t%.1f %%\t%.0f %%\t%.0f\t%.0f\t\n", r.Policy, 100*r.Goodput, 100*r.Hits, r.Balance, 100*r.First, 100*r.Busy, r.P50, r.P99)
	}
	return w.Flush()
}
