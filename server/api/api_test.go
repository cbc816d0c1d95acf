package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"focal/core/fault"
	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/server/results"
	"focal/server/source"

	"github.com/prometheus/client_golang/prometheus"
)

// modified is when the one original was changed.
var modified = time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)

// sources gives one original, or an error, and remembers what was asked for.
type sources struct {
	err  error
	refs chan string
	// If block is set, Fetch says on entered that it is there, and waits for
	// block.
	entered, block chan struct{}
}

func (s *sources) Fetch(ctx context.Context, ref string) (*source.Original, error) {
	if s.block != nil {
		s.entered <- struct{}{}
		<-s.block
	}
	if s.refs != nil {
		s.refs <- ref
	}
	if s.err != nil {
		return nil, s.err
	}
	return &source.Original{Bytes: []byte("source"), CacheControl: "max-age=60", LastModified: modified}, nil
}

// Purge forgets one content, named like the place, of every source but "bad".
func (s *sources) Purge(ref string) (place pixel.Digest, forgotten []pixel.Digest, err error) {
	if ref == "bad" {
		return place, nil, fault.New(fault.BadURL, "test", "bad")
	}
	copy(place[:], ref)
	return place, []pixel.Digest{place}, nil
}

// Receive takes nothing.
func (s *sources) Receive(context.Context, io.Reader) (*source.Original, error) {
	return nil, fault.New(fault.Busy, "test", "no room")
}

// Location leads to a host of its own, for every source but "nowhere".
func (s *sources) Location(ref string) (string, bool) {
	return "https://origin.example/" + ref, ref != "nowhere"
}

// pictures makes the same picture of everything.
type pictures struct {
	make func(pipeline.Request) (pipeline.Result, error)
}

func (p pictures) Make(_ context.Context, r results.Request) (results.Result, error) {
	made, err := p.make(r.Request)
	return results.Result{Result: made, Status: "fwd=miss"}, err
}

func (p pictures) Purge(_ context.Context, _ pixel.Digest, contents []pixel.Digest) ([]pixel.Digest, error) {
	return append(contents, pixel.Digest{1}), nil
}

func fixed(pipeline.Request) (pipeline.Result, error) {
	return pipeline.Result{Body: []byte("picture"), ContentType: "image/jpeg"}, nil
}

// serve starts a server and returns its base URL.
func serve(t *testing.T, s Sources, p Pictures, change func(*Config)) string {
	t.Helper()
	return serveAll(t, s, p, nil, change)
}

// serveAll is serve with a studio.
func serveAll(t *testing.T, s Sources, p Pictures, studio Studio, change func(*Config)) string {
	t.Helper()
	r := prometheus.NewRegistry()
	c := DefaultConfig()
	c.Ready = func(context.Context) (any, bool) { return map[string]string{"status": "ready"}, true }
	c.Samples = func() []string { return []string{"a b.jpg"} }
	c.Configured, c.Registry, c.Gatherer = true, r, r
	if change != nil {
		change(&c)
	}
	server, err := New(c, s, p, studio)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := server.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func get(t *testing.T, url string, header ...string) (*http.Response, string) {
	t.Helper()
	return do(t, http.MethodGet, url, header...)
}

func do(t *testing.T, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	return send(t, method, url, nil, header...)
}

// send asks once, and follows no redirect.
func send(t *testing.T, method, url string, content io.Reader, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, content)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestImage_AnswersWithTheHeadersOfTheContract(t *testing.T) {
	degraded := &pipeline.Degraded{From: "face", To: "auto", Reason: fault.Unavailable}
	p := pictures{func(r pipeline.Request) (pipeline.Result, error) {
		res, err := fixed(r)
		res.Warnings = []string{"image too large for AVIF"}
		res.Facts = []pipeline.Fact{{Task: pipeline.TaskFace, Model: "m", Provider: "cpu", How: "hit", Detail: "count=0"}}
		if r.Options.Width == 1 {
			res.Facts, res.Findings = nil, pipeline.Findings{Degraded: degraded}
		}
		res.Fleeting = r.Options.Debug
		return res, err
	}}
	base := serve(t, &sources{}, p, nil)
	resp, body := get(t, base+"/cdn-cgi/image/width=2,nonsense=1/a.jpg")
	if resp.StatusCode != 200 || body != "picture" {
		t.Fatalf("got %d %q", resp.StatusCode, body)
	}
	for name, want := range map[string]string{
		"Content-Type":            "image/jpeg",
		"Content-Length":          "7",
		"Cache-Control":           "max-age=3600",
		"Last-Modified":           "Fri, 02 Jan 2026 03:04:05 GMT",
		"Accept-Ranges":           "none",
		"Cache-Status":            "focal; fwd=miss",
		"Vary":                    "Accept",
		"X-Content-Type-Options":  "nosniff",
		"Content-Security-Policy": contentPolicy,
		"Focal-Inference":         "face; model=m; provider=cpu; result=hit; count=0",
		"Focal-Degraded":          "",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := resp.Header.Get("Cf-Resized"); !strings.HasPrefix(got, "internal=ok/") {
		t.Errorf("Cf-Resized: %q", got)
	}
	if got := resp.Header.Get("Server-Timing"); !strings.HasPrefix(got, "fetch;dur=") || !strings.Contains(got, "render;dur=") {
		t.Errorf("Server-Timing: %q", got)
	}
	if w := resp.Header.Values("Warning"); len(w) != 3 || w[1] != `cf-images 299 "image too large for AVIF"` || w[2] != `cf-images 299 "cache-control is too restrictive"` {
		t.Errorf("Warning: %q", w)
	}
	resp, _ = get(t, base+"/cdn-cgi/image/width=1/a.jpg")
	if resp.Header.Get("Focal-Degraded") != "face=auto; reason=unavailable" || resp.Header.Get("Cache-Control") != degradedAge {
		t.Errorf("degraded: %v", resp.Header)
	}
	for _, list := range []string{"debug=crop", "debug=crop,width=1"} {
		resp, _ = get(t, base+"/cdn-cgi/image/"+list+"/a.jpg")
		if got := resp.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q, want no-store", list, got)
		}
	}
}

func TestImage_KnowsWhatTheClientHas(t *testing.T) {
	base := serve(t, &sources{}, pictures{fixed}, nil)
	url := base + "/cdn-cgi/image/width=2/a.jpg"
	resp, _ := get(t, url)
	tag := resp.Header.Get("ETag")
	if len(tag) < 10 || tag[0] != '"' {
		t.Fatalf("ETag %q is not strong", tag)
	}
	for _, header := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
		resp, body := get(t, url, "If-None-Match", header)
		if resp.StatusCode != 304 || body != "" || resp.Header.Get("ETag") != tag {
			t.Errorf("If-None-Match %s: got %d", header, resp.StatusCode)
		}
	}
	for _, c := range []struct {
		header []string
		status int
	}{
		{[]string{"If-None-Match", `"other"`}, 200},
		{[]string{"If-Modified-Since", "Fri, 02 Jan 2026 03:04:05 GMT"}, 304},
		{[]string{"If-Modified-Since", "Fri, 02 Jan 2026 03:04:04 GMT"}, 200},
		{[]string{"If-Modified-Since", "nonsense"}, 200},
		// The tag decides alone where both are sent.
		{[]string{"If-None-Match", `"other"`, "If-Modified-Since", "Fri, 02 Jan 2026 03:04:05 GMT"}, 200},
		{[]string{"Range", "bytes=0-1"}, 200},
	} {
		if resp, _ := get(t, url, c.header...); resp.StatusCode != c.status {
			t.Errorf("%v: got %d, want %d", c.header, resp.StatusCode, c.status)
		}
	}
	resp, body := do(t, http.MethodHead, url)
	if resp.StatusCode != 200 || body != "" || resp.ContentLength != 7 {
		t.Errorf("HEAD: %d, %d bytes announced, body %q", resp.StatusCode, resp.ContentLength, body)
	}
}

// Every kind has its numbers, in Cloudflare's form.
func TestFail_EveryKindHasItsNumbers(t *testing.T) {
	for k := fault.Internal; k <= fault.Canceled; k++ {
		if n, ok := table[k]; !ok || n.status < 400 || n.code < 9400 {
			t.Errorf("%s: %+v", k, n)
		}
	}
	s := &sources{}
	base := serve(t, s, pictures{fixed}, nil)
	for _, c := range []struct {
		err    error
		status int
		want   string
	}{
		{fault.New(fault.NotFound, "t", "no such file"), 404, "ERROR 9404: no such file\n"},
		{fault.New(fault.TooLarge, "t", "larger than --max-source-bytes"), 413, "ERROR 9402: larger than --max-source-bytes\n"},
		{fault.New(fault.Busy, "t", "full").After(2500 * time.Millisecond), 503, "ERROR 9522: full\n"},
		{errors.New("password in an internal error"), 500, "ERROR 9523: internal error\n"},
		{fault.New(fault.Corrupt, "t", "two\nlines"), 422, "ERROR 9516: two lines\n"},
	} {
		s.err = c.err
		resp, body := get(t, base+"/cdn-cgi/image/width=2/a.jpg")
		code := strings.TrimSuffix(strings.Fields(c.want)[1], ":")
		if resp.StatusCode != c.status || body != c.want || resp.Header.Get("Cf-Resized") != "err="+code {
			t.Errorf("%v: got %d %q %q", c.err, resp.StatusCode, body, resp.Header.Get("Cf-Resized"))
		}
		if c.status == 503 && resp.Header.Get("Retry-After") != "3" {
			t.Errorf("Retry-After: %q", resp.Header.Get("Retry-After"))
		}
	}
}

func TestImage_TakesTheSourceAsItWasSent(t *testing.T) {
	s := &sources{refs: make(chan string, 1)}
	base := serve(t, s, pictures{fixed}, nil)
	for sent, want := range map[string]string{
		"/cdn-cgi/image/w=1/a%2Fb/../c.jpg":                "a%2Fb/../c.jpg",
		"/cdn-cgi/image/w=1/https://h.example/a.jpg?x=1":   "https://h.example/a.jpg?x=1",
		"/cdn-cgi/image/w=1/https:/h.example/a.jpg":        "https://h.example/a.jpg",
		"http://any.example/cdn-cgi/image/w=1/a.jpg?y=%3F": "a.jpg?y=%3F",
	} {
		// net/http would clean the target, so it is written by hand.
		conn := dial(t, base)
		conn.send(t, "GET "+sent+" HTTP/1.1\r\nHost: h\r\n\r\n")
		if resp, body := conn.answer(t, http.MethodGet); resp.StatusCode != 200 {
			t.Fatalf("%s: %d %s", sent, resp.StatusCode, body)
		}
		if got := <-s.refs; got != want {
			t.Errorf("%s: fetched %q, want %q", sent, got, want)
		}
	}
}

func TestImage_RefusesBeyondTheQueue(t *testing.T) {
	s := &sources{entered: make(chan struct{}, 1), block: make(chan struct{})}
	base := serve(t, s, pictures{fixed}, func(c *Config) { c.Admitted = 1 })
	url := base + "/cdn-cgi/image/width=2/a.jpg"
	first := make(chan int, 1)
	go func() {
		resp, err := http.Get(url)
		if err != nil {
			first <- 0
			return
		}
		resp.Body.Close()
		first <- resp.StatusCode
	}()
	<-s.entered // it holds the only place
	if resp, _ := get(t, url); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("beyond the queue: got %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	close(s.block)
	if code := <-first; code != 200 {
		t.Errorf("the admitted request got %d", code)
	}
}

func TestHandle_LivesOnAfterAPanic(t *testing.T) {
	base := serve(t, &sources{}, pictures{func(r pipeline.Request) (pipeline.Result, error) {
		if r.Options.Width == 13 {
			panic("boom")
		}
		return fixed(r)
	}}, nil)
	resp, body := get(t, base+"/cdn-cgi/image/width=13/a.jpg")
	if resp.StatusCode != 500 || strings.Contains(body, "boom") {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
	if resp, _ := get(t, base+"/cdn-cgi/image/width=2/a.jpg"); resp.StatusCode != 200 {
		t.Errorf("after the panic: %d", resp.StatusCode)
	}
}

func TestHandle_BadRequestsHaveAnAnswer(t *testing.T) {
	base := serve(t, &sources{}, pictures{fixed}, nil)
	long := strings.Repeat("a", maxHead)
	for _, c := range []struct {
		name, method, path string
		header             []string
		status             int
	}{
		{"a huge header", "GET", "/healthz", []string{"X-Long", long}, 431},
		{"a huge path", "GET", "/cdn-cgi/image/w=1/" + long, nil, 431},
		{"no route", "GET", "/nothing", nil, 404},
		{"another method", "POST", "/cdn-cgi/image/w=1/a.jpg", nil, 405},
		{"no options", "GET", "/cdn-cgi/image//a.jpg", nil, 400},
		{"no source", "GET", "/cdn-cgi/image/w=1/", nil, 403},
		{"a transform of a transform", "GET", "/cdn-cgi/image/w=1/cdn-cgi/image/w=2/a.jpg", nil, 508},
	} {
		if resp, body := do(t, c.method, base+c.path, c.header...); resp.StatusCode != c.status {
			t.Errorf("%s: got %d %q, want %d", c.name, resp.StatusCode, body, c.status)
		}
	}
}

func TestRoutes_OfOperators(t *testing.T) {
	base := serve(t, &sources{}, pictures{fixed}, func(c *Config) {
		c.Ready = func(context.Context) (any, bool) { return map[string]string{"status": "starting"}, false }
	})
	if resp, body := get(t, base+"/healthz"); resp.StatusCode != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", resp.StatusCode, body)
	}
	resp, body := get(t, base+"/readyz")
	var v map[string]string
	if err := json.Unmarshal([]byte(body), &v); err != nil || resp.StatusCode != 503 || v["status"] != "starting" {
		t.Errorf("/readyz: %d %q", resp.StatusCode, body)
	}
	get(t, base+"/cdn-cgi/image/w=1/a.jpg")
	if _, body := get(t, base+"/metrics"); !strings.Contains(body, `focal_http_requests_total{route="image",status="200"} 1`) {
		t.Errorf("/metrics does not count the picture:\n%s", body)
	}
	resp, body = get(t, base+"/")
	if resp.StatusCode != 200 || !strings.Contains(body, `href="/cdn-cgi/image/gravity=face,fit=cover,width=320,height=320/a%20b.jpg"`) {
		t.Errorf("the start page has no link to the sample:\n%s", body)
	}
}

// A link of the start page that does not work is worse than none.
func TestServer_StartPageLinksToWhatIsServed(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*Config)
		has, not string
	}{
		"signed": {func(c *Config) { c.SignKeys = []string{"k"} }, "focal sign", "b.jpg"},
		"only presets": {func(c *Config) { c.Presets, c.OnlyPresets = map[string]string{"thumb": "width=9"}, true },
			`href="/cdn-cgi/image/thumb/a%20b.jpg"`, "width=320"},
		"nothing found": {func(c *Config) { c.Samples = func() []string { return nil } }, "Name a source", "focal sign"},
	} {
		_, body := get(t, serve(t, nil, nil, c.change)+"/")
		if !strings.Contains(body, c.has) || strings.Contains(body, c.not) {
			t.Errorf("%s: want %q and no %q in\n%s", name, c.has, c.not, body)
		}
	}
}

func TestAcceptOf_ReadsWeights(t *testing.T) {
	for header, want := range map[string]pipeline.Accept{
		"":                           {},
		"*/*":                        {},
		"image/*":                    {},
		"image/avif,image/webp,*/*":  {AVIF: true, WebP: true},
		"image/avif;q=0, image/webp": {WebP: true},
		"IMAGE/WEBP ; q=0.5":         {WebP: true},
		"image/webp;q=nonsense":      {WebP: true},
		"text/html, image/avif;q=.1": {AVIF: true},
		"image/webp;q=NaN":           {WebP: true},
		// What a client likes less than what it would get instead, it does not get.
		"image/avif;q=0.5, image/webp":                  {WebP: true},
		"image/avif, image/webp;q=0.5":                  {AVIF: true, WebP: true},
		"image/avif;q=0.8, image/webp;q=0.8":            {AVIF: true, WebP: true},
		"image/jpeg, image/webp;q=0.9, image/avif;q=.9": {},
		"image/jpeg;q=0.9, image/webp;q=0.9":            {WebP: true},
		"image/webp;q=0.2, image/*;q=0.5":               {},
		"image/webp;q=0.2, image/jpeg;q=.1, */*":        {WebP: true},
		"image/avif;q=2, image/webp":                    {AVIF: true, WebP: true},
		// As sent by Firefox 128 and Safari 17.
		"image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5":                                                        {AVIF: true, WebP: true},
		"image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5": {AVIF: true, WebP: true},
	} {
		if got := acceptOf(header); got != want {
			t.Errorf("%q: got %+v, want %+v", header, got, want)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/a?b", "http://h/a?b", "http://h", "*", "", "//x", "/a??b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, uri []byte) {
		path, _ := target(uri)
		if strings.Contains(path, "?") {
			t.Fatalf("%q: the path %q holds a query", uri, path)
		}
		acceptOf(string(uri))
	})
}
