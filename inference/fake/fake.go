// Package fake is a scripted inference.Engine for tests and simulation: how
// long things take, what they hold and how they fail is told by its user, and
// what was asked of it is counted.
//
// It runs no model and needs no time: a Gate holds a load or a run until the
// test lets it go, so no test has to sleep. It starts no goroutine. Misuse that
// would crash a real engine (a run on a closed session, a close under a run)
// is counted as a violation.
package fake

import (
	"context"
	"sync"
	"time"

	"focal/core/fault"
	"focal/inference"
	"focal/models"
)

// Script is how a model behaves. The zero value loads and runs at once, holds
// nothing and answers with its inputs.
type Script struct {
	LoadTime, RunTime time.Duration // for testing/synctest and simulation
	LoadGate, RunGate *Gate         // hold every load or run; nil holds none
	LoadErr           error
	Rest              int64 // bytes while loaded
	ItemMemory        int64 // bytes that a run holds for each item, as RunMeasured says
	// Answer makes the outputs; nil echoes the inputs.
	Answer func(inputs []models.Tensor) ([]models.Tensor, error)
}

// Counts are what an Engine was asked to do since New.
type Counts struct {
	Loads, Closes int // loads that succeeded, sessions closed
	Runs          int
	Items         int   // over all runs
	Batches       []int // items of each run, in the order in which runs began
	Violations    []string
}

// Engine is an inference.Engine. It is safe for concurrent use.
type Engine struct {
	provider string

	mu      sync.Mutex // protects what follows
	scripts map[string]Script
	counts  map[string]*Counts
	used    int64
	memory  int64 // -1: not known
	untold  bool
	lent    int
}

var (
	_ inference.Crowded  = (*Engine)(nil)
	_ inference.Engine   = (*Engine)(nil)
	_ inference.Named    = (*Engine)(nil)
	_ inference.Measured = (*session)(nil)
)

// New returns an Engine that calls its device provider.
func New(provider string) *Engine {
	return &Engine{provider: provider, scripts: map[string]Script{}, counts: map[string]*Counts{}, memory: -1}
}

// Set gives the model called name its script, for loads and runs to come.
func (e *Engine) Set(name string, s Script) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.scripts[name] = s
}

// Counts returns what was asked of the model called name.
func (e *Engine) Counts(name string) Counts {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := *e.of(name)
	c.Batches = append([]int(nil), c.Batches...)
	c.Violations = append([]string(nil), c.Violations...)
	return c
}

// of returns the counts of name, with mu held.
func (e *Engine) of(name string) *Counts {
	c := e.counts[name]
	if c == nil {
		c = &Counts{}
		e.counts[name] = c
	}
	return c
}

func (e *Engine) script(name string) Script {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.scripts[name]
}

// Provider returns the name given to New.
func (e *Engine) Provider() string { return e.provider }

// Device and Runtime name what is measured.
func (e *Engine) Device() string { return e.provider }

// Runtime names the fake.
func (e *Engine) Runtime() string { return "fake" }

// Used returns the bytes that the loaded sessions hold, or -1 after Untold.
func (e *Engine) Used() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.untold {
		return -1
	}
	return e.used
}

// Untold has the engine not know what it holds, as on a card whose driver does not
// tell processes apart.
func (e *Engine) Untold() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.untold = true
}

// SetMemory says how many bytes the device has for this process, other ones'
// taken off; New leaves it unknown.
func (e *Engine) SetMemory(bytes int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.memory = bytes
}

// Free returns what sessions have left of the memory, or -1.
func (e *Engine) Free() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.memory < 0 {
		return -1
	}
	return max(0, e.memory-e.used)
}

// Load follows the script of m.
func (e *Engine) Load(ctx context.Context, m models.Model) (inference.Session, error) {
	s := e.script(m.Name)
	if err := hold(ctx, s.LoadGate, s.LoadTime); err != nil {
		return nil, err
	}
	if s.LoadErr != nil {
		return nil, s.LoadErr
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.of(m.Name).Loads++
	e.used += s.Rest
	return &session{engine: e, name: m.Name, rest: s.Rest}, nil
}

type session struct {
	engine *Engine
	name   string
	rest   int64

	running int // both protected by engine.mu
	closed  bool
}

func (s *session) Rest() int64 { return s.rest }

// RunMeasured is Run with the memory of the script.
func (s *session) RunMeasured(ctx context.Context, inputs []models.Tensor, _ inference.Room) ([]models.Tensor, int64, error) {
	outputs, err := s.Run(ctx, inputs)
	if err != nil {
		return nil, 0, err
	}
	return outputs, s.engine.script(s.name).ItemMemory * inputs[0].Shape[0], nil
}

func (s *session) Run(ctx context.Context, inputs []models.Tensor) ([]models.Tensor, error) {
	script := s.engine.script(s.name)
	items, err := batchOf(inputs)
	if err != nil {
		return nil, err
	}
	s.enter(items)
	defer s.leave()
	if err := hold(ctx, script.RunGate, script.RunTime); err != nil {
		return nil, err
	}
	if script.Answer == nil {
		return echo(inputs), nil
	}
	return script.Answer(inputs)
}

// batchOf returns the batch size, and refuses tensors that lie about their shape.
func batchOf(inputs []models.Tensor) (int, error) {
	if len(inputs) == 0 {
		return 0, fault.New(fault.Invalid, "fake.Run", "no inputs")
	}
	for _, t := range inputs {
		if models.Elements(t.Shape) != int64(len(t.Data)) || t.Shape[0] != inputs[0].Shape[0] {
			return 0, fault.New(fault.Invalid, "fake.Run", "tensor of shape %v holds %d numbers", t.Shape, len(t.Data))
		}
	}
	return int(inputs[0].Shape[0]), nil
}

func (s *session) enter(items int) {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	c := s.engine.of(s.name)
	c.Runs++
	c.Items += items
	c.Batches = append(c.Batches, items)
	s.running++
	if s.closed {
		c.Violations = append(c.Violations, "run on a closed session")
	}
}

func (s *session) leave() {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	s.running--
}

func (s *session) Close() error {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	c := s.engine.of(s.name)
	c.Closes++
	s.engine.used -= s.rest
	if s.closed {
		c.Violations = append(c.Violations, "closed twice")
	}
	if s.running > 0 {
		c.Violations = append(c.Violations, "closed while running")
	}
	s.closed = true
	return nil
}

// hold waits at the gate, then for d, or until ctx asks it to stop.
func hold(ctx context.Context, g *Gate, d time.Duration) error {
	if ctx.Err() != nil {
		return stopped(ctx.Err())
	}
	if err := g.pass(ctx); err != nil {
		return stopped(err)
	}
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return stopped(ctx.Err())
	}
}

func stopped(cause error) error {
	return fault.New(fault.Canceled, "fake.Run", "stopped: %w", cause)
}

// Gate holds whoever comes until it is let through.
type Gate struct {
	came chan struct{}
	free chan struct{}
	open chan struct{}
	once sync.Once
}

// NewGate returns a closed gate.
func NewGate() *Gate {
	return &Gate{came: make(chan struct{}), free: make(chan struct{}), open: make(chan struct{})}
}

// Came blocks until the next one stands before the gate.
func (g *Gate) Came() { <-g.came }

// Let lets one through who has Come.
func (g *Gate) Let() { g.free <- struct{}{} }

// Open lets everybody through from now on.
func (g *Gate) Open() { g.once.Do(func() { close(g.open) }) }

func (g *Gate) pass(ctx context.Context) error {
	if g == nil {
		return nil
	}
	for came := g.came; ; {
		select {
		case came <- struct{}{}:
			came = nil // seen; now wait to be let through
		case <-g.free:
			return nil
		case <-g.open:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
