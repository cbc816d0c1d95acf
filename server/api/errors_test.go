package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"focal/core/fault"
	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/server/source"
)

// failing is an origin with a way to fail for every path.
func failing(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/403":
			w.WriteHeader(http.StatusForbidden)
		case "/404":
			w.WriteHeader(http.StatusNotFound)
		case "/503":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/large":
			w.Header().Set("Content-Length", "2000000")
		case "/short":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("\xff\xd8\xff"))
		case "/nowhere":
			w.WriteHeader(http.StatusFound)
		case "/elsewhere":
			http.Redirect(w, r, "http://elsewhere.invalid/a.jpg", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/back":
			http.Redirect(w, r, "/cdn-cgi/image/width=5/a.jpg", http.StatusFound)
		case "/late":
			<-r.Context().Done()
		case "/text":
			_, _ = w.Write([]byte("no picture"))
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// blind is a Vision that has a defect where faces are, and says that the model
// of the foreground is late.
type blind struct{}

func (blind) Faces(context.Context, pipeline.Subject, *float64) (f pipeline.Finding[[]pixel.Face], err error) {
	return f, errors.New("a password")
}

func (blind) Foreground(context.Context, pipeline.Subject) (f pipeline.Finding[pixel.Mask], err error) {
	return f, fault.New(fault.Timeout, "test", "the model did not answer in time")
}

func (blind) Digest(context.Context, pipeline.Task) (pixel.Digest, bool) {
	return pixel.Digest{}, false
}

// errorCase is a request that fails, and the numbers that Cloudflare documents
// for that.
type errorCase struct {
	name, path   string // ORIGIN stands for that of failing
	header       []string
	status, code int
	text         string
}

// noName is a host that has no address, and that no resolver need be asked for:
// a label is at most 63 bytes long (RFC 1035 §2.3.4).
var noName = strings.Repeat("a", 64) + ".invalid"

var errorCases = []errorCase{
	{"no options", "/cdn-cgi/image//card.png", nil, 400, 9401, "key=value"},
	{"an origin that is not allowed", "/cdn-cgi/image/width=5/http://elsewhere.example/a.jpg", nil, 403, 9401, "--allow-origin"},
	{"a redirect to an origin that is not allowed", "/cdn-cgi/image/width=5/ORIGIN/elsewhere", nil, 403, 9401, "--allow-origin"},
	{"an origin that is gone", "/cdn-cgi/image/width=5/http://127.0.0.1:1/a.jpg", nil, 502, 9402, "could not be reached"},
	{"an answer without a picture", "/cdn-cgi/image/width=5/ORIGIN/204", nil, 502, 9402, "status 204"},
	{"a file that is too large", "/cdn-cgi/image/width=5/ORIGIN/large", nil, 413, 9402, "--max-source-bytes"},
	{"a transform of a transform", "/cdn-cgi/image/width=5/cdn-cgi/image/width=9/card.png", nil, 508, 9403, "itself a transform"},
	{"a redirect to a transform", "/cdn-cgi/image/width=5/ORIGIN/back", nil, 508, 9403, "itself a transform"},
	{"an image server's own fetch", "/cdn-cgi/image/width=5/card.png", []string{"Via", "1.1 image-resizing"}, 508, 9403, "image server"},
	{"no such file", "/cdn-cgi/image/width=5/none.png", nil, 404, 9404, "does not exist"},
	{"an origin's 404", "/cdn-cgi/image/width=5/ORIGIN/404", nil, 404, 9404, "does not exist"},
	{"another scheme", "/cdn-cgi/image/width=5/ftp://127.0.0.1/a.jpg", nil, 403, 9406, "http"},
	{"dots", "/cdn-cgi/image/width=5/x/%2e%2e/card.png", nil, 403, 9406, "dot segment"},
	{"a name without an address", "/cdn-cgi/image/width=5/http://" + noName + "/a.jpg", nil, 523, 9407, "could not be reached"},
	{"an origin that denies it", "/cdn-cgi/image/width=5/ORIGIN/403", nil, 408, 9408, "status 403"},
	{"no picture", "/cdn-cgi/image/width=5/ORIGIN/text", nil, 415, 9412, "not an image"},
	{"no size", "/cdn-cgi/image/width=0/card.png", nil, 403, 9413, "a side is 1 to"},
	{"enlarged too much", "/cdn-cgi/image/width=20000,height=5,fit=squeeze/card.png", nil, 403, 9413, "--max-side"},
	{"an answer that breaks off", "/cdn-cgi/image/width=5/ORIGIN/short", nil, 422, 9416, "as long as it said"},
	{"a redirect to nowhere", "/cdn-cgi/image/width=5/ORIGIN/nowhere", nil, 400, 9420, "nowhere"},
	{"a redirect to itself", "/cdn-cgi/image/width=5/ORIGIN/round", nil, 400, 9421, "more than 5 redirects"},
	{"an origin that is late", "/cdn-cgi/image/width=5/ORIGIN/late", nil, 522, 9504, "in time (--timeout)"},
	{"an origin's 503", "/cdn-cgi/image/width=5/ORIGIN/503", nil, 502, 9509, "status 503"},
	{"a broken picture", "/cdn-cgi/image/width=5/broken.png", nil, 422, 9516, "png"},
	{"a defect", "/cdn-cgi/image/gravity=face,zoom=1/card.png", nil, 500, 9523, "internal error"},
	{"a model that is late", "/cdn-cgi/image/segment=foreground/card.png", nil, 504, 9529, "in time"},
}

// elsewhereTested are those whose state a single request does not bring about.
var elsewhereTested = map[int]string{
	9522: "TestImage_RefusesBeyondTheQueue, and TestRefusal_WithoutInference of server/app",
	9528: "TestFail_EveryKindHasItsNumbers: who has left reads no answer",
}

// cannotHappen are the codes that never stand in an answer of ours.
var cannotHappen = map[int]string{
	9410: "no font is fetched: there is no text to draw",
	9419: "there are no suffixes: every path is a source",
	9422: "there is no quota", 9423: "there is no quota",
	9424: "what fasthttp cannot read is 400 or 431 without a code, since it is no transform yet",
	9425: "there are no hosted images", 9426: "there are no hosted images", 9427: "there are no accounts",
	9429: "there are no variants to enable", 9430: "there are no hosted images", 9431: "there are no hosted images",
	9432: "there is no billing",
	9502: "there is no Worker between",
	9505: "9402 says that", 9510: "9402 says that",
	9517: "9523 says that", 9518: "there are no parts of Cloudflare's behind",
	9519: "9408 says that of every 4xx but 404", 9520: "9412 says that",
	9524: "there is no Worker between", 9525: "a client's own error",
	9527: "9522 says that: a large picture waits for its turn",
}

func TestErrors_HaveCloudflaresNumbers(t *testing.T) {
	origin, root := failing(t), t.TempDir()
	card, err := os.ReadFile("testdata/sources/card.png")
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(root, "card.png"), card)
	put(t, filepath.Join(root, "broken.png"), card[:len(card)/2])
	base := houseOf(t, parts{
		root: root, vision: blind{}, models: blind{},
		sources: func(c *source.Config) {
			c.AllowOrigins = append(c.AllowOrigins, noName)
			c.MaxBytes, c.Timeout = 1_000_000, 2*time.Second
		},
	})
	for _, c := range errorCases {
		t.Run(c.name, func(t *testing.T) {
			resp, body := get(t, base+strings.Replace(c.path, "ORIGIN", origin, 1), c.header...)
			h := resp.Header
			if resp.StatusCode != c.status || h.Get("Cf-Resized") != fmt.Sprintf("err=%d", c.code) ||
				!strings.HasPrefix(body, fmt.Sprintf("ERROR %d: ", c.code)) || !strings.Contains(body, c.text) {
				t.Errorf("%d %q %q, want %d and %d with %q", resp.StatusCode, h.Get("Cf-Resized"), body, c.status, c.code, c.text)
			}
			if h.Get("Content-Type") != "text/plain; charset=utf-8" || h.Get("Cache-Control") != "no-store" || strings.Count(body, "\n") != 1 {
				t.Errorf("%v with %q", h, body)
			}
			if strings.Contains(body, root) || strings.Contains(body, "password") {
				t.Errorf("the text tells of our insides: %s", body)
			}
			if resp, body := get(t, base+"/cdn-cgi/image/width=60/card.png"); resp.StatusCode != 200 {
				t.Errorf("after that a good request gets %d %s", resp.StatusCode, body)
			}
		})
	}
}

// Every code that Cloudflare documents is tried, tried elsewhere, or cannot
// happen here, and only one of these.
func TestErrors_EveryDocumentedCodeIsAccountedFor(t *testing.T) {
	text, err := os.ReadFile("../../../shared/research/cloudflare-api.md")
	if os.IsNotExist(err) {
		t.Skip("needs ../shared: research/cloudflare-api.md")
	}
	_, part, _ := strings.Cut(string(text), "### 2.2 Errors")
	part, _, found := strings.Cut(part, "### 2.3")
	if err != nil || !found {
		t.Fatal("no such part", err)
	}
	tried := map[int]bool{}
	for _, c := range errorCases {
		tried[c.code] = true
	}
	codes := 0
	for _, row := range regexp.MustCompile(`(?m)^\| ([\d, ]+) \|`).FindAllStringSubmatch(part, -1) {
		for _, digits := range regexp.MustCompile(`\d+`).FindAllString(row[1], -1) {
			codes++
			var code int
			if _, err := fmt.Sscan(digits, &code); err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, is := range []bool{tried[code], elsewhereTested[code] != "", cannotHappen[code] != ""} {
				if is {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d is in %d of the three lists", code, n)
			}
		}
	}
	if codes < 35 {
		t.Errorf("only %d codes were understood", codes)
	}
}
