package oip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"focal/models"
)

// numbers are a tensor's data as JSON: flat, or nested as its axes are. What is
// wrong with them is kept, to be told with the name of their input, and only
// where its datatype is right.
type numbers struct {
	values []float32
	err    error
}

// UnmarshalJSON reads arrays of numbers, row by row. Go's decoder would box
// every number; a tensor has a million.
func (n *numbers) UnmarshalJSON(text []byte) error {
	n.values, n.err = readNumbers(text)
	return nil
}

func readNumbers(text []byte) ([]float32, error) {
	if !bytes.HasPrefix(text, []byte("[")) {
		return nil, fmt.Errorf("data is %.40s: want an array of numbers", text)
	}
	values := make([]float32, 0, min(bytes.Count(text, []byte(",")), len(text)/2)+1) // as many as there can be
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(text) && strings.IndexByte(",] \t\r\n", text[end]) < 0 {
				end++
			}
			v, err := strconv.ParseFloat(string(text[i:end]), 32)
			if err != nil {
				return nil, fmt.Errorf("data holds %.40s, which is beyond %s", text[i:end], fp32)
			}
			values = append(values, float32(v))
			i = end
		case strings.IndexByte("[], \t\r\n", c) >= 0: // the decoder has seen that they match
			i++
		default:
			return nil, fmt.Errorf("data holds %.40s: want numbers", text[i:])
		}
	}
	return values, nil
}

// read returns the tensor of in, and what is left of binary.
func (in inputBody) read(binary []byte) (models.Tensor, []byte, error) {
	var none models.Tensor
	if err := in.Parameters.only("binary_data_size"); err != nil {
		return none, nil, err
	}
	elements := models.Elements(in.Shape)
	if len(in.Shape) == 0 || elements < 0 {
		return none, nil, fmt.Errorf("shape %v: want axes above 0, and a tensor that can be", in.Shape)
	}
	size := int64(-1)
	if err := in.Parameters.read("binary_data_size", "a whole number of bytes", &size); err != nil {
		return none, nil, err
	}
	_, isBinary := in.Parameters["binary_data_size"]
	switch {
	case isBinary && in.Data != nil:
		return none, nil, errors.New("both data and binary_data_size are given")
	case isBinary:
		if size != elements*fp32Bytes {
			return none, nil, fmt.Errorf("binary_data_size is %d: shape %v of %s has %d bytes", size, in.Shape, fp32, elements*fp32Bytes)
		}
		if size > int64(len(binary)) {
			return none, nil, fmt.Errorf("binary_data_size is %d: %d bytes are left behind the JSON (Inference-Header-Content-Length)", size, len(binary))
		}
		data, err := floats(binary[:size])
		return models.Tensor{Shape: in.Shape, Data: data}, binary[size:], err
	case in.Data == nil:
		return none, nil, errors.New("neither data nor binary_data_size is given")
	case in.Data.err != nil:
		return none, nil, in.Data.err
	case int64(len(in.Data.values)) != elements:
		return none, nil, fmt.Errorf("data holds %d numbers: shape %v has %d", len(in.Data.values), in.Shape, elements)
	}
	return models.Tensor{Shape: in.Shape, Data: in.Data.values}, binary, nil
}

// floats reads little-endian numbers; what is not finite is refused, for no
// picture gives it and it would come out as an answer that means nothing.
func floats(data []byte) ([]float32, error) {
	const exponent = 0x7f800000 // all ones: infinite, or no number (IEEE 754)
	out := make([]float32, len(data)/fp32Bytes)
	for i := range out {
		bits := binary.LittleEndian.Uint32(data[fp32Bytes*i:][:fp32Bytes])
		out[i] = math.Float32frombits(bits)
		if bits&exponent == exponent {
			return nil, fmt.Errorf("number %d is %v: want finite numbers", i, out[i])
		}
	}
	return out, nil
}

func finite(v float32) bool { return v-v == 0 }

// parseRaw reads a body that is nothing but the data of the model's one input.
func parseRaw(body []byte, m models.Manifest) (Request, error) {
	if len(m.Inputs) != 1 {
		return Request{}, invalid("Inference-Header-Content-Length is 0: a model with %d inputs needs the JSON", len(m.Inputs))
	}
	shape, free := slices.Clone(m.Inputs[0].Shape), -1
	shape[0] = 1
	for axis, n := range shape {
		if n > 0 {
			continue
		}
		if free >= 0 {
			return Request{}, invalid("Inference-Header-Content-Length is 0: input %s has shape %v, of which the length does not tell more than one free axis",
				m.Inputs[0].Name, m.Inputs[0].Shape)
		}
		free, shape[axis] = axis, 1
	}
	elements := models.Elements(shape)
	if free >= 0 && elements > 0 {
		shape[free] = int64(len(body)) / (elements * fp32Bytes)
		elements = models.Elements(shape)
	}
	if elements < 0 || elements*fp32Bytes != int64(len(body)) {
		return Request{}, invalid("the body has %d bytes: input %s of shape %v and %s has others", len(body), m.Inputs[0].Name, m.Inputs[0].Shape, fp32)
	}
	data, err := floats(body)
	if err != nil {
		return Request{}, invalid("input %s: %w", m.Inputs[0].Name, err)
	}
	outputs, err := readOutputs(nil, true, m.Outputs)
	return Request{Inputs: []models.Tensor{{Shape: shape, Data: data}}, Outputs: outputs}, err
}
