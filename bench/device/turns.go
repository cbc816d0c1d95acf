package device

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"focal/bench/measure"
	"focal/inference/host"
	"focal/inference/ort"
	"focal/models"
)

// Side is one of those that are held against each other.
type Side struct {
	Name  string
	Loops int // calls side by side
	Items int // that one call does
	// Loop calls until more says no, which it asks before each call.
	Loop func(ctx context.Context, more func() bool) error
}

// Turns has sides work in turns of about slice each, and returns the items a
// second of each side in each turn. What else a machine does at the moment, the
// sides of one turn feel alike; the order turns round every time. A turn is a
// number of calls, found in a turn that does not count, so that no call is cut
// off.
func Turns(ctx context.Context, turns int, slice time.Duration, sides ...Side) ([][]float64, error) {
	rates, calls := make([][]float64, len(sides)), make([]int, len(sides))
	for i, s := range sides {
		calls[i] = s.Loops
		for range 2 { // the first one warms up
			rate, err := s.turn(ctx, calls[i])
			if err != nil {
				return nil, err
			}
			each := int(rate * slice.Seconds() / float64(s.Items*s.Loops))
			calls[i] = s.Loops * max(1, each)
		}
	}
	order := make([]int, len(sides))
	for i := range order {
		order[i] = i
	}
	for range turns {
		for _, i := range order {
			rate, err := sides[i].turn(ctx, calls[i])
			if err != nil {
				return nil, err
			}
			rates[i] = append(rates[i], rate)
		}
		slices.Reverse(order)
	}
	return rates, nil
}

// turn makes so many calls and returns items a second.
func (s Side) turn(ctx context.Context, calls int) (float64, error) {
	var begun atomic.Int64
	more := func() bool { return ctx.Err() == nil && begun.Add(1) <= int64(calls) }
	errs := make([]error, s.Loops)
	var loops sync.WaitGroup
	began := time.Now()
	for i := range s.Loops {
		loops.Go(func() { errs[i] = s.Loop(ctx, more) })
	}
	loops.Wait()
	took := time.Since(began)
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return 0, fmt.Errorf("%s: %w", s.Name, err)
	}
	return float64(calls*s.Items) / took.Seconds(), nil
}

// BareSide runs in, a batch, in so many loops over one bare session.
func BareSide(b *ort.Bare, in []models.Tensor, loops int) Side {
	items := int(in[0].Shape[0])
	return Side{fmt.Sprintf("bare, %d loops, batch %d", loops, items), loops, items, func(_ context.Context, more func() bool) error {
		_, err := b.Loop(in, more)
		return err
	}}
}

// HostSide has so many clients ask a host for one item each, as fast as they are
// answered.
func HostSide(h *host.Host, m models.Model, in []models.Tensor, clients int) Side {
	return Side{fmt.Sprintf("host, %d clients", clients), clients, 1, func(ctx context.Context, more func() bool) error {
		for more() {
			if err := Ask(ctx, h, m, in); err != nil {
				return err
			}
		}
		return nil
	}}
}

// Ratio is what one side did beside another, turn by turn.
type Ratio struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
	Turns  int     `json:"turns"`
}

// RatioOf divides rates turn by turn.
func RatioOf(rates, by []float64) Ratio {
	var all []float64
	for i := range min(len(rates), len(by)) {
		all = append(all, rates[i]/by[i])
	}
	if len(all) == 0 {
		return Ratio{}
	}
	return Ratio{Median(all), slices.Min(all), slices.Max(all), len(all)}
}

// Median is that of values, which need not be sorted; 0 of nothing.
func Median(values []float64) float64 {
	return measure.Quantile(slices.Sorted(slices.Values(values)), .5)
}

// String writes it for people.
func (r Ratio) String() string {
	return fmt.Sprintf("%.3f [%.3f to %.3f in %d turns]", r.Median, r.Least, r.Most, r.Turns)
}
