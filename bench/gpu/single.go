package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"focal/core/fault"
	"focal/inference"
	"focal/models"
)

// input makes n items of noise for a model; free sides become side.
func input(m models.Model, n, side int) []models.Tensor {
	random := rand.New(rand.NewPCG(1, 2))
	var all []models.Tensor
	for _, p := range m.Inputs {
		shape := slices.Clone(p.Shape)
		for axis := range shape {
			switch {
			case axis == 0:
				shape[axis] = int64(n)
			case shape[axis] < 0:
				shape[axis] = int64(side)
			}
		}
		t := models.Tensor{Shape: shape, Data: make([]float32, models.Elements(shape))}
		for i := range t.Data {
			t.Data[i] = random.Float32()
		}
		all = append(all, t)
	}
	return all
}

// sides are those that a model is measured at: its own, or a small and a large.
func (b *bench) sides(m models.Model) []int {
	if m.Canvases.Max > 0 {
		return slices.Compact([]int{min(320, b.side), b.side})
	}
	return []int{0}
}

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

func shape(t []models.Tensor) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(t[0].Shape[1:]), " ", "x"), "[]")
}

// runs is how often something is measured that took so long.
func runs(one time.Duration) int {
	return int(min(50, max(5, 2*time.Second/max(one, time.Millisecond))))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// timed runs a session n times after two that do not count.
func timed(ctx context.Context, s inference.Session, in []models.Tensor) (times []time.Duration, held int64, err error) {
	const warm = 2
	n := warm + 1
	for i := 0; i < n && ctx.Err() == nil; i++ {
		began := time.Now()
		_, bytes, err := s.(inference.Measured).RunMeasured(context.Background(), in, inference.Room{Run: 1, All: 1 << 62})
		took := time.Since(began)
		held = max(held, bytes)
		if err != nil {
			return nil, 0, err
		}
		if i == warm {
			n = warm + runs(took)
		}
		if i >= warm {
			times = append(times, took)
		}
	}
	return times, held, nil
}

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
			in := input(m, n, side)
			l := line{Stage: "curves", What: "batch", Model: m.Name, Shape: shape(in), Batch: n}
			times, held, err := timed(ctx, s, in)
			if err == nil {
				l.N, l.P50, l.P99, l.Run = len(times), ms(quantile(times, .5)), ms(quantile(times, .99)), held
				l.Process = b.engine.Held()
				l.Rate = float64(n) / quantile(times, .5).Seconds()
				bare, failed := b.engine.RunBare(m, in, len(times))
				if l.Error = text(failed); failed == nil {
					l.Bare = ms(quantile(bare.Runs, .5))
					l.BareRate = float64(n) / quantile(bare.Runs, .5).Seconds()
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
	in := input(m, 1, sides[len(sides)-1])
	l.Shape = shape(in)
	bare, err := b.engine.RunBare(m, in, 1)
	if err != nil {
		return l, err
	}
	l.BareLoad, l.BareFirst, l.Bare = ms(bare.Load), ms(bare.First), ms(bare.Runs[0])
	before := b.engine.Held()
	began := time.Now()
	s, err := b.engine.Load(ctx, m)
	if err != nil {
		return l, err
	}
	l.Load = ms(time.Since(began))
	began = time.Now()
	if _, err := s.Run(ctx, in); err != nil {
		return l, s.Close()
	}
	l.First = ms(time.Since(began))
	times, held, err := timed(ctx, s, in)
	if err != nil {
		return l, s.Close()
	}
	l.P50, l.Rest, l.Run, l.Process = ms(quantile(times, .5)), s.Rest(), held, b.engine.Held()
	if err := s.Close(); err != nil {
		return l, err
	}
	l.Left = b.engine.Held() - before
	return l, nil
}
