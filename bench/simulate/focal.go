package simulate

import (
	"strconv"
	"time"

	"focal/inference/sched"
)

// focal is the real scheduler on the simulated device.
type focal struct {
	w      *world
	s      *sched.Scheduler
	t      *tally
	open   map[sched.RequestID]*request
	lastID sched.RequestID
	answer func(now time.Time, r *request) // besides the tally; may be nil
	tick   time.Time                       // planned
}

var _ sched.Effects = (*focal)(nil)

func newFocal(w *world) (*focal, error) {
	f := &focal{w: w, t: newTally(w), open: map[sched.RequestID]*request{}}
	cfg := sched.DefaultConfig()
	cfg.Budget, cfg.Slots = w.budget, w.Slots
	var err error
	if f.s, err = sched.New(cfg, f); err != nil {
		return nil, err
	}
	for i, k := range w.kinds {
		f.s.OnModel(w.start, sched.Spec{
			ID: modelID(i), Name: string(modelID(i)), MaxBatch: k.maxBatch, Rest: k.rest, Run: k.item, LoadTime: k.load,
		})
	}
	return f, nil
}

const canvas = "one"

func modelID(i int) sched.ModelID { return sched.ModelID(strconv.Itoa(i)) }

func (f *focal) kind(m sched.ModelID) kind {
	i, _ := strconv.Atoi(string(m)) // we have written it
	return f.w.kinds[i]
}

func (f *focal) tally() *tally { return f.t }

func (f *focal) arrive(now time.Time, r *request) {
	f.t.ask(r)
	f.lastID++
	f.open[f.lastID] = r
	f.s.OnArrive(now, sched.Request{ID: f.lastID, Model: modelID(r.model), Canvas: canvas, Class: r.class, Deadline: r.deadline})
	f.wake()
}

// wake plans the tick that the scheduler asks for.
func (f *focal) wake() {
	at := f.s.NextWake()
	if at.IsZero() || !f.tick.IsZero() && !at.Before(f.tick) {
		return
	}
	f.tick = at
	f.w.clock.at(at, func(now time.Time) {
		if f.tick.Equal(at) {
			f.tick = time.Time{}
		}
		f.s.OnTick(now)
		f.wake()
	})
}

// Load takes the model's time.
func (f *focal) Load(m sched.ModelID) {
	f.t.loadBegins(f.w.clock.now)
	f.w.clock.after(f.kind(m).load, func(now time.Time) {
		f.t.loadEnds(now)
		f.s.OnLoaded(now, m, sched.Loaded{Rest: f.kind(m).rest})
		f.wake()
	})
}

// unloading is how long it takes to let a model go.
const unloading = 2 * time.Millisecond

// Unload takes a moment.
func (f *focal) Unload(m sched.ModelID, _ sched.Reason) {
	f.t.evicted++
	f.w.clock.after(unloading, func(now time.Time) {
		f.s.OnUnloaded(now, m)
		f.wake()
	})
}

// Run takes the model's time for the batch.
func (f *focal) Run(run sched.RunID, m sched.ModelID, _ sched.Canvas, ids []sched.RequestID) {
	k, n := f.kind(m), len(ids)
	f.t.ran(n, k.run(n))
	f.w.clock.after(k.run(n), func(now time.Time) {
		for _, id := range ids {
			f.finish(now, id)
		}
		f.s.OnDone(now, run, sched.Done{Memory: k.item * int64(n)})
		f.wake()
	})
}

func (f *focal) finish(now time.Time, id sched.RequestID) {
	r := f.open[id]
	delete(f.open, id)
	f.t.answer(now, r)
	if f.answer != nil {
		f.answer(now, r)
	}
}

// Refuse ends a request.
func (f *focal) Refuse(id sched.RequestID, _ sched.Reason, _ error) {
	r := f.open[id]
	delete(f.open, id)
	if f.answer != nil {
		f.answer(f.w.clock.now, r)
	}
}

// What does not happen here: nothing is probed, loaded on request, sticks, breaks or changes.

func (f *focal) Probe(sched.RunID, sched.ModelID, sched.Canvas, int) {}
func (f *focal) Stop(sched.RunID)                                    {}
func (f *focal) Ready(sched.RequestID)                               {}
func (f *focal) StopLoad(sched.ModelID)                              {}
func (f *focal) Lost(sched.ModelID, error, []sched.Key)              {}
func (f *focal) Replace(_, _ sched.ModelID)                          {}
