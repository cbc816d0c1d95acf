package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"focal/bench/device"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/host"
	"focal/models"
)

// through has many clients ask for one model as fast as they get answers, and
// holds the rate against the best batch of the bare loop.
func through(ctx context.Context, b *bench) error {
	h, err := b.serve(0)
	if err != nil {
		return err
	}
	each := time.Duration(b.seconds) * time.Second / time.Duration(len(b.all)+1)
	for _, m := range b.all {
		if ctx.Err() != nil {
			break
		}
		sides := b.sides(m)
		l := line{Stage: "through", What: "rate", Model: m.Name}
		one := device.Input(m, 1, sides[0])
		l.Shape = device.Shape(one)
		if l.BareRate, l.Batch, err = b.bareBest(ctx, m, sides[0]); err != nil {
			return device.CloseHost(h, err)
		}
		f := flood(ctx, h, m, one, 4*b.most, each)
		l.Rate, l.N, l.Failures, l.Error = f.rate, f.done, f.failures, f.first
		b.write(l)
	}
	return device.CloseHost(h, nil)
}

// flooded is what came of a flood.
type flooded struct {
	rate           float64 // answers a second
	done, failures int
	first          string // failure
}

// flood has so many clients ask; the first half of the time, in which the device is
// tuned, does not count. Nobody comes back at once after a failure.
func flood(ctx context.Context, h *host.Host, m models.Model, in []models.Tensor, clients int, d time.Duration) flooded {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var done, failed atomic.Int64
	var first atomic.Value
	var wg sync.WaitGroup
	began := time.Now()
	warm := began.Add(d / 2)
	for range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				// Without the stage's end for a deadline: what is late then is not refused.
				err := device.Ask(context.WithoutCancel(ctx), h, m, in)
				switch {
				case ctx.Err() != nil:
				case err != nil:
					failed.Add(1)
					first.CompareAndSwap(nil, text(err))
					time.Sleep(10 * time.Millisecond)
				case time.Now().After(warm):
					done.Add(1)
				}
			}
		})
	}
	wg.Wait()
	f := flooded{rate: float64(done.Load()) / (d / 2).Seconds(), done: int(done.Load()), failures: int(failed.Load())}
	f.first, _ = first.Load().(string)
	return f
}

// overcommit asks for models at random, four clients at a time, in a quarter of
// the memory that all need to be loaded and run one picture each, in two walks. Every
// answer must come, and nothing may stay behind.
func overcommit(ctx context.Context, b *bench) error {
	all, most := int64(0), int64(0)
	for _, m := range b.all {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s, err := b.engine.Load(ctx, m)
		if err != nil {
			return err
		}
		_, held, err := device.Timed(ctx, s, device.Input(m, 1, 256))
		if err = errors.Join(err, s.Close()); err != nil {
			return err
		}
		rest, run := max(s.Rest(), m.Memory.Rest), max(held, m.Memory.Run, 160<<20)
		all += rest + run
		most = max(most, rest+2*run)
	}
	l := line{Stage: "overcommit", Budget: max(all/4, most), Rest: all}
	// What CUDA and its libraries load for a kernel that is used for the first time stays
	// as long as the process; what is more after the second walk was forgotten by us.
	end, _ := ctx.Deadline()
	half, cancel := context.WithTimeout(ctx, time.Until(end)/2)
	defer cancel()
	for _, walk := range []struct {
		name string
		ctx  context.Context
	}{{"first walk", half}, {"walk", ctx}} {
		before := b.engine.Held()
		h, err := b.serve(l.Budget)
		if err != nil {
			return err
		}
		w := b.walk(walk.ctx, h, 4, int64(b.switches)/2)
		l.What, l.N, l.Failures, l.Error, l.Process = walk.name, w.done, w.failures, w.first, b.engine.Held()
		if err := device.CloseHost(h, nil); err != nil {
			return err
		}
		l.Left = b.engine.Held() - before
		b.write(l)
	}
	return nil
}

// walk has clients ask for models at random, so often or until ctx ends.
func (b *bench) walk(ctx context.Context, h *host.Host, clients int, most int64) flooded {
	var asked, failures atomic.Int64
	var first atomic.Value
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(client), 7))
			for ctx.Err() == nil && asked.Add(1) <= most {
				m := b.all[random.IntN(len(b.all))]
				if err := device.Ask(context.Background(), h, m, device.Input(m, 1, 256)); err != nil {
					failures.Add(1)
					first.CompareAndSwap(nil, fmt.Sprintf("%s: %v", m.Name, err))
				}
			}
		})
	}
	wg.Wait()
	w := flooded{done: int(min(asked.Load(), most)), failures: int(failures.Load())}
	w.first, _ = first.Load().(string)
	return w
}

// neighbour asks for models at random while somebody else, who is started beside
// this program, takes the device's memory and gives it back: the budget must shrink
// to what is left, and every answer come.
func neighbour(ctx context.Context, b *bench) error {
	h, err := b.serve(0)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	for _, c := range h.Collectors() {
		if err := registry.Register(c); err != nil {
			return device.CloseHost(h, err)
		}
	}
	watched := make(chan []int64)
	go func() { // ends with ctx
		var budgets []int64
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-tick.C:
				budgets = append(budgets, budgetOf(registry))
			}
		}
		watched <- budgets
	}()
	w := b.walk(ctx, h, 4, math.MaxInt64)
	budgets := <-watched
	if len(budgets) == 0 {
		return device.CloseHost(h, errors.New("no budget was read"))
	}
	b.write(line{Stage: "neighbour", What: "walk", N: w.done, Failures: w.failures, Error: w.first,
		Budget: budgets[0], Least: slices.Min(budgets), Last: budgets[len(budgets)-1]})
	return device.CloseHost(h, nil)
}

// budgetOf is the budget that a host says it has at the moment; -1: it does not.
func budgetOf(registry prometheus.Gatherer) int64 {
	families, err := registry.Gather()
	if err != nil {
		return -1
	}
	for _, f := range families {
		if f.GetName() == "focal_memory_budget_bytes" {
			return int64(f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	return -1
}

// openLoop sends to the first model at 70 % of the rate that many clients got, by
// a Poisson process, and takes the time from when each was to be sent.
func openLoop(ctx context.Context, b *bench) error {
	m := b.all[0]
	h, err := b.serve(0)
	if err != nil {
		return err
	}
	in := device.Input(m, 1, b.sides(m)[0])
	third := time.Duration(b.seconds) * time.Second / 3
	full := flood(ctx, h, m, in, 4*b.most, third)
	if full.rate == 0 {
		return device.CloseHost(h, fmt.Errorf("%s answers nothing: %s", m.Name, full.first))
	}
	rate, random := 0.7*full.rate, rand.New(rand.NewPCG(3, 4))
	var mu sync.Mutex // protects took and failures
	var took []time.Duration
	failures := 0
	var wg sync.WaitGroup
	due := time.Now()
	for end := due.Add(third); due.Before(end) && ctx.Err() == nil; due = due.Add(time.Duration(random.ExpFloat64() / rate * float64(time.Second))) {
		time.Sleep(time.Until(due))
		sent := due
		wg.Go(func() {
			err := device.Ask(context.Background(), h, m, in)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures++
				return
			}
			took = append(took, time.Since(sent))
		})
	}
	wg.Wait()
	b.write(line{Stage: "load", What: "poisson", Model: m.Name, Shape: device.Shape(in), N: len(took), Failures: failures,
		Rate: rate, P50: ms(device.Quantile(took, .5)), P99: ms(device.Quantile(took, .99))})
	return device.CloseHost(h, nil)
}

// latency has cut-outs made one after the other of a look of 1024×768, and says
// what share of the time the model itself has.
func latency(ctx context.Context, b *bench) error {
	h, err := b.serve(0)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(5, 6))
	pix := make([]byte, 1024*768*3)
	for i := range pix {
		pix[i] = byte(random.Uint32())
	}
	for _, m := range b.all {
		if m.Task != models.TaskForeground || ctx.Err() != nil {
			continue
		}
		var whole, model []time.Duration
		l := line{Stage: "latency", What: "cut-out", Model: m.Name, Shape: device.Shape(device.Input(m, 1, 0)), Batch: 1}
		for i := range 20 {
			began := time.Now()
			f, err := h.Foreground(ctx, inference.ForegroundRequest{Model: m.Name, Subject: inference.Subject{
				Content: sha256.Sum256(fmt.Append(nil, m.Name, i)),
				Look: func(context.Context) (pixel.Buffer, error) {
					return pixel.Buffer{Width: 1024, Height: 768, Channels: 3, Pix: pix}, nil
				},
			}})
			if err != nil {
				l.Error = text(err)
				break
			}
			if i > 1 {
				whole, model = append(whole, time.Since(began)), append(model, f.Run)
			}
		}
		if l.N = len(whole); l.N > 0 {
			l.P50, l.P99 = ms(device.Quantile(whole, .5)), ms(device.Quantile(whole, .99))
			l.Share = device.Quantile(model, .5).Seconds() / device.Quantile(whole, .5).Seconds()
		}
		b.write(l)
	}
	return device.CloseHost(h, nil)
}
