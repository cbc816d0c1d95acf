package sched

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"pgregory.net/rapid"

	"focal/core/fault"
	"focal/inference"
)

// start is when every test begins.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const second = time.Second

// batchRun is a Run effect.
type batchRun struct {
	id       RunID
	model    ModelID
	canvas   Canvas
	requests []RequestID
	n        int // of a probe
}

type refusal struct {
	why Reason
	err error
}

// world records the effects of a Scheduler and holds it to its invariants: at
// every effect and after every event. Tests move its clock.
type world struct {
	t   rapid.TB
	s   *Scheduler
	now time.Time
	log []string // effects, in order

	budget   int64
	state    map[ModelID]string
	runs     map[RunID]batchRun
	started  []batchRun // all runs, in order
	open     map[RequestID]time.Time
	orders   map[RequestID]ModelID // those of open that want a model loaded
	refused  map[RequestID]refusal
	answered map[RequestID]bool
	replaced map[ModelID]ModelID
	lost     []Key
	events   map[string]bool   // that have been sent
	stopped  func(what string) // hears what is asked to stop, as an engine calls it; may be nil
	waited   time.Duration     // longest from arrival to the start of a run
	lastID   RequestID
}

func newWorld(t rapid.TB, change func(*Config), specs ...Spec) *world {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Budget, cfg.Slots = 1000, 1
	cfg.Turn, cfg.MinResidence = second, 2*second
	if change != nil {
		change(&cfg)
	}
	w := &world{
		t: t, now: start, budget: cfg.Budget, state: map[ModelID]string{}, runs: map[RunID]batchRun{},
		open: map[RequestID]time.Time{}, refused: map[RequestID]refusal{}, answered: map[RequestID]bool{},
		orders: map[RequestID]ModelID{}, replaced: map[ModelID]ModelID{}, events: map[string]bool{},
	}
	s, err := New(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	w.s = s
	for _, spec := range specs {
		if spec.Name == "" {
			spec.Name = string(spec.ID)
		}
		w.declare(spec)
	}
	return w
}

// sent notes that an event was, and checks what holds after every one.
func (w *world) sent(event string) {
	w.events[event] = true
	w.check()
}

func (w *world) note(format string, args ...any) {
	if len(w.log) < 10000 {
		w.log = append(w.log, fmt.Sprintf(format, args...))
	}
}

func (w *world) Load(m ModelID) {
	if st := w.state[m]; st != "" {
		w.t.Fatalf("load of %s while it is %s", m, st)
	}
	w.state[m] = "loading"
	w.apart()
	w.note("load %s", m)
	w.check()
}

func (w *world) Unload(m ModelID, why Reason) {
	if st := w.state[m]; st != "resident" {
		w.t.Fatalf("unload of %s while it is %q", m, st)
	}
	for _, r := range w.runs {
		if r.model == m {
			w.t.Fatalf("unload of %s while run %d is under way", m, r.id)
		}
	}
	w.state[m] = "unloading"
	w.note("unload %s %s", m, why)
	w.check()
}

func (w *world) Run(r RunID, m ModelID, c Canvas, requests []RequestID) {
	if st := w.state[m]; st != "resident" {
		w.t.Fatalf("run on %s while it is %q", m, st)
	}
	if len(requests) == 0 {
		w.t.Fatalf("empty run on %s", m)
	}
	for _, id := range requests {
		if _, order := w.orders[id]; order {
			w.t.Fatalf("run of request %d, which wants none", id)
		}
		at, ok := w.open[id]
		if !ok {
			w.t.Fatalf("run of request %d, which has been answered", id)
		}
		for _, other := range w.runs {
			if slices.Contains(other.requests, id) {
				w.t.Fatalf("request %d runs twice at once", id)
			}
		}
		w.waited = max(w.waited, w.now.Sub(at))
	}
	run := batchRun{id: r, model: m, canvas: c, requests: slices.Clone(requests)}
	w.runs[r] = run
	w.apart()
	w.started = append(w.started, run)
	w.note("run %s %v", m, requests)
	w.check()
}

func (w *world) Probe(r RunID, m ModelID, c Canvas, n int) {
	if st := w.state[m]; st != "resident" {
		w.t.Fatalf("probe of %s while it is %q", m, st)
	}
	for _, o := range w.s.Snapshot().Models {
		if (len(w.runs) > 0 || o.Queued > 0) && !w.s.byID[m].Buckets {
			w.t.Fatalf("probe of %s while there is work", m)
		}
	}
	w.runs[r] = batchRun{id: r, model: m, canvas: c, n: n}
	w.apart()
	w.note("probe %s %s %d", m, c, n)
	w.check()
}

func (w *world) Stop(r RunID) {
	if _, ok := w.runs[r]; !ok {
		w.t.Fatalf("stop of run %d, which is not under way", r)
	}
	w.note("stop %d", r)
	w.check()
	if w.stopped != nil {
		w.stopped(fmt.Sprintf("run %d", r))
	}
}

func (w *world) StopLoad(m ModelID) {
	if st := w.state[m]; st != "loading" {
		w.t.Fatalf("load of %s is stopped while it is %q", m, st)
	}
	w.note("stop load %s", m)
	w.check()
	if w.stopped != nil {
		w.stopped("load " + string(m))
	}
}

func (w *world) Lost(m ModelID, why error, guilty []Key) {
	if !errors.Is(why, inference.ErrDeviceLost) {
		w.t.Fatalf("the device is lost by %v", why)
	}
	w.note("lost %s", m)
	w.lost = append(w.lost, guilty...)
}

func (w *world) Refuse(id RequestID, why Reason, err error) {
	if err == nil || why == "" {
		w.t.Fatalf("request %d refused without a reason", id)
	}
	w.answer(id)
	w.refused[id] = refusal{why, err}
	w.note("refuse %d %s", id, why)
}

func (w *world) Ready(id RequestID) {
	m, order := w.orders[id]
	if st := w.state[m]; !order || st != "resident" {
		w.t.Fatalf("request %d is told that model %q is loaded, which is %q", id, m, st)
	}
	w.answer(id)
	w.note("ready %d", id)
	w.check()
}

func (w *world) Replace(old, next ModelID) {
	if !w.s.Knows(next) {
		w.t.Fatalf("%s is replaced by %s, which nobody knows", old, next)
	}
	w.replaced[old] = next
	w.note("replace %s %s", old, next)
	w.check()
}

// answer checks that every request is answered once.
func (w *world) answer(id RequestID) {
	if _, ok := w.open[id]; !ok {
		w.t.Fatalf("request %d answered twice, or never asked", id)
	}
	delete(w.open, id)
	delete(w.orders, id)
	w.answered[id] = true
}

// check compares the books with what is loaded and running.
func (w *world) check() {
	snap := w.s.Snapshot()
	sum, running := int64(0), 0
	for _, m := range snap.Models {
		sum += m.Booked + m.RunBytes
		running += m.Running
		if m.State == "absent" && m.Booked != 0 || m.Booked < 0 || m.RunBytes < 0 {
			w.t.Fatalf("model %s is %s with %d bytes booked", m.ID, m.State, m.Booked)
		}
	}
	if sum != snap.Reserved {
		w.t.Fatalf("books say %d, models and runs hold %d", snap.Reserved, sum)
	}
	if snap.Reserved > w.budget {
		w.t.Fatalf("booked %d of %d bytes", snap.Reserved, w.budget)
	}
	if running > snap.Slots {
		w.t.Fatalf("%d runs on %d slots", running, snap.Slots)
	}
}

// apart checks that a suspect has the device to itself.
func (w *world) apart() {
	under, suspects := len(w.runs), 0
	for m, state := range w.state {
		if state == "loading" {
			under++
			if w.s.suspect(w.now, LoadKey(m)) {
				suspects++
			}
		}
	}
	for _, run := range w.runs {
		for _, id := range run.requests {
			if w.s.suspect(w.now, w.s.requests[id].Key) {
				suspects++
				under += len(run.requests) - 1
			}
		}
	}
	if suspects > 0 && under > 1 {
		w.t.Fatalf("%d suspects among %d under way: %v", suspects, under, w.runs)
	}
}

func (w *world) arrive(r Request) RequestID {
	w.lastID++
	r.ID = w.lastID
	if r.Canvas == "" {
		r.Canvas = "c"
	}
	w.open[r.ID] = w.now
	if r.Load {
		w.orders[r.ID] = r.Model
	}
	w.s.OnArrive(w.now, r)
	w.sent("OnArrive")
	return r.ID
}

func (w *world) ask(m ModelID) RequestID { return w.arrive(Request{Model: m}) }

func (w *world) cancel(id RequestID) bool {
	gone := w.s.OnCancel(w.now, id)
	if gone {
		w.answer(id)
	}
	w.sent("OnCancel")
	return gone
}

func (w *world) declare(spec Spec) {
	w.s.OnModel(w.now, spec)
	w.sent("OnModel")
}

func (w *world) retire(m ModelID) {
	w.s.OnRetire(w.now, m, EvictedOrder)
	w.sent("OnRetire")
}

func (w *world) measured(m ModelID, l Measured) {
	w.s.OnMeasured(w.now, m, l)
	w.sent("OnMeasured")
}

func (w *world) reading(used int64) {
	w.s.OnReading(w.now, used)
	w.sent("OnReading")
}

func (w *world) free(bytes int64) {
	w.s.OnFree(w.now, bytes)
	w.sent("OnFree")
}

func (w *world) beside(bytes int64) {
	w.s.OnBeside(w.now, bytes)
	w.sent("OnBeside")
}

func (w *world) invite(r Request) (Reason, error) {
	defer w.sent("OnAsk")
	return w.s.OnAsk(w.now, r)
}

// away checks besides that who does not come is no guest any more.
func (w *world) away(key Key) {
	w.s.OnAway(key)
	if w.s.guest(key) >= 0 {
		w.t.Fatal("who does not come is waited for")
	}
	w.sent("OnAway")
}

// crashed says that processes ended while key was on the device, the last one
// just now.
func (w *world) crashed(key Key, count int) {
	w.s.OnCrash(key, count, w.now)
	w.sent("OnCrash")
}

func (w *world) version(old ModelID, next Spec) {
	delete(w.replaced, next.ID)
	w.s.OnVersion(w.now, old, next)
	w.sent("OnVersion")
}

func (w *world) loaded(m ModelID, l Loaded) {
	if w.state[m] != "loading" {
		w.t.Fatalf("test: %s is %q, not loading", m, w.state[m])
	}
	w.state[m] = "resident"
	if l.Err != nil {
		delete(w.state, m)
	}
	w.s.OnLoaded(w.now, m, l)
	w.sent("OnLoaded")
}

func (w *world) unloaded(m ModelID) {
	if w.state[m] != "unloading" {
		w.t.Fatalf("test: %s is %q, not unloading", m, w.state[m])
	}
	delete(w.state, m)
	w.s.OnUnloaded(w.now, m)
	w.sent("OnUnloaded")
}

func (w *world) done(r RunID, d Done) {
	run, ok := w.runs[r]
	if !ok {
		w.t.Fatalf("test: run %d is not under way", r)
	}
	delete(w.runs, r)
	if d.Err == nil {
		for _, id := range run.requests {
			w.answer(id)
		}
	}
	w.s.OnDone(w.now, r, d)
	w.sent("OnDone")
}

// doneAll ends every run that is under way well, in order.
func (w *world) doneAll() {
	for _, id := range w.underWay() {
		w.done(id, Done{})
	}
}

func (w *world) underWay() []RunID {
	return slices.Sorted(maps.Keys(w.runs))
}

// pass lets time go by, ticking whenever the Scheduler asked to be woken.
func (w *world) pass(d time.Duration) {
	end := w.now.Add(d)
	for {
		wake := w.s.NextWake()
		if wake.IsZero() || wake.After(end) {
			break
		}
		if wake.After(w.now) {
			w.now = wake
		}
		w.s.OnTick(w.now)
		w.sent("OnTick")
		if next := w.s.NextWake(); !next.IsZero() && !next.After(w.now) {
			w.t.Fatalf("woken at %s, asks to be woken at %s", w.now.Sub(start), next.Sub(start))
		}
	}
	w.now = end
}

// resident brings models into memory.
func (w *world) resident(ms ...ModelID) {
	for _, m := range ms {
		w.arrive(Request{Model: m, Canvas: "first"}) // the others' estimates stay untouched
		w.loaded(m, Loaded{})
		w.doneAll()
	}
	w.log = nil
}

// engine drives a world by itself in virtual time: loads, unloads and runs end
// after a random while, some of them badly.
type engine struct {
	*world
	rng     *rand.Rand
	due     map[string]time.Time // "load a", "unload a", "run 7"
	failing float64
	hanging float64         // of loads and runs, so many end only when they are asked to stop
	hung    map[string]bool // those that have been
}

func newEngine(w *world, seed uint64) *engine {
	e := &engine{world: w, rng: rand.New(rand.NewPCG(seed, 1)), due: map[string]time.Time{}, hung: map[string]bool{}}
	w.stopped = func(what string) { e.due[what], e.hung[what] = e.now.Add(20*time.Millisecond), true }
	return e
}

// schedule gives everything that has been started since an end.
func (e *engine) schedule() {
	for _, m := range slices.Sorted(maps.Keys(e.state)) { // in order, so that a seed is one story
		switch e.state[m] {
		case "loading":
			e.dueIn("load "+string(m), 100+e.rng.IntN(200))
		case "unloading":
			e.dueIn("unload "+string(m), 1+e.rng.IntN(20))
		}
	}
	for _, id := range e.underWay() {
		e.dueIn(fmt.Sprintf("run %d", id), 5*len(e.runs[id].requests)+e.rng.IntN(20))
	}
}

func (e *engine) dueIn(what string, ms int) {
	if _, ok := e.due[what]; ok {
		return
	}
	if e.hanging > 0 && what[0] != 'u' && e.rng.Float64() < e.hanging {
		ms = 1e9
	}
	e.due[what] = e.now.Add(time.Duration(ms) * time.Millisecond)
}

// next returns the earliest thing that is due.
func (e *engine) next() (string, time.Time, bool) {
	best, found := "", false
	for what, at := range e.due {
		if !found || at.Before(e.due[best]) || at.Equal(e.due[best]) && what < best {
			best, found = what, true
		}
	}
	return best, e.due[best], found
}

// step lets everything happen that is due within d.
func (e *engine) step(d time.Duration) {
	for end := e.now.Add(d); ; {
		e.schedule()
		what, until, due := e.next()
		if due = due && !until.After(end); !due {
			until = end
		}
		if wake := e.s.NextWake(); !wake.IsZero() && wake.Before(until) {
			e.pass(max(0, wake.Sub(e.now))) // it may start something that ends earlier
			continue
		}
		e.pass(max(0, until.Sub(e.now)))
		if !due {
			return
		}
		delete(e.due, what)
		e.finish(what)
	}
}

func (e *engine) finish(what string) {
	var id RunID
	var m string
	var err error
	if e.rng.Float64() < e.failing {
		err = fmt.Errorf("bad luck")
		if e.rng.IntN(2) == 0 {
			err = fault.New(fault.Busy, "test", "out of memory")
		}
	}
	if e.hung[what] {
		delete(e.hung, what)
		err = errStopped
	}
	switch {
	case scan(what, "run %d", &id):
		e.done(id, Done{Err: err, Memory: int64(e.rng.IntN(2)) * int64(len(e.runs[id].requests)) * 20})
	case scan(what, "load %s", &m):
		e.loaded(ModelID(m), Loaded{Err: err, Rest: int64(e.rng.IntN(2)) * int64(100+e.rng.IntN(300))})
	case scan(what, "unload %s", &m):
		e.unloaded(ModelID(m))
	}
}

func scan(s, format string, into any) bool {
	n, _ := fmt.Sscanf(s, format, into)
	return n == 1
}

var bothClasses = []inference.Class{inference.ClassServer, inference.ClassDirect}
