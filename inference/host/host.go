// Package host runs models for whoever asks: the run loop round
// inference/sched, with everything that a decision sets in motion. It makes
// tensors of looks, stacks those of one canvas into a batch, runs it, splits
// and decodes the outputs, and keeps the results by content.
//
// It knows pixels and models, never picture files, URLs or HTTP, and takes any
// inference.Engine.
//
// Goroutines: one loop owns the scheduler and the sessions; each slot has one, on a
// thread of its own, loads and unloads each have theirs while they last, and all
// come back to the loop as events; one takes readings of the device, one looks at the repository,
// one writes profiles down. All belong to the Host and have
// ended when Close returns. An answer is made on a goroutine of core/cache,
// which Close waits for too. C memory belongs to the engine's sessions; the
// loop closes each exactly once, when nothing runs on it.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"focal/core/cache"
	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/blackbox"
	"focal/inference/profile"
	"focal/inference/sched"
	"focal/models"
)

// Repository is what a Host needs of the models on disk.
type Repository interface {
	// Models lists what is there now; with an error, what could be read.
	Models() ([]models.Model, error)
	// Default names the model for a task on a provider ("cpu" or "cuda");
	// with false it is the one that should be there and is not.
	Default(task models.Task, provider string) (name string, ok bool)
}

// Adapters make the adapter of a model from its manifest.
type Adapters struct {
	Face       func(models.Manifest) (models.Adapter[[]pixel.Face], error)
	Foreground func(models.Manifest) (models.Adapter[pixel.Mask], error)
}

// Config bounds a Host. The embedded one bounds its scheduler: Budget, Slots,
// QueueLimit, KeepAlive, MinResidence, Turn and so on.
//
// Adapters have no default.
type Config struct {
	// Slots of 0 means one for each core on the CPU and two on a card, where
	// one run computes while the next is copied.
	sched.Config
	// CacheBytes is what the results may hold (--cache-size).
	CacheBytes int64
	// Shared is the tier of results behind them; nil means there is none.
	Shared Shared
	// MaxDelay is how long a batch that is not full waits for company while a
	// slot is free. The default is 0: it forms while the device is busy.
	MaxDelay time.Duration
	// AnswerLimit bounds the making of one answer, whoever waits for it.
	AnswerLimit time.Duration
	// DefaultFace and DefaultForeground name the models of requests that name
	// none; empty means the repository's for the provider.
	DefaultFace, DefaultForeground string
	// Pinned names models that are never unloaded once they are loaded.
	Pinned []string
	// ReadEvery is how often the device's memory is read to correct the books.
	ReadEvery time.Duration
	// Beside is how many bytes of the memory that Budget is of this process holds
	// for other things than models, results among them; nil: that is not counted.
	Beside func() int64
	// PollEvery is how often a repository that is Watched is looked at for
	// changes; 0 means never. A change counts when two looks agree on it.
	PollEvery time.Duration
	// Profiles is where measurements are kept over a restart; nil means nowhere.
	// They are written every KeepEvery where they have changed.
	Profiles  *profile.Store
	KeepEvery time.Duration
	Adapters  Adapters
	// Blackbox outlives a process that crashes and tells the next one what was on
	// the device; nil: nothing does.
	Blackbox *blackbox.Box
	// Reason is why the device is not the one that was hoped for; Status says it.
	Reason string
	// OnLost is called, once, when the device or the runtime does not work any
	// more: the process has to start again. Nil: requests fail until it does.
	OnLost func(error)
	// Metrics is where the collectors are registered; nil means nowhere.
	Metrics prometheus.Registerer
	// Log hears of what goes wrong outside any request; nil means slog.Default.
	Log *slog.Logger
}

// DefaultConfig returns the defaults: those of the scheduler with Slots by the
// device, 256 MiB of results, answers within a minute.
func DefaultConfig() Config {
	c := Config{Config: sched.DefaultConfig(), CacheBytes: 256 << 20, AnswerLimit: time.Minute, ReadEvery: time.Second, PollEvery: 2 * time.Second}
	c.Slots, c.KeepEvery, c.ProbeAfter = 0, 30*time.Second, 2*time.Second
	return c
}

// Validate reports a Config that nothing could work with.
func (c Config) Validate() error {
	if c.Slots == 0 {
		c.Slots = 1
	}
	if err := c.Config.Validate(); err != nil {
		return err
	}
	switch {
	case c.CacheBytes < 0:
		return fmt.Errorf("cache of %d bytes (--cache-size): want 0 or more", c.CacheBytes)
	case c.MaxDelay < 0 || c.AnswerLimit < 0:
		return fmt.Errorf("batch delay %s, answer limit %s: want 0 or more", c.MaxDelay, c.AnswerLimit)
	case c.PollEvery < 0:
		return fmt.Errorf("look at the repository every %s: want 0 (never) or more", c.PollEvery)
	case c.Profiles != nil && c.KeepEvery <= 0:
		return fmt.Errorf("profiles kept every %s: want more than 0", c.KeepEvery)
	case c.Adapters.Face == nil || c.Adapters.Foreground == nil:
		return errors.New("no adapters")
	case c.ReadEvery <= 0:
		return fmt.Errorf("reading of device memory every %s: want more than 0", c.ReadEvery)
	}
	return nil
}

// Host answers questions about pictures on one device.
type Host struct {
	cfg        Config
	engine     inference.Engine
	repo       Repository
	catalog    *catalog
	answers    *cache.Cache[answer]
	loop       *loop
	metrics    *metrics
	statistics *statistics
	keeper     *keeper // nil: nothing is kept
	gate       gate    // answers being made

	refreshing sync.Mutex // held while the repository is looked at

	abort    context.Context // ends when Close has run out of time
	cancel   context.CancelFunc
	watchers sync.WaitGroup // of the device, the repository and the profiles
	closed   chan struct{}  // ends the watchers; closed once
	once     sync.Once
}

var _ inference.Client = (*Host)(nil)

// New starts a Host on engine, with no model loaded.
func New(cfg Config, engine inference.Engine, repo Repository) (*Host, error) {
	const op = "host.New"
	if err := cfg.Validate(); err != nil {
		return nil, fault.New(fault.Invalid, op, "%w", err)
	}
	if cfg.Slots == 0 {
		cfg.Slots = slots(engine.Provider())
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	answers, err := cache.New(cache.Config{Bytes: cfg.CacheBytes}, answer.size)
	if err != nil {
		return nil, err
	}
	h := &Host{
		cfg: cfg, engine: engine, repo: repo, answers: answers,
		keeper:  newKeeper(cfg, engine),
		metrics: newMetrics(), statistics: &statistics{}, gate: gate{empty: make(chan struct{})}, closed: make(chan struct{}),
	}
	h.catalog = newCatalog(cfg, engine.Provider(), repo, h.keeper)
	h.abort, h.cancel = context.WithCancel(context.Background())
	if h.loop, err = newLoop(h.abort, cfg, engine, h.catalog, h.metrics, h.statistics); err != nil {
		h.cancel()
		return nil, err
	}
	if cfg.Metrics != nil {
		for _, c := range h.Collectors() {
			if err := cfg.Metrics.Register(c); err != nil {
				h.cancel()
				return nil, fault.New(fault.Internal, op, "metrics: %w", err)
			}
		}
	}
	go h.loop.run()
	if r := read(engine); r.used >= 0 || r.free >= 0 {
		h.watchers.Go(h.read)
	}
	if h.keeper != nil {
		h.watchers.Go(h.keepProfiles)
	}
	if repo, ok := repo.(Watched); ok && cfg.PollEvery > 0 {
		h.watchers.Go(func() { h.watch(repo) })
	}
	return h, nil
}

func slots(provider string) int {
	if provider == "cpu" {
		return runtime.GOMAXPROCS(0)
	}
	return 2
}

// read corrects the books by the device until the Host is closed, and has an
// idle engine give back what it keeps for runs to come.
func (h *Host) read() {
	tick := time.NewTicker(h.cfg.ReadEvery)
	defer tick.Stop()
	for {
		select {
		case <-h.closed:
			return
		case <-tick.C:
			h.trim()
			r := read(h.engine)
			beside := h.beside()
			h.loop.do(func(now time.Time) {
				h.loop.sched.OnBeside(now, beside)
				h.loop.reading(now, r)
			})
		}
	}
}

// beside is what pictures and tensors that wait hold, and what is left lying of them.
func (h *Host) beside() int64 {
	if h.cfg.Beside == nil {
		return 0
	}
	return h.cfg.Beside() - h.answers.Stats().Bytes
}

func (h *Host) trim() {
	engine, keeps := h.engine.(inference.Trimmer)
	idle := make(chan bool, 1)
	if !keeps || !h.loop.do(func(now time.Time) { idle <- h.loop.idle(now, h.cfg.ReadEvery) }) || !<-idle {
		return
	}
	if err := engine.Trim(); err != nil {
		h.cfg.Log.Error("memory kept for runs is not given back", "err", err)
	}
}

// Close stops taking requests, lets those that were taken finish, unloads
// everything, and returns when all goroutines have ended. When ctx ends first
// it refuses what waits and asks the engine to stop what runs; the error says
// so. Answers that are known can be had until the end.
func (h *Host) Close(ctx context.Context) error {
	var err error
	hurry := func(done <-chan struct{}) {
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		select {
		case <-done: // both: it was in time
		default:
			err = fault.New(fault.KindOf(ctx.Err()), "host.Close", "closed before all requests were answered: %w", ctx.Err())
			h.cancel()
			h.loop.do(h.loop.sched.OnClose)
			<-done
		}
	}
	h.gate.shut()
	hurry(h.gate.empty)
	h.loop.do(h.loop.sched.OnClose)
	hurry(h.loop.ended)
	h.once.Do(func() { close(h.closed) })
	h.watchers.Wait()
	h.loop.workers.Wait()
	h.cfg.Blackbox.Close()
	h.cancel()
	return err
}

// gate counts who is inside, and lets nobody in once it is shut.
type gate struct {
	mu     sync.Mutex // protects inside and closed
	inside int
	closed bool
	empty  chan struct{} // closed when the gate is shut and nobody is inside
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.closed && g.inside == 0 {
		close(g.empty)
	}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed && g.inside == 0 {
		close(g.empty)
	}
	g.closed = true
}

func closed() error {
	return fault.New(fault.Unavailable, "host.Answer", "inference is shutting down")
}
