package oip

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"focal/core/fault"
	"focal/models"
)

// answerHead is an answer's JSON without its outputs.
type answerHead struct {
	ModelName    string `json:"model_name"`
	ModelVersion string `json:"model_version"`
	ID           string `json:"id,omitempty"`
}

// outputHead is an output's JSON without its data.
type outputHead struct {
	Name       string       `json:"name"`
	Shape      []int64      `json:"shape"`
	Datatype   string       `json:"datatype"`
	Parameters *outputBytes `json:"parameters,omitempty"`
}

type outputBytes struct {
	Size int `json:"binary_data_size"`
}

// Answer writes the answer to r: the outputs of m that r wants, of all that it
// has. header is how many bytes of body are JSON, or NoHeader where it all is.
// fault.Invalid is an output that JSON cannot say.
func (r Request) Answer(m models.Manifest, version string, outputs []models.Tensor) (body []byte, header int, err error) {
	head, err := json.Marshal(answerHead{ModelName: m.Name, ModelVersion: version, ID: r.ID})
	if err != nil {
		return nil, 0, err
	}
	binary := 0 // bytes behind the JSON
	body, header = append(head[:len(head)-1], `,"outputs":[`...), NoHeader
	for i, o := range r.Outputs {
		t, h := outputs[o.Position], outputHead{Name: m.Outputs[o.Position].Name, Shape: outputs[o.Position].Shape, Datatype: fp32}
		if o.Binary {
			h.Parameters, header = &outputBytes{len(t.Data) * fp32Bytes}, 0
			binary += len(t.Data) * fp32Bytes
		}
		if i > 0 {
			body = append(body, ',')
		}
		head, err := json.Marshal(h)
		if err != nil {
			return nil, 0, err
		}
		body = append(body, head...)
		if !o.Binary {
			body = append(body[:len(body)-1], `,"data":`...)
			if body, err = appendNumbers(body, t.Data); err != nil {
				return nil, 0, fault.New(fault.Invalid, "oip.Answer", "output %s %w; ask for it with binary_data", h.Name, err)
			}
			body = append(body, '}')
		}
	}
	body = append(body, "]}"...)
	if header == NoHeader {
		return body, header, nil
	}
	header, body = len(body), slices.Grow(body, binary)
	for _, o := range r.Outputs {
		if o.Binary {
			body = appendBinary(body, outputs[o.Position].Data)
		}
	}
	return body, header, nil
}

func appendBinary(b []byte, data []float32) []byte {
	at := len(b)
	b = slices.Grow(b, len(data)*fp32Bytes)[:at+len(data)*fp32Bytes]
	for i, v := range data {
		binary.LittleEndian.PutUint32(b[at+fp32Bytes*i:][:fp32Bytes], math.Float32bits(v))
	}
	return b
}

// appendNumbers writes the shortest digits that read back as the same float32.
func appendNumbers(b []byte, data []float32) ([]byte, error) {
	b = append(b, '[')
	for i, v := range data {
		if !finite(v) {
			return nil, fmt.Errorf("holds %v at %d, which JSON has no word for", v, i)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(v), 'g', -1, 32)
	}
	return append(b, ']'), nil
}
