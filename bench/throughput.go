package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"focal/bench/device"
	"focal/bench/load"
	"focal/bench/run"
	"focal/core/fault"
	"focal/inference/blackbox"
	"focal/inference/host"
	"focal/inference/ort"
	"focal/models"
)

// throughputCommand is `focal-bench throughput`.
type throughputCommand struct {
	modelFlags `embed:"" group:"Models"`

	Slots   int           `help:"Runs side by side, of the scheduler and of the bare loop." default:"${cores}"`
	Batch   int           `help:"Items of a run of the bare loop. The scheduler chooses for itself." default:"1"`
	Clients int           `help:"Requests in flight; default: twice what all slots can take." placeholder:"N"`
	Side    int           `help:"Side of the input of models that take any." default:"640"`
	Turns   int           `help:"Turns of each side." default:"10"`
	Slice   time.Duration `help:"Time of one turn." default:"2s"`
	Route   string        `help:"Address of an inference server that pictures are sent to, in turns with the others: what decoding and encoding add." placeholder:"URL"`
	Body    []string      `help:"Pictures that --route is sent, files or folders; repeatable." placeholder:"PATH" sep:"none"`
	Header  []string      `help:"Header of every request, as Name: value; repeatable." placeholder:"HEADER" sep:"none"`
	Out     string        `help:"Write the results as JSON." placeholder:"FILE"`

	blackbox string // the path of a server's
}

// compared is what came of one model.
type compared struct {
	Model string         `json:"model"`
	Shape string         `json:"shape"`
	Sides []comparedSide `json:"sides"` // the bare loop first
	// Batches are the scheduler's runs by size, those that found the turns' length
	// among them.
	Batches map[int]int64 `json:"batches"`
}

type comparedSide struct {
	Name  string       `json:"name"`
	Rates []float64    `json:"per_second"` // by turn
	Over  device.Ratio `json:"over_bare"`
}

// Run holds the scheduler, and a server's route, against a bare loop.
func (c *throughputCommand) Run(ctx context.Context, log *slog.Logger) error {
	if c.Slots < 1 || c.Batch < 1 || c.Clients < 0 || c.Side < 1 || c.Turns < 1 || c.Slice <= 0 {
		return fault.New(fault.Invalid, "main.throughput", "--slots %d, --batch %d, --clients %d, --side %d, --turns %d, --slice %s: want at least 1 of each, and some time",
			c.Slots, c.Batch, c.Clients, c.Side, c.Turns, c.Slice)
	}
	folder, err := os.MkdirTemp("", "focal-bench-")
	if err != nil {
		return fault.New(fault.Unavailable, "main.throughput", "%w", err)
	}
	defer os.RemoveAll(folder)
	c.blackbox = filepath.Join(folder, "blackbox")
	return c.withEngine(log, func(e *ort.Engine, r *models.Repository, all []models.Model) error {
		if c.Route != "" && len(all) != 1 {
			return fault.New(fault.Invalid, "main.throughput", "--route: want one of --models, the one that it runs")
		}
		var results []compared
		for _, m := range all {
			one, err := c.compare(ctx, e, r, m)
			if err != nil {
				return fmt.Errorf("model %s: %w", m.Name, err)
			}
			one.print()
			results = append(results, one)
		}
		return writeJSON(c.Out, map[string]any{"schema": 1, "command": os.Args[1:], "machine": run.Machine(e.Device()), "versions": versions(), "throughput": results})
	})
}

func (c *throughputCommand) compare(ctx context.Context, e *ort.Engine, r *models.Repository, m models.Model) (compared, error) {
	side := device.LargestSide(m, c.Side)
	one := device.Input(m, 1, side)
	clients := c.Clients
	if clients == 0 {
		clients = 2 * c.Slots * max(1, m.MaxBatch)
	}
	bare, err := e.OpenBare(m)
	if err != nil {
		return compared{}, err
	}
	config := device.HostConfig(e)
	// What the bare session holds is in every reading, and not the host's: the
	// books leave room for it. Nor is anything given back while the other has a turn.
	config.Slots, config.Budget, config.ReadEvery = c.Slots, 1<<40, time.Hour
	if config.Blackbox, err = blackbox.Open(c.blackbox, time.Now(), slog.Default()); err != nil {
		return compared{}, errors.Join(err, bare.Close())
	}
	h, err := host.New(config, e, r)
	if err != nil {
		return compared{}, errors.Join(err, bare.Close())
	}
	sides := []device.Side{
		device.BareSide(bare, device.Input(m, c.Batch, side), c.Slots),
		device.HostSide(h, m, one, clients),
	}
	if c.Route != "" {
		route, err := c.route(clients)
		if err != nil {
			return compared{}, device.CloseHost(h, errors.Join(err, bare.Close()))
		}
		sides = append(sides, route)
	}
	rates, err := device.Turns(ctx, c.Turns, c.Slice, sides...)
	result := compared{Model: m.Name, Shape: device.Shape(one), Batches: map[int]int64{}}
	for _, s := range h.Statistics() {
		for _, b := range s.Batches {
			result.Batches[b.Size] += b.Count
		}
	}
	if err = device.CloseHost(h, errors.Join(err, bare.Close())); err != nil {
		return compared{}, err
	}
	for i, s := range sides {
		result.Sides = append(result.Sides, comparedSide{s.Name, rates[i], device.RatioOf(rates[i], rates[0])})
	}
	return result, nil
}

// route sends pictures to a server, one after the other, and wants 200.
func (c *throughputCommand) route(clients int) (device.Side, error) {
	bodies, err := load.Bodies(c.Body)
	if err != nil {
		return device.Side{}, err
	}
	header, err := headers(c.Header)
	if err != nil {
		return device.Side{}, err
	}
	client := newClient(clients)
	var next atomic.Int64
	post := func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Route, bytes.NewReader(bodies[int(next.Add(1)-1)%len(bodies)]))
		if err != nil {
			return fault.New(fault.Invalid, "main.throughput", "--route: %w", err)
		}
		r.Header = header.Clone()
		answer, err := client.Do(r)
		if err != nil {
			return fault.New(fault.Unavailable, "main.throughput", "%w", err)
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
			return fault.New(fault.Unavailable, "main.throughput", "%s answers %d: %v", c.Route, answer.StatusCode, err)
		}
		return nil
	}
	return device.Side{Name: fmt.Sprintf("route, %d clients", clients), Loops: clients, Items: 1, Loop: func(ctx context.Context, more func() bool) error {
		for more() {
			if err := post(ctx); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

func (c compared) print() {
	fmt.Printf("%s %s\n", c.Model, c.Shape)
	for _, s := range c.Sides {
		fmt.Printf("  %-28s %8.2f/s  ÷ bare %s\n", s.Name, device.Median(s.Rates), s.Over)
	}
	fmt.Printf("  runs of the scheduler by batch: %v\n", c.Batches)
}
