package source

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"focal/core/fault"
)

// serve starts a real server and returns its base URL.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// answer is a handler that always sends the same.
func answer(code int, header, value, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if header != "" {
			w.Header().Set(header, value)
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

func TestFetch_AsksAnonymouslyAndKeepsWhatTheOriginSays(t *testing.T) {
	modified := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	requests := make(chan *http.Request, 2)
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		w.Header().Set("Set-Cookie", "id=1")
		if r.URL.Path == "/a.jpg" {
			http.Redirect(w, r, "/b.jpg", http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", "image/jpeg")
		w.Header().Set("ETag", `W/"x"`)
		w.Header().Set("Last-Modified", modified.Format(http.TimeFormat))
		w.Header().Add("Cache-Control", "public")
		w.Header().Add("Cache-Control", "max-age=60")
		_, _ = w.Write([]byte("body"))
	})
	f := newFetcher(t, func(c *Config) { c.Origins = []string{origin} })
	o, err := f.Fetch(t.Context(), "a.jpg")
	if err != nil {
		t.Fatal(Detail(err))
	}
	if string(o.Bytes) != "body" || o.ContentType != "image/jpeg" || o.ETag != `W/"x"` ||
		!o.LastModified.Equal(modified) || o.CacheControl != "public, max-age=60" {
		t.Errorf("got %q %+v", o.Bytes, o)
	}
	o.Release()
	o.Release() // harmless
	for range 2 {
		r := <-requests
		want := http.Header{"Accept": {"image/*"}, "Accept-Encoding": {"identity"}, "User-Agent": {"focal"}, "Via": {"image-resizing"}}
		if fmt.Sprint(r.Header) != fmt.Sprint(want) {
			t.Errorf("%s came with %v, want %v", r.URL, r.Header, want)
		}
		if !Looped(r.Header.Get("Via")) || Looped("1.1 varnish") {
			t.Error("our own fetch is not recognised as a loop")
		}
	}
}

func TestFetch_StatusBecomesKind(t *testing.T) {
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var code int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &code)
		w.WriteHeader(code)
	})
	f := newFetcher(t, func(c *Config) { c.Origins = []string{origin} })
	for code, k := range map[int]fault.Kind{
		404: fault.NotFound, 400: fault.Denied, 401: fault.Denied, 403: fault.Denied, 410: fault.Denied, 429: fault.Denied,
		500: fault.Upstream, 503: fault.Upstream, 504: fault.Upstream, 204: fault.Upstream, 206: fault.Upstream,
		304: fault.Upstream, 300: fault.Upstream, 302: fault.Upstream, // without a Location
	} {
		refused(t, f, fmt.Sprint(code), k)
	}
}

func TestFetch_UnreachableOriginIsUpstream(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	refused(t, newFetcher(t, func(c *Config) { c.Origins = []string{gone.URL} }), "a.jpg", fault.Upstream)
	refused(t, newFetcher(t, func(c *Config) { c.Origins = []string{"http://name.invalid"} }), "a.jpg", fault.Upstream)
}

func TestFetch_AbsoluteURLNeedsTheAllowList(t *testing.T) {
	url := serve(t, answer(200, "", "", "body"))
	refused(t, newFetcher(t, func(*Config) {}), url+"/a.jpg", fault.Forbidden)
	refused(t, newFetcher(t, func(c *Config) { c.Origins = []string{url} }), url+"/a.jpg", fault.Forbidden)
	refused(t, newFetcher(t, func(c *Config) { c.AllowOrigins, c.AllowPrivate = []string{"127.0.0.1/img"}, true }), url+"/a.jpg", fault.Forbidden)
	f := newFetcher(t, func(c *Config) { c.AllowOrigins, c.AllowPrivate = []string{"127.0.0.1"}, true })
	if got := get(t, f, url+"/a.jpg"); got != "body" {
		t.Errorf("got %q", got)
	}
}

func TestFetch_GuardSeesTheAddressAndNotTheName(t *testing.T) {
	asked := false
	base := serve(t, func(http.ResponseWriter, *http.Request) { asked = true })
	u, _ := url.Parse(base)
	f := newFetcher(t, func(c *Config) { c.AllowOrigins = []string{"*"} })
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "[::]"} {
		refused(t, f, "http://"+host+":"+u.Port()+"/a.jpg", fault.Forbidden)
	}
	if asked {
		t.Error("a request went out")
	}
}

func TestFetch_ConnectionsMadeForTheOperatorServeNobodyElse(t *testing.T) {
	base := serve(t, answer(200, "", "", "body"))
	f := newFetcher(t, func(c *Config) { c.Origins, c.AllowOrigins = []string{base}, []string{"*"} })
	if got := get(t, f, "a.jpg"); got != "body" { // leaves an idle connection
		t.Errorf("got %q", got)
	}
	refused(t, f, base+"/a.jpg", fault.Forbidden)
}

func TestFetch_ChecksEveryRedirect(t *testing.T) {
	private := serve(t, answer(200, "", "", "private"))
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) {
		to := map[string]string{
			"/twice": "/private", "/private": private + "/a.jpg", "/file": "file:///etc/passwd", "/user": "http://u:p@127.0.0.1/",
			"/loop": "/cdn-cgi/image/width=1/a.jpg", "/dots": "/x/%2e%2e/y", "/bad": "http://[/", "/there": "/here", "/gopher": "gopher://x/",
		}[r.URL.Path]
		if to == "" {
			_, _ = w.Write([]byte("here"))
			return
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusMovedPermanently)
	})
	f := newFetcher(t, func(c *Config) { c.Origins = []string{origin} })
	guarded := newFetcher(t, func(c *Config) { c.Origins, c.AllowOrigins = []string{origin}, []string{"127.0.0.1"} })
	open := newFetcher(t, func(c *Config) {
		c.Origins, c.AllowOrigins, c.AllowPrivate = []string{origin}, []string{"127.0.0.1"}, true
	})
	for _, f := range []*Fetcher{f, guarded} {
		refused(t, f, "private", fault.Forbidden)
		refused(t, f, "twice", fault.Forbidden)
		refused(t, f, "file", fault.Forbidden)
		refused(t, f, "user", fault.Forbidden)
		refused(t, f, "gopher", fault.Forbidden)
		refused(t, f, "dots", fault.Forbidden)
		refused(t, f, "loop", fault.Loop)
		refused(t, f, "bad", fault.Upstream)
		if got := get(t, f, "there"); got != "here" {
			t.Errorf("got %q", got)
		}
	}
	if got := get(t, open, "twice"); got != "private" {
		t.Errorf("got %q", got)
	}
}

func TestFetch_WhoLeavesTheOriginComesBackAsAStranger(t *testing.T) {
	var origin, other string
	origin = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/a.jpg" {
			http.Redirect(w, r, other+"/b", http.StatusFound)
			return
		}
		_, _ = w.Write([]byte("inner"))
	})
	other = serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, origin+"/inner", http.StatusFound) })
	u, _ := url.Parse(other)
	f := newFetcher(t, func(c *Config) { c.Origins, c.AllowOrigins, c.AllowPrivate = []string{origin}, []string{u.Host}, true })
	refused(t, f, "a.jpg", fault.Forbidden)
}

func TestFetch_FollowsFiveRedirectsAndNoMore(t *testing.T) {
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var n int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &n)
		if n == 0 {
			_, _ = w.Write([]byte("end"))
			return
		}
		http.Redirect(w, r, fmt.Sprintf("/%d", n-1), http.StatusTemporaryRedirect)
	})
	f := newFetcher(t, func(c *Config) { c.Origins = []string{origin} })
	if got := get(t, f, "5"); got != "end" {
		t.Errorf("got %q", got)
	}
	refused(t, f, "6", fault.Upstream)
}

func TestFetch_RefusesTooLargeBeforeAndWhileReading(t *testing.T) {
	released := make(chan struct{})
	t.Cleanup(func() { close(released) })
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/announced": // never sends a byte: the header alone decides
			w.Header().Set("Content-Length", "11")
			w.(http.Flusher).Flush()
			select {
			case <-released:
			case <-r.Context().Done():
			}
		case "/silent":
			w.(http.Flusher).Flush()
			_, _ = w.Write([]byte("01234567890"))
		case "/fits":
			w.(http.Flusher).Flush()
			_, _ = w.Write([]byte("0123456789"))
		}
	})
	f := newFetcher(t, func(c *Config) { c.Origins, c.MaxBytes = []string{origin}, 10 })
	refused(t, f, "announced", fault.TooLarge)
	refused(t, f, "silent", fault.TooLarge)
	if got := get(t, f, "fits"); got != "0123456789" {
		t.Errorf("got %q", got)
	}
}

func TestFetch_UnknownLengthGrowsAndGivesBackTheRest(t *testing.T) {
	body := bytes.Repeat([]byte("picture "), 100_000)
	origin := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = w.Write(body)
	})
	f := newFetcher(t, func(c *Config) { c.Origins = []string{origin} })
	o, err := f.Fetch(t.Context(), "a.jpg")
	if err != nil {
		t.Fatal(Detail(err))
	}
	defer o.Release()
	if !bytes.Equal(o.Bytes, body) {
		t.Error("other bytes")
	}
	if taken, _ := f.Reserved(); taken != int64(cap(o.Bytes)) || taken > 2*int64(len(body)) {
		t.Errorf("%d bytes booked for %d", taken, len(body))
	}
}

func TestFetch_CutBodyIsUpstream(t *testing.T) {
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if r.URL.Path == "/chunked" {
			_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
		} else {
			_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
		}
		_ = rw.Flush()
	})
	f := newFetcher(t, func(c *Config) { c.Origins = []string{origin} })
	refused(t, f, "length", fault.Upstream)
	refused(t, f, "chunked", fault.Upstream)
}

func TestFetch_RefusesCompressionItDidNotAskFor(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte("picture"))
	_ = z.Close()
	f := newFetcher(t, func(c *Config) {
		c.Origins = []string{serve(t, answer(200, "Content-Encoding", "gzip", packed.String()))}
	})
	refused(t, f, "a.jpg", fault.Upstream)
	f = newFetcher(t, func(c *Config) { c.Origins = []string{serve(t, answer(200, "Content-Encoding", "identity", "plain"))} })
	if got := get(t, f, "a.jpg"); got != "plain" {
		t.Errorf("got %q", got)
	}
}

// slow sends a header and one byte, says so, and then nothing more.
func slow(t *testing.T, sent chan<- struct{}) string {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("x"))
		w.(http.Flusher).Flush()
		sent <- struct{}{}
		<-r.Context().Done()
	})
}

func TestFetch_SlowOriginTimesOut(t *testing.T) {
	sent := make(chan struct{}, 1)
	f := newFetcher(t, func(c *Config) { c.Origins, c.Timeout = []string{slow(t, sent)}, 50*time.Millisecond })
	refused(t, f, "a.jpg", fault.Timeout)
}

func TestFetch_CallerWhoLeavesEndsASlowFetch(t *testing.T) {
	sent := make(chan struct{}, 1)
	f := newFetcher(t, func(c *Config) { c.Origins = []string{slow(t, sent)} })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-sent
		cancel()
	}()
	if _, err := f.Fetch(ctx, "a.jpg"); !fault.Is(err, fault.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFetch_WaitsForMemoryUntilItIsReleased(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("123456"))
		if r.URL.Path == "/second" {
			cancel() // who waits for memory has asked already
		}
	})
	f := newFetcher(t, func(c *Config) { c.Origins, c.Memory = []string{origin}, 10 })
	first, err := f.Fetch(t.Context(), "first")
	if err != nil {
		t.Fatal(Detail(err))
	}
	if _, err := f.Fetch(ctx, "second"); !fault.Is(err, fault.Canceled) {
		t.Errorf("got %v", err)
	}
	third := make(chan error, 1)
	go func() {
		o, err := f.Fetch(t.Context(), "third")
		if err == nil {
			o.Release()
		}
		third <- err
	}()
	first.Release()
	if err := <-third; err != nil {
		t.Error(Detail(err))
	}
}

func TestFetch_ManyAtOnceStayWithinTheBudget(t *testing.T) {
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/chunked") {
			w.(http.Flusher).Flush()
		}
		_, _ = w.Write(make([]byte, 40_000))
	})
	f := newFetcher(t, func(c *Config) { c.Origins, c.MaxBytes, c.Memory = []string{origin}, 60_000, 100_000 })
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			o, err := f.Fetch(t.Context(), []string{"chunked", "sized"}[i%2])
			if err != nil {
				t.Error(Detail(err))
				return
			}
			if taken, budget := f.Reserved(); taken > budget {
				t.Errorf("%d of %d bytes taken", taken, budget)
			}
			o.Release()
		})
	}
	wg.Wait()
}
