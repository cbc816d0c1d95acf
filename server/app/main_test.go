package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"focal/bench/reference"
	"focal/core/pipeline"
	"focal/core/vips"
	"focal/inference"
	"focal/models/vision"
	"focal/server/source"
)

// The tests of the whole house run the real server here, and this test binary
// again as its real sidecar: ONNX Runtime can be opened once in a process.
const (
	realSidecar    = "sidecar" // a role, besides those of TestChildProcess
	modelsVariable = "FOCAL_TEST_MODELS"
	gateVariable   = "FOCAL_TEST_GATE"   // a file; while somebody else holds it, no sidecar starts
	listenVariable = "FOCAL_TEST_LISTEN" // where a sidecar without a parent serves
	testToken      = "secret"            // of such a one
)

// patience is for failures only: nothing here takes so long.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	if err := Open(slog.New(slog.DiscardHandler)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Getenv(roleVariable) == realSidecar {
		if err := errors.Join(pass(os.Getenv(gateVariable)), serveModels(os.Getenv(modelsVariable))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if pictures, mats := vips.Live(), vision.Live(); pictures != 0 || mats != 0 {
		fmt.Fprintf(os.Stderr, "%d pictures of libvips and %d of OpenCV were left open\n", pictures, mats)
		code = 1
	}
	os.Exit(code)
}

// pass waits until nobody holds the gate.
func pass(gate string) error {
	if gate == "" {
		return nil
	}
	release, err := hold(gate)
	if err != nil {
		return err
	}
	return release()
}

// hold takes the gate, a file that need not exist, for itself.
func hold(gate string) (release func() error, err error) {
	f, err := os.OpenFile(gate, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return f.Close, syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
}

// serveModels is `focal sidecar` with an InferenceConfig in JSON for its flags.
func serveModels(text string) error {
	c := SidecarConfig{
		Version: "test", Inherited: true, Pictures: pipeline.DefaultConfig(), MaxBody: 100e6, Memory: 256 << 20, Timeout: patience,
	}
	if c.Listen = os.Getenv(listenVariable); c.Listen != "" {
		c.Inherited, c.Token = false, testToken
	}
	if err := json.Unmarshal([]byte(text), &c.Models); err != nil {
		return err
	}
	s, err := NewSidecar(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if !c.Inherited {
		fmt.Println(s.listeners[0].Addr()) // whoever connects waits in the backlog
	}
	return s.Run(context.Background())
}

// modelsConfig is a repository with the two default models, or an empty one,
// and the ONNX Runtime of scripts/deps.
func modelsConfig(t *testing.T, names ...string) InferenceConfig {
	t.Helper()
	c := DefaultInferenceConfig()
	c.Models, c.Device, c.Workers = t.TempDir(), "cpu", 2
	c.Library = reference.Library(t)
	reference.Pull(t, c.Models, names...)
	return c
}

// The models of the house.
const (
	faceModel       = "retinaface-mobilenet025"
	foregroundModel = "u2netp"
)

// house is a running image server with its sidecar.
type house struct {
	*Server
	root string // the directory that its sources are in
}

// open starts a server over an empty directory and a sidecar with the models
// of c, waits for the sidecar's first start, and closes both at the end.
func open(t *testing.T, c InferenceConfig, change func(*ServeConfig)) *house {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{root: t.TempDir()}
	sc := ServeConfig{
		Version: "test", Listen: "127.0.0.1:0", Inference: "spawn", Child: []string{"focal-test"},
		ChildEnv: []string{roleVariable + "=" + realSidecar, modelsVariable + "=" + string(text)},
		Models:   c, Pictures: pipeline.DefaultConfig(), Sources: sources(h.root),
		Timeout: patience, Queue: 100,
	}
	sc.Pictures.Workers, sc.Pictures.Fallback = 2, pipeline.FallbackFail
	if change != nil {
		change(&sc)
	}
	if h.Server, err = NewServer(sc, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-ran; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	select {
	case <-h.half.firstStart:
	case <-time.After(patience):
		t.Fatal("the sidecar's first start does not end")
	}
	return h
}

// sources takes pictures from a directory.
func sources(root string) source.Config {
	c := source.DefaultConfig()
	c.Root = root
	return c
}

// put copies files of ../shared/data/samples into the root, by their base
// names.
func (h *house) put(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		h.write(t, filepath.Base(name), read(t, reference.Shared(t, "data", "samples", name)))
	}
}

func (h *house) write(t *testing.T, name string, body []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.root, name), body, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// get asks for a path, which goes over as it is written.
func (h *house) get(path string, header ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.Address(), nil)
	if err != nil {
		return answer{}, err
	}
	r.URL.Opaque = path
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r) // no redirects
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body}, err
}

func (h *house) mustGet(t *testing.T, path string, header ...string) answer {
	t.Helper()
	a, err := h.get(path, header...)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return a
}

// picture asks for a picture that must come.
func (h *house) picture(t *testing.T, options, source string) (answer, image.Image) {
	t.Helper()
	a := h.mustGet(t, "/cdn-cgi/image/"+options+"/"+source)
	if a.status != http.StatusOK {
		t.Fatalf("%s/%s: %d %s", options, source, a.status, a.body)
	}
	return a, decode(t, a)
}

func decode(t *testing.T, a answer) image.Image {
	t.Helper()
	m, _, err := image.Decode(bytes.NewReader(a.body))
	if err != nil {
		t.Fatalf("the %s does not decode: %v", a.header.Get("Content-Type"), err)
	}
	return m
}

// metric adds up a family of /metrics: the values of counters and gauges, the
// counts of histograms, over all series that have the label pairs.
func (h *house) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	a := h.mustGet(t, "/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, m := range families[name].GetMetric() {
		all := ""
		for _, l := range m.Label {
			all += l.GetName() + "=" + l.GetValue() + ";"
		}
		fits := true
		for _, l := range labels {
			fits = fits && strings.Contains(all, l+";")
		}
		if fits {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// ready is what /readyz says.
func (h *house) ready(t *testing.T) (status int, body readiness) {
	t.Helper()
	a := h.mustGet(t, "/readyz")
	if err := json.Unmarshal(a.body, &body); err != nil {
		t.Fatalf("/readyz: %v in %s", err, a.body)
	}
	return a.status, body
}

// child is the supervisor of the house's sidecar.
func (h *house) child() *Child { return h.half.client.(supervised).child }

func (h *house) awaitSidecar(t *testing.T, want inference.State) {
	t.Helper()
	await(t, h.child(), want)
}
