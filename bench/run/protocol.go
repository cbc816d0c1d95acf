package run

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"focal/bench/report"
	"focal/core/fault"
	"focal/core/pixel"
	"focal/models"
	"focal/models/face"
	"focal/models/foreground"
)

// protocolPath begins every address of the Open Inference Protocol.
const protocolPath = "/v2/models/"

// task is what a model behind the protocol is for, and how its tensors are read.
type task[R any] struct {
	task    models.Task
	adapter func(models.Manifest) (models.Adapter[R], error)
}

var (
	maskTask = task[pixel.Mask]{models.TaskForeground, foreground.New}
	faceTask = task[[]pixel.Face]{models.TaskFace, face.New}
)

// protocol is a model behind the Open Inference Protocol: pictures become
// tensors here, and tensors results, as with its other clients.
type protocol[R any] struct {
	server
	member
	adapter models.Adapter[R]
	terms   func() (terms, error)
}

// terms are what a server says of a model before it is asked for the first time.
type terms struct {
	input   string   // name
	outputs []string // names of those that the manifest has; they come first
	bytes   bool     // whether it takes tensors as bytes
}

func newProtocol[R any](h *House, s server, t task[R]) (*protocol[R], error) {
	name, _, _ := strings.Cut(strings.TrimPrefix(s.path, protocolPath), "/")
	m, err := h.member(name, t.task)
	if err != nil {
		return nil, err
	}
	a, err := t.adapter(m.model.Manifest)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(s.path, "/infer") {
		s.address, s.path = s.address+"/infer", s.path+"/infer"
	}
	p := &protocol[R]{server: s, member: m, adapter: a}
	p.terms = sync.OnceValues(p.settle)
	return p, nil
}

// Describe names the address, and the recipe that is applied here.
func (p *protocol[R]) Describe() report.Model {
	m := p.server.Describe()
	m.Recipe = models.RecipeDigest(p.model.Manifest).String()
	return m
}

// Origin is that of the manifest: the server is taken to have its weights.
func (p *protocol[R]) Origin() Origin { return p.member.Origin() }

// Memory is not known of a server.
func (p *protocol[R]) Memory(ctx context.Context) Memory { return p.server.Memory(ctx) }

// settle asks for the model's names, since tensors bind by position and files of
// one model name them differently, and for the protocol's extension for tensors
// as bytes: JSON numbers take several times as long.
func (p *protocol[R]) settle() (terms, error) {
	const op = "run.protocol"
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	got, _, err := p.exchange(ctx, http.MethodGet, strings.TrimSuffix(p.address, "/infer"), nil, nil)
	if err != nil {
		return terms{}, err
	}
	var model struct{ Inputs, Outputs []struct{ Name string } }
	if err := json.Unmarshal(got, &model); err != nil {
		return terms{}, fault.New(fault.Corrupt, op, "%s says of the model: %w", p.name, err)
	}
	if len(model.Inputs) != 1 || len(model.Outputs) < len(p.model.Outputs) {
		return terms{}, fault.New(fault.Invalid, op, "%s has a model of %d inputs and %d outputs, the manifest of %s 1 and %d",
			p.name, len(model.Inputs), len(model.Outputs), p.model.Name, len(p.model.Outputs))
	}
	t := terms{input: model.Inputs[0].Name}
	for _, o := range model.Outputs[:len(p.model.Outputs)] {
		t.outputs = append(t.outputs, o.Name)
	}
	root, _, _ := strings.Cut(p.address, protocolPath)
	got, _, err = p.exchange(ctx, http.MethodGet, root+"/v2", nil, nil)
	var about struct{ Extensions []string }
	t.bytes = err == nil && json.Unmarshal(got, &about) == nil && slices.Contains(about.Extensions, "binary_tensor_data")
	return t, nil
}

// result asks for a picture's result; of the times it fills in decode, pre and
// run, the exchange.
func (p *protocol[R]) result(ctx context.Context, file []byte) (found R, size pixel.Size, t report.Times, err error) {
	terms, err := p.terms()
	if err != nil {
		return found, size, t, err
	}
	subject, decode, err := p.house.subject(ctx, file)
	if err != nil {
		return found, size, t, err
	}
	start := time.Now()
	look, err := subject.Look(ctx)
	if err != nil {
		return found, size, t, err
	}
	prepared, err := models.Filled(p.adapter, look)
	if err != nil {
		return found, size, t, err
	}
	ready := time.Since(start)
	outputs, err := p.infer(ctx, terms, prepared.Tensor)
	if err != nil {
		return found, size, t, err
	}
	t = report.Times{Decode: ms(decode), Pre: ms(ready), Run: ms(time.Since(start) - ready)}
	found, err = p.adapter.Decode(prepared, outputs)
	return found, subject.Source, t, err
}

// tensor is one of the protocol's JSON.
type tensor struct {
	Name       string         `json:"name"`
	Shape      []int64        `json:"shape,omitempty"`
	Type       string         `json:"datatype,omitempty"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Data       []float32      `json:"data,omitempty"`
}

// headerLength says where the JSON of a body ends and its bytes begin.
const headerLength = "Inference-Header-Content-Length"

func (p *protocol[R]) infer(ctx context.Context, terms terms, input models.Tensor) ([]models.Tensor, error) {
	const op = "run.protocol"
	in := tensor{Name: terms.input, Shape: input.Shape, Type: "FP32"}
	question := map[string]any{}
	header := http.Header{"Content-Type": {"application/json"}}
	var raw []byte
	if terms.bytes {
		raw = make([]byte, 4*len(input.Data))
		if _, err := binary.Encode(raw, binary.LittleEndian, input.Data); err != nil {
			return nil, fault.New(fault.Internal, op, "%w", err)
		}
		in.Parameters = map[string]any{"binary_data_size": len(raw)}
		question["parameters"] = map[string]any{"binary_data_output": true}
	} else {
		in.Data = input.Data
	}
	question["inputs"] = []tensor{in}
	body, err := json.Marshal(question)
	if err != nil {
		return nil, fault.New(fault.Internal, op, "%w", err)
	}
	if terms.bytes {
		header.Set("Content-Type", "application/octet-stream")
		header.Set(headerLength, strconv.Itoa(len(body)))
	}
	got, answered, err := p.post(ctx, header, append(body, raw...))
	if err != nil {
		return nil, err
	}
	outputs, err := readTensors(got, answered.Get(headerLength))
	if err != nil {
		return nil, fault.New(fault.Corrupt, op, "the answer of %s: %w", p.name, err)
	}
	var all []models.Tensor
	for _, name := range terms.outputs {
		i := slices.IndexFunc(outputs, func(t tensor) bool { return t.Name == name })
		if i < 0 {
			return nil, fault.New(fault.Corrupt, op, "%s answered without %s", p.name, name)
		}
		all = append(all, models.Tensor{Shape: outputs[i].Shape, Data: outputs[i].Data})
	}
	return all, nil
}

// readTensors reads an answer: JSON, and where length says so the bytes of its
// tensors behind it.
func readTensors(body []byte, length string) ([]tensor, error) {
	text := body
	var rest []byte
	if length != "" {
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > len(body) {
			return nil, fault.New(fault.Corrupt, "run.readTensors", "%s is %q, of %d bytes", headerLength, length, len(body))
		}
		text, rest = body[:n], body[n:]
	}
	var answer struct {
		Outputs []struct {
			tensor
			Parameters struct {
				Size *int `json:"binary_data_size"`
			} `json:"parameters"`
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, err
	}
	var all []tensor
	for _, o := range answer.Outputs {
		t := o.tensor
		if size := o.Parameters.Size; size != nil {
			if *size < 0 || *size > len(rest) || *size%4 != 0 {
				return nil, fault.New(fault.Corrupt, "run.readTensors", "%s has %d bytes, of %d", t.Name, *size, len(rest))
			}
			t.Data = make([]float32, *size/4)
			if err := binary.Read(bytes.NewReader(rest[:*size]), binary.LittleEndian, t.Data); err != nil {
				return nil, err
			}
			rest = rest[*size:]
		}
		all = append(all, t)
	}
	return all, nil
}
