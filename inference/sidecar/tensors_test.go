package sidecar_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/clienttest"
	"focal/inference/fake"
	"focal/inference/host"
	"focal/inference/sidecar"
	"focal/models"
)

var _ sidecar.Tensors = (*host.Host)(nil)

// maxBatch is that of the models in a tensorHouse.
const maxBatch = 4

// tensorHouse is a sidecar of the real host on a scripted engine, which echoes:
// model "pair" has two inputs of two numbers and two outputs, "broken" does not
// load.
type tensorHouse struct {
	endpoint
	engine *fake.Engine
}

func openTensors(t *testing.T, cfg sidecar.Config, change func(*host.Config)) tensorHouse {
	t.Helper()
	port := func(name string) models.Port { return models.Port{Name: name, Shape: []int64{-1, 2}} }
	model := func(name, version string) models.Model {
		return models.Model{
			Manifest: models.Manifest{
				Name: name, Task: models.TaskFace, MaxBatch: maxBatch, Memory: models.Memory{Rest: 100, Run: 10},
				Inputs: []models.Port{port("a"), port("b")}, Outputs: []models.Port{port("x"), port("y")},
			},
			Version: version, File: pixel.Digest{byte(len(name))},
		}
	}
	c := host.DefaultConfig()
	c.Budget, c.Slots, c.Log = 10000, 1, slog.New(slog.DiscardHandler)
	c.Adapters = host.Adapters{
		Face:       func(models.Manifest) (models.Adapter[[]pixel.Face], error) { return finder{}, nil },
		Foreground: func(models.Manifest) (models.Adapter[pixel.Mask], error) { return cutter{}, nil },
	}
	if change != nil {
		change(&c)
	}
	engine := fake.New("cpu")
	engine.Set("broken", fake.Script{LoadErr: fault.New(fault.Corrupt, "fake.Load", "the file is truncated")})
	h, err := host.New(c, engine, shelf{model("pair", "3"), model("broken", "1")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close host: %v", err)
		}
	})
	return tensorHouse{serve(t, cfg, h, nil), engine}
}

func (h tensorHouse) get(t *testing.T, path, want string) {
	t.Helper()
	if got := h.do(t, request{url: path}); got.status != 200 || strings.TrimSpace(string(got.body)) != want {
		t.Errorf("%s is %d %s, want %s", path, got.status, got.body, want)
	}
}

func (h tensorHouse) post(t *testing.T, path, body string) answer {
	t.Helper()
	return h.do(t, request{method: "POST", url: path, body: []byte(body)})
}

// pairJSON is a request of one item, [1 2] and [3 4].
const pairJSON = `{"id":"7","inputs":[{"name":"b","shape":[1,2],"datatype":"FP32","data":[3,4]},{"name":"a","shape":[1,2],"datatype":"FP32","data":[[1,2]]}]}`

func TestTensors_DescribesTheServerAndItsModels(t *testing.T) {
	cfg := sidecar.DefaultConfig()
	cfg.Version = "v1.2.3"
	h := openTensors(t, cfg, nil)
	h.get(t, "/v2", `{"name":"focal","version":"v1.2.3","extensions":["binary_tensor_data","model_configuration","model_repository","schedule_policy","statistics"]}`)
	h.get(t, "/v2/health/live", `{"live":true}`)
	h.get(t, "/v2/health/ready", `{"ready":true}`)
	const pair = `{"name":"pair","versions":["3"],"platform":"onnxruntime_onnx",` +
		`"inputs":[{"name":"a","datatype":"FP32","shape":[-1,2]},{"name":"b","datatype":"FP32","shape":[-1,2]}],` +
		`"outputs":[{"name":"x","datatype":"FP32","shape":[-1,2]},{"name":"y","datatype":"FP32","shape":[-1,2]}]}`
	h.get(t, "/v2/models/pair", pair)
	h.get(t, "/v2/models/pair/versions/3", pair)
	const config = `{"name":"pair","platform":"onnxruntime_onnx","backend":"onnxruntime","version_policy":{"latest":{"num_versions":1}},"max_batch_size":4,` +
		`"input":[{"name":"a","data_type":"TYPE_FP32","dims":[2]},{"name":"b","data_type":"TYPE_FP32","dims":[2]}],` +
		`"output":[{"name":"x","data_type":"TYPE_FP32","dims":[2]},{"name":"y","data_type":"TYPE_FP32","dims":[2]}],` +
		`"instance_group":[{"name":"pair","kind":"KIND_CPU","count":1}],"default_model_filename":"model.onnx",` +
		`"dynamic_batching":{"preferred_batch_size":[],"max_queue_delay_microseconds":0,"priority_levels":8,"default_priority_level":4}}`
	h.get(t, "/v2/models/pair/config", config)
	h.get(t, "/v2/models/pair/versions/3/config", config)
	h.get(t, "/v2/models/pair/ready", `{"name":"pair","ready":true}`)
	h.get(t, "/v2/models/pair/versions/3/ready", `{"name":"pair","ready":true}`)
	for _, path := range []string{"/v2/models/nobody", "/v2/models/nobody/ready", "/v2/models/nobody/stats", "/v2/models/nobody/config", "/v2/models/pair/versions/1/config", "/v2/models/pair/versions/1", "/v2/models/pair/versions/1/ready"} {
		h.do(t, request{url: path}).refused(t, 404, fault.NotFound)
	}
	for _, path := range []string{"/v2/models/nobody/infer", "/v2/models/pair/versions/1/infer", "/v2/repository/models/nobody/load", "/v2/repository/models/nobody/unload"} {
		h.post(t, path, pairJSON[:0]).refused(t, 404, fault.NotFound)
	}
	h.do(t, request{method: "DELETE", url: "/v2/models/pair"}).refused(t, 405, fault.Invalid)
	h.do(t, request{url: "/v2/models/pair/infer"}).refused(t, 405, fault.Invalid)
}

func TestTensors_RunsJSON(t *testing.T) {
	h := openTensors(t, sidecar.DefaultConfig(), nil)
	got := h.post(t, "/v2/models/pair/infer", pairJSON)
	const want = `{"model_name":"pair","model_version":"3","id":"7","outputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]},{"name":"y","shape":[1,2],"datatype":"FP32","data":[3,4]}]}`
	if got.status != 200 || string(got.body) != want || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if facts := got.header.Get("Focal-Inference"); !strings.HasPrefix(facts, "tensors; model=pair; provider=cpu; result=run; ") || got.header.Get("Inference-Header-Content-Length") != "" {
		t.Errorf("headers %v", got.header)
	}
	h.engine.Set("pair", fake.Script{Answer: func(in []models.Tensor) ([]models.Tensor, error) {
		in[1].Data[0] = float32(inf)
		return in, nil
	}})
	if text := h.post(t, "/v2/models/pair/infer", pairJSON).refused(t, 400, fault.Invalid); !strings.Contains(text, "output y holds +Inf") {
		t.Errorf("an infinite output: %s", text)
	}
}

var inf = func() float64 { zero := 0.0; return 1 / zero }()

func TestTensors_RunsBinaryAndSplitsTheBatch(t *testing.T) {
	h := openTensors(t, sidecar.DefaultConfig(), nil)
	const head = `{"parameters":{"binary_data_output":true},"outputs":[{"name":"y"},{"name":"x","parameters":{"binary_data":false}}],` +
		`"inputs":[{"name":"a","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}},{"name":"b","shape":[2,2],"datatype":"FP32","data":[5,6,7,8]}]}`
	const data = "\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40\x00\x00\x80\x40" // 1 2 3 4
	got := h.do(t, request{method: "POST", url: "/v2/models/pair/versions/3/infer", body: []byte(head + data),
		header: map[string]string{"Inference-Header-Content-Length": strconv.Itoa(len(head))}})
	const wantHead = `{"model_name":"pair","model_version":"3","outputs":[{"name":"y","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}},` +
		`{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]}]}`
	const wantData = "\x00\x00\xa0\x40\x00\x00\xc0\x40\x00\x00\xe0\x40\x00\x00\x00\x41" // 5 6 7 8
	if got.status != 200 || string(got.body) != wantHead+wantData || got.header.Get("Content-Type") != "application/octet-stream" {
		t.Fatalf("got %d %q", got.status, got.body)
	}
	if n := got.header.Get("Inference-Header-Content-Length"); n != strconv.Itoa(len(wantHead)) {
		t.Errorf("Inference-Header-Content-Length is %s, want %d", n, len(wantHead))
	}
	if c := h.engine.Counts("pair"); c.Items != 2 {
		t.Errorf("%d items ran, want the two of the batch", c.Items)
	}
}

// A batch that waits for company until it is full leaves no doubt.
func TestTensors_OfSeveralCallersShareARun(t *testing.T) {
	h := openTensors(t, sidecar.DefaultConfig(), func(c *host.Config) { c.MaxDelay = time.Hour })
	// The first run of a shape is one item, against which larger ones are judged.
	if a := h.post(t, "/v2/models/pair/infer", pairJSON); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	answers := make(chan answer, maxBatch)
	for range maxBatch {
		go func() { answers <- h.post(t, "/v2/models/pair/infer", pairJSON) }()
	}
	for range maxBatch {
		if a := <-answers; a.status != 200 || !strings.Contains(a.header.Get("Focal-Inference"), "; batch=4") {
			t.Errorf("%d %s %v", a.status, a.body, a.header)
		}
	}
	if c := h.engine.Counts("pair"); fmt.Sprint(c.Batches) != "[1 4]" {
		t.Errorf("batches %v, want the first and one of 4", c.Batches)
	}
}

func TestTensors_RefuseBadInputByNameAndGoOn(t *testing.T) {
	h := openTensors(t, sidecar.DefaultConfig(), nil)
	swap := func(old, new string) string { return strings.Replace(pairJSON, old, new, 1) }
	for _, c := range []struct {
		body   string
		status int
		kind   fault.Kind
		says   string
	}{
		{swap("[1,2]", "[1,-2]"), 400, fault.Invalid, "input b: shape [1 -2]"},
		{swap("[1,2]", "[4611686018427387904,2]"), 400, fault.Invalid, "input b: shape [4611686018427387904 2]"},
		{swap("[1,2]", "[2,2]"), 400, fault.Invalid, "data holds 2 numbers: shape [2 2] has 4"},
		{strings.Replace(strings.Replace(pairJSON, "[1,2]", "[1,3]", 1), "[3,4]", "[3,4,5]", 1), 400, fault.Invalid, "input b has shape [1 3]: want [-1 2]"},
		{strings.Replace(strings.Replace(pairJSON, "[1,2]", "[2,2]", 1), "[3,4]", "[3,4,5,6]", 1), 400, fault.Invalid, "input b has a batch of 2, the first one of 1"},
		{swap("[1,2]", "[1,2,1]"), 400, fault.Invalid, "input b has shape [1 2 1]"},
		{swap("[3,4]", "[3,NaN]"), 400, fault.Invalid, "invalid character 'N'"},
		{swap("[3,4]", "[3,1e300]"), 400, fault.Invalid, "input b: data holds 1e300, which is beyond FP32"},
		{swap("FP32", "FP16"), 400, fault.Invalid, `datatype "FP16": the model takes FP32`},
		{swap(`"id"`, `"outputs":[{"name":"z"}],"id"`), 400, fault.Invalid, `no output "z"; it has [x y]`},
		{`{"inputs":[]}`, 400, fault.Invalid, "input a is missing"},
		{``, 400, fault.Invalid, "the JSON ends early"},
		{`not json`, 400, fault.Invalid, "inference request"},
		{batchJSON(300), 413, fault.TooLarge, "--inference-queue"},
	} {
		if text := h.post(t, "/v2/models/pair/infer", c.body).refused(t, c.status, c.kind); !strings.Contains(text, c.says) {
			t.Errorf("%.80s: %s, want %s", c.body, text, c.says)
		}
		if got := h.post(t, "/v2/models/pair/infer", pairJSON); got.status != 200 {
			t.Fatalf("after that a good request gets %d %s", got.status, got.body)
		}
	}
	for name, value := range map[string]string{"Inference-Header-Content-Length": "-1", "Content-Encoding": "gzip", "Content-Digest": "sha-256=:AAAA:", "Focal-Timeout": "soon"} {
		got := h.do(t, request{method: "POST", url: "/v2/models/pair/infer", body: []byte(pairJSON), header: map[string]string{name: value}})
		var p struct{ Error string }
		if err := json.Unmarshal(got.body, &p); err != nil || got.status != 400 && got.status != 415 || !strings.Contains(p.Error, name) {
			t.Errorf("%s %q: %d %s", name, value, got.status, got.body)
		}
	}
}

// batchJSON is a request of n items.
func batchJSON(n int) string {
	zeros := strings.TrimSuffix(strings.Repeat("0,", 2*n), ",")
	return fmt.Sprintf(`{"inputs":[{"name":"a","shape":[%d,2],"datatype":"FP32","data":[%s]},{"name":"b","shape":[%d,2],"datatype":"FP32","data":[%s]}]}`, n, zeros, n, zeros)
}

func TestTensors_LimitsBodiesAndNamesTheFlag(t *testing.T) {
	cfg := sidecar.DefaultConfig()
	cfg.MaxBody, cfg.Memory = 1000, 1000
	h := openTensors(t, cfg, nil)
	for _, path := range []string{"/v2/models/pair/infer", "/v2/repository/index", "/v2/repository/models/pair/load", "/v2/repository/models/pair/unload"} {
		for _, stream := range []bool{false, true} {
			for _, header := range []map[string]string{nil, {"Inference-Header-Content-Length": "2"}} {
				got := h.do(t, request{method: "POST", url: path, body: []byte("{}" + strings.Repeat(" ", 999)), stream: stream, header: header})
				if text := got.refused(t, 413, fault.TooLarge); !strings.Contains(text, "--max-source-bytes") {
					t.Errorf("%s: the refusal names no flag: %s", path, text)
				}
			}
		}
	}
	if got := h.post(t, "/v2/models/pair/infer", pairJSON); got.status != 200 { // what was refused is given back
		t.Errorf("%d %s", got.status, got.body)
	}
}

func (h tensorHouse) index(t *testing.T, body, want string) {
	t.Helper()
	if got := h.post(t, "/v2/repository/index", body); got.status != 200 || strings.TrimSpace(string(got.body)) != want {
		t.Errorf("the index is %d %s, want %s", got.status, got.body, want)
	}
}

func TestTensors_LoadsAndUnloadsOnRequest(t *testing.T) {
	h := openTensors(t, sidecar.DefaultConfig(), nil)
	const onDemand = `"state":"READY","reason":"not loaded; it is when it is asked for"}`
	const broken = `{"name":"broken","version":"1","state":"UNAVAILABLE","reason":"the file is truncated"}`
	h.index(t, "", `[{"name":"pair","version":"3",`+onDemand+`,{"name":"broken","version":"1",`+onDemand+`]`)

	if got := h.post(t, "/v2/repository/models/pair/load", ""); got.status != 200 || strings.TrimSpace(string(got.body)) != `{"load":true,"name":"pair"}` {
		t.Errorf("load: %d %s", got.status, got.body)
	}
	failed := h.post(t, "/v2/repository/models/broken/load", `{"parameters":{}}`)
	if text := failed.refused(t, 503, fault.Unavailable); !strings.Contains(text, "model broken does not load: the file is truncated") || failed.header.Get("Retry-After") != "1" {
		t.Errorf("load of a broken file: %s, %v", text, failed.header)
	}
	h.index(t, "{}", `[{"name":"pair","version":"3","state":"READY","reason":""},`+broken+`]`)
	h.index(t, `{"ready":true}`, `[{"name":"pair","version":"3","state":"READY","reason":""}]`)
	if text := h.do(t, request{url: "/v2/models/broken/ready"}).refused(t, 503, fault.Unavailable); !strings.Contains(text, "truncated") {
		t.Errorf("ready: %s", text)
	}
	h.post(t, "/v2/models/broken/infer", pairJSON).refused(t, 503, fault.Unavailable)

	if got := h.post(t, "/v2/repository/models/pair/unload", `{"parameters":{"unload_dependents":false}}`); got.status != 200 || strings.TrimSpace(string(got.body)) != `{"name":"pair","unload":true}` {
		t.Errorf("unload: %d %s", got.status, got.body)
	}
	h.do(t, request{url: "/v2/models/pair/ready"}).refused(t, 503, fault.Unavailable)
	if text := h.post(t, "/v2/models/pair/infer", pairJSON).refused(t, 503, fault.Unavailable); !strings.Contains(text, "unloaded on request") {
		t.Errorf("a request for an unloaded model: %s", text)
	}
	if got := h.do(t, request{url: "/readyz"}); got.status != 200 || !strings.Contains(string(got.body), `"state":"unloaded"`) {
		t.Errorf("/readyz: %s", got.body)
	}
	h.index(t, `{"ready":true}`, `[]`)
	h.post(t, "/v2/repository/models/pair/load", "{}")
	if got := h.post(t, "/v2/models/pair/infer", pairJSON); got.status != 200 {
		t.Errorf("after it was loaded again: %d %s", got.status, got.body)
	}
	for path, body := range map[string]string{
		"models/pair/load": `{"parameters":{"config":"{}"}}`, "models/pair/unload": `{"parameters":{"force":true}}`, "index": `{"name":"x"}`,
	} {
		h.post(t, "/v2/repository/"+path, body).refused(t, 400, fault.Invalid)
	}
}

func TestTensors_TakeOrdersOnlyFromWhoMayGiveThem(t *testing.T) {
	cfg := sidecar.DefaultConfig()
	cfg.Token = "secret"
	h := openTensors(t, cfg, nil)
	for _, order := range []string{"load", "unload"} {
		r := request{method: "POST", url: "/v2/repository/models/pair/" + order}
		if text := h.do(t, r).refused(t, 403, fault.Forbidden); !strings.Contains(text, "--inference-token") {
			t.Errorf("%s without the token: %s", order, text)
		}
		r.header = map[string]string{"Authorization": "Bearer secret"}
		if got := h.do(t, r); got.status != 200 {
			t.Errorf("%s with the token: %d %s", order, got.status, got.body)
		}
		r.header, r.unix = nil, true
		if got := h.do(t, r); got.status != 200 {
			t.Errorf("%s over the socket: %d %s", order, got.status, got.body)
		}
	}
	open := openTensors(t, sidecar.DefaultConfig(), nil)
	r := request{method: "POST", url: "/v2/repository/models/pair/unload", header: map[string]string{"Origin": "https://example.com", "Sec-Fetch-Site": "cross-site"}}
	open.do(t, r).refused(t, 403, fault.Forbidden)
	r.header = nil
	if got := open.do(t, r); got.status != 200 {
		t.Errorf("unload where nobody has a token: %d %s", got.status, got.body)
	}
}

func TestTensors_TellStatistics(t *testing.T) {
	h := openTensors(t, sidecar.DefaultConfig(), nil)
	h.post(t, "/v2/models/pair/infer", pairJSON)
	h.post(t, "/v2/models/pair/infer", batchJSON(300)).refused(t, 413, fault.TooLarge)
	type stats struct {
		Models []struct {
			Name, Version string
			Items         int                                  `json:"inference_count"`
			Runs          int                                  `json:"execution_count"`
			Stats         map[string]struct{ Count, NS int64 } `json:"inference_stats"`
			Batches       []struct {
				Size int `json:"batch_size"`
			} `json:"batch_stats"`
		} `json:"model_stats"`
	}
	for path, want := range map[string]int{"/v2/models/stats": 2, "/v2/models/pair/stats": 1, "/v2/models/pair/versions/3/stats": 1} {
		var got stats
		if a := h.do(t, request{url: path}); a.status != 200 || json.Unmarshal(a.body, &got) != nil || len(got.Models) != want {
			t.Fatalf("%s is %d %s", path, a.status, a.body)
		}
		m := got.Models[want-1]
		if m.Name != "pair" || m.Version != "3" || m.Items != 1 || m.Runs != 1 || m.Stats["success"].Count != 1 || m.Stats["fail"].Count != 1 ||
			m.Stats["compute_infer"].NS <= 0 || len(m.Batches) != 1 || m.Batches[0].Size != 1 {
			t.Errorf("%s: %+v", path, m)
		}
	}
	h.do(t, request{url: "/v2/models/pair/versions/1/stats"}).refused(t, 404, fault.NotFound)
}

// recorder keeps what Infer was asked, and answers with an error.
type recorder struct {
	*clienttest.Stub
	sidecar.Tensors
	err   error
	asked atomic.Pointer[inference.TensorsRequest]
	left  atomic.Int64
}

func (r *recorder) Model(name, _ string) (models.Model, error) {
	return models.Model{Manifest: models.Manifest{
		Name: name, Inputs: []models.Port{{Name: "a", Shape: []int64{-1, 2}}}, Outputs: []models.Port{{Name: "x", Shape: []int64{-1, 2}}},
	}, Version: "1"}, nil
}

func (r *recorder) Infer(ctx context.Context, asked inference.TensorsRequest) (inference.Tensors, error) {
	r.asked.Store(&asked)
	deadline, _ := ctx.Deadline()
	r.left.Store(int64(time.Until(deadline)))
	return inference.Tensors{}, r.err
}

func (r *recorder) Faces(ctx context.Context, q inference.FacesRequest) (inference.Faces, error) {
	return r.Stub.Faces(ctx, q)
}

func (r *recorder) Foreground(ctx context.Context, q inference.ForegroundRequest) (inference.Foreground, error) {
	return r.Stub.Foreground(ctx, q)
}

func (r *recorder) Status(ctx context.Context) inference.Status { return r.Stub.Status(ctx) }

func TestTensors_PassOnPriorityAndTimeoutAndSayWhenToComeBack(t *testing.T) {
	client := &recorder{Stub: &clienttest.Stub{}, err: fault.New(fault.Busy, "", "model m is busy").After(2100 * time.Millisecond)}
	cfg := sidecar.DefaultConfig()
	cfg.Timeout = time.Hour
	e := serve(t, cfg, client, nil)
	for _, c := range []struct {
		parameters, timeout string
		priority            int
		most                time.Duration
		unix                bool
		class               inference.Class
	}{
		{``, "", 0, time.Hour, false, inference.ClassDirect},
		{`"priority":2`, "", 2, time.Hour, true, inference.ClassServer},
		{`"timeout":60000000`, "", 0, time.Minute, false, inference.ClassDirect},
		{`"timeout":60000000`, "30000", 0, 30 * time.Second, false, inference.ClassDirect},
		{`"timeout":0`, "", 0, time.Hour, false, inference.ClassDirect},
		{`"timeout":18446744073709551615`, "", 0, time.Hour, false, inference.ClassDirect},
	} {
		body := fmt.Sprintf(`{"parameters":{%s},"inputs":[{"name":"a","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`, c.parameters)
		r := request{method: "POST", url: "/v2/models/m/infer", body: []byte(body), unix: c.unix, header: map[string]string{}}
		if c.timeout != "" {
			r.header["Focal-Timeout"] = c.timeout
		}
		got := e.do(t, r)
		if text := got.refused(t, 503, fault.Busy); text != "model m is busy" || got.header.Get("Retry-After") != "3" {
			t.Errorf("%s: %s, %v", c.parameters, text, got.header)
		}
		asked, left := client.asked.Load(), time.Duration(client.left.Load())
		if asked.Model != "m" || asked.Version != "1" || asked.Priority != c.priority || asked.Class != c.class || left > c.most || left < c.most/2 {
			t.Errorf("%s with Focal-Timeout %q: asked %+v with %v left, want at most %v", c.parameters, c.timeout, asked, left, c.most)
		}
	}
}
