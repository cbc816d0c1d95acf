package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"focal/bench/load"
	"focal/core/fault"
)

// offered is what a server made of so many times what it can do.
type offered struct {
	Times    float64 `json:"times"`
	Capacity float64 `json:"capacity_per_second"` // in a closed loop, just before
	Offered  float64 `json:"offered_per_second"`
	Goodput  float64 `json:"goodput_per_second"`
	// Share is goodput by capacity, or by what was offered where that is less.
	Share   float64          `json:"share"`
	Latency load.Latency     `json:"latency_ms"` // of those that were not refused
	Refused int64            `json:"refused"`
	Refusal load.Latency     `json:"refusal_ms"`
	Results map[string]int64 `json:"outcomes"`
	Late    int64            `json:"late"`
}

// overload finds out what a server can do and offers it times as much. Capacity
// is measured before each, for what else the machine does changes.
func (c *loadCommand) overload(ctx context.Context, config load.Config) error {
	if c.Clients == 0 || c.Against != "" || c.RampTo != 0 {
		return fault.New(fault.Invalid, "main.overload", "--times: want --clients that find out what the server can do, and neither --against nor --ramp-to")
	}
	client := newClient(c.InFlight)
	defer client.CloseIdleConnections()
	closed, open := config, config
	open.Clients = 0
	next := 0
	var all []offered
	for _, times := range c.Times {
		if !(times > 0) {
			return fault.New(fault.Invalid, "main.overload", "--times %v: want more than 0", times)
		}
		closed.First = next
		full, err := load.Run(ctx, closed, client)
		if err != nil {
			return err
		}
		if full.Good == 0 {
			return fault.New(fault.Unavailable, "main.overload", "the server answers nothing in time: %v", full.Outcomes)
		}
		open.Rate, open.First = times*full.Goodput(), next+int(full.Intended)
		r, err := load.Run(ctx, open, client)
		if err != nil {
			return err
		}
		next = open.First + int(r.Intended)
		all = append(all, offered{
			Times: times, Capacity: full.Goodput(), Offered: r.Offered(), Goodput: r.Goodput(), Share: r.Goodput() / min(r.Offered(), full.Goodput()),
			Latency: r.Histogram.Latency(), Refused: r.Refusals.Count(), Refusal: r.Refusals.Latency(), Results: r.Outcomes, Late: r.Late,
		})
	}
	if err := printOffered(all); err != nil {
		return err
	}
	return writeJSON(c.Out, map[string]any{"schema": 1, "command": os.Args[1:], "overload": all})
}

func printOffered(all []offered) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "times\tcapacity\toffered\tgood\tshare\tp50\tp95\tp99\tlate\trefused\tp50\tp95\toutcomes\t")
	fmt.Fprintln(w, "\t/s\t/s\t/s\t\tms\tms\tms\t\t\tms\tms\t\t")
	for _, o := range all {
		fmt.Fprintf(w, "%.2g\t%.1f\t%.1f\t%.1f\t%.3f\t%.0f\t%.0f\t%.0f\t%d\t%d\t%.1f\t%.1f\t%v\t\n", o.Times, o.Capacity, o.Offered, o.Goodput, o.Share,
			o.Latency.P50, o.Latency.P95, o.Latency.P99, o.Late, o.Refused, o.Refusal.P50, o.Refusal.P95, o.Results)
	}
	return w.Flush()
}
