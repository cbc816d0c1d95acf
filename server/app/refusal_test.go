package app

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"focal/bench/reference"
	"focal/core/pipeline"
	"focal/core/vips"
	"focal/inference"
)

// A refusal is what a bad request is answered with: the status and Cloudflare's
// code of docs and contract, and what the text must say. Code 0 is a picture
// with a Warning that says so.
type refusal struct {
	name, path   string
	status, code int
	text         string
}

// expect asks, checks the answer, and that the server still makes pictures.
func (h *house) expect(t *testing.T, r refusal, header ...string) {
	t.Helper()
	a := h.mustGet(t, r.path, header...)
	h.judge(t, r, a)
	h.stillWorks(t, r.name)
}

func (h *house) judge(t *testing.T, r refusal, a answer) {
	t.Helper()
	if a.status != r.status {
		t.Fatalf("%s: status %d, want %d: %.200s", r.name, a.status, r.status, a.body)
	}
	cf, body, where := a.header.Get("Cf-Resized"), string(a.body), "text"
	switch {
	case r.code == 0:
		body, where = strings.Join(a.header.Values("Warning"), "\n"), "Warning"
		if !strings.HasPrefix(cf, "internal=ok/") {
			t.Errorf("%s: Cf-Resized is %q", r.name, cf)
		}
		decode(t, a)
	default:
		if cf != fmt.Sprintf("err=%d", r.code) || !strings.HasPrefix(body, fmt.Sprintf("ERROR %d: ", r.code)) {
			t.Errorf("%s: Cf-Resized is %q and the body %q, want code %d in both", r.name, cf, body, r.code)
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: an error with %v", r.name, a.header)
		}
		if wait := a.header.Get("Retry-After"); (r.status == http.StatusServiceUnavailable) != (wait != "") {
			t.Errorf("%s: Retry-After is %q with status %d", r.name, wait, r.status)
		}
		if strings.Contains(body, h.root) || strings.Contains(body, "goroutine") {
			t.Errorf("%s: the text tells of our insides: %s", r.name, body)
		}
	}
	if !strings.Contains(body, r.text) {
		t.Errorf("%s: the %s is %q, want %q in it", r.name, where, body, r.text)
	}
}

func (h *house) stillWorks(t *testing.T, after string) {
	t.Helper()
	if a := h.mustGet(t, "/cdn-cgi/image/width=50/good.jpg"); a.status != http.StatusOK || len(a.body) == 0 {
		t.Errorf("after %s a good request gets %d", after, a.status)
	}
}

// plain is a house that only makes plain transforms, with good.jpg in it.
func plain(t *testing.T) *house {
	t.Helper()
	h := open(t, modelsConfig(t), func(c *ServeConfig) { c.Inference = "off" })
	h.good(t)
	return h
}

func (h *house) good(t *testing.T) {
	t.Helper()
	h.write(t, "good.jpg", read(t, reference.Shared(t, "data", "samples", "photos", "couple-beach.jpg")))
}

func all(t *testing.T, h *house, cases []refusal) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { h.expect(t, c) })
	}
	if n := vips.Live(); n != 0 {
		t.Errorf("%d pictures were left open", n)
	}
}

func TestRefusal_FilesThatAreNoGoodPicture(t *testing.T) {
	h := plain(t)
	h.write(t, "text.jpg", []byte("this is no picture"))
	h.write(t, "page.png", []byte("<!doctype html><title>no</title>"))
	h.write(t, "empty.jpg", nil)
	h.write(t, "magic.jpg", []byte("\xff\xd8\xff"))
	h.write(t, "two-megabytes.jpg", bytes.Repeat([]byte{0xff, 0xd8, 0xff}, 700_000))
	h.put(t, "broken/truncated.jpg", "broken/truncated.png", "broken/corrupt-header.jpg", "broken/truncated.svgz",
		"broken/bomb-65536.png", "broken/bomb-17000x17000.avif", "broken/giant-image.jpg")
	get := func(source string) string { return "/cdn-cgi/image/width=100/" + source }
	all(t, h, []refusal{
		{"text", get("text.jpg"), 415, 9412, "the requested file is not an image"},
		{"page", get("page.png"), 415, 9412, "the requested file is not an image"},
		{"zero bytes", get("empty.jpg"), 415, 9412, "empty"},
		{"nothing but the magic", get("magic.jpg"), 422, 9516, ""},
		{"the magic again and again", get("two-megabytes.jpg"), 422, 9516, ""},
		{"truncated JPEG", get("truncated.jpg"), 422, 9516, "Premature end"},
		{"truncated PNG", get("truncated.png"), 422, 9516, "png"},
		{"corrupt header", get("corrupt-header.jpg"), 422, 9516, "Premature end"},
		{"4295-megapixel PNG", get("bomb-65536.png"), 403, 9413, "--max-pixels 100000000"},
		{"280-megapixel JPEG", get("giant-image.jpg"), 403, 9413, "--max-pixels 100000000"},
		{"289-megapixel AVIF", get("bomb-17000x17000.avif"), 403, 9413, "--max-pixels 100000000"},
		{"truncated compressed SVG", get("truncated.svgz"), 415, 9412, "not an image"},
	})
}

// A hostile SVG leaves as a clean one, or not at all.
func TestRefusal_HostileSVG(t *testing.T) {
	h := plain(t)
	files, err := filepath.Glob(filepath.Join(reference.Shared(t, "data", "samples", "svg", "malicious"), "*.svg"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	clean := 0
	for _, f := range files {
		name := filepath.Base(f)
		h.put(t, "svg/malicious/"+name)
		a := h.mustGet(t, "/cdn-cgi/image/width=100/"+name)
		if a.status != 200 {
			h.judge(t, refusal{name, name, 415, 9412, "not an image"}, a)
			continue
		}
		clean++
		if a.header.Get("Content-Type") != "image/svg+xml" || !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %v", name, a.header)
		}
		for _, danger := range []string{"<script", "onload=", "<!ENTITY", "foreignObject"} {
			if bytes.Contains(a.body, []byte(danger)) {
				t.Errorf("%s: %s is still there", name, danger)
			}
		}
	}
	if clean < 10 {
		t.Errorf("%d of %d were cleaned", clean, len(files))
	}
}

// The bytes say what a file is, not its name.
func TestRefusal_WrongExtensionIsNone(t *testing.T) {
	h := plain(t)
	for name, file := range map[string]string{
		"png.jpg": "alpha/rgba.png", "webp.svg": "broken/looks-like-svg.webp", "jpeg.html": "photos/bicycle.jpg", "avif": "avif/kimono.avif",
	} {
		h.write(t, name, read(t, reference.Shared(t, "data", "samples", file)))
		if _, m := h.picture(t, "width=40,format=png", name); m.Bounds().Dx() != 40 {
			t.Errorf("%s: the picture is %v", name, m.Bounds())
		}
	}
}

func TestRefusal_SourcesOutsideTheRoot(t *testing.T) {
	h := plain(t)
	// What a leak would show is a good picture.
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret.jpg")
	if err := os.WriteFile(secret, read(t, filepath.Join(h.root, "good.jpg")), 0o600); err != nil {
		t.Fatal(err)
	}
	up, err := filepath.Rel(h.root, secret)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		os.Mkdir(filepath.Join(h.root, "folder"), 0o700),
		os.Symlink(secret, filepath.Join(h.root, "absolute.jpg")),
		os.Symlink(up, filepath.Join(h.root, "relative.jpg")),
		os.Symlink(outside, filepath.Join(h.root, "elsewhere")),
		os.Symlink("loop.jpg", filepath.Join(h.root, "loop.jpg")),
		os.Symlink("gone", filepath.Join(h.root, "dangling.jpg")),
		os.Symlink("/dev/zero", filepath.Join(h.root, "endless.jpg")),
		syscall.Mkfifo(filepath.Join(h.root, "pipe.jpg"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	escaped := strings.NewReplacer("..", "%2e%2e").Replace(up)
	cases := []refusal{
		{"unknown source", "nope.jpg", 404, 9404, "source does not exist"},
		{"directory", "folder", 404, 9404, "not a file"},
		{"directory with a slash", "folder/", 404, 9404, ""},
		{"file as a directory", "good.jpg/x.jpg", 404, 9404, ""},
		{"FIFO", "pipe.jpg", 404, 9404, "not a file"},
		{"absolute link out", "absolute.jpg", 404, 9404, "source does not exist"},
		{"relative link out", "relative.jpg", 404, 9404, "source does not exist"},
		{"linked directory out", "elsewhere/secret.jpg", 404, 9404, "source does not exist"},
		{"link to a device", "endless.jpg", 404, 9404, "source does not exist"},
		{"link to itself", "loop.jpg", 404, 9404, "source does not exist"},
		{"dangling link", "dangling.jpg", 404, 9404, "source does not exist"},
		{"dots", up, 403, 9406, "dot segment"},
		{"dots behind a folder", "folder/../" + up, 403, 9406, "dot segment"},
		{"escaped dots", escaped, 403, 9406, "dot segment"},
		{"escaped slashes", strings.ReplaceAll(up, "/", "%2f"), 403, 9406, "dot segment"},
		{"everything escaped", strings.ReplaceAll(escaped, "/", "%2F"), 403, 9406, "dot segment"},
		{"mixed escapes", strings.ReplaceAll(up, "../", ".%2E/"), 403, 9406, "dot segment"},
		{"escaped twice", strings.ReplaceAll(escaped, "%", "%25"), 404, 9404, "source does not exist"},
		{"overlong UTF-8", strings.ReplaceAll(up, "../", "..%c0%af"), 404, 9404, ""},
		{"backslashes", strings.ReplaceAll(up, "/", "%5c"), 403, 9406, "backslash"},
		{"absolute path", secret, 404, 9404, "source does not exist"},
		{"escaped absolute path", strings.ReplaceAll(secret, "/", "%2F"), 404, 9404, "source does not exist"},
		{"NUL", "good.jpg%00.png", 403, 9406, "control character"},
		{"file scheme", "file://" + secret, 403, 9406, "want http or https"},
		{"foreign host", "http://127.0.0.1/secret.jpg", 403, 9401, "--allow-origin"},
		{"foreign host, slash lost", "http:/127.0.0.1/secret.jpg", 403, 9401, "--allow-origin"},
		{"itself", "cdn-cgi/image/width=10/good.jpg", 508, 9403, "itself a transform"},
		{"no source", "", 403, 9406, "no source"},
	}
	for i := range cases {
		cases[i].path = "/cdn-cgi/image/width=100/" + cases[i].path
	}
	all(t, h, cases)
}

func TestRefusal_AbsurdOptions(t *testing.T) {
	h := plain(t)
	get := func(options string) string { return "/cdn-cgi/image/" + options + "/good.jpg" }
	all(t, h, []refusal{
		{"huge width", get("width=999999999"), 403, 9413, "a side is 1 to"},
		{"wider than a number", get("width=99999999999999999999999"), 403, 9413, "a side is 1 to"},
		{"no width", get("width=0"), 403, 9413, "a side is 1 to"},
		{"negative height", get("height=-1"), 403, 9413, "a side is 1 to"},
		{"wider than --max-side", get("fit=pad,width=12001,height=10"), 403, 9413, "--max-side 12000"},
		{"wider by dpr", get("fit=pad,width=7000,height=10,dpr=2"), 403, 9413, "--max-side 12000"},
		{"no number", get("width=NaN"), 200, 0, "width=NaN is ignored"},
		{"huge blur", get("blur=1e9"), 200, 0, "blur=1e9 is ignored"},
		{"negative dpr", get("dpr=-1,width=60"), 200, 0, "dpr=-1 is ignored"},
		{"infinite zoom", get("gravity=face,zoom=Inf"), 200, 0, "zoom=Inf is ignored"},
		{"crooked rotation", get("rotate=45"), 200, 0, "rotate=45 is ignored"},
		{"unknown format", get("format=exe"), 200, 0, "format=exe is ignored"},
		{"unknown option", get("nonsense=1,width=60"), 200, 0, "option nonsense is unknown"},
		{"escaped header", get("width=1%0d%0aX-Evil:%201"), 200, 0, "is ignored"},
		{"no key=value", get("nonsense"), 400, 9401, "key=value"},
		{"only commas", get(",,,"), 400, 9401, "key=value"},
		{"no options", "/cdn-cgi/image//good.jpg", 400, 9401, "options"},
		{"nothing", "/cdn-cgi/image/", 400, 9401, "options"},
		{"options without source", "/cdn-cgi/image/width=10", 400, 9401, "options"},
		{"blur at its limit", get("blur=250,width=60"), 200, 0, ""},
	})
	// A sharp edge of the list: thousands of options are read, not stored.
	many := "/cdn-cgi/image/width=60" + strings.Repeat(",x=1", 5000) + "/good.jpg"
	h.expect(t, refusal{"many options", many, 200, 0, "unknown"})
	if a := h.mustGet(t, get("width=1%0d%0aX-Evil:%201")); a.header.Get("X-Evil") != "" {
		t.Error("a client writes into our headers")
	}
}

func TestRefusal_RequestsThatAreTooMuch(t *testing.T) {
	h := plain(t)
	long := strings.Repeat("a", 40<<10)
	for name, header := range map[string][]string{"header": {"X-Long", long}, "cookie": {"Cookie", long}} {
		if a := h.mustGet(t, "/cdn-cgi/image/width=60/good.jpg", header...); a.status != 431 || !strings.Contains(string(a.body), "32768") {
			t.Errorf("%s of 40 KiB: %d %s, want 431 with the limit", name, a.status, a.body)
		}
		h.stillWorks(t, name)
	}
	if a := h.mustGet(t, "/cdn-cgi/image/width=60/"+long); a.status != 431 {
		t.Errorf("URL of 40 KiB: %d, want 431", a.status)
	}
	// One of 5 kB, as signed URLs with overlays reach, is none of that.
	h.expect(t, refusal{"long source", "/cdn-cgi/image/width=60/" + long[:5000], 404, 9404, ""})
	for name, text := range map[string]string{
		"no HTTP":         "hello\r\n\r\n",
		"bad method":      "DELETE /cdn-cgi/image/width=60/good.jpg HTTP/1.1\r\nHost: x\r\n\r\n",
		"unfinished head": "GET / HTTP/1.1\r\nHost",
		"binary":          "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
	} {
		if status := h.raw(t, text); status >= 200 && status < 300 {
			t.Errorf("%s: status %d", name, status)
		}
		h.stillWorks(t, name)
	}
	if n := vips.Live(); n != 0 {
		t.Errorf("%d pictures were left open", n)
	}
}

// raw sends text as it is and closes its side; 0 is no answer at all.
func (h *house) raw(t *testing.T, text string) (status int) {
	t.Helper()
	conn, err := net.Dial("tcp", h.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = conn.Write([]byte(text))
	if err := errors.Join(err, conn.SetDeadline(time.Now().Add(patience)), conn.(*net.TCPConn).CloseWrite()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

const (
	faceURL = "/cdn-cgi/image/gravity=face,fit=cover,width=80,height=80/good.jpg"
	maskURL = "/cdn-cgi/image/segment=foreground/good.jpg"
)

// Every way in which inference can be missing: plain transforms work, the rest
// is refused with a reason, and /readyz has it too.
func TestRefusal_WithoutInference(t *testing.T) {
	for name, c := range map[string]struct {
		models     func(*testing.T) InferenceConfig
		change     func(*ServeConfig)
		face, mask string // what the refusals say; an empty mask: the program's own model makes it
		state      inference.State
		reason     string // in /readyz
		missing    int
	}{
		"off": {
			models: func(t *testing.T) InferenceConfig { return modelsConfig(t) },
			change: func(c *ServeConfig) { c.Inference = "off" },
			face:   "--inference=off", mask: "--inference=off", state: inference.StateOff,
		},
		"unknown model": {
			models: func(t *testing.T) InferenceConfig {
				m := modelsConfig(t)
				m.FaceModel = "nope"
				return m
			},
			face: `model "nope" is not in the repository`, state: inference.StateReady, missing: 2, // and u2netp, for which the program's own serves
		},
		"nobody at the socket": {
			models: func(t *testing.T) InferenceConfig { return modelsConfig(t) },
			change: func(c *ServeConfig) { c.Inference = "unix:/nonexistent/sidecar.sock" },
			face:   "no inference sidecar at unix:/nonexistent/sidecar.sock", mask: "no inference sidecar", state: inference.StateDown,
			reason: "no inference sidecar",
		},
		"dead sidecar": {
			models: func(t *testing.T) InferenceConfig {
				m := modelsConfig(t)
				m.Library = "/nonexistent/libonnxruntime.so"
				return m
			},
			face: "the inference sidecar is down: exit status 1", mask: "no ONNX Runtime library at /nonexistent", state: inference.StateDown,
			reason: "scripts/run installs one",
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, c.models(t), c.change)
			h.good(t)
			if _, spawned := h.half.client.(supervised); spawned {
				h.awaitSidecar(t, c.state)
			}
			mask := refusal{"foreground", maskURL, 503, 9522, c.mask}
			if c.mask == "" {
				mask.status, mask.code = 200, 0
			}
			all(t, h, []refusal{
				{"face", faceURL, 503, 9522, c.face},
				mask,
				{"both", "/cdn-cgi/image/" + issueOptions + "/good.jpg", 503, 9522, ""},
				// There is nothing to decide about, so nobody is asked.
				{"face without a crop", "/cdn-cgi/image/gravity=face,width=60/good.jpg", 200, 0, ""},
			})
			status, ready := h.ready(t)
			if status != http.StatusOK || ready.Status != "ready" {
				t.Errorf("/readyz is %d %q while plain transforms work", status, ready.Status)
			}
			if i := ready.Inference; i.State != c.state || !strings.Contains(i.Reason, c.reason) || len(i.Missing) != c.missing {
				t.Errorf("/readyz says %+v, want %s with %q and %d missing models", i, c.state, c.reason, c.missing)
			}
		})
	}
}

func TestRefusal_LadderNamesWhatItDid(t *testing.T) {
	m := modelsConfig(t)
	m.FaceModel = "nope"
	h := open(t, m, func(c *ServeConfig) { c.Pictures.Fallback = pipeline.FallbackLadder })
	h.good(t)
	a := h.mustGet(t, faceURL)
	if got := a.header.Get("Focal-Degraded"); a.status != http.StatusOK || got != "face=auto; reason=unavailable" {
		t.Errorf("got %d with Focal-Degraded %q", a.status, got)
	}
	if got := a.header.Get("Cache-Control"); !strings.HasSuffix(got, "max-age=10") {
		t.Errorf("a picture from the ladder may be kept: %q", got)
	}
	if size := decode(t, a).Bounds().Size(); size.X != 80 || size.Y != 80 {
		t.Errorf("the picture is %v", size)
	}
	// A mask has no ladder, nor needs one: the program's own model makes it.
	h.expect(t, refusal{"foreground", maskURL, 200, 0, ""})
}

func TestServer_RefusesWhatCannotWork(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for text, change := range map[string]func(*ServeConfig){
		"--listen":    func(c *ServeConfig) { c.Listen = taken.Addr().String() },
		"--inference": func(c *ServeConfig) { c.Inference = "elsewhere" },
		"--root":      func(c *ServeConfig) { c.Sources.Root = "/nonexistent" },
	} {
		c := ServeConfig{
			Listen: "127.0.0.1:0", Inference: "off", Pictures: pipeline.DefaultConfig(), Timeout: time.Minute, Queue: 1,
		}
		c.Sources = sources(t.TempDir())
		change(&c)
		if s, err := NewServer(c, nil); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, %v", text, s, err)
		}
	}
}
