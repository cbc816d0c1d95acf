// Package oip reads and writes the bodies of the Open Inference Protocol,
// version 2, with Triton's extensions for binary tensors, scheduling,
// statistics and the model repository.
//
// It knows JSON, little-endian numbers and manifests. It must not know HTTP,
// who runs a model, or whether there is one. It starts no goroutine and keeps
// nothing.
//
// Tensors are named on the wire as the manifest names them, and bound by
// position behind it. All models here take and give float32 (models.Port), so
// FP32 is the one datatype; any other is refused by name.
package oip

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"focal/core/fault"
	"focal/models"
)

// Extensions are the names of what is served beyond the protocol itself.
var Extensions = [...]string{"binary_tensor_data", "model_configuration", "model_repository", "schedule_policy", "statistics"}

// Platform is the protocol's name of the runtime.
const Platform = "onnxruntime_onnx"

const fp32, fp32Bytes = "FP32", 4

// Tensor describes an input or output of a model.
type Tensor struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"` // -1 is a free axis
}

// Metadata is the answer to GET /v2/models/{model}.
type Metadata struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions"`
	Platform string   `json:"platform"`
	Inputs   []Tensor `json:"inputs"`
	Outputs  []Tensor `json:"outputs"`
}

// Describe returns the metadata of m.
func Describe(m models.Model) Metadata {
	describe := func(ports []models.Port) []Tensor {
		tensors := make([]Tensor, len(ports))
		for i, p := range ports {
			tensors[i] = Tensor{Name: p.Name, Datatype: fp32, Shape: p.Shape}
		}
		return tensors
	}
	return Metadata{
		Name: m.Name, Versions: []string{m.Version}, Platform: Platform,
		Inputs: describe(m.Inputs), Outputs: describe(m.Outputs),
	}
}

// invalid is the error of a body that can never be right.
func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, "oip.Parse", format, args...)
}

// strictly decodes one JSON value into v and refuses fields that v has not: a
// misspelt one must not pass for an answer.
func strictly(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		var mistyped *json.UnmarshalTypeError
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
			return errors.New("the JSON ends early")
		case errors.As(err, &mistyped):
			return fmt.Errorf("%s is a %s: want %s", cmp.Or(mistyped.Field, "the whole"), mistyped.Value, mistyped.Type)
		}
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more follows the JSON")
	}
	return nil
}

// parameters are a request's, an input's or an output's.
type parameters map[string]json.RawMessage

// only refuses parameters that are not among known.
func (p parameters) only(known ...string) error {
	var others []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if !slices.Contains(known, name) {
			others = append(others, strconv.Quote(name))
		}
	}
	if len(others) > 0 {
		return fmt.Errorf("parameter %s is not served here; known: %s", strings.Join(others, ", "), cmp.Or(strings.Join(known, ", "), "none"))
	}
	return nil
}

// read sets into where there is a parameter called name. Kind says of what
// type it must be.
func (p parameters) read(name, kind string, into any) error {
	raw, ok := p[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil || string(raw) == "null" {
		return fmt.Errorf("parameter %s is %.40s: want %s", name, raw, kind)
	}
	return nil
}
