package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"focal/bench/device"
	"focal/bench/run"
	"focal/core/fault"
	"focal/inference/host"
	"focal/inference/ort"
	"focal/models"
)

// swapCommand is `focal-bench swap`.
type swapCommand struct {
	modelFlags `embed:"" group:"Models"`

	Rounds int    `help:"How often each model is loaded and unloaded; the figures are medians, with the least and the most." default:"7"`
	Side   int    `help:"Side of the input of models that take any." default:"1024"`
	Out    string `help:"Write the results as JSON." placeholder:"FILE"`
}

// swapped is what the rounds of one model came to. Times are milliseconds.
type swapped struct {
	Model string `json:"model"`
	Shape string `json:"shape"` // of an item, without the batch

	BareLoad  spread `json:"bare_load_ms"`
	BareFirst spread `json:"bare_first_ms"`
	Load      spread `json:"load_ms"` // with a run at the smallest canvas
	First     spread `json:"first_ms"`
	Steady    spread `json:"steady_ms"`
	Evict     spread `json:"evict_ms"`
	Cold      spread `json:"cold_ms"` // from the question to the answer of a host from which it has left
	// Ratios to a bare session made and run once, round by round.
	Ready    spread `json:"ready_ratio"` // Load: a session made and run once
	ColdOver spread `json:"cold_ratio"`  // Cold

	Rest int64  `json:"rest_bytes"`
	Run  int64  `json:"run_bytes"`
	Left spread `json:"left_bytes"` // more than before the round
}

// spread is a figure of all rounds.
type spread struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

func spreadOf[T any](rounds []T, figure func(T) float64) spread {
	all := make([]float64, len(rounds))
	for i, r := range rounds {
		all[i] = figure(r)
	}
	return spread{device.Median(all), slices.Min(all), slices.Max(all)}
}

// round is one of a model.
type round struct {
	device.Swap
	cold time.Duration
}

// Run brings every model in and out.
func (c *swapCommand) Run(ctx context.Context, log *slog.Logger) error {
	if c.Rounds < 1 || c.Side < 1 {
		return fault.New(fault.Invalid, "main.swap", "--rounds %d, --side %d: want at least 1", c.Rounds, c.Side)
	}
	return c.withEngine(log, func(e *ort.Engine, r *models.Repository, all []models.Model) error {
		var results []swapped
		for _, m := range all {
			one, err := c.swap(ctx, e, r, m)
			if err != nil {
				return fmt.Errorf("model %s: %w", m.Name, err)
			}
			results = append(results, one)
		}
		if err := printSwaps(os.Stdout, results); err != nil {
			return err
		}
		return writeJSON(c.Out, map[string]any{"schema": 1, "command": os.Args[1:], "machine": run.Machine(e.Device()), "versions": versions(), "swap": results})
	})
}

// swap measures one model. A round that does not count comes first: the file is
// read from the disk then.
func (c *swapCommand) swap(ctx context.Context, e *ort.Engine, r *models.Repository, m models.Model) (swapped, error) {
	in := device.Input(m, 1, device.LargestSide(m, c.Side))
	h, err := device.ColdHost(e, r)
	if err != nil {
		return swapped{}, err
	}
	rounds, err := c.rounds(ctx, e, h, m, in)
	if err = device.CloseHost(h, err); err != nil {
		return swapped{}, err
	}
	bare := func(r round) float64 { return millis(r.BareLoad + r.BareFirst) }
	return swapped{
		Model: m.Name, Shape: device.Shape(in),
		BareLoad:  spreadOf(rounds, func(r round) float64 { return millis(r.BareLoad) }),
		BareFirst: spreadOf(rounds, func(r round) float64 { return millis(r.BareFirst) }),
		Load:      spreadOf(rounds, func(r round) float64 { return millis(r.Load) }),
		First:     spreadOf(rounds, func(r round) float64 { return millis(r.First) }),
		Steady:    spreadOf(rounds, func(r round) float64 { return millis(device.Quantile(r.Runs, .5)) }),
		Evict:     spreadOf(rounds, func(r round) float64 { return millis(r.Evict) }),
		Cold:      spreadOf(rounds, func(r round) float64 { return millis(r.cold) }),
		Ready:     spreadOf(rounds, func(r round) float64 { return millis(r.Load) / bare(r) }),
		ColdOver:  spreadOf(rounds, func(r round) float64 { return millis(r.cold) / bare(r) }),
		Rest:      rounds[0].Rest, Run: slices.MaxFunc(rounds, func(a, b round) int { return cmp.Compare(a.Run, b.Run) }).Run,
		Left: spreadOf(rounds, func(r round) float64 { return float64(r.Left) }),
	}, nil
}

func (c *swapCommand) rounds(ctx context.Context, e *ort.Engine, h *host.Host, m models.Model, in []models.Tensor) (rounds []round, err error) {
	for i := range c.Rounds + 1 {
		s, err := device.Change(ctx, e, m, in)
		if err != nil {
			return nil, err
		}
		cold, err := device.Cold(ctx, h, m, in)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			rounds = append(rounds, round{s, cold})
		}
	}
	return rounds, nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func printSwaps(out io.Writer, all []swapped) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "model\tinput\tbare load\tfirst\tload\tfirst\tsteady\tevict\tcold\tload ÷ bare\tcold ÷ bare\trest\trun\tleft\t")
	fmt.Fprintln(w, "\t\tms\tms\tms\tms\tms\tms\tms\tload + first\tload + first\tMiB\tMiB\tKiB\t")
	for _, s := range all {
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%s\t%s\t%.1f\t%.1f\t%.0f\t\n", s.Model, s.Shape,
			s.BareLoad.Median, s.BareFirst.Median, s.Load.Median, s.First.Median, s.Steady.Median, s.Evict.Median, s.Cold.Median,
			s.Ready, s.ColdOver, float64(s.Rest)/(1<<20), float64(s.Run)/(1<<20), s.Left.Median/1024)
	}
	return w.Flush()
}

func (s spread) String() string { return fmt.Sprintf("%.2f [%.2f–%.2f]", s.Median, s.Least, s.Most) }
