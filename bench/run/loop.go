package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"focal/bench/dataset"
	"focal/bench/measure"
	"focal/bench/report"
)

// Worker is what is measured: a model of ours, rembg, an endpoint.
type Worker interface {
	// Describe says what it is.
	Describe() report.Model
	// Origin says what it comes from, as far as that is known.
	Origin() Origin
	// Memory is what it holds now, as far as that is known.
	Memory(ctx context.Context) Memory
}

// Origin is what a model has learnt from, and what its threshold was chosen on:
// names of data sets.
type Origin struct{ TrainedOn, TunedOn []string }

// Memory is in bytes, 0 where it is not known.
type Memory struct {
	Resident int64 // the most that its process held
	Booked   int64 // by the scheduler, for the model
	Device   int64 // taken of a card now, beyond what was taken before the models
}

// shot is one picture of a set, read and ready to be sent. A is the answer, L
// the line of the journal that becomes of both.
type shot[A, L any] struct {
	source Source
	line   L // what is known before
	judge  func(line *L, answer A) error
}

// loop goes over the pictures of a set, T each, with one worker.
type loop[T, A, L any] struct {
	worker  Worker
	ask     func(context.Context, Source) (A, error)
	read    func(m report.Model, item T) (shot[A, L], []dataset.Problem, bool)
	entry   func(*L) *report.Entry
	recall  func(key string) (L, bool)
	wrap    func(*L) line
	journal *Journal
	options Options
	lines   []*L // each written by one goroutine; nil for files left out

	mu        sync.Mutex // protects the rest
	model     report.Model
	problems  []dataset.Problem
	yardstick []float64 // one for every picture measured now
	ran       bool      // at least one picture was measured now
}

// run measures what --limit draws of items. What the files are to blame for is
// added to d, what the worker is to blame for is in its lines.
func (l *loop[T, A, L]) run(ctx context.Context, d *report.Dataset, stems []string, items []T) (report.Model, []L, error) {
	l.model = l.worker.Describe()
	l.model.Dataset, l.model.Clients = d.Name, l.options.Clients
	origin := l.worker.Origin()
	l.model.Leak, l.model.Tuned = dataset.Leaks(origin.TrainedOn, d.Name, stems), dataset.Leaks(origin.TunedOn, d.Name, stems)
	d.Pictures = len(items)
	items = draw(items, l.options.Limit, l.options.Seed)
	l.lines = make([]*L, len(items))
	resetPeak()
	bar := l.options.Progress(fmt.Sprintf("%s on %s", l.model.Model, d.Name), len(items))
	g, inside := errgroup.WithContext(ctx)
	g.SetLimit(l.options.Clients)
	for i, item := range items {
		g.Go(func() error {
			err := l.one(inside, i, item)
			return errors.Join(err, bar.Add(1))
		})
	}
	if err := errors.Join(g.Wait(), bar.Finish()); err != nil {
		return l.model, nil, err
	}
	m, err := l.finish(ctx)
	var lines []L
	for _, line := range l.lines {
		if line != nil {
			lines = append(lines, *line)
		}
	}
	d.Measured, d.Problems = len(lines), append(d.Problems, l.problems...)
	d.Counts = dataset.Count(d.Problems)
	for _, p := range d.Problems {
		if p.Kind.Fatal() {
			d.LeftOut++
		}
	}
	return m, lines, err
}

// one measures one picture, unless the journal knows it.
func (l *loop[T, A, L]) one(ctx context.Context, i int, item T) error {
	s, problems, ok := l.read(l.model, item)
	l.blame(problems)
	if !ok {
		return nil
	}
	e := l.entry(&s.line)
	if known, ok := l.recall(e.Key); ok {
		l.entry(&known).Subsets, l.entry(&known).Image = e.Subsets, e.Image
		l.lines[i] = &known
		return nil
	}
	if err := l.warm(ctx, s.source); err != nil {
		return err
	}
	l.calibrate()
	answer, err := l.send(ctx, s.source)
	if err == nil {
		err = s.judge(&s.line, answer)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		e.Error = err.Error()
	}
	l.weigh(ctx)
	l.lines[i] = &s.line
	return l.journal.write(l.wrap(&s.line))
}

func (l *loop[T, A, L]) blame(problems []dataset.Problem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problems = append(l.problems, problems...)
}

func (l *loop[T, A, L]) send(ctx context.Context, s Source) (A, error) {
	ctx, cancel := context.WithTimeout(ctx, l.options.Timeout)
	defer cancel()
	return l.ask(ctx, s)
}

// warm sends the first picture once more than it is measured: that time is the
// cold one. An error is left for the measured run to find.
func (l *loop[T, A, L]) warm(ctx context.Context, s Source) error {
	l.mu.Lock()
	defer l.mu.Unlock() // the others wait: they are not to be cold either
	if l.ran {
		return nil
	}
	l.ran = true
	start := time.Now()
	if _, err := l.send(ctx, s); err == nil {
		l.model.Cold = ms(time.Since(start))
	}
	return ctx.Err()
}

// calibrate takes the yardstick between two pictures, so that what else the
// machine does slows both alike. Beside other pictures it would slow those.
func (l *loop[T, A, L]) calibrate() {
	if l.options.Clients > 1 {
		return
	}
	y := yardstick()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.yardstick = append(l.yardstick, y)
}

// weigh keeps the most that was taken of a card: what a run took is kept for the
// next, so that it is there still.
func (l *loop[T, A, L]) weigh(ctx context.Context) {
	taken := l.worker.Memory(ctx).Device
	l.mu.Lock()
	defer l.mu.Unlock()
	l.model.PeakDevice = max(l.model.PeakDevice, taken)
}

// finish adds what is known of the worker when all is done. Figures of a run
// that was broken off and went on are those of its last part.
func (l *loop[T, A, L]) finish(ctx context.Context) (report.Model, error) {
	if !l.ran {
		return l.journal.model(l.model), nil
	}
	m, memory := l.model, l.worker.Memory(ctx)
	m.PeakRSS, m.ModelBytes = memory.Resident, memory.Booked
	m.Yardstick = measure.Summarise(l.yardstick).P50
	m.Batches = l.journal.model(m).Batches
	return m, l.journal.write(line{Model: &m})
}
