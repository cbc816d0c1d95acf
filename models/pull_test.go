package models_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"focal/core/fault"
	"focal/models"
)

func TestPull_InstallsEveryProvenModelFromTheMirror(t *testing.T) {
	dir := sharedModels(t)
	r := open(t)
	for _, m := range models.Catalog() {
		if !m.Artefacts[0].Proven {
			continue
		}
		var done, total int64
		got, err := r.Pull(t.Context(), m.Name, models.PullOptions{Mirror: dir, Progress: func(d, n int64) { done, total = d, n }})
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		if got.From != filepath.Join(dir, m.Artefacts[0].File) || got.Model.Version != "1" || got.Model.File.String() != m.Artefacts[0].SHA256 {
			t.Errorf("%s: %+v", m.Name, got)
		}
		if done != m.Artefacts[0].Bytes || total != done {
			t.Errorf("%s: progress ended at %d of %d", m.Name, done, total)
		}
		if again, err := r.Pull(t.Context(), m.Name, models.PullOptions{}); err != nil || again.From != "" || again.Model.Version != "1" {
			t.Errorf("%s again: %+v, %v", m.Name, again, err)
		}
	}
	if name, ok := r.Default(models.TaskFace, "cpu"); name != "retinaface-mobilenet025" || !ok {
		t.Errorf("default face model %s, %v", name, ok)
	}
}

// upstream is a real server of one file that can misbehave.
type upstream struct {
	*httptest.Server
	mu       sync.Mutex // protects what follows
	body     []byte
	etag     string
	cut      int // bytes after which the connection breaks; 0: never
	requests []string
}

func serve(t *testing.T, body []byte) *upstream {
	u := &upstream{body: body, etag: `"one"`}
	u.Server = httptest.NewServer(u)
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	body, etag, cut := u.body, u.etag, u.cut
	u.cut = 0
	u.requests = append(u.requests, r.URL.Path+" "+r.Header.Get("Range"))
	u.mu.Unlock()
	if r.URL.Path != "/net.onnx" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", etag)
	if cut == 0 {
		http.ServeContent(w, r, "net.onnx", time.Time{}, bytes.NewReader(body))
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body[:cut])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func (u *upstream) seen() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.requests
}

// describe puts a manifest into r whose artefact has body's digest and urls.
func describe(t *testing.T, r *models.Repository, body []byte, more string, urls ...string) {
	t.Helper()
	sum := sha256.Sum256(body)
	put(t, r, "mine/model.yaml", good+fmt.Sprintf("artefacts: [{file: net.onnx, urls: ['%s'], sha256: %s%s}]\n",
		strings.Join(urls, "','"), hex.EncodeToString(sum[:]), more))
}

func expectPulled(t *testing.T, r *models.Repository, o models.PullOptions, body []byte, from string) {
	t.Helper()
	got, err := r.Pull(t.Context(), "mine", o)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(got.Model.Path)
	if err != nil || !bytes.Equal(have, body) || got.From != from {
		t.Fatalf("from %s: %d bytes, %v", got.From, len(have), err)
	}
	left, err := os.ReadDir(filepath.Join(r.Dir(), ".partial"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

var weights = bytes.Repeat([]byte("weights "), 50_000)

func TestPull_ResumesWhereItWasCut(t *testing.T) {
	u, r := serve(t, weights), open(t)
	address := u.URL + "/net.onnx"
	describe(t, r, weights, "", address)
	u.cut = 100_000
	_, err := r.Pull(t.Context(), "mine", models.PullOptions{})
	if !fault.Is(err, fault.Upstream) || !strings.Contains(err.Error(), address) {
		t.Fatalf("cut: %v", err)
	}
	var first int64
	expectPulled(t, r, models.PullOptions{Progress: func(done, total int64) {
		if first == 0 {
			first = done
		}
		if total != int64(len(weights)) {
			t.Errorf("total %d", total)
		}
	}}, weights, address)
	if first <= 100_000 {
		t.Errorf("progress began at %d", first)
	}
	if got := fmt.Sprint(u.seen()); got != "[/net.onnx  /net.onnx bytes=100000-]" {
		t.Errorf("requests %s", got)
	}
}

func TestPull_StartsAnewWhenTheFileChanged(t *testing.T) {
	u, r := serve(t, bytes.Repeat([]byte("old file"), 50_000)), open(t)
	describe(t, r, weights, "", u.URL+"/net.onnx")
	u.cut = 100_000
	if _, err := r.Pull(t.Context(), "mine", models.PullOptions{}); err == nil {
		t.Fatal("pulled half a file")
	}
	u.body, u.etag = weights, `"two"` // If-Range fails: the whole file comes
	expectPulled(t, r, models.PullOptions{}, weights, u.URL+"/net.onnx")
}

func TestPull_StartsAnewAtAnotherAddress(t *testing.T) {
	a, b, r := serve(t, weights), serve(t, weights), open(t)
	describe(t, r, weights, "", a.URL+"/net.onnx", b.URL+"/net.onnx")
	a.cut = 100_000
	expectPulled(t, r, models.PullOptions{}, weights, b.URL+"/net.onnx")
	if got := fmt.Sprint(b.seen()); got != "[/net.onnx ]" {
		t.Errorf("requests %s", got)
	}
}

func TestPull_FinishesAPartThatIsComplete(t *testing.T) {
	u, r := serve(t, weights), open(t)
	describe(t, r, weights, "", u.URL+"/net.onnx")
	sum := sha256.Sum256(weights)
	put(t, r, ".partial/"+hex.EncodeToString(sum[:])+".part", string(weights))
	expectPulled(t, r, models.PullOptions{}, weights, u.URL+"/net.onnx")
	if len(u.seen()) != 0 {
		t.Errorf("asked %v", u.seen())
	}
}

func TestPull_ThrowsAwayWrongBytes(t *testing.T) {
	wrong := append([]byte(nil), weights...)
	wrong[1000]++
	u, r := serve(t, wrong), open(t)
	describe(t, r, weights, "", u.URL+"/net.onnx")
	for range 2 { // the second attempt must not go on from the wrong bytes
		_, err := r.Pull(t.Context(), "mine", models.PullOptions{})
		if err == nil || !strings.Contains(err.Error(), "SHA-256 is") {
			t.Fatalf("got %v", err)
		}
	}
	if _, err := r.Model("mine"); !fault.Is(err, fault.NotFound) {
		t.Errorf("installed: %v", err)
	}
	u.body = weights
	expectPulled(t, r, models.PullOptions{}, weights, u.URL+"/net.onnx")
}

func TestPull_ChecksTheMD5ThatUpstreamPublished(t *testing.T) {
	u, r := serve(t, []byte("abc")), open(t)
	describe(t, r, []byte("abc"), ", md5: 900150983cd24fb0d6963f7d28e17f72", u.URL+"/net.onnx") // RFC 1321, A.5
	expectPulled(t, r, models.PullOptions{}, []byte("abc"), u.URL+"/net.onnx")
	r = open(t)
	describe(t, r, []byte("abc"), ", md5: 900150983cd24fb0d6963f7d28e17f73", u.URL+"/net.onnx")
	if _, err := r.Pull(t.Context(), "mine", models.PullOptions{}); err == nil || !strings.Contains(err.Error(), "MD5") {
		t.Errorf("got %v", err)
	}
}

func TestPull_RefusesAnotherLengthBeforeReading(t *testing.T) {
	u, r := serve(t, weights), open(t)
	describe(t, r, weights, ", bytes: 5", u.URL+"/net.onnx")
	if _, err := r.Pull(t.Context(), "mine", models.PullOptions{}); err == nil || !strings.Contains(err.Error(), "has 400000 bytes, not 5") {
		t.Errorf("got %v", err)
	}
}

func TestPull_AsksTheMirrorFirst(t *testing.T) {
	mirror, far := serve(t, weights), serve(t, weights)
	r := open(t)
	describe(t, r, weights, "", far.URL+"/net.onnx")
	expectPulled(t, r, models.PullOptions{Mirror: mirror.URL + "/"}, weights, mirror.URL+"/net.onnx")
	if len(far.seen()) != 0 {
		t.Errorf("asked %v", far.seen())
	}
}

func TestPull_GoesOnWhereAnAddressFails(t *testing.T) {
	u := serve(t, weights)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	other := t.TempDir() // a mirror with another file of that name
	if err := os.WriteFile(filepath.Join(other, "net.onnx"), []byte("other bytes"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, mirror := range []string{t.TempDir(), other, gone.URL, u.URL + "/nowhere"} {
		r := open(t)
		describe(t, r, weights, "", gone.URL+"/net.onnx", u.URL+"/lost.onnx", u.URL+"/net.onnx")
		expectPulled(t, r, models.PullOptions{Mirror: mirror}, weights, u.URL+"/net.onnx")
	}
}

func TestPull_NamesEveryAddressThatFailed(t *testing.T) {
	u, r := serve(t, weights), open(t)
	mirror := t.TempDir()
	describe(t, r, weights, "", u.URL+"/a", u.URL+"/b")
	_, err := r.Pull(t.Context(), "mine", models.PullOptions{Mirror: mirror})
	for _, want := range []string{filepath.Join(mirror, "net.onnx") + ": not there", u.URL + "/a: not there", u.URL + "/b: not there"} {
		if !fault.Is(err, fault.Upstream) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not say %q", err, want)
		}
	}
	_, err = r.Pull(t.Context(), "prisma-portrait", models.PullOptions{})
	if err == nil || !strings.Contains(err.Error(), "FOCAL_MODEL_MIRROR") {
		t.Errorf("a model without an address: %v", err)
	}
	if _, err := r.Pull(t.Context(), "unknown", models.PullOptions{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown model: %v", err)
	}
}

func TestPull_AsksForTheLicence(t *testing.T) {
	u, r := serve(t, weights), open(t)
	describe(t, r, weights, "", u.URL+"/net.onnx")
	text, err := os.ReadFile(filepath.Join(r.Dir(), "mine", "model.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, r, "mine/model.yaml", strings.Replace(string(text), "{spdx: MIT}", "{spdx: CC-BY-NC-4.0, non_commercial: true}", 1))
	if _, err := r.Pull(t.Context(), "mine", models.PullOptions{}); !fault.Is(err, fault.Forbidden) || !strings.Contains(err.Error(), "--accept-licence") {
		t.Errorf("got %v", err)
	}
	if len(u.seen()) != 0 {
		t.Error("asked before the licence was accepted")
	}
	expectPulled(t, r, models.PullOptions{AcceptLicence: true}, weights, u.URL+"/net.onnx")
}

func TestPull_NewBytesBecomeANewVersion(t *testing.T) {
	u, r := serve(t, weights), open(t)
	describe(t, r, weights, "", u.URL+"/net.onnx")
	expectPulled(t, r, models.PullOptions{}, weights, u.URL+"/net.onnx")
	u.body = []byte("better weights")
	describe(t, r, u.body, "", u.URL+"/net.onnx")
	expectPulled(t, r, models.PullOptions{}, u.body, u.URL+"/net.onnx")
	if m, err := r.Model("mine"); err != nil || m.Version != "2" {
		t.Errorf("version %s, %v", m.Version, err)
	}
}

func TestPull_EndsWithItsCallerAndKeepsThePart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(weights)))
		_, _ = w.Write(weights[:1000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	r := open(t)
	describe(t, r, weights, "", s.URL, s.URL+"/never")
	_, err := r.Pull(ctx, "mine", models.PullOptions{Progress: func(int64, int64) { cancel() }})
	if !fault.Is(err, fault.Canceled) {
		t.Errorf("got %v", err)
	}
	parts, _ := filepath.Glob(filepath.Join(r.Dir(), ".partial", "*.part"))
	if len(parts) != 1 {
		t.Errorf("parts %v", parts)
	}
}

func TestPull_TwoAtOnceDoNotMix(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = w.Write(weights)
	}))
	t.Cleanup(s.Close)
	r := open(t)
	describe(t, r, weights, "", s.URL)
	first := make(chan error, 1)
	go func() {
		_, err := r.Pull(t.Context(), "mine", models.PullOptions{})
		first <- err
	}()
	<-arrived
	if _, err := r.Pull(t.Context(), "mine", models.PullOptions{}); !fault.Is(err, fault.Busy) {
		t.Errorf("second: %v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
}
