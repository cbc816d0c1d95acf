package main

import (
	"context"
	"errors"
	"log/slog"

	"focal/bench/dataset"
	"focal/bench/measure"
	"focal/bench/report"
	"focal/bench/run"
	"focal/models"
)

// facesCommand is `focal-bench faces`.
type facesCommand struct {
	modelFlags `embed:"" group:"Models"`
	loopFlags  `embed:"" group:"Sets"`
	gateFlags  `embed:"" group:"Gate"`

	Threshold *float64 `help:"Score from which a face is reported; default: the model's." placeholder:"SCORE"`
}

// Run measures every face model on every set.
func (c *facesCommand) Run(ctx context.Context, log *slog.Logger) error {
	sets, err := openAll(c.Dataset, c.Tags, dataset.OpenFaces)
	if err != nil {
		return err
	}
	return c.modelFlags.with(log, c.Clients, func(h *run.House) error {
		j, err := c.open()
		if err != nil {
			return err
		}
		r, evidence, err := c.measure(ctx, h, j, sets, log)
		if err = errors.Join(err, j.Close()); err != nil {
			return err
		}
		if err := c.publish(r, evidence); err != nil {
			return err
		}
		return errors.Join(failures(r), c.check(r))
	})
}

func (c *facesCommand) measure(ctx context.Context, h *run.House, j *run.Journal, sets []*dataset.Faces, log *slog.Logger) (report.Results, report.Evidence, error) {
	r, evidence := c.results(h.Provider()), report.Evidence{Out: c.Out}
	names, err := c.names(h, models.TaskFace, log)
	if err != nil {
		return r, evidence, err
	}
	for _, set := range sets {
		for i, name := range names {
			d, err := h.Detector(name)
			if err != nil {
				return r, evidence, err
			}
			m, portraits, info, err := run.Faces(ctx, d, set, j, c.options(measure.Threshold))
			if err != nil {
				return r, evidence, err
			}
			if len(portraits) > 0 {
				if m, err = c.batches(ctx, h, j, m, portraits[0].Image); err != nil {
					return r, evidence, err
				}
			}
			threshold := d.Threshold()
			if c.Threshold != nil {
				threshold = *c.Threshold
			}
			if i == 0 {
				r.Datasets = append(r.Datasets, info)
			}
			r.Faces = append(r.Faces, report.FacesRows(m, portraits, threshold, c.Seed)...)
			evidence.Portraits = append(evidence.Portraits, portraits...)
		}
	}
	return r, evidence, nil
}
