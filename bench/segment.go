package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"

	"focal/bench/dataset"
	"focal/bench/report"
	"focal/bench/run"
	"focal/core/fault"
	"focal/models"
)

// segmentCommand is `focal-bench segment`.
type segmentCommand struct {
	modelFlags `embed:"" group:"Models"`
	loopFlags  `embed:"" group:"Sets"`
	gateFlags  `embed:"" group:"Gate"`

	Threshold    int      `help:"Grey value of 255 from which a pixel of a result is foreground. The truth's is 128." default:"128"`
	Rembg        bool     `help:"Measure the real rembg too, with the weights of each model that it can prepare."`
	RembgPython  string   `help:"Python that has rembg; scripts/peer-env rembg makes one." placeholder:"FILE" default:".cache/peers/rembg/bin/python"`
	RembgThreads int      `help:"Threads that one run of rembg may use; a run of ours uses one." default:"1"`
	Endpoint     []string `help:"Measure a server too: ours, rembg's (…/api/remove) or one of the Open Inference Protocol (…/v2/models/NAME/infer); repeatable." placeholder:"URL"`
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

// openAll opens sets, which must have different names: results are told apart
// by them.
func openAll[S tagged](dirs []string, tags string, open func(string) (S, error)) ([]S, error) {
	var more map[string][]string
	if tags != "" {
		text, err := os.ReadFile(tags)
		if err != nil {
			return nil, fault.New(fault.NotFound, "main.openAll", "--tags: %w", err)
		}
		if more, err = dataset.ParseTags(text); err != nil {
			return nil, err
		}
	}
	var sets []S
	names := map[string]string{}
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fault.New(fault.Invalid, "main.openAll", "--dataset: %w", err)
		}
		if first, taken := names[filepath.Base(abs)]; taken {
			return nil, fault.New(fault.Invalid, "main.openAll", "--dataset %s and %s have the same name", first, dir)
		}
		names[filepath.Base(abs)] = dir
		s, err := open(dir)
		if err != nil {
			return nil, err
		}
		s.Tag(more)
		sets = append(sets, s)
	}
	return sets, nil
}

// tagged is a set of either kind.
type tagged interface {
	Tag(map[string][]string)
}

// measure goes over all sets with all that makes masks.
func (c *segmentCommand) measure(ctx context.Context, h *run.House, j *run.Journal, sets []*dataset.Pairs, log *slog.Logger) (report.Results, report.Evidence, error) {
	r, evidence := c.results(h.Provider()), report.Evidence{Out: c.Out, Truth: truthOf(sets)}
	segmenters, more, end, err := c.segmenters(h, log)
	defer end()
	if err != nil {
		return r, evidence, err
	}
	maps.Copy(r.Versions, more)
	for _, set := range sets {
		for i, s := range segmenters {
			m, pictures, d, err := run.Segment(ctx, s, set, j, c.options(c.Threshold))
			if err != nil {
				return r, evidence, err
			}
			if len(pictures) > 0 && m.Engine == "focal" {
				if m, err = c.batches(ctx, h, j, m, pictures[0].Image); err != nil {
					return r, evidence, err
				}
			}
			if i == 0 {
				r.Datasets = append(r.Datasets, d)
			}
			r.Segment = append(r.Segment, report.Segments(m, pictures, c.Threshold, c.Seed)...)
			evidence.Pictures = append(evidence.Pictures, pictures...)
		}
	}
	r.Differences = report.Differences(evidence.Pictures, c.Threshold, c.Seed)
	return r, evidence, nil
}

// batches adds the engine's throughput, where it is not known yet.
func (f loopFlags) batches(ctx context.Context, h *run.House, j *run.Journal, m report.Model, picture string) (report.Model, error) {
	var sizes []int
	for _, s := range f.Batches {
		if s > 0 {
			sizes = append(sizes, s)
		}
	}
	if len(m.Batches) > 0 || len(sizes) == 0 {
		return m, nil
	}
	var err error
	if m.Batches, err = h.Batches(ctx, m.Model, sizes, picture); err != nil {
		return m, err
	}
	return m, j.Remember(m)
}

// segmenters builds all that makes masks; end closes it.
func (c *segmentCommand) segmenters(h *run.House, log *slog.Logger) (all []run.Segmenter, versions map[string]string, end func(), err error) {
	versions = map[string]string{}
	var closers []func() error
	end = func() {
		for _, c := range closers {
			if err := c(); err != nil {
				log.Warn("closing", "error", err)
			}
		}
	}
	names, err := c.names(h, models.TaskForeground, log)
	if err != nil {
		return nil, nil, end, err
	}
	for _, name := range names {
		s, err := h.Segmenter(name)
		if err != nil {
			return nil, nil, end, err
		}
		all = append(all, s)
		if !c.Rembg {
			continue
		}
		m, err := h.Model(name)
		if err != nil {
			return nil, nil, end, err
		}
		peer, err := run.StartRembg(c.RembgPython, m, c.RembgThreads)
		if fault.Is(err, fault.Invalid) {
			log.Warn("left out", "peer", "rembg", "model", name, "reason", err)
			continue
		}
		if err != nil {
			return nil, nil, end, err
		}
		closers = append(closers, peer.Close)
		maps.Copy(versions, peer.Versions())
		all = append(all, peer)
	}
	for _, address := range c.Endpoint {
		e, err := h.NewEndpoint(address, &http.Client{})
		if err != nil {
			return nil, nil, end, err
		}
		all = append(all, e)
	}
	return all, versions, end, nil
}

// failures is an error where a model failed on a picture: the figures are
// without it, and whoever reads them must know.
func failures(r report.Results) error {
	n := 0
	for _, s := range r.Segment {
		if s.Subset == dataset.All {
			n += s.Failed
		}
	}
	for _, f := range r.Faces {
		if f.Subset == dataset.All {
			n += f.Failed
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d pictures failed and are in no figure: results.json counts them by model, journal.jsonl says why", n)
}
