// Package models says what each model is: where it comes from, under which
// licence, what goes in, what comes out, and by which recipe pixels become
// tensors and tensors become faces or masks.
//
// It runs nothing: inference/ort does, and knows no pixels. The manifest of a
// model is a YAML file beside its weights, so that a user adds a model by
// adding a folder.
package models

import (
	"time"

	"focal/core/pixel"
)

// Task is what a model is for.
type Task string

// The tasks.
const (
	TaskFace       Task = "face"
	TaskForeground Task = "foreground"
)

// Manifest is model.yaml: everything about a model but its bytes.
type Manifest struct {
	Name      string   `yaml:"name"`
	Task      Task     `yaml:"task"`
	Summary   string   `yaml:"summary"`
	Licence   Licence  `yaml:"licence"`
	Source    string   `yaml:"source"`     // where the weights were published
	TrainedOn []string `yaml:"trained_on"` // data sets; the harness marks leaks by them
	// TunedOn are data sets that Defaults were chosen on, if not those of
	// TrainedOn; the harness warns of them.
	TunedOn   []string   `yaml:"tuned_on,omitempty"`
	Artefacts []Artefact `yaml:"artefacts"` // alternatives, the best first
	Inputs    []Port     `yaml:"inputs"`
	Outputs   []Port     `yaml:"outputs"`
	Recipe    Recipe     `yaml:"recipe"`
	// Canvases are the sizes that inputs of a free-shape model are padded to,
	// so that pictures of different shapes meet in one batch. Empty: the one
	// size of the recipe.
	Canvases Canvases `yaml:"canvases"`
	// MaxBatch is the largest batch worth running; 0 means 1. MaxBatchCPU
	// replaces it on the CPU where it is set.
	MaxBatch    int `yaml:"max_batch"`
	MaxBatchCPU int `yaml:"max_batch_cpu"`
	// MaxDelay is how long a batch that is not full waits for company while
	// the device is free; 0: it forms only while the device is busy.
	MaxDelay time.Duration `yaml:"max_delay,omitempty"`
	// Instances is how many runs may be under way at the same time; 0: as many
	// as the device has places for.
	Instances int `yaml:"instances,omitempty"`
	// KeepAlive is how long the model stays loaded unused when nobody wants
	// its room; 0: as long as the server keeps any.
	KeepAlive time.Duration `yaml:"keep_alive,omitempty"`
	// Pinned keeps the model loaded once it is.
	Pinned   bool     `yaml:"pinned,omitempty"`
	Memory   Memory   `yaml:"memory"`
	Session  Session  `yaml:"session"`
	Defaults Defaults `yaml:"defaults"`
}

// Licence is under which terms the weights may be used.
type Licence struct {
	SPDX          string `yaml:"spdx"`
	NonCommercial bool   `yaml:"non_commercial"`
	URL           string `yaml:"url"`
}

// Artefact is one file that holds the model's weights. Several artefacts of
// one model may differ in bytes and tensor names; tensors bind by position.
type Artefact struct {
	File   string   `yaml:"file"` // name that FOCAL_MODEL_MIRROR is asked for
	URLs   []string `yaml:"urls"`
	SHA256 string   `yaml:"sha256"`
	MD5    string   `yaml:"md5,omitempty"` // what upstream published; checked besides
	Bytes  int64    `yaml:"bytes,omitempty"`
	// FixedBatch says that the file takes one picture at a time, whatever the
	// batch axis of the manifest's ports; alternatives may differ in it.
	FixedBatch bool `yaml:"fixed_batch,omitempty"`
	// Proven says that these very weights were run by this project's tests.
	Proven bool `yaml:"proven"`
}

// Port is one input or output tensor. -1 in Shape is a free axis; the first
// axis is the batch.
type Port struct {
	Name  string  `yaml:"name"`
	Type  string  `yaml:"type"` // float32 where empty
	Shape []int64 `yaml:"shape,flow"`
}

// Recipe is how pixels become the input tensor and the output tensors become a
// result. Every field that moves a box or a mask is here, and all of it goes
// into the recipe digest, which is part of every result's key.
type Recipe struct {
	// Family picks the decoder: retinaface, yunet, ultralight, mask.
	Family string `yaml:"family"`
	Colour string `yaml:"colour"` // rgb or bgr: the order of the channels
	// Resize is stretch (to Width×Height) or fit (keep the aspect, long side
	// at most LongSide, never enlarged, then padded to a canvas with Mean).
	Resize   string `yaml:"resize"`
	Width    int    `yaml:"width,omitempty"`
	Height   int    `yaml:"height,omitempty"`
	LongSide int    `yaml:"long_side,omitempty"`
	Kernel   string `yaml:"kernel"` // area or linear, when shrinking
	// Scale is what a pixel value is divided by first: "255", "1", or "max"
	// for the largest value in the resized picture.
	Scale string `yaml:"scale"`
	// After scaling each channel becomes (v - Mean) / Std, in the channel
	// order of Colour.
	Mean [3]float64 `yaml:"mean,flow"`
	Std  [3]float64 `yaml:"std,flow"`
	// Sigmoid is applied to a mask before anything else.
	Sigmoid bool `yaml:"sigmoid,omitempty"`
	// Stretch spreads a mask over 0..1 by its own minimum and maximum; a mask
	// whose maximum stays under EmptyBelow means that there is no subject, and
	// becomes all background.
	Stretch    bool    `yaml:"stretch,omitempty"`
	EmptyBelow float64 `yaml:"empty_below,omitempty"`
	// Floor is the lowest score that is stored; NMS the overlap (IoU) at which
	// the weaker of two boxes goes; MaxFaces bounds what is stored.
	Floor    float64 `yaml:"floor,omitempty"`
	NMS      float64 `yaml:"nms,omitempty"`
	MaxFaces int     `yaml:"max_faces,omitempty"`
}

// Canvases are the sides that a free axis may take: multiples of Step up to Max.
type Canvases struct {
	Step int `yaml:"step,omitempty"`
	Max  int `yaml:"max,omitempty"`
}

// Memory is what a model is declared to need until it has been measured, in
// bytes: Rest while it is loaded, Run for each item of a batch while it runs
// at its largest canvas. Zero means unknown: the file size decides.
type Memory struct {
	Rest int64 `yaml:"rest,omitempty"`
	Run  int64 `yaml:"run,omitempty"`
}

// Session holds per-model switches of the runtime.
type Session struct {
	// MemoryPattern lets the runtime plan one block per shape. It helps
	// RetinaFace and costs batches of U²-Net-p twice the memory and half the
	// speed. See Planned.
	MemoryPattern bool `yaml:"memory_pattern"`
	// CUDA and TensorRT are options of ONNX Runtime's providers by their own
	// keys, over the server's: cudnn_conv_algo_search, use_tf32, trt_fp16_enable …
	CUDA     map[string]string `yaml:"cuda,omitempty"`
	TensorRT map[string]string `yaml:"tensorrt,omitempty"`
}

// Planned says whether the memory of a run on a provider is planned in one block
// per shape: where the manifest says so, and on the CPU wherever one item runs at
// a time. For one item the plan is no larger, and where runs go side by side it is
// up to 1.4 times as fast, since they do not mix their blocks.
func (m Manifest) Planned(provider string) bool {
	return m.Session.MemoryPattern || provider == "cpu" && m.MaxBatchCPU == 1
}

// Defaults are what a reader gets who asks for nothing special.
type Defaults struct {
	Threshold float64 `yaml:"threshold,omitempty"` // faces below it are left out
}

// Model is a manifest together with the file that was found for it.
type Model struct {
	Manifest
	Version string       // folder name, "1" for the first
	Path    string       // the ONNX file; empty where there is Data
	File    pixel.Digest // SHA-256 of that file
	// Data is the file's bytes, of a model that is part of the program. Nobody
	// changes them.
	Data []byte `json:"-"`
}

// Tensor is a dense float32 array in row-major order. The first axis is the
// batch. Data may be pooled by its owner, who alone says when it is free.
type Tensor struct {
	Shape []int64
	Data  []float32
}

// Elements returns the product of shape, or -1 if an axis is not positive or
// the product is beyond what any model here could take.
func Elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		if d <= 0 || n > (1<<40)/d {
			return -1
		}
		n *= d
	}
	return n
}
