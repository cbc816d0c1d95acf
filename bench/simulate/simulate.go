// Package simulate drives the scheduler of inference/sched with virtual time:
// the same state machine that serves, over a million requests, in seconds. Two
// simple policies run the same trace on the same device beside it, and for a
// fleet the same trace is shared out over several copies.
//
// Everything follows from Config.Seed: a run can be repeated anywhere. It knows
// no engine and no model files, starts no goroutine and reads no clock.
package simulate

import (
	"container/heap"
	"fmt"
	"time"

	"focal/core/fault"
)

// Config is what is simulated.
type Config struct {
	Seed     uint64
	Requests int
	Models   int
	// Zipf is the exponent of the models' popularity, and of the contents'.
	Zipf float64
	// Load is the mean arrival rate as a share of what the device could run one
	// by one if all models were loaded.
	Load float64
	// Burst is how much faster requests come during bursts, which all go to one
	// model, and BurstShare the share of requests that come in them.
	Burst, BurstShare float64
	// Shift is how often a popular model changes places with another; 0: never.
	Shift time.Duration
	// Memory is the budget as a share of what all models hold at rest.
	Memory float64
	// Deadline of the image server's requests; direct callers wait five times as
	// long.
	Deadline time.Duration
	Slots    int
	// Copies, and for the fleet how many pictures there are and how many results
	// a copy keeps.
	Copies, Pictures, Cache int
}

// DefaultConfig is a million requests over 40 models, of which a third fits.
func DefaultConfig() Config {
	return Config{
		Seed: 1, Requests: 1_000_000, Models: 40, Zipf: 1, Load: 0.6, Burst: 8, BurstShare: 0.2, Shift: 10 * time.Minute,
		Memory: 0.35, Deadline: 2 * time.Second, Slots: 2, Copies: 4, Pictures: 200_000, Cache: 20_000,
	}
}

// Validate reports a Config that makes no trace.
func (c Config) Validate() error {
	const op = "simulate.Config"
	switch {
	case c.Requests < 1 || c.Models < 1 || c.Slots < 1 || c.Copies < 1 || c.Pictures < 1 || c.Cache < 0:
		return fault.New(fault.Invalid, op, "%d requests, %d models, %d slots, %d copies, %d pictures, %d results kept: want at least 1 of each (results: 0)", c.Requests, c.Models, c.Slots, c.Copies, c.Pictures, c.Cache)
	case !(c.Zipf >= 0 && c.Zipf <= 4) || !(c.Load > 0 && c.Load <= 100) || !(c.Burst >= 1) || !(c.BurstShare >= 0 && c.BurstShare < 1):
		return fault.New(fault.Invalid, op, "zipf %v, load %v, burst %v for %v of the requests: want 0 to 4, above 0, at least 1, 0 to 1", c.Zipf, c.Load, c.Burst, c.BurstShare)
	case !(c.Memory > 0) || c.Deadline <= 0 || c.Shift < 0:
		return fault.New(fault.Invalid, op, "memory %v, deadline %s, shift %s: want above 0 (shift: 0 is never)", c.Memory, c.Deadline, c.Shift)
	}
	return nil
}

// Result is what a policy made of the trace.
type Result struct {
	Policy   string  `json:"policy"`
	Requests int     `json:"requests"`
	Goodput  float64 `json:"goodput"` // share answered within the deadline
	Late     float64 `json:"late"`    // share answered after it
	Refused  float64 `json:"refused"` // share without an answer: refused at once, or given up in the queue
	Loads    int     `json:"loads"`
	Evicted  int     `json:"evictions"`
	Swapping float64 `json:"swapping"` // share of the time in which something was loading
	Busy     float64 `json:"busy"`     // share of the slots' time in which something ran
	Batch    float64 `json:"batch"`    // mean
	P50      float64 `json:"p50_ms"`   // from arrival to answer
	P99      float64 `json:"p99_ms"`
	// By class: direct callers have five times as long, and a fifth of the weight.
	ServerP99 float64 `json:"p99_server_ms"`
	DirectP99 float64 `json:"p99_direct_ms"`
	// Fairness is Jain's index over the models' goodput: 1 is the same for all,
	// 1/n all for one. Worst is the least of a model with 100 requests or more.
	Fairness float64 `json:"fairness"`
	Worst    float64 `json:"worst_model"`
	Server   float64 `json:"goodput_server"` // by class
	Direct   float64 `json:"goodput_direct"`
}

// clock is virtual time and what is due in it.
type clock struct {
	now  time.Time
	due  events
	last uint64
}

type event struct {
	at time.Time
	id uint64 // of two at the same time the one that was planned first
	do func(now time.Time)
}

// at plans do.
func (c *clock) at(t time.Time, do func(now time.Time)) {
	c.last++
	heap.Push(&c.due, event{t, c.last, do})
}

func (c *clock) after(d time.Duration, do func(now time.Time)) { c.at(c.now.Add(d), do) }

// run lets time pass until nothing is due.
func (c *clock) run() {
	for len(c.due) > 0 {
		e := heap.Pop(&c.due).(event)
		if e.at.After(c.now) {
			c.now = e.at
		}
		e.do(c.now)
	}
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if !e[i].at.Equal(e[j].at) {
		return e[i].at.Before(e[j].at)
	}
	return e[i].id < e[j].id
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	(*e)[len(*e)-1] = event{}
	*e = (*e)[:len(*e)-1]
	return last
}

// policy serves requests on one device.
type policy interface {
	arrive(now time.Time, r *request)
	tally() *tally
}

// One runs the trace on one device under each policy.
func One(c Config) ([]Result, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var results []Result
	for _, name := range []string{"focal", "lru", "never-evict"} {
		w := newWorld(c)
		var p policy
		var err error
		switch name {
		case "focal":
			p, err = newFocal(w)
		default:
			p = newSimple(w, name == "lru")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		w.play(func(now time.Time, r *request) { p.arrive(now, r) })
		results = append(results, p.tally().result(name, w))
	}
	return results, nil
}
