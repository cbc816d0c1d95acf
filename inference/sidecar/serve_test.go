package sidecar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/sidecar"
	"focal/models/vision"
)

// looker reads JPEG and PNG with the standard library.
type looker struct{ looks atomic.Int32 }

func (l *looker) Look(_ context.Context, file []byte) (pixel.Buffer, pixel.Size, error) {
	l.looks.Add(1)
	img, err := decode(file)
	if err != nil {
		return pixel.Buffer{}, pixel.Size{}, err
	}
	b := rgb(img)
	return b, b.Size(), nil
}

func (l *looker) Cutout(_ context.Context, file []byte, mask pixel.Mask) ([]byte, error) {
	img, err := decode(file)
	if err != nil {
		return nil, err
	}
	b := rgb(img)
	if mask, err = vision.ResizeMask(mask, b.Size(), vision.Linear); err != nil {
		return nil, err
	}
	out := image.NewNRGBA(image.Rect(0, 0, b.Width, b.Height))
	for i, a := range mask.Pix {
		out.SetNRGBA(i%b.Width, i/b.Width, color.NRGBA{R: b.Pix[3*i], G: b.Pix[3*i+1], B: b.Pix[3*i+2], A: a})
	}
	var buf bytes.Buffer
	err = png.Encode(&buf, out)
	return buf.Bytes(), err
}

func decode(file []byte) (image.Image, error) {
	img, _, err := image.Decode(bytes.NewReader(file))
	switch {
	case errors.Is(err, image.ErrFormat):
		return nil, fault.New(fault.Unsupported, "test.Look", "this is no picture: %w", err)
	case err != nil:
		return nil, fault.New(fault.Corrupt, "test.Look", "%w", err)
	}
	return img, nil
}

func rgb(img image.Image) pixel.Buffer {
	r := img.Bounds()
	b := pixel.Buffer{Width: r.Dx(), Height: r.Dy(), Channels: 3}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
			b.Pix = append(b.Pix, c.R, c.G, c.B)
		}
	}
	return b
}

// jpegOf returns a grey JPEG of the given size.
func jpegOf(t testing.TB, width, height int) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, image.NewGray(image.Rect(0, 0, width, height)), nil); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// photo reads a photograph of ../shared.
func photo(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("../../../shared/data/samples", name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("needs ../shared: data/samples/" + name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// endpoint is a running server with a socket and a TCP port.
type endpoint struct {
	socket string // unix:/path
	tcp    string // http://host:port
	api    *api
}

// serve runs a server until the test ends.
func serve(t testing.TB, cfg sidecar.Config, client inference.Client, l sidecar.Looker) endpoint {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s, err := sidecar.New(cfg, client, l)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	ended := make(chan error, 2)
	listen := func(network, address string) net.Listener {
		ln, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- s.Serve(ln) }()
		return ln
	}
	listen("unix", socket)
	tcp := listen("tcp", "127.0.0.1:0")
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close: %v", err)
		}
		for range cap(ended) {
			if err := <-ended; err != nil {
				t.Errorf("serve: %v", err)
			}
		}
	})
	return endpoint{socket: "unix:" + socket, tcp: "http://" + tcp.Addr().String(), api: readAPI(t)}
}

// request is one HTTP request of a test.
type request struct {
	method string // GET
	url    string // path and query
	unix   bool   // over the socket rather than TCP
	header map[string]string
	body   []byte
	stream bool // without Content-Length
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends r and holds the answer against openapi.json.
func (e endpoint) do(t testing.TB, r request) answer {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	if r.unix {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(e.socket, "unix:"))
		}
	}
	var body io.Reader = bytes.NewReader(r.body)
	if r.stream {
		body = io.MultiReader(body)
	}
	if r.method == "" {
		r.method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(t.Context(), r.method, e.tcp+r.url, body)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range r.header {
		req.Header.Set(key, value)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	e.api.holds(t, r.method, req.URL.Path, a)
	return a
}

// refused checks that a is the refusal of a kind, and returns its text.
func (a answer) refused(t testing.TB, status int, kind fault.Kind) string {
	t.Helper()
	var p struct{ Error, Kind string }
	if err := json.Unmarshal(a.body, &p); err != nil || a.status != status || p.Kind != kind.String() || p.Error == "" {
		t.Errorf("answer is %d %s, want status %d and kind %v (%v)", a.status, a.body, status, kind, err)
	}
	return p.Error
}

// faces is a faces answer as a stranger reads it.
type faces struct {
	Model, Provider, Content, Result string
	Image                            struct{ Width, Height int }
	Faces                            []struct {
		Box       []float64
		Score     float64
		Landmarks [][]float64
	}
	Timing map[string]float64
}

func (a answer) faces(t testing.TB) faces {
	t.Helper()
	var f faces
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil || a.status != http.StatusOK {
		t.Fatalf("answer is %d %s: %v", a.status, a.body, err)
	}
	return f
}

func (a answer) png(t testing.TB) image.Image {
	t.Helper()
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "image/png" {
		t.Fatalf("answer is %d %s %.200s", a.status, a.header.Get("Content-Type"), a.body)
	}
	img, err := png.Decode(bytes.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// api is openapi.json as far as the tests hold answers against it.
type api struct {
	Paths map[string]map[string]json.RawMessage
	Parts struct {
		Responses map[string]apiResponse
	} `json:"components"`
}

type apiResponse struct {
	Ref     string `json:"$ref"`
	Content map[string]json.RawMessage
	Headers map[string]json.RawMessage
}

func readAPI(t testing.TB) *api {
	t.Helper()
	raw, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var a api
	if err := json.Unmarshal(raw, &a); err != nil {
		t.Fatal(err)
	}
	return &a
}

// template returns the path of the description that path is one of: itself,
// or the one whose parameters it fills.
func (d *api) template(path string) string {
	if d.Paths[path] != nil {
		return path
	}
	given := strings.Split(path, "/")
	for template := range d.Paths {
		if slices.EqualFunc(strings.Split(template, "/"), given, func(want, got string) bool { return want == got || strings.HasPrefix(want, "{") }) {
			return template
		}
	}
	return path
}

// holds fails the test where path answers in a way that is not described.
func (d *api) holds(t testing.TB, method, path string, a answer) {
	t.Helper()
	template := d.template(path)
	operations, ok := d.Paths[template]
	if !ok {
		if a.status != http.StatusNotFound {
			t.Errorf("openapi.json has no path %s, which answered %d", template, a.status)
		}
		return
	}
	if a.status == http.StatusMethodNotAllowed { // every operation lists it
		for name := range operations {
			method = name
			if name == "get" || name == "post" {
				break
			}
		}
	}
	var operation struct{ Responses map[string]apiResponse }
	if err := json.Unmarshal(operations[strings.ToLower(method)], &operation); err != nil {
		t.Errorf("openapi.json: %s %s: %v", method, template, err)
		return
	}
	response, ok := operation.Responses[fmt.Sprint(a.status)]
	if name, isRef := strings.CutPrefix(response.Ref, "#/components/responses/"); isRef {
		response, ok = d.Parts.Responses[name]
	}
	if !ok {
		t.Errorf("openapi.json does not list status %d of %s %s", a.status, method, template)
		return
	}
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	if _, ok := response.Content[media]; !ok {
		t.Errorf("openapi.json does not list %s of %s %s %d", media, method, template, a.status)
	}
	for name := range a.header {
		if _, ok := response.Headers[name]; !ok && (strings.HasPrefix(name, "Focal-") || strings.HasPrefix(name, "Inference-") || name == "Retry-After" || name == "Allow") {
			t.Errorf("openapi.json does not list the header %s of %s %s %d", name, method, template, a.status)
		}
	}
}
