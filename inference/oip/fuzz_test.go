package oip_test

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"testing"

	"focal/core/fault"
	"focal/inference/oip"
	"focal/models"
)

// Whatever the body: a refusal of kind invalid, or inputs that hold what their
// shapes say, in finite numbers, and outputs that there are. What was read can
// be answered, and the answer is JSON up to where its header says.
func FuzzParse(f *testing.F) {
	f.Add(int64(oip.NoHeader), []byte(exampleJSON))
	f.Add(int64(len(exampleBinary)), []byte(exampleBinary+f4+f1+f2+f3+f4))
	f.Add(int64(0), []byte(f1+f2+f3+f4))
	f.Add(int64(5), []byte(`{"inputs":[{"name":"input0","shape":[1,2,1],"datatype":"FP32","data":[[1e3],[-0.5]]}]}`))
	f.Add(int64(oip.NoHeader), []byte(`{"inputs":[{"name":"input0","shape":[1,2,1],"datatype":"FP32","data":[[1e3],[-0.5]]}]}`))
	f.Fuzz(func(t *testing.T, header int64, body []byte) {
		for _, m := range []models.Manifest{mymodel, one} {
			whole := bytes.Clone(body)
			r, err := oip.Parse(body, header, m)
			if !bytes.Equal(whole, body) {
				t.Fatal("the body was changed")
			}
			if err != nil {
				if !fault.Is(err, fault.Invalid) {
					t.Fatalf("kind %v: %v", fault.KindOf(err), err)
				}
				continue
			}
			check(t, r, m)
		}
	})
}

func check(t *testing.T, r oip.Request, m models.Manifest) {
	t.Helper()
	if len(r.Inputs) != len(m.Inputs) || r.Priority < 0 || r.Timeout < 0 || len(r.Outputs) == 0 {
		t.Fatalf("%+v", r)
	}
	for _, in := range r.Inputs {
		if models.Elements(in.Shape) != int64(len(in.Data)) {
			t.Fatalf("shape %v holds %d numbers", in.Shape, len(in.Data))
		}
		if slices.ContainsFunc(in.Data, func(v float32) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) }) {
			t.Fatal("a number that is not finite")
		}
	}
	answer, header, err := r.Answer(m, "1", outputs)
	if err != nil {
		t.Fatal(err)
	}
	if header == oip.NoHeader {
		header = len(answer)
	}
	if !json.Valid(answer[:header]) {
		t.Fatalf("the answer is no JSON: %s", answer[:header])
	}
}

// The numbers of a tensor are those that Go's own decoder reads.
func FuzzNumbers(f *testing.F) {
	f.Add([]byte(`[1,2]`))
	f.Add([]byte(" [ -1.5e-3\n,\t0 ] "))
	f.Add([]byte(`[[1],[2]]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var want []float32
		if json.Unmarshal(data, &want) != nil || len(want) != 2 || bytes.Contains(data, []byte("null")) {
			return // null leaves Go's numbers as they were
		}
		body := append(append([]byte(`{"inputs":[{"name":"input0","shape":[1,2,1],"datatype":"FP32","data":`), data...), "}]}"...)
		r, err := oip.Parse(body, oip.NoHeader, one)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if !slices.Equal(r.Inputs[0].Data, want) {
			t.Fatalf("%s is read as %v, want %v", data, r.Inputs[0].Data, want)
		}
	})
}
