package api

import (
	"context"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"focal/core/pipeline"
	"focal/core/vips"
	"focal/server/results"
	"focal/server/source"
)

const samples = "../../../shared/data/samples"

func TestMain(m *testing.M) {
	if err := vips.Open(vips.DefaultConfig()); err != nil {
		log.Fatal(err)
	}
	code := m.Run()
	if n := vips.Live(); n != 0 && code == 0 {
		log.Printf("%d images of libvips were left open", n)
		code = 1
	}
	os.Exit(code)
}

// origin serves the samples, and a photo under a name with a space.
func origin(t *testing.T) string {
	t.Helper()
	files := http.FileServer(http.Dir(samples))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/a b.jpg" {
			r.URL.Path = "/photos/bicycle.jpg"
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// whole starts a server with real sources and pictures.
func whole(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(samples); os.IsNotExist(err) {
		t.Skip("needs ../shared: data/samples")
	}
	return houseOf(t, parts{root: samples})
}

// parts are what a house of the tests is made of: a root, vision and its models
// or none, and changes to the settings or none.
type parts struct {
	root    string
	vision  pipeline.Vision
	models  results.Models
	sources func(*source.Config)
	change  func(*Config)
}

// houseOf starts a server whose sources are in a directory, or at an origin
// here.
func houseOf(t *testing.T, h parts) string {
	t.Helper()
	c := source.DefaultConfig()
	c.Root, c.AllowOrigins, c.AllowPrivate = h.root, []string{"127.0.0.1"}, true
	if h.sources != nil {
		h.sources(&c)
	}
	from, err := source.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := from.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	p, err := pipeline.New(pipeline.DefaultConfig(), h.vision)
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := results.New(results.DefaultConfig(), p, h.models)
	if err != nil {
		t.Fatal(err)
	}
	return serveAll(t, from, keeper, p, h.change)
}

// chrome is what Chrome accepts for a picture.
const chrome = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"

// shown says which content type a client of chrome's kind expects of a URL.
func shown(url string) string {
	for _, c := range []struct{ part, mime string }{
		{".svg", "image/svg+xml"},
		{".gif", "image/webp"}, // animated
		{"f=auto", "image/avif"}, {"f=avif", "image/avif"}, {"format=avif", "image/avif"},
		{"f=webp", "image/webp"}, {"format=webp", "image/webp"},
		{"format=png", "image/png"}, {"rgba.png", "image/png"}, // transparent
	} {
		if strings.Contains(url, c.part) {
			return c.mime
		}
	}
	return "image/jpeg"
}

// The URLs are built by the packages that are named between them; see
// scripts/clients.
func TestClients_EveryRecordedURLIsAnswered(t *testing.T) {
	list, err := os.ReadFile("testdata/clients.txt")
	if err != nil {
		t.Fatal(err)
	}
	base := whole(t)
	local := strings.NewReplacer("https://images.example", base, "https://origin.example", origin(t))
	tried := 0
	for url := range strings.Lines(string(list)) {
		if url = strings.TrimSpace(url); strings.HasPrefix(url, "#") {
			continue
		}
		tried++
		resp, body := get(t, local.Replace(url), "Accept", chrome)
		h := resp.Header
		if resp.StatusCode != 200 || !strings.HasPrefix(h.Get("Cf-Resized"), "internal=ok/") {
			t.Errorf("%s: %d, Cf-Resized %q: %.200s", url, resp.StatusCode, h.Get("Cf-Resized"), body)
			continue
		}
		if got := h.Get("Content-Type"); got != shown(url) || vips.Sniff([]byte(body)).MIME() != got {
			t.Errorf("%s: %s, and it is %s; want %s", url, got, vips.Sniff([]byte(body)), shown(url))
		}
		if h.Get("Etag") == "" || h.Get("Content-Security-Policy") != contentPolicy || h.Get("Vary") != "Accept" {
			t.Errorf("%s: %v", url, h)
		}
	}
	if tried < 30 {
		t.Errorf("%d URLs", tried)
	}
}

func TestImage_TheOriginalIsAnsweredWhereItIsSmaller(t *testing.T) {
	base := whole(t)
	resp, body := get(t, base+"/cdn-cgi/image/format=auto/animated/rotating-squares.webp", "Accept", chrome)
	file, err := os.ReadFile(samples + "/animated/rotating-squares.webp")
	if err != nil {
		t.Fatal(err)
	}
	h := resp.Header
	if body != string(file) || h.Get("Warning") != `cf-images 299 "original is smaller"` || !strings.HasPrefix(h.Get("Cf-Resized"), "internal=ok/") {
		t.Errorf("%d bytes of %d, %v", len(body), len(file), h)
	}
	if resp, _ := get(t, base+"/cdn-cgi/image/format=auto/animated/rotating-squares.webp", "Accept", chrome, "If-None-Match", h.Get("Etag")); resp.StatusCode != 304 {
		t.Errorf("a second time: %d", resp.StatusCode)
	}
}

func TestImage_ABrokenSVGIsNoImage(t *testing.T) {
	resp, body := get(t, whole(t)+"/cdn-cgi/image/width=10/svg/malicious/sanitizer-badXmlTestOne.svg")
	if resp.StatusCode != 415 || resp.Header.Get("Cf-Resized") != "err=9412" || !strings.HasPrefix(body, "ERROR 9412: ") {
		t.Errorf("%d: %s", resp.StatusCode, body)
	}
}
