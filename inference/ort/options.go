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
	"enable_cuda_graph":        graphReason,
	"trt_cuda_graph_enable":    graphReason,
	"user_compute_stream":      addressReason,
	"has_user_compute_stream":  addressReason,
	"gpu_external_alloc":       addressReason,
	"gpu_external_free":        addressReason,
	"gpu_external_empty_cache": addressReason,
	"default_memory_arena_cfg": addressReason,
}

// A graph could be had with tensors at fixed places of the card for inputs and
// outputs: the binding (1.36) can name such places, and make no tensor there.
const graphReason = "a captured graph reads the buffers of its first run again, and every run here has its own: its results would be old ones; " +
	"larger batches (max_batch in model.yaml) and --tensorrt save launches too"

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

// written lists options for people, and for the key of a profile.
func written(options map[string]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(options)) {
		all = append(all, fmt.Sprintf("%s=%s", key, options[key]))
	}
	return strings.Join(all, " ")
}
