package host

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"focal/inference"
	"focal/models"
)

// statistics are the sums that inference.Statistics tells.
type statistics struct {
	mu  sync.Mutex // protects all
	all map[version]*sums
}

type version struct{ name, version string }

type sums struct {
	inference.Statistics
	batches map[int]*inference.Tally
}

// of returns the sums of m, with mu held.
func (s *statistics) of(m models.Model) *sums {
	key := version{m.Name, m.Version}
	if s.all == nil {
		s.all = map[version]*sums{}
	}
	if s.all[key] == nil {
		s.all[key] = &sums{Statistics: inference.Statistics{Model: m.Name, Version: m.Version}, batches: map[int]*inference.Tally{}}
	}
	return s.all[key]
}

// answered counts a request that took so long and was answered; keepable says
// that its answer could have been known.
func (s *statistics) answered(m models.Model, f inference.Facts, took time.Duration, keepable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.of(m)
	t.Last = time.Now()
	t.Success.Add(took)
	switch f.How {
	case inference.Hit:
		t.Hit.Add(took)
		t.Queue.Add(0)
	case inference.Run:
		t.Queue.Add(f.Queue)
		t.Input.Add(f.Prepare)
		t.Infer.Add(f.Run)
		t.Output.Add(f.Decode)
		if keepable {
			t.Miss.Add(took)
		}
	}
}

// failed counts a request that took so long and was not answered.
func (s *statistics) failed(m models.Model, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.of(m)
	t.Last = time.Now()
	t.Fail.Add(took)
}

// ran counts a run of n items.
func (s *statistics) ran(m models.Model, n int, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.of(m)
	t.Items += int64(n)
	t.Runs++
	if t.batches[n] == nil {
		t.batches[n] = &inference.Tally{}
	}
	t.batches[n].Add(took)
}

// sums returns a copy of everything, and empty sums for those of list that
// nobody has asked for.
func (s *statistics) sums(list []models.Model) []inference.Statistics {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range list {
		s.of(m)
	}
	var all []inference.Statistics
	for _, t := range s.all {
		told := t.Statistics
		for _, size := range slices.Sorted(maps.Keys(t.batches)) {
			told.Batches = append(told.Batches, inference.BatchTally{Size: size, Tally: *t.batches[size]})
		}
		all = append(all, told)
	}
	slices.SortFunc(all, func(a, b inference.Statistics) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Version, b.Version))
	})
	return all
}

// Statistics tells what has happened to the models of the repository, and to
// versions that were there, by name and version.
func (h *Host) Statistics() []inference.Statistics {
	list, _ := h.repo.Models() // those that cannot be read have no statistics
	all, memory := h.statistics.sums(list), h.loop.memory()
	for i, t := range all {
		all[i].Memory = memory[version{t.Model, t.Version}]
	}
	return all
}

// memory returns the bytes that are booked now.
func (l *loop) memory() map[version]int64 {
	reply := make(chan map[version]int64, 1)
	if !l.do(func(time.Time) {
		booked := map[version]int64{}
		for _, m := range l.sched.Snapshot().Models {
			known := l.known[m.ID]
			booked[version{known.Name, known.Version}] += m.Booked + m.RunBytes
		}
		reply <- booked
	}) {
		return nil
	}
	return <-reply
}
