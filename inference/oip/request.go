package oip

import (
	"math"
	"slices"
	"time"

	"focal/models"
)

// Request is the body of POST …/infer, read for one model.
type Request struct {
	ID       string
	Priority int             // 1 is the highest, 0 the default
	Timeout  time.Duration   // 0: none
	Inputs   []models.Tensor // by position; the shapes still have to fit the model
	Outputs  []Output        // that are wanted, in this order
}

// Output is one that is wanted.
type Output struct {
	Position int // in the manifest
	Binary   bool
}

// requestBody is the JSON of a request. The model's name belongs in the URL;
// Triton's examples repeat it.
type requestBody struct {
	ModelName  string       `json:"model_name"`
	ID         string       `json:"id"`
	Parameters parameters   `json:"parameters"`
	Inputs     []inputBody  `json:"inputs"`
	Outputs    []outputBody `json:"outputs"`
}

type inputBody struct {
	Name       string     `json:"name"`
	Shape      []int64    `json:"shape"`
	Datatype   string     `json:"datatype"`
	Parameters parameters `json:"parameters"`
	Data       *numbers   `json:"data"`
}

type outputBody struct {
	Name       string     `json:"name"`
	Parameters parameters `json:"parameters"`
}

// NoHeader is the length of the JSON of a body that is nothing but JSON.
const NoHeader = -1

// Parse reads a request for m. header is the Inference-Header-Content-Length,
// how many bytes of body are JSON, or NoHeader:
//
//  1. None is given: all of it, and no tensor is binary.
//  2. It is 0: the body is the one input's data, a batch of 1, and its shape
//     follows from its length. All outputs are wanted as binary.
//  3. Else the binary tensors follow the JSON, in its order.
//
// The inputs are those of the manifest, each once and in its datatype, with as
// many finite numbers as their shapes say. Errors are fault.Invalid.
func Parse(body []byte, header int64, m models.Manifest) (Request, error) {
	if header > int64(len(body)) || header < NoHeader {
		return Request{}, invalid("Inference-Header-Content-Length is %d: the body has %d bytes", header, len(body))
	}
	var binary []byte
	switch header {
	case NoHeader: // 1
	case 0: // 2
		return parseRaw(body, m)
	default: // 3
		body, binary = body[:header], body[header:]
	}
	var b requestBody
	if err := strictly(body, &b); err != nil {
		return Request{}, invalid("inference request: %w", err)
	}
	if b.ModelName != "" && b.ModelName != m.Name {
		return Request{}, invalid("model_name is %q: the URL asks for %s", b.ModelName, m.Name)
	}
	r := Request{ID: b.ID}
	all, err := r.schedule(b.Parameters)
	if err != nil {
		return Request{}, invalid("%w", err)
	}
	if r.Inputs, err = readInputs(b.Inputs, binary, m.Inputs); err != nil {
		return Request{}, err
	}
	r.Outputs, err = readOutputs(b.Outputs, all, m.Outputs)
	return r, err
}

// schedule reads the parameters of the request as a whole; binary says whether
// outputs are wanted as binary that do not say otherwise.
func (r *Request) schedule(p parameters) (binary bool, err error) {
	const whole = "a whole number, 0 or more"
	if err := p.only("binary_data_output", "priority", "timeout"); err != nil {
		return false, err
	}
	if err := p.read("binary_data_output", "true or false", &binary); err != nil {
		return false, err
	}
	var priority, micros uint64
	if err := p.read("priority", whole, &priority); err != nil {
		return false, err
	}
	if err := p.read("timeout", whole+", of microseconds", &micros); err != nil {
		return false, err
	}
	r.Priority = int(min(priority, math.MaxInt32))
	r.Timeout = time.Duration(min(micros, math.MaxInt64/uint64(time.Microsecond))) * time.Microsecond
	return binary, nil
}

// readInputs brings inputs in the order of ports.
func readInputs(inputs []inputBody, binary []byte, ports []models.Port) ([]models.Tensor, error) {
	tensors := make([]models.Tensor, len(ports))
	for _, in := range inputs {
		at := slices.IndexFunc(ports, func(p models.Port) bool { return p.Name == in.Name })
		if at < 0 {
			return nil, invalid("the model has no input %q; it has %v", in.Name, names(ports))
		}
		if tensors[at].Data != nil {
			return nil, invalid("input %s is given twice", in.Name)
		}
		if in.Datatype != fp32 {
			return nil, invalid("input %s has datatype %q: the model takes %s", in.Name, in.Datatype, fp32)
		}
		var err error
		if tensors[at], binary, err = in.read(binary); err != nil {
			return nil, invalid("input %s: %w", in.Name, err)
		}
	}
	for i, t := range tensors {
		if t.Data == nil {
			return nil, invalid("input %s is missing", ports[i].Name)
		}
	}
	if len(binary) > 0 {
		return nil, invalid("%d bytes follow the last binary tensor", len(binary))
	}
	return tensors, nil
}

// readOutputs returns the outputs that are wanted: all, where none is named.
func readOutputs(outputs []outputBody, binary bool, ports []models.Port) ([]Output, error) {
	var wanted []Output
	for i := range ports {
		if len(outputs) == 0 {
			wanted = append(wanted, Output{Position: i, Binary: binary})
		}
	}
	for _, out := range outputs {
		at := slices.IndexFunc(ports, func(p models.Port) bool { return p.Name == out.Name })
		if at < 0 {
			return nil, invalid("the model has no output %q; it has %v", out.Name, names(ports))
		}
		if slices.ContainsFunc(wanted, func(o Output) bool { return o.Position == at }) {
			return nil, invalid("output %s is asked for twice", out.Name)
		}
		o := Output{Position: at, Binary: binary}
		if err := out.Parameters.only("binary_data"); err != nil {
			return nil, invalid("output %s: %w", out.Name, err)
		}
		if err := out.Parameters.read("binary_data", "true or false", &o.Binary); err != nil {
			return nil, invalid("output %s: %w", out.Name, err)
		}
		wanted = append(wanted, o)
	}
	return wanted, nil
}

func names(ports []models.Port) []string {
	all := make([]string, len(ports))
	for i, p := range ports {
		all[i] = p.Name
	}
	return all
}
