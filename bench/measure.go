package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"focal/bench/dataset"
	"focal/bench/report"
	"focal/bench/run"
	"focal/core/fault"
	"focal/core/vips"
	"focal/inference/ort"
	"focal/models/vision"

	"github.com/schollz/progressbar/v3"
)

// session is one run of segment or faces.
type session struct {
	flags    measureFlags
	house    *run.House
	journal  *run.Journal
	log      *slog.Logger
	results  report.Results
	evidence report.Evidence
}

// measure opens the house and the journal, lets do fill in the results, and
// publishes and judges them.
func (f measureFlags) measure(log *slog.Logger, do func(*session) error) error {
	return f.with(log, f.Clients, func(h *run.House) error {
		j, err := f.openJournal()
		if err != nil {
			return err
		}
		s := &session{flags: f, house: h, journal: j, log: log, results: f.results(h), evidence: report.Evidence{Out: f.Out}}
		if err = errors.Join(do(s), j.Close()); err != nil {
			return err
		}
		if err := f.publish(s.results, s.evidence); err != nil {
			return err
		}
		return errors.Join(failures(s.results), f.check(s.results))
	})
}

// each goes over sets and, for each of them, over workers; do measures one set
// with one worker.
func (s *session) each(sets, workers int, do func(set, worker int) (report.Dataset, error)) error {
	for set := range sets {
		for worker := range workers {
			d, err := do(set, worker)
			if err != nil {
				return err
			}
			if worker == 0 {
				s.results.Datasets = append(s.results.Datasets, d)
			}
		}
	}
	return nil
}

// batches adds the engine's throughput to a model of ours, where it is not
// known yet.
func (s *session) batches(ctx context.Context, m report.Model, picture string) (report.Model, error) {
	var sizes []int
	for _, size := range s.flags.Batches {
		if size > 0 {
			sizes = append(sizes, size)
		}
	}
	if m.Engine != run.Ours || len(m.Batches) > 0 || len(sizes) == 0 {
		return m, nil
	}
	var err error
	if m.Batches, err = s.house.Batches(ctx, m.Model, sizes, picture); err != nil {
		return m, err
	}
	return m, s.journal.Remember(m)
}

// endpoints opens every --endpoint.
func endpoints[W any](s *session, open func(string, *http.Client) (W, error)) ([]W, error) {
	var all []W
	for _, address := range s.flags.Endpoint {
		e, err := open(address, &http.Client{})
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// tagged is a set of either kind.
type tagged interface {
	Tag(map[string][]string)
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

// openJournal makes the folder of results and its journal.
func (f loopFlags) openJournal() (*run.Journal, error) {
	if f.Clients < 1 || f.Limit < 0 {
		return nil, fault.New(fault.Invalid, "main.openJournal", "--clients %d, --limit %d: want at least 1, and 0 or more", f.Clients, f.Limit)
	}
	if err := os.MkdirAll(f.Out, 0o755); err != nil {
		return nil, fault.New(fault.Invalid, "main.openJournal", "--out: %w", err)
	}
	return run.OpenJournal(filepath.Join(f.Out, "journal.jsonl"))
}

func (f loopFlags) options(threshold int) run.Options {
	return run.Options{
		Out: f.Out, Threshold: threshold, Limit: f.Limit, Seed: f.Seed, Clients: f.Clients, Timeout: f.Timeout,
		Progress: func(what string, total int) run.Progress {
			return progressbar.NewOptions(total, progressbar.OptionSetDescription(what), progressbar.OptionSetWriter(os.Stderr),
				progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("img"),
				progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(200*time.Millisecond),
				progressbar.OptionOnCompletion(func() { fmt.Fprintln(os.Stderr) }))
		},
	}
}

// results begins a results.json.
func (f loopFlags) results(h *run.House) report.Results {
	r := report.Results{
		Schema: report.Schema, Created: time.Now().UTC().Truncate(time.Second), Command: os.Args[1:], Seed: f.Seed,
		Machine: run.Machine(h.Device()), Versions: versions(), Label: f.Label,
	}
	switch {
	case r.Label != "":
	case h.Provider() == "cpu":
		r.Label = fmt.Sprintf("cpu, %s, %d cores", r.Machine.CPU, r.Machine.Cores)
	default:
		r.Label = h.Device()
	}
	return r
}

func versions() map[string]string {
	return map[string]string{
		"focal": version, "go": runtime.Version(), "libvips": vips.Version(), "onnxruntime": ort.Version(), "pixels": vision.Backend(),
	}
}

// publish writes everything about a run but its journal.
func (f loopFlags) publish(r report.Results, evidence report.Evidence) error {
	if err := r.Write(filepath.Join(f.Out, "results.json")); err != nil {
		return err
	}
	if err := r.WriteCSV(filepath.Join(f.Out, "results.csv")); err != nil {
		return err
	}
	if err := r.WritePictures(filepath.Join(f.Out, "pictures.csv"), evidence); err != nil {
		return err
	}
	page, err := report.NewPage([]report.Results{r}, evidence)
	if err != nil {
		return err
	}
	if err := page.Write(filepath.Join(f.Out, "report.html")); err != nil {
		return err
	}
	fmt.Print(report.Text(r))
	fmt.Fprintf(os.Stderr, "focal-bench: wrote results.json, results.csv, pictures.csv and report.html to %s\n", f.Out)
	return nil
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
