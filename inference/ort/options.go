package ort

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"focal/core/fault"
	"focal/models"
)

// What is set of the CUDA provider where nobody says otherwise. Of a heuristic
// choice of cuDNN's algorithms the first run of a shape takes milliseconds;
// exhaustive search takes seconds for each new shape, and is about as fast then.
var cudaDefaults = map[string]string{
	"arena_extend_strategy":  "kSameAsRequested",
	"cudnn_conv_algo_search": "HEURISTIC",
}

// refusedOptions are keys that would break this engine, by why.
var refusedOptions = map[string]string{
	"device_id":                "the card is chosen by --device",
	"enable_cuda_graph":        "a captured graph reads the buffers of its first run again, and every run here has its own: its results would be old ones",
	"trt_cuda_graph_enable":    "a captured graph reads the buffers of its first run again, and every run here has its own: its results would be old ones",
	"user_compute_stream":      addressReason,
	"has_user_compute_stream":  addressReason,
	"gpu_external_alloc":       addressReason,
	"gpu_external_free":        addressReason,
	"gpu_external_empty_cache": addressReason,
	"default_memory_arena_cfg": addressReason,
}

const addressReason = "it is an address in the memory of a program, which nobody can write down"

// checkOptions refuses what must not be set. where names who set it.
func checkOptions(where string, options map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if why, refused := refusedOptions[key]; refused {
			return fault.New(fault.Invalid, "ort.Options", "%s: %s cannot be set: %s", where, key, why)
		}
	}
	return nil
}

// cudaOptions are those of the CUDA provider for a model: ours, over them the
// server's, over them the model's. ONNX Runtime knows the keys and refuses
// others.
func (c *card) cudaOptions(m models.Session) map[string]string {
	o := maps.Clone(cudaDefaults)
	o["device_id"] = strconv.Itoa(c.index)
	o["gpu_mem_limit"] = strconv.FormatInt(c.budget, 10)
	maps.Copy(o, c.config.CUDA)
	maps.Copy(o, m.CUDA)
	return o
}

// tensorRTOptions are those of the TensorRT provider for a model, whose inputs
// have these names in the file. An engine is built for a range of shapes, given
// here, so that none is built while somebody waits; it is kept on disk.
func (c *card) tensorRTOptions(m models.Model, inputs []string) (map[string]string, error) {
	o := map[string]string{
		"device_id":                         strconv.Itoa(c.index),
		"trt_engine_cache_enable":           "1",
		"trt_engine_cache_path":             c.config.EngineCache,
		"trt_engine_cache_prefix":           m.Name + "-" + m.File.String()[:12],
		"trt_timing_cache_enable":           "1",
		"trt_timing_cache_path":             c.config.EngineCache,
		"trt_max_workspace_size":            strconv.FormatInt(c.budget, 10),
		"trt_context_memory_sharing_enable": "1",
	}
	if len(inputs) > 0 {
		low, high, err := shapeRange(m, inputs)
		if err != nil {
			return nil, err
		}
		o["trt_profile_min_shapes"], o["trt_profile_opt_shapes"], o["trt_profile_max_shapes"] = low, high, high
	}
	maps.Copy(o, m.Session.TensorRT)
	return o, nil
}

// shapeRange writes the smallest and the largest inputs of m as TensorRT reads
// them: name:1x3x256x256.
func shapeRange(m models.Model, inputs []string) (low, high string, err error) {
	var lows, highs []string
	for i, p := range m.Inputs {
		shape, err := smallest(m.Manifest, p)
		if err != nil {
			return "", "", err
		}
		lows = append(lows, inputs[i]+":"+dimensions(shape))
		for axis := range shape {
			switch {
			case p.Shape[axis] > 0:
			case axis == 0:
				shape[0] = int64(max(1, m.MaxBatch))
			case m.Canvases.Max > 0:
				shape[axis] = int64(m.Canvases.Max)
			}
		}
		highs = append(highs, inputs[i]+":"+dimensions(shape))
	}
	return strings.Join(lows, ","), strings.Join(highs, ","), nil
}

func dimensions(shape []int64) string {
	text := make([]string, len(shape))
	for i, n := range shape {
		text[i] = strconv.FormatInt(n, 10)
	}
	return strings.Join(text, "x")
}

// written lists options for people, and for the key of a profile.
func written(options map[string]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(options)) {
		all = append(all, fmt.Sprintf("%s=%s", key, options[key]))
	}
	return strings.Join(all, " ")
}
