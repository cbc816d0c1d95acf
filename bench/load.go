package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"focal/bench/load"
	"focal/bench/measure"
	"focal/core/fault"
)

// loadCommand is `focal-bench load`.
type loadCommand struct {
	URL      []string      `arg:"" optional:"" help:"Addresses to ask for; {n} in one becomes the request's number, so that every request is for something else." placeholder:"URL"`
	URLs     string        `name:"urls" help:"File of addresses, one a line, with a weight after it if it is not 1." placeholder:"FILE"`
	Arrival  string        `help:"How requests follow each other: poisson or even." enum:"poisson,even" default:"poisson"`
	Rate     float64       `help:"Requests a second." default:"10"`
	RampTo   float64       `help:"Requests a second at the end; the rate goes there in a straight line." placeholder:"RATE"`
	Clients  int           `help:"Keep this many requests in flight instead of a rate: throughput, and no user's latency." placeholder:"N"`
	Duration time.Duration `help:"Time of sending." default:"30s"`
	Deadline time.Duration `help:"A later answer is no good one." placeholder:"DURATION"`
	Timeout  time.Duration `help:"Time for one request." default:"30s"`
	InFlight int           `help:"Most requests in flight; what is beyond is counted as not sent." default:"4096"`
	Seed     uint64        `help:"Draws arrivals and addresses." default:"1"`
	Method   string        `help:"Method of every request; default: GET, or POST with --body." placeholder:"METHOD"`
	Body     []string      `help:"Body of the requests: a file, or a folder whose files they take in turn; repeatable." placeholder:"PATH" sep:"none"`
	Times    []float64     `help:"Find out with --clients what the server can do, and offer so many times of it for --duration, each time anew: 0.5,1,2,3." placeholder:"FACTOR"`
	Header   []string      `help:"Header of every request, as Name: value; repeatable." placeholder:"HEADER" sep:"none"`
	Against  string        `help:"A second server: its scheme and host replace those of the addresses, and both are loaded in turns." placeholder:"URL"`
	Slice    time.Duration `help:"Length of a turn with --against." default:"10s"`
	Out      string        `help:"Write the results as JSON, and beside it each server's distribution of latency for HdrHistogram's plotter (.hgrm)." placeholder:"FILE"`
}

// side is one of the servers, with all that came of its turns.
type side struct {
	Name    string       `json:"server"`
	Result  load.Result  `json:"result"`
	Latency load.Latency `json:"latency_ms"`
	Goodput float64      `json:"goodput_per_second"`
	Offered float64      `json:"offered_per_second"`
	Windows []window     `json:"windows"`
	Turns   []turn       `json:"turns"`

	config load.Config
}

// window is one part of the time of sending.
type window struct {
	From    float64      `json:"from_s"` // of a turn
	Offered float64      `json:"offered_per_second"`
	Goodput float64      `json:"goodput_per_second"` // of what should have been sent in it
	Latency load.Latency `json:"latency_ms"`
}

// turn is one turn of a server, beside one of the other.
type turn struct {
	P50     float64 `json:"p50_ms"`
	P95     float64 `json:"p95_ms"`
	Goodput float64 `json:"goodput_per_second"`
}

// Run loads one server, or two in turns.
func (c *loadCommand) Run(ctx context.Context) error {
	config, err := c.config()
	if err != nil {
		return err
	}
	sides := []*side{{Name: "server", config: config}}
	if c.Against != "" {
		other, err := c.against(config)
		if err != nil {
			return err
		}
		sides = []*side{{Name: "A", config: config}, {Name: "B " + c.Against, config: other}}
	}
	if len(c.Times) > 0 {
		return c.overload(ctx, config)
	}
	if err := c.run(ctx, sides); err != nil {
		return err
	}
	for _, s := range sides {
		s.Latency, s.Goodput, s.Offered = s.Result.Histogram.Latency(), s.Result.Goodput(), s.Result.Offered()
		s.fillWindows()
		c.print(s)
	}
	var differences []difference
	if len(sides) > 1 {
		differences = compare(sides[0].Turns, sides[1].Turns, c.Seed)
		for _, d := range differences {
			fmt.Println(d.text())
		}
	}
	if c.Out == "" {
		return nil
	}
	return c.write(sides, differences)
}

// write writes the JSON, and every side's distribution beside it.
func (c *loadCommand) write(sides []*side, differences []difference) error {
	stem := strings.TrimSuffix(c.Out, filepath.Ext(c.Out))
	for i, s := range sides {
		name := stem + ".hgrm"
		if len(sides) > 1 {
			name = stem + "." + string(rune('A'+i)) + ".hgrm"
		}
		var b bytes.Buffer
		if _, err := s.Result.Histogram.WriteTo(&b); err != nil {
			return err
		}
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return writeJSON(c.Out, map[string]any{"schema": 1, "command": os.Args[1:], "sides": sides, "differences": differences})
}

func (s *side) fillWindows() {
	each := s.Result.Sending.Seconds() / float64(len(s.Result.Windows))
	for i := range s.Result.Windows {
		w := &s.Result.Windows[i]
		s.Windows = append(s.Windows, window{
			From: float64(i) * each / float64(len(s.Turns)), Offered: float64(w.Intended) / each, Goodput: float64(w.Good) / each, Latency: w.Histogram.Latency(),
		})
	}
}

// difference is B less A in one figure, over the turns.
type difference struct {
	What  string     `json:"what"`
	Unit  string     `json:"unit"`
	A     float64    `json:"a"` // means over the turns
	B     float64    `json:"b"`
	CI95  [2]float64 `json:"ci95"` // of B less A
	Turns int        `json:"turns"`
}

// compare holds the turns of two servers against each other in pairs: what else
// the machine did in a turn, both of a pair have felt.
func compare(a, b []turn, seed uint64) []difference {
	n := min(len(a), len(b))
	of := func(what, unit string, pick func(turn) float64) difference {
		x, y := make([]float64, n), make([]float64, n)
		for i := range n {
			x[i], y[i] = pick(a[i]), pick(b[i])
		}
		return difference{what, unit, measure.Mean(x), measure.Mean(y), measure.Difference(y, x, seed), n}
	}
	return []difference{
		of("median latency", "ms", func(t turn) float64 { return t.P50 }),
		of("95th percentile", "ms", func(t turn) float64 { return t.P95 }),
		of("goodput", "/s", func(t turn) float64 { return t.Goodput }),
	}
}

// surelyFrom is how many turns a difference must have been seen in.
const surelyFrom = 6

func (d difference) text() string {
	verdict := "no more than chance"
	switch {
	case d.Turns < surelyFrom:
		verdict = fmt.Sprintf("%d turns do not tell whether by chance", d.Turns)
	case d.CI95[0] > 0 || d.CI95[1] < 0:
		verdict = "more than chance"
	}
	return fmt.Sprintf("B less A in %s: %+.1f %s, 95 %% [%+.1f, %+.1f] over %d turns: %s", d.What, d.B-d.A, d.Unit, d.CI95[0], d.CI95[1], d.Turns, verdict)
}

func (c *loadCommand) config() (load.Config, error) {
	const op = "main.load"
	l := load.DefaultConfig()
	l.Arrival, l.Rate, l.RampTo, l.Clients = load.Arrival(c.Arrival), c.Rate, c.RampTo, c.Clients
	l.Method = c.Method
	l.Duration, l.Deadline, l.Timeout, l.InFlight, l.Seed = c.Duration, c.Deadline, c.Timeout, c.InFlight, c.Seed
	for _, u := range c.URL {
		l.Targets = append(l.Targets, load.Target{URL: u, Weight: 1})
	}
	if c.URLs != "" {
		text, err := os.ReadFile(c.URLs)
		if err != nil {
			return l, fault.New(fault.NotFound, op, "--urls: %w", err)
		}
		more, err := load.ParseTargets(text)
		if err != nil {
			return l, err
		}
		l.Targets = append(l.Targets, more...)
	}
	var err error
	if l.Header, err = headers(c.Header); err != nil {
		return l, err
	}
	if len(c.Body) > 0 {
		if l.Bodies, err = load.Bodies(c.Body); err != nil {
			return l, err
		}
	}
	if c.Slice <= 0 {
		return l, fault.New(fault.Invalid, op, "--slice %s: want more than 0", c.Slice)
	}
	return l, l.Validate()
}

// headers reads lines Name: value.
func headers(lines []string) (http.Header, error) {
	all := http.Header{}
	for _, h := range lines {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fault.New(fault.Invalid, "main.headers", "--header %q: want Name: value", h)
		}
		all.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return all, nil
}

// against is the same load for the other server.
func (c *loadCommand) against(l load.Config) (load.Config, error) {
	other, err := url.Parse(c.Against)
	if err != nil || other.Host == "" {
		return l, fault.New(fault.Invalid, "main.load", "--against %q: want http://host:port", c.Against)
	}
	l.Targets = slices.Clone(l.Targets)
	for i, t := range l.Targets {
		scheme, rest, _ := strings.Cut(t.URL, "://")
		_, path, _ := strings.Cut(rest, "/")
		l.Targets[i].URL = strings.Replace(t.URL, scheme+"://"+rest, other.Scheme+"://"+other.Host+"/"+path, 1)
	}
	return l, l.Validate()
}

// run loads the sides: one all the time, two in turns of a slice, each turn of
// both with the same seed, so that they are asked the same.
func (c *loadCommand) run(ctx context.Context, sides []*side) error {
	turns, slice := 1, c.Duration
	if len(sides) > 1 {
		turns, slice = max(1, int(c.Duration/c.Slice)), min(c.Slice, c.Duration)
	}
	client := newClient(c.InFlight)
	defer client.CloseIdleConnections()
	for n := range turns {
		for _, s := range sides {
			l := s.config
			l.Duration, l.Seed, l.First = slice, c.Seed+uint64(n), int(s.Result.Intended)
			if terminal() {
				l.Observe = func(r load.Result) { live(s.Name, r) }
			}
			r, err := load.Run(ctx, l, client)
			if terminal() {
				fmt.Fprint(os.Stderr, "\r\033[K")
			}
			if err != nil {
				return err
			}
			latency := r.Histogram.Latency()
			s.Turns = append(s.Turns, turn{latency.P50, latency.P95, r.Goodput()})
			s.Result.Merge(r)
			if ctx.Err() != nil {
				return nil // what was measured up to here is printed
			}
		}
	}
	return nil
}

// newClient keeps connections open, as a proxy in front of a server does, and
// follows no redirect: its answer is the answer.
func newClient(connections int) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.DisableCompression = connections, connections, true
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// terminal says whether anybody watches: a log is no place for a moving line.
func terminal() bool {
	info, err := os.Stderr.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// live rewrites one line of the terminal.
func live(name string, r load.Result) {
	l := r.Histogram.Latency()
	inFlight := r.Intended - r.Unsent - r.Histogram.Count() - r.Refusals.Count()
	fmt.Fprintf(os.Stderr, "\r\033[K%s  %3.0f s  %d sent  %d in flight  %.1f good/s  p50 %.0f  p95 %.0f  p99 %.0f ms  %d late  %d not sent",
		name, r.Elapsed.Seconds(), r.Intended-r.Unsent, inFlight, r.Goodput(), l.P50, l.P95, l.P99, r.Late, r.Unsent)
}

func (c *loadCommand) print(s *side) {
	r, l := s.Result, s.Latency
	how := fmt.Sprintf("open loop, %s arrivals, latency from the intended send time", c.Arrival)
	if c.Clients > 0 {
		how = fmt.Sprintf("closed loop, %d clients, latency from the sending", c.Clients)
	}
	asked := "distinct"
	if int64(r.Distinct) < r.Intended {
		asked = "repeated"
	}
	fmt.Printf("%s: %s\n", s.Name, how)
	fmt.Printf("  requests  %d in %s, %.1f/s, %d of them different (%s)\n", r.Intended, r.Sending.Round(time.Millisecond), s.Offered, r.Distinct, asked)
	fmt.Printf("  goodput   %.1f/s within %s; %d late, %d not sent, %.1f MB/s\n", s.Goodput, deadline(s.config), r.Late, r.Unsent, float64(r.Bytes)/1e6/r.Elapsed.Seconds())
	fmt.Printf("  latency   p50 %.1f  p90 %.1f  p95 %.1f  p99 %.1f  p99.9 %.1f  max %.1f  mean %.1f ms\n", l.P50, l.P90, l.P95, l.P99, l.P999, l.Max, l.Mean)
	var names []string
	for k := range r.Outcomes {
		names = append(names, k)
	}
	slices.Sort(names)
	fmt.Print("  outcomes ")
	for _, k := range names {
		fmt.Printf(" %s: %d", k, r.Outcomes[k])
	}
	fmt.Println()
	if n := r.Refusals.Count(); n > 0 {
		l := r.Refusals.Latency()
		fmt.Printf("  refused   %d: p50 %.1f  p95 %.1f  p99 %.1f ms\n", n, l.P50, l.P95, l.P99)
	}
	if c.RampTo == 0 || c.RampTo == c.Rate || c.Clients > 0 {
		return
	}
	for _, w := range s.Windows {
		fmt.Printf("  from %5.1f s  %7.1f/s offered  %7.1f/s good  p50 %8.1f  p95 %8.1f  p99 %8.1f ms\n", w.From, w.Offered, w.Goodput, w.Latency.P50, w.Latency.P95, w.Latency.P99)
	}
}

func deadline(c load.Config) time.Duration {
	if c.Deadline > 0 {
		return c.Deadline
	}
	return c.Timeout
}
