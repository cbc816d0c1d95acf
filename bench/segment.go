package main

import (
	"context"
	"log/slog"
	"maps"

	"focal/bench/dataset"
	"focal/bench/report"
	"focal/bench/run"
	"focal/core/fault"
	"focal/models"
)

// segmentCommand is `focal-bench segment`.
type segmentCommand struct {
	measureFlags `embed:""`

	Threshold    int    `help:"Grey value of 255 from which a pixel of a result is foreground. The truth's is 128." default:"128"`
	Rembg        bool   `help:"Measure the real rembg too, with the weights of each model that it can prepare."`
	RembgPython  string `help:"Python that has rembg; scripts/peer-env rembg makes one." placeholder:"FILE" default:".cache/peers/rembg/bin/python"`
	RembgThreads int    `help:"Threads that one run of rembg may use; a run of ours uses one." default:"1"`
}

// Run measures every model on every set.
func (c *segmentCommand) Run(ctx context.Context, log *slog.Logger) error {
	if c.Threshold < 1 || c.Threshold > 255 {
		return fault.New(fault.Invalid, "main.segment", "--threshold %d: want 1 to 255", c.Threshold)
	}
	sets, err := openAll(c.Dataset, c.Tags, dataset.OpenPairs)
	if err != nil {
		return err
	}
	return c.measure(log, func(s *session) error {
		s.evidence.Truth = truthOf(sets)
		workers, end, err := c.segmenters(s)
		defer end()
		if err != nil {
			return err
		}
		err = s.each(len(sets), len(workers), func(set, worker int) (report.Dataset, error) {
			m, pictures, d, err := run.Segment(ctx, workers[worker], sets[set], s.journal, c.options(c.Threshold))
			if err == nil && len(pictures) > 0 {
				m, err = s.batches(ctx, m, pictures[0].Image)
			}
			s.results.Segment = append(s.results.Segment, report.Segments(m, pictures, c.Threshold, c.Seed)...)
			s.evidence.Pictures = append(s.evidence.Pictures, pictures...)
			return d, err
		})
		s.results.Differences = report.Differences(s.evidence.Pictures, c.Threshold, c.Seed)
		return err
	})
}

// segmenters builds all that makes masks; end closes it.
func (c *segmentCommand) segmenters(s *session) (all []run.Segmenter, end func(), err error) {
	var closers []func() error
	end = func() {
		for _, c := range closers {
			if err := c(); err != nil {
				s.log.Warn("closing", "error", err)
			}
		}
	}
	names, err := c.names(s.house, models.TaskForeground, s.log)
	if err != nil {
		return nil, end, err
	}
	for _, name := range names {
		ours, err := s.house.Segmenter(name)
		if err != nil {
			return nil, end, err
		}
		all = append(all, ours)
		if !c.Rembg {
			continue
		}
		peer, err := s.house.StartRembg(c.RembgPython, name, c.RembgThreads)
		if fault.Is(err, fault.Invalid) {
			s.log.Warn("left out", "peer", "rembg", "model", name, "reason", err)
			continue
		}
		if err != nil {
			return nil, end, err
		}
		closers = append(closers, peer.Close)
		maps.Copy(s.results.Versions, peer.Versions())
		all = append(all, peer)
	}
	servers, err := endpoints(s, s.house.SegmentEndpoint)
	return append(all, servers...), end, err
}
