package sidecar_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"focal/core/fault"
	"focal/inference/goldentest"
	"focal/inference/host"
	"focal/inference/ort"
	"focal/inference/sidecar"
	"focal/models"
	"focal/models/face"
	"focal/models/foreground"
)

// runtime opens ONNX Runtime for the first test that asks: once, as it demands.
var runtime = sync.OnceValues(func() (*ort.Engine, error) {
	c := ort.DefaultConfig()
	c.Library = filepath.Join("..", "..", ".deps", "lib", "libonnxruntime.so")
	return ort.Open(c)
})

func sharedModels(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "models")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("needs ../shared: models")
	}
	return dir
}

// realModels is a repository with models of the catalogue.
func realModels(t *testing.T, names ...string) *models.Repository {
	t.Helper()
	mirror := sharedModels(t)
	r, err := models.OpenRepository(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := r.Pull(t.Context(), name, models.PullOptions{Mirror: mirror}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// serveModels is the whole sidecar but for picture files.
func serveModels(t *testing.T, r *models.Repository, change func(*host.Config)) endpoint {
	t.Helper()
	engine, err := runtime()
	if err != nil {
		t.Fatalf("%v (scripts/deps fetches it)", err)
	}
	c := host.DefaultConfig()
	c.Slots, c.Log = 1, slog.New(slog.DiscardHandler)
	c.Adapters = host.Adapters{Face: face.New, Foreground: foreground.New}
	if change != nil {
		change(&c)
	}
	h, err := host.New(c, engine, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close host: %v", err)
		}
		if n := engine.Live(); n != 0 {
			t.Errorf("%d C objects left alive", n)
		}
	})
	cfg := sidecar.DefaultConfig()
	cfg.Timeout = 10 * time.Minute // on a busy machine, under -race
	return serve(t, cfg, h, nil)
}

// inferBody writes a request for one input as a client does, by the text of the
// protocol and not by our code.
func inferBody(name string, in models.Tensor, packed bool) ([]byte, map[string]string) {
	input := map[string]any{"name": name, "shape": in.Shape, "datatype": "FP32"}
	request := map[string]any{"inputs": []any{input}}
	if !packed {
		input["data"] = in.Data
		body, _ := json.Marshal(request)
		return body, map[string]string{"Content-Type": "application/json"}
	}
	input["parameters"] = map[string]any{"binary_data_size": 4 * len(in.Data)}
	request["parameters"] = map[string]any{"binary_data_output": true}
	head, _ := json.Marshal(request)
	body := bytes.NewBuffer(bytes.Clone(head))
	_ = binary.Write(body, binary.LittleEndian, in.Data)
	return body.Bytes(), map[string]string{"Inference-Header-Content-Length": strconv.Itoa(len(head))}
}

// outputs reads an answer likewise.
func (a answer) outputs(t *testing.T) []models.Tensor {
	t.Helper()
	head, tail := a.body, []byte(nil)
	if n, err := strconv.Atoi(a.header.Get("Inference-Header-Content-Length")); err == nil {
		head, tail = a.body[:n], a.body[n:]
	}
	var read struct {
		Outputs []struct {
			Shape      []int64
			Parameters struct {
				Size int `json:"binary_data_size"`
			}
			Data []float32
		}
	}
	if err := json.Unmarshal(head, &read); err != nil || a.status != 200 {
		t.Fatalf("answer is %d %.300s: %v", a.status, head, err)
	}
	var outputs []models.Tensor
	for _, o := range read.Outputs {
		for i := 0; i < o.Parameters.Size; i += 4 {
			o.Data = append(o.Data, math.Float32frombits(binary.LittleEndian.Uint32(tail[i:])))
		}
		tail = tail[o.Parameters.Size:]
		outputs = append(outputs, models.Tensor{Shape: o.Shape, Data: o.Data})
	}
	if len(tail) > 0 {
		t.Errorf("%d bytes follow the last output", len(tail))
	}
	return outputs
}

func TestTensors_GiveTheGoldenNumbersOfEveryModel(t *testing.T) {
	files := map[string]string{
		"retinaface-mobilenet025": "retinaface_mobilenet025.onnx", "yunet": "yunet_n.onnx", "ultralight-320": "ultralight_rfb_320.onnx",
		"ultralight-640": "ultralight_rfb_640.onnx", "u2netp": "u2netp.onnx", "prisma-portrait": "prisma_portrait.onnx",
	}
	golden := goldentest.Read(t, sharedModels(t))
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			e := serveModels(t, realModels(t, name), nil)
			g := golden[file]
			for form, packed := range map[string]bool{"JSON": false, "binary": true} {
				body, header := inferBody("input", g.Input(t), packed)
				got := e.do(t, request{method: "POST", url: "/v2/models/" + name + "/infer", header: header, body: body})
				t.Run(form, func(t *testing.T) { g.Check(t, got.outputs(t)) })
			}
		})
	}
}

// blank is a request of zeros.
func blank(shape ...int64) ([]byte, map[string]string) {
	return inferBody("input", models.Tensor{Shape: shape, Data: make([]float32, models.Elements(shape))}, true)
}

func (e endpoint) infer(t *testing.T, model string, shape ...int64) answer {
	t.Helper()
	body, header := blank(shape...)
	return e.do(t, request{method: "POST", url: "/v2/models/" + model + "/infer", header: header, body: body})
}

func (e endpoint) load(t *testing.T, model string) answer {
	t.Helper()
	return e.do(t, request{method: "POST", url: "/v2/repository/models/" + model + "/load"})
}

// spoil adds a model to r: a copy of one that is there, with its manifest and
// file changed.
func spoil(t *testing.T, r *models.Repository, from, name string, manifest func(string) string, file func([]byte) []byte) {
	t.Helper()
	for part, change := range map[string]func([]byte) []byte{
		"model.yaml": func(text []byte) []byte {
			return []byte(manifest(strings.Replace(string(text), "name: "+from, "name: "+name, 1)))
		},
		"1/model.onnx": file,
	} {
		data, err := os.ReadFile(filepath.Join(r.Dir(), from, part))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(r.Dir(), name, part)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, change(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTensors_NameWhatIsWrongWithAModelAndServeTheOthers(t *testing.T) {
	r := realModels(t, "ultralight-320", "yunet")
	as := func(text string) string { return text }
	same := func(data []byte) []byte { return data }
	swap := func(old, new string) func(string) string {
		return func(text string) string {
			if !strings.Contains(text, old) {
				t.Fatalf("the manifest does not say %q", old)
			}
			return strings.Replace(text, old, new, 1)
		}
	}
	spoil(t, r, "ultralight-320", "truncated", as, func(data []byte) []byte { return data[:len(data)/2] })
	spoil(t, r, "ultralight-320", "empty", as, func([]byte) []byte { return nil })
	spoil(t, r, "ultralight-320", "garbage", as, func([]byte) []byte { return bytes.Repeat([]byte("garbage "), 100) })
	spoil(t, r, "ultralight-320", "other-inputs", swap("shape: [-1, 3, 240, 320]", "shape: [-1, 3, 480, 640]"), same)
	spoil(t, r, "ultralight-320", "other-outputs", swap("[-1, 4420, 2]", "[-1, 4420, 3]"), same)
	spoil(t, r, "ultralight-320", "unknown-recipe", swap("family: ultralight", "family: sorcery"), same)
	spoil(t, r, "ultralight-320", "strange-recipe", swap("kernel: area", "kernel: magic"), same)
	spoil(t, r, "ultralight-320", "no-yaml", func(string) string { return "{" }, same)
	e := serveModels(t, r, nil)
	shapes := map[string][]int64{"other-inputs": {1, 3, 480, 640}} // as the manifest says
	for model, says := range map[string]string{
		"truncated": "does not load", "empty": "does not load", "garbage": "does not load",
		"other-inputs": "input 0 has shape [-1 3 240 320] in the file and [-1 3 480 640] in the manifest", "other-outputs": "output 0 has shape",
		"unknown-recipe": `family "sorcery"`, "strange-recipe": "magic", "no-yaml": "no-yaml",
	} {
		shape := shapes[model]
		if shape == nil {
			shape = []int64{1, 3, 240, 320}
		}
		for what, got := range map[string]answer{"load": e.load(t, model), "infer": e.infer(t, model, shape...)} {
			if text := got.refused(t, 503, fault.Unavailable); !strings.Contains(text, says) {
				t.Errorf("%s of %s: %s, want %s", what, model, text, says)
			}
		}
		if got := e.infer(t, "ultralight-320", 1, 3, 240, 320); got.status != 200 {
			t.Fatalf("after %s a good model answers %d %s", model, got.status, got.body)
		}
	}
	// YuNet wants multiples of 32: what the runtime says of another shape is no
	// defect of ours.
	if text := e.infer(t, "yunet", 1, 3, 40, 40).refused(t, 400, fault.Invalid); !strings.Contains(text, "does not run inputs of this shape") {
		t.Errorf("an odd shape: %s", text)
	}
	if text := e.infer(t, "yunet", 1, 3, 1024, 1056).refused(t, 413, fault.TooLarge); !strings.Contains(text, "items of at most [3 1024 1024]") {
		t.Errorf("a huge shape: %s", text)
	}
	if got := e.infer(t, "yunet", 2, 3, 64, 96); got.status != 200 {
		t.Errorf("after that a good shape gets %d %s", got.status, got.body)
	}
}

func TestTensors_NameTheBudgetThatAModelDoesNotFit(t *testing.T) {
	e := serveModels(t, realModels(t, "ultralight-320", "yunet"), func(c *host.Config) { c.Budget = 1 << 20 })
	for _, got := range []answer{e.load(t, "yunet"), e.infer(t, "yunet", 1, 3, 64, 64)} {
		if text := got.refused(t, 413, fault.TooLarge); !strings.Contains(text, "--memory-budget is 1 MiB") {
			t.Errorf("a budget smaller than every model: %s", text)
		}
	}
	if text := e.do(t, request{url: "/v2/models/yunet/ready"}).refused(t, 503, fault.Unavailable); !strings.Contains(text, "--memory-budget") {
		t.Errorf("ready before anybody has asked: %s", text)
	}
	if got := e.do(t, request{url: "/v2/health/ready"}); got.status != 200 {
		t.Errorf("the server itself: %d %s", got.status, got.body)
	}
}

// Room for either, never for both.
func TestTensors_SwapModelsThatNeverFitTogetherUnlessOneIsPinned(t *testing.T) {
	for _, pinned := range []bool{false, true} {
		t.Run(fmt.Sprint(pinned), func(t *testing.T) {
			r := realModels(t, "ultralight-320", "yunet")
			e := serveModels(t, r, func(c *host.Config) {
				c.Budget = 38e6
				if pinned {
					c.Pinned = []string{"ultralight-320"}
				}
			})
			if got := e.load(t, "ultralight-320"); got.status != 200 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			got := e.infer(t, "yunet", 1, 3, 64, 64)
			if !pinned {
				if got.status != 200 {
					t.Errorf("the second model: %d %s", got.status, got.body)
				}
			} else if text := got.refused(t, 413, fault.TooLarge); !strings.Contains(text, "together with pinned models it needs") {
				t.Errorf("the second model: %s", text)
			}
			if got := e.infer(t, "ultralight-320", 1, 3, 240, 320); got.status != 200 {
				t.Errorf("the first model: %d %s", got.status, got.body)
			}
		})
	}
}
