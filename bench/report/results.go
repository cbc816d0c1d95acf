// Package report turns what was measured into figures: results.json and
// results.csv, one self-contained HTML page, and a verdict against an earlier
// run.
//
// It runs nothing. What it is given are journals of single pictures; every
// figure can be made again from them. It starts no goroutine.
package report

import (
	"encoding/json"
	"os"
	"time"

	"focal/bench/dataset"
	"focal/bench/measure"
	"focal/core/fault"
)

// Schema is the version of results.json. Fields may be added to a version;
// none is renamed or removed.
const Schema = 1

// Results is results.json.
type Results struct {
	Schema   int               `json:"schema"`
	Created  time.Time         `json:"created"`
	Command  []string          `json:"command"`
	Label    string            `json:"label"` // of the run's column where runs stand side by side
	Seed     uint64            `json:"seed"`
	Machine  Machine           `json:"machine"`
	Versions map[string]string `json:"versions"` // of focal and what it rests on
	Datasets []Dataset         `json:"datasets"`
	Segment  []Segment         `json:"segment,omitempty"`
	Faces    []Faces           `json:"faces,omitempty"`
	// Differences say which of two models is better on a set, and whether that
	// is more than chance.
	Differences []Difference `json:"differences,omitempty"`
}

// Machine is what a run ran on.
type Machine struct {
	OS     string `json:"os"`
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes"`
	Device string `json:"device"` // what models ran on: cpu, or the name of a card
	// Yardstick is how long a fixed piece of arithmetic took here before the
	// run, the best of several.
	Yardstick float64 `json:"yardstick_ms"`
	Load      float64 `json:"load"` // processes that wanted a core when the run began; 0 where it is not known
}

// Dataset is a set of pictures, and what was wrong with its files.
type Dataset struct {
	Name     string            `json:"name"`
	Layout   string            `json:"layout"`
	Pictures int               `json:"pictures"` // that could be used
	Measured int               `json:"measured"` // after --limit
	LeftOut  int               `json:"left_out"` // files that could not be used, each a problem
	Problems []dataset.Problem `json:"problems,omitempty"`
	// Counts is how many problems there are of each kind.
	Counts map[dataset.Kind]int `json:"problem_counts,omitempty"`
}

// Model is what measured a set.
type Model struct {
	Dataset  string `json:"dataset"`
	Model    string `json:"model"`
	Engine   string `json:"engine"` // focal, rembg or the endpoint's address
	Provider string `json:"provider,omitempty"`
	Recipe   string `json:"recipe,omitempty"`      // digest
	File     string `json:"file_sha256,omitempty"` // of the weights
	// FileBytes is the size of the weights' file.
	FileBytes int64 `json:"file_bytes,omitempty"`
	// Tuned are sets that the model's default threshold was chosen on and these
	// pictures seem to come from.
	Tuned []string `json:"tuned,omitempty"`
	Leak  []string `json:"leak,omitempty"` // sets that the model was trained on and these pictures seem to come from
	// Cold is the first picture, the loading of the model included, in ms.
	Cold    float64 `json:"cold_ms,omitempty"`
	Batches []Rate  `json:"batches,omitempty"`
	// PeakRSS is the most memory that the process held resident while the
	// model worked: what was loaded before it counts too.
	PeakRSS int64 `json:"peak_rss_bytes,omitempty"`
	// PeakDevice is the most that the process held of a device's own memory, as
	// the device tells; 0 on the CPU.
	PeakDevice int64 `json:"peak_device_bytes,omitempty"`
	// ModelBytes is what the scheduler booked for the model.
	ModelBytes int64 `json:"model_bytes,omitempty"`
	// Clients is how many pictures were in flight at once.
	Clients int `json:"clients"`
	// Yardstick is the median time of a fixed piece of arithmetic between the
	// pictures, in ms; 0 where several were in flight at once.
	Yardstick float64 `json:"yardstick_ms,omitempty"`
}

// Rate is the throughput at one batch size; Error says why there is none.
type Rate struct {
	Size   int     `json:"size"`
	Images float64 `json:"images_per_second,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// Figure is a share of 0 to 1 over a set.
type Figure struct {
	Mean   float64    `json:"mean"`   // of the pictures' values
	Pooled float64    `json:"pooled"` // of all pixels together: large pictures weigh more
	CI95   [2]float64 `json:"ci95"`   // of the mean, by bootstrap over the pictures
}

// Times are milliseconds of one picture. Total is what a user waits for; its
// parts add up to it.
type Times struct {
	Decode float64 `json:"decode"` // file to look
	Pre    float64 `json:"pre"`    // look to tensor
	Queue  float64 `json:"queue"`  // waiting for the device
	Run    float64 `json:"run"`    // the model
	Post   float64 `json:"post"`   // tensor to result, of the picture's size
	Encode float64 `json:"encode"` // result to file
	Infer  float64 `json:"infer"`  // pre, queue, run and post: pixels in, result out
	Total  float64 `json:"total"`
	// Cached says that a server had the answer already: these times are in no
	// summary.
	Cached bool `json:"cached,omitempty"`
}

// Timing summarises Times over a set, in milliseconds.
type Timing struct {
	Decode measure.Summary `json:"decode"`
	Pre    measure.Summary `json:"pre"`
	Queue  measure.Summary `json:"queue"`
	Run    measure.Summary `json:"run"`
	Post   measure.Summary `json:"post"`
	Encode measure.Summary `json:"encode"`
	Infer  measure.Summary `json:"infer"`
	Total  measure.Summary `json:"total"`
	Cached int             `json:"cached,omitempty"` // answers that a server had already: in no summary
	Count  int             `json:"count"`            // pictures of the summaries
}

func timing(all []Times) Timing {
	cached := 0
	for _, t := range all {
		if t.Cached {
			cached++
		}
	}
	of := func(pick func(Times) float64) measure.Summary {
		var values []float64
		for _, t := range all {
			if !t.Cached {
				values = append(values, pick(t))
			}
		}
		return measure.Summarise(values)
	}
	return Timing{
		Decode: of(func(t Times) float64 { return t.Decode }), Pre: of(func(t Times) float64 { return t.Pre }),
		Queue: of(func(t Times) float64 { return t.Queue }), Run: of(func(t Times) float64 { return t.Run }),
		Post: of(func(t Times) float64 { return t.Post }), Encode: of(func(t Times) float64 { return t.Encode }),
		Infer: of(func(t Times) float64 { return t.Infer }), Total: of(func(t Times) float64 { return t.Total }), Cached: cached, Count: len(all) - cached,
	}
}

// Write writes results.json.
func (r Results) Write(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fault.New(fault.Internal, "report.Write", "%w", err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// Read reads results.json.
func Read(path string) (Results, error) {
	const op = "report.Read"
	text, err := os.ReadFile(path)
	if err != nil {
		return Results{}, fault.New(fault.NotFound, op, "%w", err)
	}
	var r Results
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fault.New(fault.Invalid, op, "%s: %w", path, err)
	}
	if r.Schema != Schema {
		return r, fault.New(fault.Invalid, op, "%s has schema %d: this program reads %d", path, r.Schema, Schema)
	}
	return r, nil
}
