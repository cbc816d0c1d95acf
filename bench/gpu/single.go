package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"focal/bench/device"
	"focal/core/fault"
	"focal/models"
)

// sides are those that a model is measured at.
func (b *bench) sides(m models.Model) []int { return device.Sides(m, b.side) }

// batches are the powers of two up to what the model and the command line take.
func (b *bench) batches(m models.Model) []int {
	most := b.most
	if m.Inputs[0].Shape[0] == 1 || m.MaxBatch <= 1 {
		most = 1
	}
	var all []int
	for n := 1; n <= most; n *= 2 {
		all = append(all, n)
	}
	return all
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// curves measures every batch of every model, ours and bare. Where memory runs out
// the larger ones are left.
func curves(ctx context.Context, b *bench) error {
	for _, m := range b.all {
		if err := b.curve(ctx, m); err != nil {
			b.write(line{Stage: "curves", What: "batch", Model: m.Name, Error: text(err)})
		}
	}
	return nil
}

func (b *bench) curve(ctx context.Context, m models.Model) error {
	s, err := b.engine.Load(ctx, m)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, side := range b.sides(m) {
		for _, n := range b.batches(m) {
			if ctx.Err() != nil {
				return fmt.Errorf("no time left for batch %d", n)
			}
			in := device.Input(m, n, side)
			l := line{Stage: "curves", What: "batch", Model: m.Name, Shape: device.Shape(in), Batch: n}
			times, held, err := device.Timed(ctx, s, in)
			if err == nil {
				l.N, l.P50, l.P99, l.Run = len(times), ms(device.Quantile(times, .5)), ms(device.Quantile(times, .99)), held
				l.Process = b.engine.Held()
				l.Rate = float64(n) / device.Quantile(times, .5).Seconds()
				one, failed := b.bareRun(m, in, len(times))
				if l.Error = text(failed); failed == nil {
					l.Bare, l.BareRate = ms(one), float64(n)/one.Seconds()
				}
			} else {
				l.Error = text(err)
			}
			b.write(l)
			if fault.Is(err, fault.Busy) {
				break
			}
		}
	}
	return nil
}

// bareRun is the median of n runs of a bare session, after one that does not count.
func (b *bench) bareRun(m models.Model, in []models.Tensor, n int) (time.Duration, error) {
	bare, err := b.engine.OpenBare(m)
	if err != nil {
		return 0, err
	}
	runs, err := bare.Loop(in, device.Count(n+1))
	if err = errors.Join(err, bare.Close()); err != nil {
		return 0, err
	}
	return device.Quantile(runs[1:], .5), nil
}

// swap loads and unloads every model three times; the second is the one that
// counts, for the first pays for CUDA's own libraries.
func swap(ctx context.Context, b *bench) error {
	for _, m := range b.all {
		for i := range 3 {
			if ctx.Err() != nil {
				return nil
			}
			l, err := b.swapOne(ctx, m)
			if err != nil {
				l.Error = text(err)
			}
			l.Stage, l.What, l.Model, l.N = "swap", "swap", m.Name, i+1
			b.write(l)
		}
	}
	return nil
}

func (b *bench) swapOne(ctx context.Context, m models.Model) (l line, err error) {
	sides := b.sides(m)
	in := device.Input(m, 1, sides[len(sides)-1])
	s, err := device.Change(ctx, b.engine, m, in)
	l.Shape, l.BareLoad, l.BareFirst, l.Bare = device.Shape(in), ms(s.BareLoad), ms(s.BareFirst), ms(s.BareRun)
	l.Load, l.First, l.P50 = ms(s.Load), ms(s.First), ms(device.Quantile(s.Runs, .5))
	l.Rest, l.Run, l.Process, l.Left = s.Rest, s.Run, s.Process, s.Left
	return l, err
}
