package oip_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"focal/core/fault"
	"focal/inference/oip"
	"focal/models"
)

// The vectors are those of the protocol's text (kserve/open-inference-protocol,
// inference_rest.md) and of Triton's binary_tensor_data and schedule_policy
// extensions, with FP32 in place of the datatypes that no model here has.

// mymodel is the model of the examples: two inputs, and an output of [3, 2].
var mymodel = models.Manifest{
	Name:    "mymodel",
	Inputs:  []models.Port{{Name: "input0", Shape: []int64{-1, 2}}, {Name: "input1", Shape: []int64{-1}}},
	Outputs: []models.Port{{Name: "output0", Shape: []int64{-1, 2}}, {Name: "output1", Shape: []int64{-1, 1}}},
}

// one has a single input with one free axis, as raw requests want it.
var one = models.Manifest{
	Name:    "one",
	Inputs:  []models.Port{{Name: "input0", Shape: []int64{-1, 2, -1}}},
	Outputs: mymodel.Outputs,
}

// Little-endian float32, from the table of IEEE 754.
const (
	f1, f2, f3, f4 = "\x00\x00\x80\x3f", "\x00\x00\x00\x40", "\x00\x00\x40\x40", "\x00\x00\x80\x40"
	f11, f21, f31  = "\xcd\xcc\x8c\x3f", "\x66\x66\x06\x40", "\x66\x66\x46\x40"
	fInf, fNaN     = "\x00\x00\x80\x7f", "\x00\x00\xc0\x7f"
)

func parse(t *testing.T, header int64, body string, m models.Manifest) oip.Request {
	t.Helper()
	r, err := oip.Parse([]byte(body), header, m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func same(t *testing.T, got models.Tensor, shape []int64, data ...float32) {
	t.Helper()
	if !slices.Equal(got.Shape, shape) || !slices.Equal(got.Data, data) {
		t.Errorf("tensor %v %v, want %v %v", got.Shape, got.Data, shape, data)
	}
}

const exampleJSON = `{
  "id" : "42",
  "inputs" : [
    {
      "name" : "input0",
      "shape" : [ 2, 2 ],
      "datatype" : "FP32",
      "data" : [ 1, 2, 3, 4 ]
    },
    {
      "name" : "input1",
      "shape" : [ 3 ],
      "datatype" : "FP32",
      "data" : [ 1.0 ,-2.5e-1, 3E2 ]
    }
  ],
  "outputs" : [
    {
      "name" : "output0"
    }
  ]
}`

func TestParse_ReadsTheExampleOfTheProtocol(t *testing.T) {
	r := parse(t, oip.NoHeader, exampleJSON, mymodel)
	if r.ID != "42" || len(r.Outputs) != 1 || r.Outputs[0] != (oip.Output{Position: 0}) || r.Timeout != 0 || r.Priority != 0 {
		t.Errorf("%+v", r)
	}
	same(t, r.Inputs[0], []int64{2, 2}, 1, 2, 3, 4)
	same(t, r.Inputs[1], []int64{3}, 1, -0.25, 300)
}

const exampleBinary = `{
  "model_name" : "mymodel",
  "inputs" : [
    {
      "name" : "input1",
      "shape" : [ 1 ],
      "datatype" : "FP32",
      "parameters" : {
        "binary_data_size" : 4
      }
    },
    {
      "name" : "input0",
      "shape" : [ 2, 2 ],
      "datatype" : "FP32",
      "parameters" : {
        "binary_data_size" : 16
      }
    }
  ],
  "outputs" : [
    {
      "name" : "output1",
      "parameters" : {
        "binary_data" : true
      }
    },
    { "name" : "output0" }
  ]
}`

func TestParse_ReadsTheBinaryExampleInTheOrderOfTheJSON(t *testing.T) {
	r := parse(t, int64(len(exampleBinary)), exampleBinary+f4+f1+f2+f3+f4, mymodel)
	same(t, r.Inputs[0], []int64{2, 2}, 1, 2, 3, 4)
	same(t, r.Inputs[1], []int64{1}, 4)
	if want := []oip.Output{{Position: 1, Binary: true}, {Position: 0}}; !slices.Equal(r.Outputs, want) {
		t.Errorf("outputs %+v, want %+v", r.Outputs, want)
	}
}

func TestParse_ReadsNestedData(t *testing.T) {
	const body = `{"inputs":[{"name":"input0","shape":[2,2],"datatype":"FP32","data":[[1,2],[4,5]]},` +
		`{"name":"input1","shape":[1],"datatype":"FP32","data":[7]}]}`
	r := parse(t, oip.NoHeader, body, mymodel)
	same(t, r.Inputs[0], []int64{2, 2}, 1, 2, 4, 5)
	if want := []oip.Output{{Position: 0}, {Position: 1}}; !slices.Equal(r.Outputs, want) {
		t.Errorf("outputs %+v, want all", r.Outputs)
	}
}

func TestParse_ReadsARawBinaryRequest(t *testing.T) {
	r := parse(t, 0, f1+f2+f3+f4, one)
	same(t, r.Inputs[0], []int64{1, 2, 2}, 1, 2, 3, 4)
	if want := []oip.Output{{Position: 0, Binary: true}, {Position: 1, Binary: true}}; !slices.Equal(r.Outputs, want) {
		t.Errorf("outputs %+v, want all as binary", r.Outputs)
	}
}

func TestParse_ReadsTheSchedulePolicyAndTheDefaultOfOutputs(t *testing.T) {
	with := func(parameters, outputs string) string {
		return fmt.Sprintf(`{"parameters":{%s},"outputs":[%s],"inputs":[{"name":"input0","shape":[1,2,1],"datatype":"FP32","data":[1,2]}]}`, parameters, outputs)
	}
	r := parse(t, oip.NoHeader, with(`"priority":1,"timeout":2500,"binary_data_output":true`, `{"name":"output0","parameters":{"binary_data":false}},{"name":"output1"}`), one)
	if r.Priority != 1 || r.Timeout != 2500*time.Microsecond || r.Outputs[0].Binary || !r.Outputs[1].Binary {
		t.Errorf("%+v", r)
	}
	r = parse(t, oip.NoHeader, with(`"timeout":18446744073709551615,"priority":18446744073709551615`, ""), one)
	if r.Timeout < 292*365*24*time.Hour || r.Priority < 1<<30 {
		t.Errorf("%+v", r)
	}
}

func TestParse_NamesWhatIsWrong(t *testing.T) {
	json := func(header int64, body, says string) {
		t.Helper()
		_, err := oip.Parse([]byte(body), header, one)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.90s: got %v (%v), want invalid: %s", body, err, fault.KindOf(err), says)
		}
	}
	input := func(shape, rest string) string {
		return `{"inputs":[{"name":"input0","shape":` + shape + `,"datatype":"FP32",` + rest + `}]}`
	}
	data := func(data string) string { return input("[1,2,1]", `"data":`+data) }
	const size = `"parameters":{"binary_data_size":8}`
	for _, c := range []struct {
		header int64 // added to the length of the JSON; NoHeader: none
		body   string
		tail   string
		says   string
	}{
		{-1, ``, "", "the JSON ends early"},
		{-1, `{"inputs":[`, "", "the JSON ends early"},
		{-1, `{"inputs":[]} x`, "", "more follows"},
		{-1, `[]`, "", "the whole is a array"},
		{-1, `{"input":[]}`, "", `unknown field "input"`},
		{-1, `{}`, "", "input input0 is missing"},
		{-1, `{"model_name":"other","inputs":[]}`, "", "the URL asks for one"},
		{-1, `{"id":42,"inputs":[]}`, "", "id is a number"},
		{-1, `{"inputs":[{"name":"x"}]}`, "", `no input "x"; it has [input0]`},
		{-1, `{"inputs":[{"name":"input0","shape":[1,2,1],"datatype":"INT64","data":[1,2]}]}`, "", `datatype "INT64": the model takes FP32`},
		{-1, `{"inputs":[{"name":"input0","shape":[1],"datatype":"BYTES","data":["cat"]}]}`, "", `datatype "BYTES": the model takes FP32`},
		{-1, `{"inputs":[{"name":"input0","shape":[1,2,1],"data":[1,2]}]}`, "", `datatype ""`},
		{-1, strings.Replace(data(`[1,2]`), "]}]}", `]},{"name":"input0","shape":[1,2,1],"datatype":"FP32","data":[1,2]}]}`, 1), "", "given twice"},
		// Absurd shapes, and those whose product overflows.
		{-1, input(`[]`, `"data":[1,2]`), "", "shape []"},
		{-1, input(`[1,-2,1]`, `"data":[1,2]`), "", "shape [1 -2 1]"},
		{-1, input(`[1,2,0]`, `"data":[]`), "", "shape [1 2 0]"},
		{-1, input(`[4294967296,4294967296,2]`, `"data":[1,2]`), "", "shape [4294967296"},
		{-1, input(`[9223372036854775807,2,1]`, `"data":[1,2]`), "", "shape [9223372036854775807"},
		{-1, input(`[1e99]`, `"data":[1,2]`), "", "inputs.shape is a number 1e99"},
		{-1, input(`[1.5,2]`, `"data":[1,2]`), "", "inputs.shape is a number 1.5"},
		{-1, input(`[1,2,1099511627775]`, `"data":[1,2]`), "", "shape [1 2 1099511627775]"},
		{-1, input(`[1,2,100000000]`, `"data":[1,2]`), "", "data holds 2 numbers: shape [1 2 100000000] has 200000000"},
		{-1, input(`"1,2"`, `"data":[1,2]`), "", "inputs.shape is a string"},
		// Data that is none.
		{-1, data(`[1,2,3]`), "", "data holds 3 numbers: shape [1 2 1] has 2"},
		{-1, data(`[]`), "", "data holds 0 numbers"},
		{-1, data(`5`), "", "data is 5: want an array"},
		{-1, data(`null`), "", "neither data nor binary_data_size"},
		{-1, data(`["a,b",2]`), "", `data holds "a,b",2]: want numbers`},
		{-1, data(`[true,2]`), "", "data holds true,2]: want numbers"},
		{-1, data(`[null,2]`), "", "data holds null,2]: want numbers"},
		{-1, data(`[{},2]`), "", "data holds {},2]: want numbers"},
		{-1, data(`[NaN,2]`), "", "invalid character 'N'"},
		{-1, data(`[1e39,2]`), "", "1e39, which is beyond FP32"},
		{-1, input("[1,2,1]", size+`,"data":[1,2]`), "", "both data and binary_data_size"},
		{0, input("[1,2,1]", size), f1, "4 bytes are left behind the JSON"},
		{0, input("[1,2,1]", size), f1 + f2 + f3, "4 bytes follow the last binary tensor"},
		{0, data(`[1,2]`), f1, "4 bytes follow"},
		{-1, input("[1,2,1]", size), "", "0 bytes are left behind the JSON"},
		{0, input("[1,2,1]", size), f1 + fNaN, "number 1 is NaN"},
		{0, input("[1,2,1]", size), fInf + f1, "number 0 is +Inf"},
		{0, input("[1,2,2]", size), f1 + f2, "binary_data_size is 8: shape [1 2 2] of FP32 has 16 bytes"},
		{0, input("[1,2,1]", `"parameters":{"binary_data_size":-8}`), f1 + f2, "binary_data_size is -8"},
		{0, input("[1,2,1]", `"parameters":{"binary_data_size":"8"}`), f1 + f2, `parameter binary_data_size is "8"`},
		{0, input("[1,2,1]", `"parameters":{"binary_data_size":null}`), f1 + f2, "parameter binary_data_size is null"},
		{0, input("[1,2,1]", `"parameters":{"binary_data_size":8.5}`), f1 + f2, "parameter binary_data_size is 8.5"},
		{1, data(`[1,2]`), "", "Inference-Header-Content-Length is"},
		// Extensions that are not served.
		{-1, input("[1,2,1]", `"parameters":{"shared_memory_region":"r"}`), "", `parameter "shared_memory_region" is not served`},
		{-1, `{"parameters":{"sequence_id":1},"inputs":[]}`, "", `parameter "sequence_id" is not served`},
		{-1, `{"parameters":{"sequence_start":true,"sequence_end":true,"sequence_id":1},"inputs":[]}`, "",
			`parameter "sequence_end", "sequence_id", "sequence_start" is not served`},
		{-1, `{"parameters":{"priority":-1},"inputs":[]}`, "", "parameter priority is -1"},
		{-1, `{"parameters":{"timeout":1.5},"inputs":[]}`, "", "parameter timeout is 1.5: want a whole number"},
		{-1, `{"parameters":{"binary_data_output":1},"inputs":[]}`, "", "want true or false"},
		{-1, strings.Replace(data(`[1,2]`), "{", `{"outputs":[{"name":"o"}],`, 1), "", `no output "o"; it has [output0 output1]`},
		{-1, strings.Replace(data(`[1,2]`), "{", `{"outputs":[{"name":"output0"},{"name":"output0"}],`, 1), "", "asked for twice"},
		{-1, strings.Replace(data(`[1,2]`), "{", `{"outputs":[{"name":"output0","parameters":{"classification":3}}],`, 1), "", `parameter "classification" is not served`},
		{-1, strings.Replace(data(`[1,2]`), "{", `{"outputs":[{"name":"output0","parameters":{"binary_data":"yes"}}],`, 1), "", "binary_data is"},
	} {
		header := int64(oip.NoHeader)
		if c.header >= 0 {
			header = int64(len(c.body)) + c.header
		}
		json(header, c.body+c.tail, c.says)
	}
	for body, says := range map[string]string{
		f1 + f2 + f3: "the body has 12 bytes", f1 + f2 + "\x00": "the body has 9 bytes", f1 + fNaN: "number 1 is NaN", "": "the body has 0 bytes",
	} {
		json(0, body, says)
	}
	json(-2, "{}", "Inference-Header-Content-Length is -2")
	if _, err := oip.Parse([]byte(f1+f2), 0, mymodel); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "2 inputs needs the JSON") {
		t.Errorf("raw request for two inputs: %v", err)
	}
	two := one
	two.Inputs = []models.Port{{Name: "input0", Shape: []int64{-1, -1, -1}}}
	if _, err := oip.Parse([]byte(f1+f2), 0, two); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "more than one free axis") {
		t.Errorf("raw request for two free axes: %v", err)
	}
}
