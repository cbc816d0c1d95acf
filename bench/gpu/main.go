// Command focal-gpu measures the inference half on one device: how batches
// scale, what loading and changing models costs, whether a budget a quarter of
// what all models need is kept, and how everything compares with a bare loop over
// ONNX Runtime on the same device. It needs glibc, ONNX Runtime and models, and
// neither libvips nor a network: scripts/gpu-check carries it to a machine with a
// card.
//
// Each stage is a run of its own and appends JSON lines to a file; a stage that is
// cut short has said what it knew. It owns no goroutine beyond a stage.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"focal/bench/device"
	"focal/inference"
	"focal/inference/host"
	"focal/inference/ort"
	"focal/models"
)

// config is what the command line says.
type config struct {
	out      string
	models   string
	device   string
	library  string
	only     string
	seconds  int
	switches int
	most     int // items in a batch
	side     int // longest side of models that take any
	replay   string
}

// stage is one part of the check.
type stage struct {
	name string
	does string
	run  func(context.Context, *bench) error
}

var stages = []stage{
	{"curves", "time of each batch size, beside the bare loop", curves},
	{"swap", "load, first run, steady run, what is held, and what comes back", swap},
	{"through", "pictures a second through the scheduler, beside the bare loop", through},
	{"overcommit", "random models in a quarter of the memory that all need", overcommit},
	{"neighbour", "random models while another process takes the memory", neighbour},
	{"load", "open-loop load at 70 % of what one model can do", openLoop},
	{"latency", "share of the model in the time of one cut-out", latency},
}

func main() {
	var c config
	flag.StringVar(&c.out, "out", "gpu.jsonl", "`file` that results are appended to")
	flag.StringVar(&c.models, "models", "models", "model `repository`")
	flag.StringVar(&c.device, "device", "cuda", "cpu, cuda or cuda:N")
	flag.StringVar(&c.library, "library", "", "libonnxruntime.so")
	flag.StringVar(&c.only, "only", "", "names of models, comma-separated; empty: all")
	flag.IntVar(&c.seconds, "seconds", 60, "time for the stage")
	flag.IntVar(&c.switches, "switches", 10000, "of overcommit, at most")
	flag.IntVar(&c.most, "batch", 32, "largest batch")
	flag.IntVar(&c.side, "side", 1024, "longest side of models that take any")
	flag.StringVar(&c.replay, "replay", "", "results `file` of a card: through and load take as long as runs took there, on any machine")
	flag.Usage = usage
	flag.Parse()
	if err := run(c, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "focal-gpu:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: focal-gpu [flags] STAGE…")
	for _, s := range stages {
		fmt.Fprintf(os.Stderr, "  %-11s %s\n", s.name, s.does)
	}
	fmt.Fprintln(os.Stderr, "  table       print what the results say")
	flag.PrintDefaults()
}

func run(c config, names []string) error {
	if len(names) == 0 {
		usage()
		return errors.New("name a stage")
	}
	if names[0] == "table" {
		return table(os.Stdout, c.out)
	}
	b, err := open(c)
	if err != nil {
		return err
	}
	defer b.file.Close()
	for _, name := range names {
		at := slices.IndexFunc(stages, func(s stage) bool { return s.name == name })
		if at < 0 {
			return fmt.Errorf("no stage %q", name)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(c.seconds)*time.Second)
		began := time.Now()
		err := stages[at].run(ctx, b)
		cancel()
		b.write(line{Stage: name, What: "stage", Seconds: time.Since(began).Seconds(), Error: text(err)})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// line is one result. Figures that a stage does not have are left out.
type line struct {
	Stage   string  `json:"stage"`
	What    string  `json:"what"`
	Time    string  `json:"time"`
	Device  string  `json:"device"`
	Runtime string  `json:"runtime"`
	Model   string  `json:"model,omitempty"`
	Shape   string  `json:"shape,omitempty"`
	Batch   int     `json:"batch,omitempty"`
	N       int     `json:"n,omitempty"` // that the figures are of
	Seconds float64 `json:"seconds,omitempty"`
	// Milliseconds.
	P50   float64 `json:"p50_ms,omitempty"`
	P99   float64 `json:"p99_ms,omitempty"`
	Bare  float64 `json:"bare_ms,omitempty"` // of the bare loop, p50
	Load  float64 `json:"load_ms,omitempty"`
	First float64 `json:"first_ms,omitempty"`
	// Bare load and first run.
	BareLoad  float64 `json:"bare_load_ms,omitempty"`
	BareFirst float64 `json:"bare_first_ms,omitempty"`
	Rate      float64 `json:"per_second,omitempty"`
	BareRate  float64 `json:"bare_per_second,omitempty"`
	// Bytes.
	Rest     int64   `json:"rest_bytes,omitempty"`
	Run      int64   `json:"run_bytes,omitempty"`
	Process  int64   `json:"process_bytes,omitempty"` // all of this process on the device, context included
	Left     int64   `json:"left_bytes,omitempty"`    // after the model was unloaded
	Budget   int64   `json:"budget_bytes,omitempty"`
	Least    int64   `json:"least_budget_bytes,omitempty"`
	Last     int64   `json:"last_budget_bytes,omitempty"`
	Share    float64 `json:"share,omitempty"` // of the model in the whole
	Failures int     `json:"failures,omitempty"`
	Error    string  `json:"error,omitempty"`
}

func text(err error) string {
	if err == nil {
		return ""
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}

// behind is what runs behind a host, and what results are said to be of.
type behind interface {
	inference.Engine
	inference.Named
}

// bench is what the stages share.
type bench struct {
	config
	engine     *ort.Engine
	behind     behind  // hosts: engine, or replayed
	replayed   *replay // may be nil
	repository *models.Repository
	all        []models.Model
	file       *os.File
}

func open(c config) (*bench, error) {
	r, err := models.OpenRepository(c.models)
	if err != nil {
		return nil, err
	}
	all, err := r.Models()
	if err != nil {
		return nil, err
	}
	if c.only != "" {
		names := strings.Split(c.only, ",")
		all = slices.DeleteFunc(all, func(m models.Model) bool { return !slices.Contains(names, m.Name) })
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no models in %s", c.models)
	}
	e, err := ort.Open(ort.Config{Library: c.library, Threads: 1, Device: c.device})
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(c.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	b := &bench{config: c, engine: e, behind: e, repository: r, all: all, file: f}
	if c.replay != "" {
		if b.replayed, err = newReplay(e, c.replay); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		b.behind = b.replayed
	}
	return b, nil
}

// write appends a result, and shows it.
func (b *bench) write(l line) {
	l.Time, l.Device, l.Runtime = time.Now().UTC().Format(time.RFC3339), b.behind.Device(), b.behind.Runtime()
	out, err := json.Marshal(l)
	if err == nil {
		_, err = b.file.Write(append(out, '\n'))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "focal-gpu: result lost:", err)
	}
	l.show(os.Stdout)
}

// serve returns a host over the models within budget bytes; 0: as a server has,
// and never less than the largest stand-in needs.
func (b *bench) serve(budget int64) (*host.Host, error) {
	c := device.HostConfig(b.engine)
	if b.behind.Provider() == "cpu" {
		c.Slots = 1
	}
	switch {
	case budget > 0:
		c.Budget = budget
	case b.replayed != nil:
		c.Budget = 60 << 30 // an H100's
	default:
		c.Budget = max(b.engine.CardBudget(), 8<<30)
	}
	return host.New(c, b.behind, b.repository)
}
