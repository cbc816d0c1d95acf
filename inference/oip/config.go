package oip

import (
	"focal/inference"
	"focal/models"
)

// Config is the answer to GET /v2/models/{model}/config: what is true here of
// the fields of Triton's ModelConfig, in the way in which Triton writes them.
type Config struct {
	Name          string          `json:"name"`
	Platform      string          `json:"platform"`
	Backend       string          `json:"backend"`
	VersionPolicy versionPolicy   `json:"version_policy"`
	MaxBatchSize  int             `json:"max_batch_size"` // of a run; a request may bring more
	Input         []configTensor  `json:"input"`
	Output        []configTensor  `json:"output"`
	InstanceGroup []instanceGroup `json:"instance_group"`
	File          string          `json:"default_model_filename"`
	Dynamic       dynamicBatching `json:"dynamic_batching"`
}

type versionPolicy struct {
	Latest struct {
		Versions int `json:"num_versions"`
	} `json:"latest"`
}

// configTensor has no batch axis in its shape, as Triton's have none where there
// is a largest batch.
type configTensor struct {
	Name     string  `json:"name"`
	DataType string  `json:"data_type"`
	Dims     []int64 `json:"dims"`
}

type instanceGroup struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Count int    `json:"count"`
}

type dynamicBatching struct {
	Preferred       []int `json:"preferred_batch_size"`
	Delay           int64 `json:"max_queue_delay_microseconds"`
	Levels          int   `json:"priority_levels"`
	DefaultPriority int   `json:"default_priority_level"`
}

// Configure returns the configuration of m, which shares runs as b says;
// provider is where they run.
func Configure(m models.Model, b inference.Batching, provider string) Config {
	c := Config{
		Name: m.Name, Platform: Platform, Backend: "onnxruntime", MaxBatchSize: b.Most,
		Input: itemsOf(m.Inputs), Output: itemsOf(m.Outputs), File: "model.onnx",
		InstanceGroup: []instanceGroup{{Name: m.Name, Kind: "KIND_" + kindOf(provider), Count: b.Instances}},
		Dynamic: dynamicBatching{
			Preferred: append([]int{}, b.Sizes...), Delay: b.Delay.Microseconds(),
			Levels: b.Lowest, DefaultPriority: b.Default,
		},
	}
	c.VersionPolicy.Latest.Versions = 1
	return c
}

func itemsOf(ports []models.Port) []configTensor {
	tensors := make([]configTensor, len(ports))
	for i, p := range ports {
		tensors[i] = configTensor{Name: p.Name, DataType: "TYPE_" + fp32, Dims: append([]int64{}, p.Shape[min(1, len(p.Shape)):]...)}
	}
	return tensors
}

// kindOf is the protocol's word for where a provider runs.
func kindOf(provider string) string {
	if provider == "cpu" {
		return "CPU"
	}
	return "GPU"
}
