//go:build real

package app

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"focal/bench/reference"
	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/inference"
)

// Six models with batches up to four in a budget that holds the largest alone:
// at rest and running they would take five times as much.
const (
	soakBudget = 280 << 20
	soakCache  = 16 << 20
	soakAsking = 12
)

var soakTime = flag.Duration("soak", 3*time.Minute, "how long TestSoak asks")

// soakModels are the models and the shape of their tensors; those that take any
// shape get one of medium size.
var soakModels = []struct {
	name   string
	mask   bool
	tensor []int
}{
	{"retinaface-mobilenet025", false, []int{1, 3, 512, 768}},
	{"yunet", false, []int{1, 3, 768, 512}},
	{"ultralight-320", false, []int{2, 3, 240, 320}},
	{"ultralight-640", false, []int{1, 3, 480, 640}},
	{"u2netp", true, []int{1, 3, 320, 320}},
	{"prisma-portrait", true, []int{2, 3, 256, 256}},
}

// The budget is a promise about the process, not about the books: what the
// sidecar holds resident beyond its idle size and its cache stays within 1.15 of
// it, at every sample; the books within it, at every scrape; and nobody is
// refused for it.
func TestSoak_SixModelsStayWithinTheirBudget(t *testing.T) {
	var names []string
	for _, m := range soakModels {
		names = append(names, m.name)
	}
	c := modelsConfig(t, names...)
	c.MemoryBudget, c.CacheSize = soakBudget, soakCache
	batches(t, c.Models, names)
	h := open(t, c, nil)
	a := newSoakAsker(t, h)
	pid := h.child().PID()
	idle := resident(t, pid)

	ctx, stop := context.WithTimeout(t.Context(), *soakTime)
	defer stop()
	var answered, failed atomic.Int64
	var wg sync.WaitGroup
	for seed := range uint64(soakAsking) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 7))
			for ctx.Err() == nil {
				if err := a.ask(t.Context(), rng); err != nil {
					failed.Add(1)
					t.Error(err)
				} else {
					answered.Add(1)
				}
			}
		})
	}
	w := watchSoak(ctx, t, h, pid, idle)
	wg.Wait()

	if now := h.child().PID(); now != pid {
		t.Errorf("the sidecar was replaced: it was %d, now %d", pid, now)
	}
	evictions := h.metric(t, "focal_model_evictions_total")
	t.Logf("%d answers, %d failures in %s; budget %d MiB, idle %d MiB", answered.Load(), failed.Load(), *soakTime, soakBudget>>20, idle>>20)
	t.Logf("resident beyond idle and cache: at most %d MiB in %d samples, %.2f of the budget", w.most>>20, w.samples, float64(w.most)/soakBudget)
	t.Logf("booked at most %d MiB in %d scrapes; %.0f loads, %.0f evictions", int64(w.booked)>>20, w.scrapes,
		h.metric(t, "focal_model_loads_total"), evictions)
	if float64(w.most) > 1.15*soakBudget {
		t.Errorf("resident beyond idle and cache: %d MiB, more than 1.15 of %d MiB", w.most>>20, soakBudget>>20)
	}
	if w.booked > soakBudget || w.booked < soakBudget/2 {
		t.Errorf("booked at most %.0f of %d bytes: want no more, and a budget that is used", w.booked, soakBudget)
	}
	if evictions < float64(len(names)) {
		t.Errorf("%.0f evictions: the budget was never tight", evictions)
	}
}

// batches lets every model of the repository run batches of four.
func batches(t *testing.T, dir string, names []string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name, "model.yaml")
		text := read(t, path)
		changed := bytes.Replace(text, []byte("max_batch_cpu: 1"), []byte("max_batch_cpu: 4"), 1)
		if bytes.Equal(text, changed) {
			t.Fatalf("%s has no max_batch_cpu: 1", path)
		}
		if err := os.WriteFile(path, changed, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// soakAsker asks random models about photographs of many shapes, each time as if
// nobody had asked before: as the image server does, with a file, or with raw
// tensors.
type soakAsker struct {
	client inference.Client
	socket *http.Client
	looks  []pixel.Buffer
	files  [][]byte
}

func newSoakAsker(t *testing.T, h *house) *soakAsker {
	t.Helper()
	looker, err := pipeline.New(pipeline.DefaultConfig(), nil)
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(h.child().Address(), "unix:")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	a := &soakAsker{client: h.half.client, socket: &http.Client{Transport: transport}}
	names, err := filepath.Glob(filepath.Join(reference.Shared(t, "data", "faces", "images"), "*.jpg"))
	if err != nil || len(names) < 24 {
		t.Fatalf("%d photographs, %v", len(names), err)
	}
	for _, name := range names[:24] {
		file := read(t, name)
		look, _, err := looker.Look(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		a.files, a.looks = append(a.files, file), append(a.looks, look)
	}
	return a
}

func (a *soakAsker) ask(ctx context.Context, rng *rand.Rand) error {
	m, n := soakModels[rng.IntN(len(soakModels))], rng.IntN(len(a.looks))
	var content pixel.Digest
	for i := range content {
		content[i] = byte(rng.UintN(256))
	}
	switch rng.IntN(6) {
	case 0:
		return a.sendTensor(ctx, m.name, m.tensor, rng)
	case 1:
		path := "/v1/faces"
		if m.mask {
			path = "/v1/foreground"
		}
		return a.post(ctx, path+"?model="+m.name, a.files[n], "Content-Type", "image/jpeg", "Focal-Content", "sha256:"+content.String())
	}
	look := a.looks[n]
	s := inference.Subject{Content: content, Source: look.Size(), Look: func(context.Context) (pixel.Buffer, error) { return look, nil }}
	var err error
	if m.mask {
		_, err = a.client.Foreground(ctx, inference.ForegroundRequest{Subject: s, Model: m.name})
	} else {
		_, err = a.client.Faces(ctx, inference.FacesRequest{Subject: s, Model: m.name})
	}
	return err
}

// sendTensor runs noise by the Open Inference Protocol.
func (a *soakAsker) sendTensor(ctx context.Context, model string, shape []int, rng *rand.Rand) error {
	n := 1
	for _, axis := range shape {
		n *= axis
	}
	header, err := json.Marshal(map[string]any{
		"inputs":     []any{map[string]any{"name": "input", "datatype": "FP32", "shape": shape, "parameters": map[string]int{"binary_data_size": 4 * n}}},
		"parameters": map[string]bool{"binary_data_output": true},
	})
	if err != nil {
		return err
	}
	body := make([]float32, n)
	for i := range body {
		body[i] = rng.Float32()
	}
	var data bytes.Buffer
	data.Write(header)
	if err := binary.Write(&data, binary.LittleEndian, body); err != nil {
		return err
	}
	return a.post(ctx, "/v2/models/"+model+"/infer", data.Bytes(),
		"Content-Type", "application/octet-stream", "Inference-Header-Content-Length", strconv.Itoa(len(header)))
}

// post reads an answer and reports every status but 200.
func (a *soakAsker) post(ctx context.Context, path string, body []byte, header ...string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sidecar"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := a.socket.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", path, resp.Status, got)
	}
	return err
}

// soaked is what was seen.
type soaked struct {
	most             int64 // bytes resident beyond idle and cache
	booked           float64
	samples, scrapes int
}

// watchSoak samples the resident size at 10 Hz and scrapes the metrics every
// second, until ctx ends.
func watchSoak(ctx context.Context, t *testing.T, h *house, pid int, idle int64) soaked {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var w soaked
	cache := int64(0)
	for {
		select {
		case <-ctx.Done():
			return w
		case <-tick.C:
		}
		w.samples++
		w.most = max(w.most, resident(t, pid)-idle-cache)
		if w.samples%10 == 0 {
			w.scrapes++
			w.booked = max(w.booked, h.metric(t, "focal_memory_reserved_bytes"))
			cache = int64(h.metric(t, "focal_cache_bytes", "tier=memory"))
		}
		if w.samples%100 == 0 {
			mib := func(name string, labels ...string) float64 { return h.metric(t, name, labels...) / (1 << 20) }
			t.Logf("%3d s: %4d MiB beyond idle and cache, %4.0f booked, %4.0f in use by the C heap, %4.0f of Go's heap in use and %4.0f free", w.samples/10,
				(resident(t, pid)-idle-cache)>>20, mib("focal_memory_reserved_bytes"), mib("focal_memory_used_bytes"),
				mib("go_memstats_heap_inuse_bytes", "process=sidecar"),
				mib("go_memstats_heap_idle_bytes", "process=sidecar")-mib("go_memstats_heap_released_bytes", "process=sidecar"))
		}
	}
}

// resident is the resident size of a process in bytes.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	text := string(read(t, fmt.Sprintf("/proc/%d/statm", pid)))
	var size, pages int64
	if _, err := fmt.Sscan(strings.TrimSpace(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
