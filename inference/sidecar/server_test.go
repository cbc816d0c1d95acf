package sidecar_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/clienttest"
	"focal/inference/sidecar"
)

// rawHeader makes the headers of raw pixels.
func rawHeader(width, height int, more ...string) map[string]string {
	h := map[string]string{"Content-Type": "application/vnd.focal.rgb8", "Focal-Size": fmt.Sprintf("%dx%d", width, height)}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return h
}

func contentOf(s string) (pixel.Digest, string) {
	d := pixel.Digest(sha256.Sum256([]byte(s)))
	return d, "sha256:" + d.String()
}

func TestServer_AnswersAKnownPictureWithoutLooking(t *testing.T) {
	l := &looker{}
	e := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, l)
	file := photo(t, "photos/couple-beach.jpg")
	sum := sha256.Sum256(file)
	path := fmt.Sprintf("/v1/faces/%x", sum)
	e.do(t, request{url: path}).refused(t, 404, fault.NotFound)
	first := e.do(t, request{method: "POST", url: "/v1/faces", body: file}).faces(t)
	if first.Result != "run" || first.Content != fmt.Sprintf("sha256:%x", sum) || first.Model != clienttest.StubFace || first.Timing["batch"] != 3 {
		t.Errorf("the first answer is %+v", first)
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, again := range []request{{url: path}, {method: "POST", url: "/v1/faces", body: file}} {
		got := e.do(t, again).faces(t)
		if got.Result != "hit" || got.Image.Width != config.Width || got.Image.Height != config.Height {
			t.Errorf("%s answers %+v, want a hit in pixels of %d×%d", again.method, got, config.Width, config.Height)
		}
	}
	if n := l.looks.Load(); n != 1 {
		t.Errorf("looked %d times, want 1", n)
	}
}

// Whose picture is on its way holds a place in the line, and gives it back where the
// picture cannot be read; the curious hold none.
func TestServer_SaysWhoComesAndWhoDoesNot(t *testing.T) {
	var asked []string
	stub := &clienttest.Stub{Before: func(ctx context.Context, s inference.Subject, _ inference.Class) error {
		switch {
		case s.Look == nil && s.Coming:
			asked = append(asked, "comes")
		case s.Look == nil:
			asked = append(asked, "is curious")
		default:
			look, err := s.Look(ctx)
			asked = append(asked, fmt.Sprintf("%d pixels wide, %v", look.Width, fault.KindOf(err)))
		}
		return nil
	}}
	e := serve(t, sidecar.DefaultConfig(), stub, &looker{})
	content := "/v1/faces/" + strings.Repeat("ab", 32)
	e.do(t, request{url: content})
	e.do(t, request{url: content, unix: true})
	e.do(t, request{method: "POST", url: "/v1/faces", body: []byte("no picture")}).refused(t, 415, fault.Unsupported)
	if want := []string{"is curious", "comes", "comes", "0 pixels wide, unsupported"}; !slices.Equal(asked, want) {
		t.Errorf("%q, want %q", asked, want)
	}
}

func TestServer_BoxesArePixelsOfThePictureAsSent(t *testing.T) {
	e := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, nil)
	named, name := contentOf("source")
	header := rawHeader(30, 20, "Focal-Content", name, "Focal-Source-Size", "300x100")
	sent := e.do(t, request{method: "POST", url: "/v1/faces", unix: true, header: header, body: make([]byte, 30*20*3)}).faces(t)
	known := e.do(t, request{url: "/v1/faces/" + named.String()}).faces(t)
	box := clienttest.StubFaces(named)[0].Box
	for _, c := range []struct {
		got           faces
		width, height int
	}{{sent, 30, 20}, {known, 300, 100}} {
		if c.got.Image.Width != c.width || c.got.Image.Height != c.height {
			t.Errorf("image is %+v, want %d×%d", c.got.Image, c.width, c.height)
		}
		want := []float64{box.X * float64(c.width), box.Y * float64(c.height), box.W * float64(c.width), box.H * float64(c.height)}
		for i := range want {
			if d := c.got.Faces[0].Box[i] - want[i]; d > 1e-6 || d < -1e-6 {
				t.Errorf("box is %v, want %v", c.got.Faces[0].Box, want)
			}
		}
	}
	if len(sent.Faces) != 2 || len(sent.Faces[0].Landmarks) != 5 || sent.Faces[1].Landmarks != nil {
		t.Errorf("faces are %+v", sent.Faces)
	}
}

func TestServer_FiltersByQuery(t *testing.T) {
	e := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, &looker{})
	file := jpegOf(t, 40, 30)
	for query, want := range map[string]int{"": 2, "?threshold=0": 3, "?threshold=0.9": 1, "?threshold=0&max_faces=2": 2, "?model=stub-face&priority=1": 2} {
		if got := e.do(t, request{method: "POST", url: "/v1/faces" + query, body: file}).faces(t); len(got.Faces) != want {
			t.Errorf("%q: %d faces, want %d", query, len(got.Faces), want)
		}
	}
	for _, query := range []string{
		"threshold=NaN", "threshold=2", "threshold=-1", "threshold=x", "max_faces=-1", "max_faces=9999999999", "priority=a",
		"treshold=0.5", "model=unknown", "output=cutout", "frame=1", "a=%zz",
	} {
		e.do(t, request{method: "POST", url: "/v1/faces?" + query, body: file}).refused(t, 400, fault.Invalid)
	}
	e.do(t, request{url: "/v1/faces/abc"}).refused(t, 400, fault.Invalid)
	e.do(t, request{url: "/v1/foreground/" + strings.Repeat("g", 64)}).refused(t, 400, fault.Invalid)
}

func TestServer_GivesEveryKindItsStatus(t *testing.T) {
	var refusal error
	stub := &clienttest.Stub{Before: func(context.Context, inference.Subject, inference.Class) error { return refusal }}
	e := serve(t, sidecar.DefaultConfig(), stub, &looker{})
	for _, c := range []struct {
		err    error
		status int
		kind   fault.Kind
		after  string
	}{
		{fault.New(fault.Invalid, "", "x"), 400, fault.Invalid, ""},
		{fault.New(fault.TooLarge, "", "x"), 413, fault.TooLarge, ""},
		{fault.New(fault.Unsupported, "", "x"), 415, fault.Unsupported, ""},
		{fault.New(fault.Corrupt, "", "x"), 422, fault.Corrupt, ""},
		{fault.New(fault.Busy, "", "x"), 503, fault.Busy, "1"},
		{fault.New(fault.Busy, "", "x").After(2100 * time.Millisecond), 503, fault.Busy, "3"},
		{fault.New(fault.Unavailable, "", "x"), 503, fault.Unavailable, ""},
		{fault.New(fault.Unavailable, "", "x").After(time.Minute), 503, fault.Unavailable, "60"},
		{fault.New(fault.Timeout, "", "x"), 504, fault.Timeout, ""},
		{fmt.Errorf("wrapped: %w", fault.New(fault.Canceled, "", "x")), 499, fault.Canceled, ""},
		{errors.New("a secret path"), 500, fault.Internal, ""},
	} {
		refusal = c.err
		got := e.do(t, request{method: "POST", url: "/v1/faces", body: []byte("picture")})
		text := got.refused(t, c.status, c.kind)
		if strings.Contains(text, "secret") {
			t.Errorf("an unclassified error is shown: %s", text)
		}
		if after := got.header.Get("Retry-After"); after != c.after {
			t.Errorf("%v: Retry-After is %q, want %q", c.kind, after, c.after)
		}
	}
}

func TestServer_BelievesContentOnlyOfTrustedCallers(t *testing.T) {
	cfg := sidecar.DefaultConfig()
	cfg.Token = "secret"
	var class inference.Class
	stub := &clienttest.Stub{Before: func(_ context.Context, _ inference.Subject, c inference.Class) error {
		class = c
		return nil
	}}
	e := serve(t, cfg, stub, nil)
	// The content of raw pixels without a name: SHA-256 over "focal.rgb8 WxH\n" and them.
	pixels := bytes.Repeat([]byte{7}, 2*2*3)
	_, hashed := contentOf("focal.rgb8 2x2\n" + string(pixels))
	_, named := contentOf("somebody else's photo")
	for _, c := range []struct {
		caller  string
		unix    bool
		auth    string
		content string
		class   inference.Class
	}{
		{"over TCP", false, "", hashed, inference.ClassDirect},
		{"over TCP with other credentials", false, "Basic Zm9vOmJhcg==", hashed, inference.ClassDirect},
		{"over TCP with the token", false, "Bearer secret", named, inference.ClassServer},
		{"over the socket", true, "", named, inference.ClassServer},
	} {
		header := rawHeader(2, 2, "Focal-Content", named, "Focal-Source-Size", "200x200", "Authorization", c.auth)
		got := e.do(t, request{method: "POST", url: "/v1/faces", unix: c.unix, header: header, body: pixels})
		if f := got.faces(t); f.Content != c.content || class != c.class || got.header.Get("Focal-Content") != c.content {
			t.Errorf("%s: content %s of class %d, want %s of %d", c.caller, f.Content, class, c.content, c.class)
		}
	}
	header := rawHeader(2, 2, "Authorization", "Bearer guess")
	e.do(t, request{method: "POST", url: "/v1/faces", header: header, body: pixels}).refused(t, 403, fault.Forbidden)
	e.do(t, request{url: "/v1/faces/" + hashed[7:], header: header}).refused(t, 403, fault.Forbidden)
	// Without a token of its own the sidecar has nothing to compare with.
	open := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, nil)
	got := open.do(t, request{method: "POST", url: "/v1/faces", header: rawHeader(2, 2, "Focal-Content", named, "Authorization", "Bearer "), body: pixels})
	if f := got.faces(t); f.Content != hashed {
		t.Errorf("an empty token was believed: content is %s", f.Content)
	}
}

func TestServer_KeepsRawPixelsApartFromFiles(t *testing.T) {
	e := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, &looker{})
	file := jpegOf(t, 8, 8)
	file = append(file, make([]byte, (3-len(file)%3)%3)...) // bytes after the end are allowed
	posed := e.do(t, request{method: "POST", url: "/v1/faces", header: rawHeader(len(file)/3, 1), body: file}).faces(t)
	turned := e.do(t, request{method: "POST", url: "/v1/faces", header: rawHeader(1, len(file)/3), body: file}).faces(t)
	real := e.do(t, request{method: "POST", url: "/v1/faces", body: file}).faces(t)
	if posed.Content == real.Content || posed.Content == turned.Content || real.Result != "run" {
		t.Errorf("pixels, turned pixels and the file of the same bytes are %s, %s and %s (%s)", posed.Content, turned.Content, real.Content, real.Result)
	}
}

// The digests are those of RFC 9530, appendix A and B: {"hello": "world"}
// without and with a line feed.
func TestServer_VerifiesContentDigest(t *testing.T) {
	const without, with = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
	e := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, &looker{})
	for _, c := range []struct {
		digest string
		status int
		kind   fault.Kind
	}{
		// The digest is right: it is only no picture.
		{without, 415, fault.Unsupported},
		{"sha-512=:AAAA:, " + without, 415, fault.Unsupported},
		{"sha-512=:AAAA:", 415, fault.Unsupported},
		{with, 400, fault.Invalid},
		{"sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=", 400, fault.Invalid},
		{"sha-256=:AAAA:", 400, fault.Invalid},
		{"nonsense", 400, fault.Invalid},
	} {
		got := e.do(t, request{method: "POST", url: "/v1/faces", header: map[string]string{"Content-Digest": c.digest}, body: []byte(`{"hello": "world"}`)})
		got.refused(t, c.status, c.kind)
	}
}

func TestServer_LimitsBodiesAndNamesTheFlag(t *testing.T) {
	cfg := sidecar.DefaultConfig()
	cfg.MaxBody, cfg.Memory = 1000, 1000
	e := serve(t, cfg, &clienttest.Stub{}, &looker{})
	for _, r := range []request{
		{body: make([]byte, 1001)},
		{body: make([]byte, 1001), stream: true},
		{header: rawHeader(20, 20), body: make([]byte, 1200)},
		{header: rawHeader(1<<20, 1<<20), body: make([]byte, 3), stream: true},
	} {
		r.method, r.url = "POST", "/v1/faces"
		if text := e.do(t, r).refused(t, 413, fault.TooLarge); !strings.Contains(text, "--max-source-bytes") {
			t.Errorf("the refusal names no flag: %s", text)
		}
	}
	// What was refused is given back: the largest body still fits.
	e.do(t, request{method: "POST", url: "/v1/faces", body: make([]byte, 1000)}).refused(t, 415, fault.Unsupported)
	e.do(t, request{method: "POST", url: "/v1/faces", body: make([]byte, 1000), stream: true}).refused(t, 415, fault.Unsupported)
}

func TestServer_WantsPixelsThatFitTheirSize(t *testing.T) {
	e := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, nil)
	for _, r := range []request{
		{header: rawHeader(2, 2), body: make([]byte, 11)},
		{header: rawHeader(2, 2), body: make([]byte, 13)},
		{header: rawHeader(2, 2), body: make([]byte, 11), stream: true},
		{header: rawHeader(2, 2), body: make([]byte, 1300), stream: true},
		{header: rawHeader(0, 2)},
		{header: rawHeader(-2, -2), body: make([]byte, 12)},
		{header: map[string]string{"Content-Type": "application/vnd.focal.rgb8"}, body: make([]byte, 12)},
		{unix: true, header: rawHeader(2, 2, "Focal-Content", "md5:00"), body: make([]byte, 12)},
	} {
		r.method, r.url = "POST", "/v1/faces"
		e.do(t, r).refused(t, 400, fault.Invalid)
	}
}

func TestServer_SaysWhatBodiesItTakes(t *testing.T) {
	with := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, &looker{})
	without := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, nil)
	post := request{method: "POST", url: "/v1/faces", body: photo(t, "photos/dog.jpg")}
	if text := without.do(t, post).refused(t, 415, fault.Unsupported); !strings.Contains(text, "vnd.focal.rgb8") {
		t.Errorf("the refusal does not say what is taken: %s", text)
	}
	form := post
	form.header = map[string]string{"Content-Type": "multipart/form-data; boundary=x"}
	with.do(t, form).refused(t, 415, fault.Unsupported)
	packed := post
	packed.header = map[string]string{"Content-Encoding": "gzip"}
	with.do(t, packed).refused(t, 415, fault.Unsupported)
	empty := post
	empty.body = nil
	with.do(t, empty).refused(t, 400, fault.Invalid)
	broken := post
	broken.body = photo(t, "broken/truncated.jpg")
	with.do(t, broken).refused(t, 422, fault.Corrupt)
	// What curl --data-binary says without being told.
	curl := post
	curl.header = map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	with.do(t, curl).faces(t)
}

func TestServer_AnswersMasksInTheFormAsked(t *testing.T) {
	e := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, &looker{})
	file := jpegOf(t, 40, 30)
	sum := pixel.Digest(sha256.Sum256(file))
	post := request{method: "POST", url: "/v1/foreground", body: file}
	got := e.do(t, post)
	mask, ok := got.png(t).(*image.Gray)
	if !ok || mask.Rect.Dx() != 40 || mask.Rect.Dy() != 30 || got.header.Get("Focal-Size") != "40x30" {
		t.Fatalf("mask is %T of %v, want grey of 40×30", got.png(t), mask.Bounds())
	}
	// A corner of the enlarged mask is the corner of the model's, since edges
	// repeat, but for what a cubic adds: at a quarter of a step of w, at most w/6.
	want := clienttest.StubMask(sum)
	near := func(got, want uint8) bool { return math.Abs(float64(got)-float64(want)) <= 255.0/6 }
	if !near(mask.GrayAt(0, 0).Y, want.Pix[0]) || !near(mask.GrayAt(39, 29).Y, want.Pix[7]) {
		t.Errorf("corners are %d and %d, want %d and %d", mask.GrayAt(0, 0).Y, mask.GrayAt(39, 29).Y, want.Pix[0], want.Pix[7])
	}
	if facts := got.header.Get("Focal-Inference"); !strings.HasPrefix(facts, "foreground; model=stub-foreground; provider=cpu; result=run; ") {
		t.Errorf("Focal-Inference is %q", facts)
	}
	if timing := got.header.Get("Server-Timing"); timing != "queue;dur=0.437, run;dur=21.000001" {
		t.Errorf("Server-Timing is %q", timing)
	}
	for accept, media := range map[string]string{
		"application/vnd.focal.gray8": "application/vnd.focal.gray8", "*/*": "image/png", "text/html": "image/png", "": "image/png",
		"application/vnd.focal.gray8;q=0.5, image/png": "image/png", "image/png;q=0.5, application/vnd.focal.gray8": "application/vnd.focal.gray8",
	} {
		for _, r := range []request{post, {url: "/v1/foreground/" + sum.String()}} {
			r.header = map[string]string{"Accept": accept}
			if got := e.do(t, r); got.header.Get("Content-Type") != media || got.header.Get("Focal-Source-Size") != "40x30" {
				t.Errorf("Accept %q of %s gives %s", accept, r.method, got.header.Get("Content-Type"))
			}
		}
	}
	raw := e.do(t, request{url: "/v1/foreground/" + sum.String(), header: map[string]string{"Accept": "application/vnd.focal.gray8"}})
	if !bytes.Equal(raw.body, want.Pix) || raw.header.Get("Focal-Size") != "4x2" {
		t.Errorf("raw mask is %v of %s, want %v of 4x2", raw.body, raw.header.Get("Focal-Size"), want.Pix)
	}
}

func TestServer_CutsOut(t *testing.T) {
	e := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, &looker{})
	file := jpegOf(t, 40, 30)
	cut := e.do(t, request{method: "POST", url: "/v1/foreground?output=cutout", body: file}).png(t)
	if cut.Bounds() != image.Rect(0, 0, 40, 30) {
		t.Errorf("the cut-out of a file is %v", cut.Bounds())
	}
	// Raw pixels of the mask's own size: every value can be told by hand.
	pixels := []byte("abcdefghijklmnopqrstuvwx")
	content, _ := contentOf("focal.rgb8 4x2\n" + string(pixels))
	cut = e.do(t, request{method: "POST", url: "/v1/foreground?output=cutout", header: rawHeader(4, 2), body: pixels}).png(t)
	for i, alpha := range clienttest.StubMask(content).Pix {
		want := color.NRGBA{R: pixels[3*i], G: pixels[3*i+1], B: pixels[3*i+2], A: alpha}
		if got := cut.At(i%4, i/4); got != want {
			t.Errorf("pixel %d is %v, want %v", i, got, want)
		}
	}
	e.do(t, request{url: "/v1/foreground/" + content.String() + "?output=cutout"}).refused(t, 400, fault.Invalid)
	e.do(t, request{method: "POST", url: "/v1/foreground?output=poster", body: file}).refused(t, 400, fault.Invalid)
}

func TestServer_DrawsNoMaskBeyondMaxPixels(t *testing.T) {
	cfg := sidecar.DefaultConfig()
	cfg.MaxPixels = 1000
	e := serve(t, cfg, &clienttest.Stub{}, &looker{})
	file := jpegOf(t, 40, 30)
	if text := e.do(t, request{method: "POST", url: "/v1/foreground", body: file}).refused(t, 413, fault.TooLarge); !strings.Contains(text, "--max-pixels") {
		t.Errorf("the refusal names no flag: %s", text)
	}
	e.do(t, request{url: fmt.Sprintf("/v1/foreground/%x", sha256.Sum256(file))}).refused(t, 413, fault.TooLarge)
}

func TestServer_PanicCostsOneRequest(t *testing.T) {
	stub := &clienttest.Stub{Before: func(_ context.Context, s inference.Subject, _ inference.Class) error {
		if s.Frame == 13 {
			panic("unlucky")
		}
		return nil
	}}
	e := serve(t, sidecar.DefaultConfig(), stub, nil)
	_, name := contentOf("film")
	post := request{method: "POST", url: "/v1/faces?frame=13", unix: true, header: rawHeader(2, 2, "Focal-Content", name), body: make([]byte, 12)}
	if text := e.do(t, post).refused(t, 500, fault.Internal); strings.Contains(text, "unlucky") {
		t.Errorf("the panic is shown: %s", text)
	}
	post.url = "/v1/faces?frame=14"
	e.do(t, post).faces(t)
}

func TestServer_RefusesOtherMethodsAndPaths(t *testing.T) {
	e := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, nil)
	for path, allow := range map[string]string{
		"/v1/faces": "POST", "/v1/foreground": "POST", "/v1/faces/" + strings.Repeat("0", 64): "GET, HEAD",
		"/v1/foreground/" + strings.Repeat("0", 64): "GET, HEAD", "/healthz": "GET, HEAD", "/readyz": "GET, HEAD", "/metrics": "GET, HEAD", "/openapi.json": "GET, HEAD",
	} {
		got := e.do(t, request{method: "DELETE", url: path})
		got.refused(t, 405, fault.Invalid)
		if got.header.Get("Allow") != allow {
			t.Errorf("%s allows %q, want %q", path, got.header.Get("Allow"), allow)
		}
	}
	e.do(t, request{url: "/v3"}).refused(t, 404, fault.NotFound)
}

func TestServer_TakesTheCallersDeadline(t *testing.T) {
	var left time.Duration
	stub := &clienttest.Stub{Before: func(ctx context.Context, _ inference.Subject, _ inference.Class) error {
		deadline, ok := ctx.Deadline()
		if left = time.Until(deadline); !ok {
			t.Error("a question without a deadline")
		}
		return nil
	}}
	cfg := sidecar.DefaultConfig()
	cfg.Timeout = time.Hour
	e := serve(t, cfg, stub, nil)
	ask := func(timeout string) answer {
		return e.do(t, request{url: "/v1/faces/" + strings.Repeat("0", 64), header: map[string]string{"Focal-Timeout": timeout}})
	}
	for timeout, most := range map[string]time.Duration{"": time.Hour, "600000": 10 * time.Minute, "86400000": time.Hour, strconv.FormatInt(1<<62, 10): time.Hour} {
		ask(timeout).refused(t, 404, fault.NotFound)
		if left > most || left < most/2 {
			t.Errorf("Focal-Timeout %q leaves %v, want at most %v", timeout, left, most)
		}
	}
	ask("0").refused(t, 504, fault.Timeout)
	for _, bad := range []string{"-1", "1.5", "1s", "99999999999999999999"} {
		ask(bad).refused(t, 400, fault.Invalid)
	}
}

func TestServer_StopsWhenTheCallerLeaves(t *testing.T) {
	asked, ended := make(chan struct{}), make(chan error, 1)
	stub := &clienttest.Stub{Before: func(ctx context.Context, _ inference.Subject, _ inference.Class) error {
		close(asked)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}}
	e := serve(t, sidecar.DefaultConfig(), stub, nil)
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-asked
		leave()
	}()
	req, err := http.NewRequestWithContext(ctx, "POST", e.tcp+"/v1/faces", bytes.NewReader(make([]byte, 12)))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range rawHeader(2, 2) {
		req.Header.Set(key, value)
	}
	if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
		resp.Body.Close()
		t.Error("a request that was left has an answer")
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the question ended with %v", err)
	}
}

func TestServer_SaysWhetherItIsReady(t *testing.T) {
	cfg := sidecar.DefaultConfig()
	cfg.Version = "v1.2.3"
	for _, c := range []struct {
		client inference.Client
		status int
		want   []string
	}{
		{&clienttest.Stub{}, 200, []string{`{"status":"ready","version":"v1.2.3","inference":{"state":"ready","provider":"cpu","models":[{`, `"missing":[]`}},
		{&clienttest.Stub{State: inference.StateStarting}, 503, []string{`"status":"starting"`}},
		{inference.Off{}, 503, []string{`"state":"off"`, `"models":[]`}},
	} {
		e := serve(t, cfg, c.client, nil)
		got := e.do(t, request{url: "/readyz"})
		for _, want := range c.want {
			if got.status != c.status || !strings.Contains(string(got.body), want) {
				t.Errorf("/readyz is %d %s, want %d with %s", got.status, got.body, c.status, want)
			}
		}
		if got := e.do(t, request{url: "/healthz"}); got.status != 200 {
			t.Errorf("/healthz is %d", got.status)
		}
	}
}

func TestServer_ShowsItsMetricsAndItsDescription(t *testing.T) {
	cfg := sidecar.DefaultConfig()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "focal_memory_budget_bytes"}, func() float64 { return 42 }))
	cfg.Metrics = registry
	e := serve(t, cfg, &clienttest.Stub{}, nil)
	if got := e.do(t, request{url: "/metrics"}); !strings.Contains(string(got.body), "focal_memory_budget_bytes 42") {
		t.Errorf("/metrics is %s", got.body)
	}
	if got := e.do(t, request{url: "/openapi.json"}); !strings.Contains(string(got.body), `"openapi": "3.0.3"`) {
		t.Errorf("/openapi.json is %.100s", got.body)
	}
}

func TestServer_RefusesHugeHeaders(t *testing.T) {
	e := serve(t, sidecar.DefaultConfig(), &clienttest.Stub{}, nil)
	req, err := http.NewRequestWithContext(t.Context(), "GET", e.tcp+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("64 KiB of headers get %d", resp.StatusCode)
	}
}

func TestConfig_NamesTheFlagThatCannotWork(t *testing.T) {
	for flag, spoil := range map[string]func(*sidecar.Config){
		"--max-source-bytes": func(c *sidecar.Config) { c.MaxBody = 0 },
		"--max-pixels":       func(c *sidecar.Config) { c.MaxPixels = 0 },
		"--source-memory":    func(c *sidecar.Config) { c.Memory = c.MaxBody - 1 },
		"--timeout":          func(c *sidecar.Config) { c.Timeout = 0 },
		"--workers":          func(c *sidecar.Config) { c.Workers = 0 },
	} {
		cfg := sidecar.DefaultConfig()
		spoil(&cfg)
		if _, err := sidecar.New(cfg, inference.Off{}, nil); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), flag) {
			t.Errorf("error is %v, want invalid with %s", err, flag)
		}
	}
}
