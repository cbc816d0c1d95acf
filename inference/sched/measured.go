package sched

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Measured is what was learnt of a model on this device with nothing else
// running. It is worth keeping over a restart.
type Measured struct {
	LoadTime time.Duration // 0: not known
	Rest     int64         // bytes; 0: not known
	Runs     []MeasuredRun // by canvas, then by batch
}

// MeasuredRun is one batch size on one canvas.
type MeasuredRun struct {
	Canvas Canvas
	Batch  int
	Time   time.Duration
	Memory int64 // bytes; 0: not known
	Runs   int   // that it was learnt from
}

// Measured returns what was learnt of a model.
func (s *Scheduler) Measured(id ModelID) Measured {
	m := s.byID[id]
	if m == nil {
		return Measured{}
	}
	l := Measured{LoadTime: m.loadTime, Rest: m.rest}
	for _, c := range slices.Sorted(maps.Keys(m.profiles)) {
		for _, z := range m.profiles[c].sizes {
			if z.alone > 0 {
				l.Runs = append(l.Runs, MeasuredRun{Canvas: c, Batch: z.n, Time: z.time, Memory: m.profiles[c].held[z.n], Runs: z.alone})
			}
		}
	}
	return l
}

// OnMeasured hears what was learnt of a model before. It counts as long as
// nothing newer is known.
func (s *Scheduler) OnMeasured(now time.Time, id ModelID, l Measured) {
	m := s.byID[id]
	if m == nil {
		return
	}
	m.loadTime = cmp.Or(m.loadTime, l.LoadTime)
	m.rest = cmp.Or(m.rest, l.Rest)
	for _, r := range l.Runs {
		p := m.profiles[r.Canvas]
		if p == nil {
			if len(m.profiles) >= maxProfiles {
				continue
			}
			p = m.profile(r.Canvas)
		}
		at, known := p.at(r.Batch)
		if known || len(p.sizes) >= maxSizes || r.Batch < 1 || r.Time <= 0 {
			continue
		}
		p.sizes = slices.Insert(p.sizes, at, size{n: r.Batch, time: r.Time, alone: max(r.Runs, 1)})
		p.hold(r.Batch, r.Memory)
		p.last = now
	}
	s.settle(now)
}

// probeRuns is how often each batch size is tried alone: the first run of a
// size pays for pages that the next one finds, or tunes the device to it.
const probeRuns = 2

// probe lets an idle device measure batch sizes that nobody has asked for yet,
// one run at a time, so that whoever comes waits for one run at most:
//
//  1. Off, or closing, or somebody waits, runs, loads or leaves: not now.
//  2. The last run ended less than ProbeAfter ago: wait.
//  3. Of the loaded models' canvases that have been used, the smallest batch, in
//     powers of two up to Spec.Probe, that has not run alone probeRuns times.
//  4. Not one that memory has refused, whose trial has failed or ended a process,
//     that is larger than the room that is free, or that would take longer than
//     ProbeLimit.
func (s *Scheduler) probe(now time.Time) {
	if s.cfg.ProbeAfter <= 0 || s.closing || len(s.runs) > 0 || s.claim != nil { // 1
		return
	}
	for _, m := range s.models {
		if m.state == loading || m.state == unloading || len(m.queues) > 0 {
			return
		}
	}
	for _, m := range s.models {
		if m.state != resident || m.Retired {
			continue
		}
		for _, c := range slices.Sorted(maps.Keys(m.profiles)) {
			n := s.worthProbing(now, m, c) // 3, 4
			if n == 0 {
				continue
			}
			if due := s.idleSince.Add(s.cfg.ProbeAfter); now.Before(due) { // 2
				s.wakeAt(due)
				return
			}
			s.tryOut(now, m, c, n)
			return
		}
	}
}

// tryOut runs n empty items.
func (s *Scheduler) tryOut(now time.Time, m *model, c Canvas, n int) {
	u := s.begin(now, m, c, n, m.runBytes(c, n))
	u.probe = true
	m.probing++
	s.do.Probe(u.id, m.ID, c, n)
}

// tune runs the next batch size for nobody where the line has grown beyond the
// largest that the device is tuned to: no request pays for the tuning, which may
// take longer than many runs, and a device that is never idle is tuned all the
// same. One at a time, in a slot of its own beside the requests' runs.
func (s *Scheduler) tune(now time.Time) {
	if s.closing || s.alone || len(s.runs) >= s.cfg.Slots || s.claim != nil {
		return
	}
	for _, u := range s.runs {
		if u.probe {
			return
		}
	}
	for _, m := range s.models {
		if !m.Buckets || m.state != resident || m.sick || m.Retired || m.running >= m.Instances {
			continue
		}
		for _, q := range m.order {
			p := m.profile(q.canvas)
			n := 2 * p.tuned
			if n < 2 || q.len() < n || n > p.limit(m.MaxBatch) || p.avoid > 0 && n >= p.avoid || s.killer(now, m, q.canvas, n) || !s.fits(m, m.runBytes(q.canvas, n)) {
				continue
			}
			s.tryOut(now, m, q.canvas, n)
			return
		}
	}
}

// worthProbing returns the batch size of m on c to be tried next, or 0.
func (s *Scheduler) worthProbing(now time.Time, m *model, c Canvas) int {
	p := m.profiles[c]
	if p.last.IsZero() {
		return 0
	}
	for n := 1; n <= p.limit(max(m.MaxBatch, m.Probe)); n *= 2 {
		at, known := p.at(n)
		enough := probeRuns
		if m.Buckets {
			enough-- // the one that tuned it
		}
		if known && p.sizes[at].alone >= enough && (!m.Buckets || n <= p.tuned) {
			continue
		}
		took, _ := p.alone(n)
		if p.avoid > 0 && n >= p.avoid || s.killer(now, m, c, n) || took > s.cfg.ProbeLimit || !s.fits(m, m.runBytes(c, n)) {
			return 0 // larger ones are no better
		}
		return n
	}
	return 0
}
