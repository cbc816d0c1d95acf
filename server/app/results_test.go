package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"focal/bench/reference"
	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/fake"
	"focal/inference/host"
	"focal/models"
	"focal/models/face"
	"focal/models/foreground"
	"focal/server/api"
	"focal/server/results"
	"focal/server/source"
)

// same checks that a kept picture is the one that was made, for a client too.
func same(t *testing.T, when string, made, got answer, status string) {
	t.Helper()
	if got.status != http.StatusOK || string(got.body) != string(made.body) {
		t.Errorf("%s: %d with %d bytes, want the %d that were made", when, got.status, len(got.body), len(made.body))
	}
	for _, name := range []string{"Etag", "Content-Type", "Last-Modified", "Vary", "Warning"} {
		if got.header.Get(name) != made.header.Get(name) {
			t.Errorf("%s: %s is %q, was %q", when, name, got.header.Get(name), made.header.Get(name))
		}
	}
	if s := got.header.Get("Cache-Status"); s != status {
		t.Errorf("%s: Cache-Status is %q, want %q", when, s, status)
	}
}

// One photo, all of its life: made, kept, kept over a restart and without a
// sidecar, replaced, purged.
func TestHouse_FinishedPicturesAreKept(t *testing.T) {
	models := modelsConfig(t, faceModel, foregroundModel)
	dir := t.TempDir()
	var root string
	start := func(change func(*ServeConfig)) *house {
		return open(t, models, func(c *ServeConfig) {
			c.Results.Memory, c.Results.Dir, c.Results.DirLimit, c.PurgeToken = 1<<20, dir, 100<<20, "token"
			if root != "" {
				c.Sources.Root = root
			}
			if change != nil {
				change(c)
			}
		})
	}
	h := start(nil)
	root = h.root
	h.put(t, "photos/couple-beach.jpg")
	url := "/cdn-cgi/image/" + issueOptions + "/couple-beach.jpg"
	made := h.mustGet(t, url)
	expectFacts(t, made, "run")
	again := h.mustGet(t, url)
	same(t, "again", made, again, "focal; hit; detail=results-memory")
	expectFacts(t, again, "hit")
	if a := h.mustGet(t, url, "If-None-Match", made.header.Get("Etag")); a.status != http.StatusNotModified {
		t.Errorf("a client that has it gets %d", a.status)
	}
	if n := h.metric(t, "focal_cache_hits_total", "tier=results-memory"); n != 2 {
		t.Errorf("the metrics count %v hits", n)
	}
	if err := h.results.Close(context.Background()); err != nil { // what waits is written
		t.Fatal(err)
	}
	h.results = nil // it is closed already

	second := start(nil)
	same(t, "after a restart", made, second.mustGet(t, url), "focal; hit; detail=results-dir")
	if n := second.runs(t); n != 0 {
		t.Errorf("after a restart models ran %v times", n)
	}
	if err := second.child().Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	same(t, "without a sidecar", made, second.mustGet(t, url), "focal; hit; detail=results-memory")

	// The same name, another photo: nobody may see the old one.
	third := start(nil)
	other := read(t, reference.Shared(t, "data", "samples", "photos", "portrait-offcentre.jpg"))
	if err := os.WriteFile(filepath.Join(root, "couple-beach.jpg"), other, 0o600); err != nil {
		t.Fatal(err)
	}
	replaced := third.mustGet(t, url)
	if replaced.header.Get("Cache-Status") != "focal; fwd=miss" || replaced.header.Get("Etag") == made.header.Get("Etag") {
		t.Errorf("a replaced photo: %v", replaced.header)
	}
	purged, err := api.Purge("http://"+third.Address(), "token", []string{"couple-beach.jpg"}, patience)
	if err != nil || strings.Count(string(purged), "sha256:") != 2 {
		t.Errorf("purge: %s, %v; want both photos named", purged, err)
	}
	if a := third.mustGet(t, url); a.header.Get("Cache-Status") != "focal; fwd=miss" || string(a.body) != string(replaced.body) {
		t.Errorf("after the purge: %v", a.header)
	}
}

func TestHouse_DegradedPicturesAreNotKept(t *testing.T) {
	m := modelsConfig(t)
	m.FaceModel = "nope"
	h := open(t, m, func(c *ServeConfig) {
		c.Results.Memory, c.Pictures.Fallback = 1<<20, pipeline.FallbackLadder
	})
	h.good(t)
	for range 2 {
		if a := h.mustGet(t, faceURL); a.status != http.StatusOK || a.header.Get("Focal-Degraded") == "" || a.header.Get("Cache-Status") != "focal; fwd=miss" {
			t.Errorf("%d %v", a.status, a.header)
		}
	}
}

func TestHeard_NoticesAReplacedModelAndOutlivesASidecar(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	asked := 0
	hex := func(n byte) string { return pixel.Digest{n}.String() }
	status := inference.Status{State: inference.StateStarting}
	h := newHeard(func(context.Context) inference.Status {
		asked++
		return status
	})
	h.now = func() time.Time { return now }
	expect := func(when string, t1 pipeline.Task, want pixel.Digest, ok bool, questions int) {
		t.Helper()
		if d, known := h.Digest(t.Context(), t1); d != want || known != ok || asked != questions {
			t.Errorf("%s: %v, %v after %d questions; want %v, %v after %d", when, d, known, asked, want, ok, questions)
		}
	}
	one, two := modelDigest(pixel.Digest{1}, pixel.Digest{2}, 0.6), modelDigest(pixel.Digest{3}, pixel.Digest{2}, 0.6)
	expect("starting", pipeline.TaskFace, pixel.Digest{}, false, 1)
	status.State = inference.StateReady
	status.Models = []inference.ModelStatus{
		{Name: "other", Task: "face", SHA256: hex(9), Recipe: hex(9)},
		{Name: "face", Task: "face", SHA256: hex(1), Recipe: hex(2), Threshold: 0.6, Default: true},
		{Name: "of an older sidecar", Task: "foreground", SHA256: hex(1), Default: true},
	}
	expect("believed for a while", pipeline.TaskFace, pixel.Digest{}, false, 1)
	now = now.Add(hearing)
	expect("ready", pipeline.TaskFace, one, true, 2)
	expect("without a recipe", pipeline.TaskForeground, pixel.Digest{}, false, 2)
	status.Models[1].SHA256 = hex(3)
	expect("known", pipeline.TaskFace, one, true, 2)
	now = now.Add(hearing)
	expect("replaced", pipeline.TaskFace, two, true, 3)
	status.State = inference.StateDown
	now = now.Add(hearing)
	expect("down", pipeline.TaskFace, two, true, 4)
	h.hear(pipeline.TaskFace, one)
	expect("an answer came", pipeline.TaskFace, one, true, 4)
	if modelDigest(pixel.Digest{1}, pixel.Digest{2}, 0.5) == one {
		t.Error("another threshold is another model's")
	}
}

// With --inference=embedded the models' metrics are in the same registry.
func TestMetrics_BothHalvesShareARegistry(t *testing.T) {
	registry := newRegistry()
	repository, err := models.OpenRepository(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := host.DefaultConfig()
	c.Budget, c.Metrics, c.Log = 1<<20, registry, slog.New(slog.DiscardHandler)
	c.Adapters = host.Adapters{Face: face.New, Foreground: foreground.New}
	h, err := host.New(c, fake.New("cpu"), repository)
	if err != nil {
		t.Fatal(err)
	}
	s, err := source.New(source.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	rc := results.DefaultConfig()
	rc.Memory = 1 << 20
	k, err := results.New(rc, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	registry.MustRegister(caches{s, k})
	families, err := registry.Gather()
	if err != nil {
		t.Error(err)
	}
	var tiers []string
	for _, f := range families {
		if f.GetName() == "focal_cache_bytes" {
			for _, m := range f.Metric {
				tiers = append(tiers, m.Label[0].GetValue())
			}
		}
	}
	if slices.Sort(tiers); !slices.Equal(tiers, []string{"memory", "results-memory", "source"}) {
		t.Errorf("there are caches %q", tiers)
	}
	if err := errors.Join(h.Close(t.Context()), s.Close(t.Context()), k.Close(t.Context())); err != nil {
		t.Error(err)
	}
}
