package host

import (
	"context"
	"errors"
	"time"

	"focal/core/fault"
	"focal/inference"
	"focal/inference/sched"
	"focal/models"
)

// Run runs a batch, and comes back with OnDone.
func (l *loop) Run(run sched.RunID, id sched.ModelID, _ sched.Canvas, requests []sched.RequestID) {
	m, runs := l.known[id], l.runner(run, id)
	items, keys := make([]item, len(requests)), make([]sched.Key, len(requests))
	for i, r := range requests {
		j := l.jobs[r]
		j.started = l.now
		items[i], keys[i] = j.item, j.key
	}
	ctx := l.stoppable(run)
	l.onSlot(func() func(time.Time) {
		leave := l.box.Enter(keys...)
		done, err := guard(l.log, "run", func() (batch, error) { return runs.run(ctx, items) })
		leave()
		if err != nil && l.abort.Err() != nil {
			err = closed() // stopped by us: nobody is to blame
		}
		return func(now time.Time) {
			if err == nil {
				l.answerAll(m, requests, done)
			}
			l.done(now, run, done, err)
		}
	})
}

// runner is what carries out a run, with the room that the books give to it.
func (l *loop) runner(run sched.RunID, id sched.ModelID) runner {
	mine, all := l.sched.Room(run)
	return runner{engine: l.engine, session: l.sessions[id].session, room: inference.Room{Run: mine, All: all}, log: l.log}
}

// stoppable returns the context of a run, which Stop ends.
func (l *loop) stoppable(run sched.RunID) context.Context {
	ctx, cancel := context.WithCancel(l.abort)
	l.stops[run] = cancel
	return ctx
}

// done tells the scheduler how a run went.
func (l *loop) done(now time.Time, run sched.RunID, b batch, err error) {
	l.stops[run]()
	delete(l.stops, run)
	l.lastRun = now
	if errors.Is(err, inference.ErrDeviceLost) {
		l.lost(err)
		err = fault.New(fault.Unavailable, "host.Run", "%w", err)
	}
	l.sched.OnDone(now, run, sched.Done{Time: b.took, Memory: b.memory, Err: err})
}

// Stop asks the engine to end a run.
func (l *loop) Stop(run sched.RunID) {
	l.log.Error("a run takes far too long and is stopped", "run", run)
	l.stops[run]()
}

// Lost gives up on a device on which something does not stop. That may be why: the
// next process hears of it.
func (l *loop) Lost(_ sched.ModelID, why error, guilty []sched.Key) { l.lost(why, guilty...) }

func (l *loop) lost(err error, guilty ...sched.Key) {
	l.log.Error("inference has to start again", "err", err)
	l.box.Clear(guilty...) // the device is to blame, nothing else that ran on it
	if call := l.onLost; call != nil {
		l.onLost = nil
		l.workers.Go(func() { call(err) })
	}
}

// Probe runs a batch of zeros, and comes back with OnDone.
func (l *loop) Probe(run sched.RunID, id sched.ModelID, c sched.Canvas, n int) {
	m, runs := l.known[id], l.runner(run, id)
	ctx := l.stoppable(run)
	l.onSlot(func() func(time.Time) {
		leave := l.box.Enter(sched.ProbeKey(id, c, n))
		done, err := guard(l.log, "probe", func() (batch, error) { return runs.probe(ctx, c, n) })
		leave()
		if err != nil && l.abort.Err() == nil {
			l.log.Info("batch does not run", "model", m.Name, "canvas", c, "batch", n, "err", err)
		}
		return func(now time.Time) { l.done(now, run, done, err) }
	})
}

func (l *loop) answerAll(m models.Model, requests []sched.RequestID, b batch) {
	for i, r := range requests {
		j := l.jobs[r]
		out := outcome{outputs: b.outputs[i], queue: j.started.Sub(j.arrived), fill: b.fills[i], run: b.took, batch: len(requests)}
		if i == 0 {
			l.metrics.ran(m.Name, l.engine.Provider(), out)
			l.statistics.ran(m, len(requests), out.run)
		}
		l.metrics.queued(m.Name, out.queue)
		l.answer(r, out)
	}
}
