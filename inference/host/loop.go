package host

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"focal/core/fault"
	"focal/inference"
	"focal/inference/blackbox"
	"focal/inference/sched"
	"focal/models"
)

// job is one item on its way through the scheduler.
type job struct {
	id      sched.RequestID
	model   string
	item    item
	key     sched.Key
	arrived time.Time
	started time.Time    // of its last run
	reply   chan outcome // buffered 1: the loop waits for nobody
}

// outcome is the answer to a job.
type outcome struct {
	outputs          []models.Tensor // by position, each with a batch axis of 1
	queue, fill, run time.Duration
	batch            int
	err              error
}

// loop owns the scheduler and carries out its effects. Everything but the
// first group belongs to its one goroutine; others reach it through do.
type loop struct {
	engine     inference.Engine
	catalog    *catalog
	log        *slog.Logger
	metrics    *metrics
	statistics *statistics
	box        *blackbox.Box
	crashes    map[sched.Key]int // how many processes before this one ended over what
	abort      context.Context   // ends runs and loads when Close has run out of time
	inbox      chan func(now time.Time)
	ended      chan struct{}  // closed when run returns
	workers    sync.WaitGroup // loads, unloads and slots; added to by the loop alone

	sched    *sched.Scheduler
	now      time.Time // of the event being handled
	known    map[sched.ModelID]models.Model
	sessions map[sched.ModelID]*resident
	jobs     map[sched.RequestID]*job
	lastID   sched.RequestID
	stops    map[sched.RunID]context.CancelFunc // of the runs under way
	loads    map[sched.ModelID]context.CancelFunc
	idlers   []slot      // who runs nothing; the last one fell idle last
	lastRun  time.Time   // when one ended last
	onLost   func(error) // nil once it has been called
}

type resident struct {
	session inference.Session
	since   time.Time
}

var _ sched.Effects = (*loop)(nil)

func newLoop(abort context.Context, cfg Config, engine inference.Engine, c *catalog, m *metrics, s *statistics) (*loop, error) {
	l := &loop{
		engine: engine, catalog: c, log: cfg.Log, metrics: m, statistics: s, box: cfg.Blackbox, abort: abort,
		inbox: make(chan func(time.Time)), ended: make(chan struct{}),
		known:    map[sched.ModelID]models.Model{},
		sessions: map[sched.ModelID]*resident{},
		jobs:     map[sched.RequestID]*job{},
		stops:    map[sched.RunID]context.CancelFunc{},
		loads:    map[sched.ModelID]context.CancelFunc{},
		onLost:   cfg.OnLost,
		crashes:  map[sched.Key]int{},
	}
	var err error
	if l.sched, err = sched.New(cfg.Config, l); err != nil {
		return nil, err
	}
	for _, c := range l.box.Crashes() {
		l.sched.OnCrash(c.Key, c.Count, c.Last)
		l.crashes[c.Key] = c.Count
	}
	for range cfg.Slots {
		l.idlers = append(l.idlers, make(slot, 1))
	}
	return l, nil
}

// run handles one event after the other until the scheduler has ended, when
// every slot is idle again.
func (l *loop) run() {
	defer close(l.ended)
	for _, s := range l.idlers {
		l.workers.Go(func() { s.work(l) })
	}
	defer func() {
		for _, s := range l.idlers {
			close(s)
		}
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for !l.sched.Ended() {
		timer.Stop()
		if wake := l.sched.NextWake(); !wake.IsZero() {
			timer.Reset(time.Until(wake))
		}
		select {
		case event := <-l.inbox:
			l.now = time.Now()
			event(l.now)
		case <-timer.C:
			l.now = time.Now()
			l.sched.OnTick(l.now)
		}
	}
}

// do has the loop handle event, and reports false if the loop has ended. The
// inbox has no buffer, so true proves that the event is handled.
func (l *loop) do(event func(now time.Time)) bool {
	select {
	case l.inbox <- event:
		return true
	case <-l.ended:
		return false
	}
}

// snapshot returns the scheduler's state, or false after the end.
func (l *loop) snapshot() (sched.Snapshot, bool) {
	reply := make(chan sched.Snapshot, 1)
	if !l.do(func(time.Time) { reply <- l.sched.Snapshot() }) {
		return sched.Snapshot{}, false
	}
	return <-reply, true
}

// ask returns why a request for q that came now would be refused, or announces it
// if it comes.
func (l *loop) ask(q question, deadline time.Time, comes bool) (err error) {
	done := make(chan struct{})
	if !l.do(func(now time.Time) {
		defer close(done)
		asks := l.sched.WouldRefuse
		if comes {
			asks = l.sched.OnAsk
		}
		var why sched.Reason
		if why, err = asks(now, sched.Request{Model: q.model.spec.ID, Class: q.class, Deadline: deadline, Key: q.blame()}); err != nil {
			l.metrics.refused(q.model.Name, why)
		}
	}) {
		return closed()
	}
	<-done
	return err
}

// away says that q, which was announced, does not come.
func (l *loop) away(q question) {
	l.do(func(time.Time) { l.sched.OnAway(q.blame()) })
}

// submit sends an item through the scheduler and waits for its answer. When ctx
// ends first there are two ways:
//
//	still waiting: the job is withdrawn, and ctx's error is the answer;
//	already running, or answered this moment: the answer is on its way, and is
//	waited for: a started run is finished and kept.
//
// Only the loop knows which, so it is asked.
func (l *loop) submit(ctx context.Context, m *served, r sched.Request, it item) (outcome, error) {
	r.Canvas = canvasOf(it.inputs)
	j := &job{model: m.Name, item: it, key: r.Key, reply: make(chan outcome, 1)}
	r.Model = m.spec.ID
	if !l.do(func(now time.Time) { l.admit(now, m, r, j) }) {
		return outcome{}, closed()
	}
	select {
	case out := <-j.reply:
		return out, out.err
	case <-ctx.Done():
	}
	withdrawn := make(chan bool, 1)
	if l.do(func(now time.Time) { withdrawn <- l.withdraw(now, j) }) && <-withdrawn {
		return outcome{}, ctx.Err()
	}
	out := <-j.reply
	return out, out.err
}

func (l *loop) admit(now time.Time, m *served, r sched.Request, j *job) {
	if l.catalog.isAway(m.Name) { // since it was found
		l.metrics.refused(m.Name, sched.EvictedOrder)
		j.reply <- outcome{err: unloaded(m.Name)}
		return
	}
	if !l.sched.Knows(r.Model) || r.Load { // a load takes back what is on its way out
		spec := m.spec
		spec.Retired = !l.catalog.current(m) // it was replaced while its picture was looked at
		l.known[r.Model] = m.Model
		if n := l.crashes[sched.LoadKey(r.Model)]; n > 0 { // whoever asks sees it refused; the log must say why
			l.log.Warn("the process has ended while this model was loaded: after the second time it is refused for ten minutes",
				"model", m.Name, "times", n)
		}
		l.sched.OnModel(now, spec)
		l.sched.OnMeasured(now, spec.ID, m.known)
	}
	l.lastID++
	j.id, j.arrived = l.lastID, now
	r.ID = j.id
	l.jobs[j.id] = j
	l.sched.OnArrive(now, r)
}

func (l *loop) withdraw(now time.Time, j *job) bool {
	if !l.sched.OnCancel(now, j.id) {
		return false
	}
	delete(l.jobs, j.id)
	return true
}

// answer ends a job.
func (l *loop) answer(id sched.RequestID, out outcome) {
	j := l.jobs[id]
	delete(l.jobs, id)
	j.reply <- out
}

// Load makes a session, and comes back with OnLoaded.
func (l *loop) Load(id sched.ModelID) {
	m := l.known[id]
	began := l.now
	ctx, cancel := context.WithCancel(l.abort)
	l.loads[id] = cancel
	l.workers.Go(func() {
		leave := l.box.Enter(sched.LoadKey(id), sched.HangKey(id))
		session, err := guard(l.log, "load", func() (inference.Session, error) { return l.load(ctx, m) })
		leave()
		r := read(l.engine)
		l.do(func(now time.Time) {
			cancel()
			delete(l.loads, id)
			loaded := sched.Loaded{Err: err}
			if err != nil {
				l.log.Error("model does not load", "model", m.Name, "path", m.Path, "err", err)
			} else {
				loaded.Rest = session.Rest()
				l.sessions[id] = &resident{session, now}
				l.metrics.loaded(m.Name, now.Sub(began))
			}
			l.sched.OnLoaded(now, id, loaded)
			l.reading(now, r)
		})
	})
}

// load makes a session of m, if its file is still the one that m names.
func (l *loop) load(ctx context.Context, m models.Model) (inference.Session, error) {
	if repo, ok := l.catalog.repo.(Watched); ok && !repo.Holds(m) {
		return nil, fault.New(fault.Unavailable, "host.Load", "%s has changed or gone since it was found; it is looked at again soon", m.Path)
	}
	return l.engine.Load(ctx, m)
}

// StopLoad asks the engine to end a load.
func (l *loop) StopLoad(id sched.ModelID) {
	l.log.Error("a model takes too long to load and is given up (--load-timeout)", "model", l.known[id].Name)
	l.loads[id]()
}

// Unload closes a session, and comes back with OnUnloaded.
func (l *loop) Unload(id sched.ModelID, why sched.Reason) {
	m, r := l.known[id], l.sessions[id]
	delete(l.sessions, id)
	l.metrics.evicted(m.Name, why, l.now.Sub(r.since))
	l.workers.Go(func() {
		if _, err := guard(l.log, "close", func() (struct{}, error) { return struct{}{}, r.session.Close() }); err != nil {
			l.log.Error("model does not close cleanly", "model", m.Name, "err", err)
		}
		r := read(l.engine)
		l.do(func(now time.Time) {
			l.sched.OnUnloaded(now, id)
			l.forget(id)
			l.reading(now, r)
		})
	})
}

// Refuse answers a job with err.
func (l *loop) Refuse(r sched.RequestID, why sched.Reason, err error) {
	l.metrics.refused(l.jobs[r].model, why)
	l.answer(r, outcome{err: err})
}

// Ready answers a job that wanted nothing but its model.
func (l *loop) Ready(r sched.RequestID) { l.answer(r, outcome{}) }

// idle reports whether nothing has run for a while.
func (l *loop) idle(now time.Time, while time.Duration) bool {
	return len(l.stops) == 0 && now.Sub(l.lastRun) >= while
}

// reading is what the device says of its memory; -1 where it says nothing.
type reading struct{ used, free int64 }

func read(engine inference.Engine) reading {
	r := reading{engine.Used(), -1}
	if crowded, ok := engine.(inference.Crowded); ok {
		r.free = crowded.Free()
	}
	return r
}

// reading passes on what the device has said.
func (l *loop) reading(now time.Time, r reading) {
	l.sched.OnReading(now, r.used)
	if r.free >= 0 {
		l.sched.OnFree(now, r.free)
	}
}

// guard turns a panic of call into an error: one bad model must not take the
// others along.
func guard[V any](log *slog.Logger, op string, call func() (V, error)) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("panic", "op", op, "panic", p, "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "host."+op, "panic: %v", p)
		}
	}()
	return call()
}
