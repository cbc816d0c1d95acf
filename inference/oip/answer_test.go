package oip_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/oip"
	"focal/models"
)

var outputs = []models.Tensor{
	{Shape: []int64{3, 2}, Data: []float32{1, 1.1, 2, 2.1, 3, 3.1}},
	{Shape: []int64{3, 1}, Data: []float32{1, 2, 3}},
}

func answer(t *testing.T, r oip.Request) (string, int) {
	t.Helper()
	body, header, err := r.Answer(mymodel, "1", outputs)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), header
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAnswer_WritesTheExampleOfTheProtocol(t *testing.T) {
	body, header := answer(t, oip.Request{ID: "42", Outputs: []oip.Output{{Position: 0}}})
	expect(t, body, `{"model_name":"mymodel","model_version":"1","id":"42","outputs":[{"name":"output0","shape":[3,2],"datatype":"FP32","data":[1,1.1,2,2.1,3,3.1]}]}`)
	if header != oip.NoHeader {
		t.Errorf("header length %d of an answer that is all JSON", header)
	}
}

func TestAnswer_WritesTheBinaryExample(t *testing.T) {
	body, header := answer(t, oip.Request{Outputs: []oip.Output{{Position: 0, Binary: true}}})
	const head = `{"model_name":"mymodel","model_version":"1","outputs":[{"name":"output0","shape":[3,2],"datatype":"FP32","parameters":{"binary_data_size":24}}]}`
	expect(t, body, head+f1+f11+f2+f21+f3+f31)
	if header != len(head) {
		t.Errorf("header length %d, want %d", header, len(head))
	}
}

func TestAnswer_WritesOutputsInTheOrderAsked(t *testing.T) {
	body, header := answer(t, oip.Request{ID: `a"b`, Outputs: []oip.Output{{Position: 1, Binary: true}, {Position: 0}}})
	const head = `{"model_name":"mymodel","model_version":"1","id":"a\"b","outputs":[{"name":"output1","shape":[3,1],"datatype":"FP32","parameters":{"binary_data_size":12}},` +
		`{"name":"output0","shape":[3,2],"datatype":"FP32","data":[1,1.1,2,2.1,3,3.1]}]}`
	expect(t, body, head+f1+f2+f3)
	if header != len(head) {
		t.Errorf("header length %d, want %d", header, len(head))
	}
}

func TestAnswer_RefusesWhatJSONCannotSay(t *testing.T) {
	infinite := []models.Tensor{{Shape: []int64{1, 2}, Data: []float32{1, float32(inf())}}, outputs[1]}
	_, _, err := oip.Request{Outputs: []oip.Output{{Position: 0}}}.Answer(mymodel, "1", infinite)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "output output0 holds +Inf at 1") || !strings.Contains(err.Error(), "binary_data") {
		t.Errorf("got %v", err)
	}
	body, _, err := oip.Request{Outputs: []oip.Output{{Position: 0, Binary: true}}}.Answer(mymodel, "1", infinite)
	if err != nil || !strings.HasSuffix(string(body), f1+fInf) {
		t.Errorf("got %q, %v", body, err)
	}
}

func inf() float64 { var zero float64; return 1 / zero }

func written(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDescribe_SaysWhatClientsReadOfAModel(t *testing.T) {
	expect(t, written(t, oip.Describe(models.Model{Manifest: one, Version: "3", File: pixel.Digest{1}})),
		`{"name":"one","versions":["3"],"platform":"onnxruntime_onnx","inputs":[{"name":"input0","datatype":"FP32","shape":[-1,2,-1]}],`+
			`"outputs":[{"name":"output0","datatype":"FP32","shape":[-1,2]},{"name":"output1","datatype":"FP32","shape":[-1,1]}]}`)
}

func TestIndex_HasTheStatesOfTriton(t *testing.T) {
	for _, c := range []struct {
		m             inference.ModelStatus
		state, reason string
	}{
		{inference.ModelStatus{State: "resident"}, "READY", ""},
		{inference.ModelStatus{State: "idle"}, "READY", "not loaded; it is when it is asked for"},
		{inference.ModelStatus{State: "loading"}, "LOADING", ""},
		{inference.ModelStatus{State: "failed", Error: "truncated"}, "UNAVAILABLE", "truncated"},
		{inference.ModelStatus{State: "unloaded"}, "UNAVAILABLE", "unloaded"},
		{inference.ModelStatus{State: "unloaded", Memory: 5}, "UNLOADING", "unloaded"},
	} {
		if e := oip.Index(c.m); e.State != c.state || e.Reason != c.reason {
			t.Errorf("%+v: %+v", c.m, e)
		}
	}
}

func TestOrders_TakeAnEmptyBodyAndNameWhatTheyDoNotServe(t *testing.T) {
	ready, err := oip.ParseIndex([]byte(`{"ready":true}`))
	none, errNone := oip.ParseIndex(nil)
	if !ready || none || err != nil || errNone != nil {
		t.Errorf("%v %v, %v %v", ready, none, err, errNone)
	}
	// What tritonclient sends.
	for _, err := range []error{oip.CheckLoad(nil), oip.CheckLoad([]byte(`{}`)), oip.CheckUnload([]byte(`{"parameters": {"unload_dependents": false}}`))} {
		if err != nil {
			t.Error(err)
		}
	}
	_, err = oip.ParseIndex([]byte(`{"ready":1}`))
	for says, err := range map[string]error{
		"ready is a number": err, `"config" is not served`: oip.CheckLoad([]byte(`{"parameters":{"config":"{}"}}`)),
		`"file:1/model.onnx" is not served`: oip.CheckLoad([]byte(`{"parameters":{"file:1/model.onnx":"AA=="}}`)),
		`unknown field "force"`:             oip.CheckUnload([]byte(`{"force":true}`)),
		"ends early":                        oip.CheckUnload([]byte(`{`)),
	} {
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %s", err, says)
		}
	}
}

func TestStatistics_HaveTheShapeOfTriton(t *testing.T) {
	tally := func(n int64) inference.Tally {
		return inference.Tally{Count: n, Time: time.Duration(n) * time.Microsecond}
	}
	s := inference.Statistics{
		Model: "m", Version: "1", Last: time.UnixMilli(1700000000123), Items: 5, Runs: 3,
		Success: tally(4), Fail: tally(1), Queue: tally(2), Input: tally(3), Infer: tally(5), Output: tally(6), Hit: tally(7), Miss: tally(8),
		Batches: []inference.BatchTally{{Size: 2, Tally: tally(9)}}, Memory: 100,
	}
	expect(t, written(t, oip.Statistics(s, "cpu")),
		`{"name":"m","version":"1","last_inference":1700000000123,"inference_count":5,"execution_count":3,`+
			`"inference_stats":{"success":{"count":4,"ns":4000},"fail":{"count":1,"ns":1000},"queue":{"count":2,"ns":2000},`+
			`"compute_input":{"count":3,"ns":3000},"compute_infer":{"count":5,"ns":5000},"compute_output":{"count":6,"ns":6000},`+
			`"cache_hit":{"count":7,"ns":7000},"cache_miss":{"count":8,"ns":8000}},`+
			`"batch_stats":[{"batch_size":2,"compute_input":{"count":9,"ns":0},"compute_infer":{"count":9,"ns":9000},"compute_output":{"count":9,"ns":0}}],`+
			`"memory_usage":[{"type":"CPU","id":0,"byte_size":100}]}`)
	expect(t, written(t, oip.Statistics(inference.Statistics{Model: "m"}, "cuda"))[:60], `{"name":"m","version":"","last_inference":0,"inference_count`)
}

// What model.yaml says comes out in Triton's words; the batch axis stays out, and
// a card's batches are powers of two.
func TestConfigure_WritesTheManifestInTritonsWords(t *testing.T) {
	m := models.Model{Manifest: models.Manifest{
		Name: "free", Inputs: []models.Port{{Name: "input", Shape: []int64{-1, 3, -1, -1}}}, Outputs: []models.Port{{Name: "scores", Shape: []int64{-1}}},
	}}
	b := inference.Batching{Most: 6, Sizes: []int{1, 2, 4}, Delay: 1500 * time.Microsecond, Instances: 2, Lowest: 8, Default: 4}
	got, err := json.MarshalIndent(oip.Configure(m, b, "cuda"), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"max_batch_size": 6`, `"dims": [
    3,
    -1,
    -1
   ]`, `"dims": []`, `"kind": "KIND_GPU",
   "count": 2`, `"preferred_batch_size": [
   1,
   2,
   4
  ]`, `"max_queue_delay_microseconds": 1500`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}
