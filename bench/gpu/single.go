package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"focal/bench/device"
	"focal/core/fault"
	"focal/inference"
	"focal/inference/ort"
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
// the larger ones are left. Models that there was no time for are said to be
// unmeasured; any other failure is the stage's.
func curves(ctx context.Context, b *bench) error {
	var failed []error
	for _, m := range b.all {
		err := b.curve(ctx, m)
		if ctx.Err() != nil {
			b.write(line{Stage: "curves", What: "batch", Model: m.Name, Error: "no time left"})
			continue
		}
		if err != nil {
			b.write(line{Stage: "curves", What: "batch", Model: m.Name, Error: text(err)})
			failed = append(failed, fmt.Errorf("%s: %w", m.Name, err))
		}
	}
	return errors.Join(failed...)
}

func (b *bench) curve(ctx context.Context, m models.Model) error {
	s, err := b.engine.Load(ctx, m)
	if err != nil {
		return err
	}
	defer s.Close()
	bare, err := b.engine.OpenBare(m)
	if err != nil {
		return err
	}
	defer bare.Close()
	for _, side := range b.sides(m) {
		for _, n := range b.batches(m) {
			err := b.point(ctx, m, s, bare, device.Input(m, n, side))
			if fault.Is(err, fault.Busy) {
				break
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// point measures one batch, ours and bare, and writes what it has found.
func (b *bench) point(ctx context.Context, m models.Model, s inference.Session, bare *ort.Bare, in []models.Tensor) error {
	times, held, err := device.Timed(ctx, s, in)
	if err == nil && len(times) == 0 {
		return ctx.Err() // no time left
	}
	n := int(in[0].Shape[0])
	l := line{Stage: "curves", What: "batch", Model: m.Name, Shape: device.Shape(in), Batch: n}
	var runs []time.Duration
	if err == nil {
		one := device.Quantile(times, .5)
		l.N, l.P50, l.P99, l.Run = len(times), ms(one), ms(device.Quantile(times, .99)), held
		l.Process, l.Rate = b.engine.Held(), float64(n)/one.Seconds()
		runs, err = bare.Loop(in, device.Count(1+len(times)))
	}
	if err == nil {
		one := device.Quantile(runs[1:], .5)
		l.Bare, l.BareRate = ms(one), float64(n)/one.Seconds()
	}
	l.Error = text(err)
	b.write(l)
	return err
}

// bareBest is the best rate of the bare loop with items like in, over all batches,
// and the batch that has it: as the curves have found it on this device, else
// measured now.
func (b *bench) bareBest(ctx context.Context, m models.Model, side int) (rate float64, batch int, err error) {
	shape := device.Shape(device.Input(m, 1, side))
	known, err := read(b.out)
	if err != nil {
		return 0, 0, err
	}
	on := b.engine.Device()
	if b.replayed != nil {
		known, on = b.replayed.runs, b.replayed.runs[0].Device
	}
	for _, l := range known {
		if l.Stage == "curves" && l.Model == m.Name && l.Shape == shape && l.Device == on && l.BareRate > rate {
			rate, batch = l.BareRate, l.Batch
		}
	}
	if rate > 0 {
		return rate, batch, nil
	}
	bare, err := b.engine.OpenBare(m)
	if err != nil {
		return 0, 0, err
	}
	for _, n := range b.batches(m) {
		runs, err := bare.Loop(device.Input(m, n, side), device.Count(6))
		if err != nil || ctx.Err() != nil {
			break // the larger ones do not fit
		}
		if r := float64(n) / device.Quantile(runs[1:], .5).Seconds(); r > rate {
			rate, batch = r, n
		}
	}
	return rate, batch, bare.Close()
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
	in := device.Input(m, 1, device.LargestSide(m, b.side))
	s, err := device.Change(ctx, b.engine, m, in)
	l.Shape, l.BareLoad, l.BareFirst, l.Bare = device.Shape(in), ms(s.BareLoad), ms(s.BareFirst), ms(s.BareRun)
	l.Load, l.First, l.P50 = ms(s.Load), ms(s.First), ms(device.Quantile(s.Runs, .5))
	l.Rest, l.Run, l.Process, l.Left = s.Rest, s.Run, s.Process, s.Left
	return l, err
}
