package oip

import "focal/inference"

// The states of a model in the index. Ready is one that would be answered for,
// loaded or not: models are loaded when they are asked for.
const (
	Ready       = "READY"
	Loading     = "LOADING"
	Unloading   = "UNLOADING"
	Unavailable = "UNAVAILABLE"
)

// Entry is one model of the answer to POST /v2/repository/index.
type Entry struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"`
	Reason  string `json:"reason"` // why it is in that state; empty where it is loaded
}

// Index returns the entry of m.
func Index(m inference.ModelStatus) Entry {
	e := Entry{Name: m.Name, Version: m.Version, State: Ready, Reason: m.Error}
	switch {
	case m.State == "loading":
		e.State = Loading
	case m.State == "idle":
		e.Reason = "not loaded; it is when it is asked for"
	case m.State == "failed":
		e.State = Unavailable
	case m.State == "unloaded" && m.Memory > 0:
		e.State, e.Reason = Unloading, "unloaded"
	case m.State == "unloaded":
		e.State, e.Reason = Unavailable, "unloaded"
	}
	return e
}

// ParseIndex reads the body of POST /v2/repository/index, which may be empty:
// whether only models that are ready are wanted.
func ParseIndex(body []byte) (ready bool, err error) {
	var b struct {
		Ready bool `json:"ready"`
	}
	if len(body) > 0 {
		if err := strictly(body, &b); err != nil {
			return false, invalid("index request: %w", err)
		}
	}
	return b.Ready, nil
}

// CheckLoad reads the body of POST …/load, which may be empty. Nothing can be
// said in it: a model's configuration is its manifest.
func CheckLoad(body []byte) error { return checkOrder("load", body) }

// CheckUnload reads the body of POST …/unload, which may be empty. No model
// here depends on another, so unload_dependents means nothing.
func CheckUnload(body []byte) error { return checkOrder("unload", body, "unload_dependents") }

func checkOrder(what string, body []byte, known ...string) error {
	var b struct {
		Parameters parameters `json:"parameters"`
	}
	if len(body) > 0 {
		if err := strictly(body, &b); err != nil {
			return invalid("%s request: %w", what, err)
		}
	}
	if err := b.Parameters.only(known...); err != nil {
		return invalid("%s request: %w", what, err)
	}
	return nil
}

// ModelStatistics is one model of the answer to GET …/stats.
type ModelStatistics struct {
	Name           string         `json:"name"`
	Version        string         `json:"version"`
	LastInference  int64          `json:"last_inference"` // milliseconds since 1970; 0: none
	InferenceCount int64          `json:"inference_count"`
	ExecutionCount int64          `json:"execution_count"`
	Inference      inferenceStats `json:"inference_stats"`
	Batches        []batchStats   `json:"batch_stats"`
	Memory         []memoryUsage  `json:"memory_usage"`
}

type inferenceStats struct {
	Success       duration `json:"success"`
	Fail          duration `json:"fail"`
	Queue         duration `json:"queue"`
	ComputeInput  duration `json:"compute_input"`
	ComputeInfer  duration `json:"compute_infer"`
	ComputeOutput duration `json:"compute_output"`
	CacheHit      duration `json:"cache_hit"`
	CacheMiss     duration `json:"cache_miss"`
}

type duration struct {
	Count int64 `json:"count"`
	NS    int64 `json:"ns"`
}

// batchStats is the runs of one batch size. What goes before and after a run
// is not measured for batches: it has their count and no time.
type batchStats struct {
	Size          int      `json:"batch_size"`
	ComputeInput  duration `json:"compute_input"`
	ComputeInfer  duration `json:"compute_infer"`
	ComputeOutput duration `json:"compute_output"`
}

type memoryUsage struct {
	Type  string `json:"type"` // CPU or GPU
	ID    int    `json:"id"`
	Bytes int64  `json:"byte_size"`
}

// Statistics writes s in Triton's shape; provider is where models run.
func Statistics(s inference.Statistics, provider string) ModelStatistics {
	of := func(t inference.Tally) duration { return duration{t.Count, t.Time.Nanoseconds()} }
	out := ModelStatistics{
		Name: s.Model, Version: s.Version, InferenceCount: s.Items, ExecutionCount: s.Runs,
		Inference: inferenceStats{
			Success: of(s.Success), Fail: of(s.Fail), Queue: of(s.Queue), ComputeInput: of(s.Input),
			ComputeInfer: of(s.Infer), ComputeOutput: of(s.Output), CacheHit: of(s.Hit), CacheMiss: of(s.Miss),
		},
		Batches: []batchStats{}, Memory: []memoryUsage{},
	}
	if !s.Last.IsZero() {
		out.LastInference = s.Last.UnixMilli()
	}
	for _, b := range s.Batches {
		around := duration{Count: b.Count}
		out.Batches = append(out.Batches, batchStats{Size: b.Size, ComputeInput: around, ComputeInfer: of(b.Tally), ComputeOutput: around})
	}
	if s.Memory > 0 {
		out.Memory = append(out.Memory, memoryUsage{Type: kindOf(provider), Bytes: s.Memory})
	}
	return out
}
