package ort

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	onnx "github.com/yalue/onnxruntime_go"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/models"
)

const (
	tensorRTLibrary = "libonnxruntime_providers_tensorrt.so"
	// getTensorRT names the release that the provider is built with: a plain
	// "pip install tensorrt" brings the next one, which does not fit. What PyPI
	// carries is a stub that fetches the library from NVIDIA, by its licence, so
	// scripts/deps does not.
	getTensorRT = "python3 -m pip install --no-deps --target .deps/tensorrt tensorrt-cu13-libs==10.14.1.48 fetches TensorRT from NVIDIA; " +
		"then start with LD_LIBRARY_PATH=.deps/tensorrt/tensorrt_libs, or leave --tensorrt out"
)

// openTensorRT opens what the TensorRT provider in folder needs, CUDA's libraries
// being open, and returns TensorRT's version as its library counts: 101401 is
// 10.14.1.
func openTensorRT(folder string) (version int, err error) {
	provider := filepath.Join(folder, tensorRTLibrary)
	if !isFile(provider) {
		return 0, fmt.Errorf("the ONNX Runtime in %s has no TensorRT provider (%s): %s", folder, tensorRTLibrary, getLibraries)
	}
	opened, missing, err := preload(provider)
	if err != nil {
		return 0, fmt.Errorf("%s cannot be read: %w", provider, err)
	}
	ours, others := "", missing[:0]
	for _, name := range missing {
		if strings.HasPrefix(name, "libnv") {
			ours += ", " + name
		} else {
			others = append(others, name) // CUDA's, which openProvider has named
		}
	}
	if ours != "" {
		return 0, fmt.Errorf("%s not found: %s", strings.TrimPrefix(ours, ", "), getTensorRT)
	}
	if len(others) > 0 {
		return 0, nil
	}
	library, _ := find(opened, "libnvinfer")
	if version = library.constant("getInferLibVersion"); version <= 0 {
		return 0, fmt.Errorf("%s asks for a libnvinfer that is not TensorRT", provider)
	}
	return version, nil
}

// engines is the folder for the engines of a card and a release of TensorRT, below
// root. ONNX Runtime tells cards apart by their compute capability only, and
// releases not at all; TensorRT refuses engines of another release and warns of those
// of another card, which may ask for more memory than there is.
func engines(root, card string, tensorRT int) string {
	name := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return '-'
	}, card)
	return filepath.Join(root, fmt.Sprintf("%d.%d.%d-%s", tensorRT/10000, tensorRT/100%100, tensorRT%100, name))
}

// useTensorRT appends the TensorRT provider to the options of a session of m, whose
// inputs have these names in the file.
func (c *card) useTensorRT(o *onnx.SessionOptions, m models.Model, inputs []string) error {
	if err := checkOptions("session.tensorrt of the manifest", m.Session.TensorRT); err != nil {
		return err
	}
	options, err := c.tensorRTOptions(m, inputs)
	if err != nil {
		return err
	}
	// The provider would make the last folder of a path, not those before it.
	if err := os.MkdirAll(options["trt_engine_cache_path"], 0o755); err != nil {
		return fault.New(fault.Invalid, "ort.Options", "TensorRT has no folder for its engines (--models, session.tensorrt): %w", err)
	}
	p, err := onnx.NewTensorRTProviderOptions()
	if err != nil {
		return err
	}
	defer p.Destroy()
	if err := setTensorRT(p, options); err != nil {
		return err
	}
	return o.AppendExecutionProviderTensorRT(p)
}

// setTensorRT hands options to the provider.
func setTensorRT(p *onnx.TensorRTProviderOptions, options map[string]string) error {
	return refused("the TensorRT provider (session.tensorrt)", options, p.Update(options))
}

// tensorRTOptions are those of the TensorRT provider for a model, whose inputs
// have these names in the file. An engine is built for a range of shapes, given
// here, so that none is built while somebody waits; it is kept on disk.
//
// ONNX Runtime names an engine by the names in the graph, not by the weights, and
// by few of the options. So its name begins with the model's, and a digest of the
// file and of all that decides what is built; a file without a digest has none kept.
func (c *card) tensorRTOptions(m models.Model, inputs []string) (map[string]string, error) {
	decides := map[string]string{}
	if len(inputs) > 0 {
		low, high, err := shapeRange(m, inputs)
		if err != nil {
			return nil, err
		}
		decides["trt_profile_min_shapes"], decides["trt_profile_opt_shapes"], decides["trt_profile_max_shapes"] = low, high, high
	}
	maps.Copy(decides, m.Session.TensorRT)
	key := sha256.Sum256(append(m.File[:], written(decides)...))
	folder := engines(c.config.EngineCache, c.name, c.tensorRT)
	o := map[string]string{
		"device_id":                         strconv.Itoa(c.index),
		"trt_engine_cache_enable":           "1",
		"trt_engine_cache_path":             folder,
		"trt_engine_cache_prefix":           fmt.Sprintf("%s-%x", m.Name, key[:6]),
		"trt_timing_cache_enable":           "1",
		"trt_timing_cache_path":             folder,
		"trt_max_workspace_size":            strconv.FormatInt(c.budget, 10),
		"trt_context_memory_sharing_enable": "1",
	}
	if m.File == (pixel.Digest{}) {
		o["trt_engine_cache_enable"] = "0"
	}
	maps.Copy(o, decides)
	return o, nil
}

// unread removes what a load failed over because TensorRT cannot read it, and reports
// whether there was any: the provider writes its files in place, so that one that
// ended meanwhile leaves half of it, and then refuses the model for ever.
func (c *card) unread(load error) (removed bool) {
	if c.tensorRT == 0 {
		return false
	}
	folder := engines(c.config.EngineCache, c.name, c.tensorRT)
	files, _ := os.ReadDir(folder)
	for _, f := range files {
		path := filepath.Join(folder, f.Name())
		for _, what := range []string{"deserialize engine from cache", "create timing cache"} {
			if strings.HasSuffix(words(load), "TensorRT EP could not "+what+": "+path) && os.Remove(path) == nil {
				removed = true
			}
		}
	}
	return removed
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
