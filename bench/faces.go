package main

import (
	"context"
	"log/slog"

	"focal/bench/dataset"
	"focal/bench/measure"
	"focal/bench/report"
	"focal/bench/run"
	"focal/models"
)

// facesCommand is `focal-bench faces`.
type facesCommand struct {
	measureFlags `embed:""`

	Threshold *float64 `help:"Score from which a face is reported; default: the model's." placeholder:"SCORE"`
}

// Run measures every face model on every set.
func (c *facesCommand) Run(ctx context.Context, log *slog.Logger) error {
	sets, err := openAll(c.Dataset, c.Tags, dataset.OpenFaces)
	if err != nil {
		return err
	}
	return c.measure(log, func(s *session) error {
		workers, err := c.finders(s)
		if err != nil {
			return err
		}
		return s.each(len(sets), len(workers), func(set, worker int) (report.Dataset, error) {
			m, portraits, d, err := run.Faces(ctx, workers[worker], sets[set], s.journal, c.options(measure.Threshold))
			if err == nil && len(portraits) > 0 {
				m, err = s.batches(ctx, m, portraits[0].Image)
			}
			own := workers[worker].Threshold()
			threshold := own
			if c.Threshold != nil {
				threshold = *c.Threshold
			}
			s.results.Faces = append(s.results.Faces, report.FacesRows(m, portraits, threshold, own, c.Seed)...)
			s.evidence.Portraits = append(s.evidence.Portraits, portraits...)
			return d, err
		})
	})
}

// finders builds all that finds faces.
func (c *facesCommand) finders(s *session) ([]run.Finder, error) {
	names, err := c.names(s.house, models.TaskFace, s.log)
	if err != nil {
		return nil, err
	}
	var all []run.Finder
	for _, name := range names {
		f, err := s.house.Finder(name)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	servers, err := endpoints(s, s.house.FacesEndpoint)
	return append(all, servers...), err
}
