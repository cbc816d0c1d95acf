package api

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"testing"

	"focal/core/pipeline"
	"focal/core/pixel"
)

// field is a part of a form; pictures have a file name.
type field struct{ name, value string }

// ask sends fields as workerd does: in chunks, without a type on the parts.
func ask(t *testing.T, url string, fields []field, header ...string) (*http.Response, string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		disposition := `form-data; name="` + f.name + `"`
		if strings.HasSuffix(f.name, "image") {
			disposition += `; filename="` + f.name + `"`
		}
		p, err := w.CreatePart(map[string][]string{"content-disposition": {disposition}})
		if err == nil {
			_, err = p.Write([]byte(f.value))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	header = append([]string{"Content-Type", w.FormDataContentType()}, header...)
	return send(t, http.MethodPost, url, struct{ io.Reader }{&b}, header...)
}

// square is a PNG of one colour.
func square(t *testing.T, w, h int, c color.NRGBA) string {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := 0; i < len(m.Pix); i += 4 {
		m.Pix[i], m.Pix[i+1], m.Pix[i+2], m.Pix[i+3] = c.R, c.G, c.B, c.A
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var (
	red   = color.NRGBA{255, 0, 0, 255}
	green = color.NRGBA{0, 255, 0, 255}
	blue  = color.NRGBA{0, 0, 255, 255}
	white = color.NRGBA{255, 255, 255, 255}
)

// see checks the size of a picture, and colours in it.
func see(t *testing.T, body string, w, h int, want map[image.Point]color.NRGBA) {
	t.Helper()
	m, err := png.Decode(strings.NewReader(body))
	if err != nil {
		t.Errorf("%v: %.100q", err, body)
		return
	}
	if m.Bounds().Dx() != w || m.Bounds().Dy() != h {
		t.Errorf("size %v, want %d×%d", m.Bounds(), w, h)
	}
	for at, c := range want {
		if got := color.NRGBAModel.Convert(m.At(at.X, at.Y)); got != c {
			t.Errorf("at %v: %v, want %v", at, got, c)
		}
	}
}

// The program is that of workerd's own test of drawings in drawings, with the
// index of each picture in the order of the parts.
func TestBinding_DrawsDrawingsInDrawings(t *testing.T) {
	base := houseOf(t, parts{root: t.TempDir()})
	resp, body := ask(t, base+"/transform", []field{
		{"image", square(t, 60, 40, blue)},
		{"draw_image", square(t, 10, 10, red)},
		{"draw_image", square(t, 20, 20, green)},
		{"draw_image", square(t, 6, 6, white)},
		{"draw_image", square(t, 4, 4, red)},
		{"transforms", `[{"imageIndex":0,"rotate":90},{"imageIndex":1,"rotate":180},{"drawImageIndex":1,"targetImageIndex":0,"left":0,"top":0},
			{"drawImageIndex":3,"targetImageIndex":2},{"imageIndex":2,"rotate":270},{"drawImageIndex":2,"targetImageIndex":0},
			{"drawImageIndex":4,"targetImageIndex":0,"right":0,"bottom":0}]`},
		{"output_format", "image/png"},
	})
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "image/png" || resp.Header.Get("Cf-Images-Binding") != "" {
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	see(t, body, 40, 60, map[image.Point]color.NRGBA{
		{2, 2}: red, {12, 2}: blue, {20, 30}: white, {12, 30}: green, {38, 58}: red, {30, 58}: blue, {20, 5}: blue,
	})
}

func TestBinding_MakesWhatAURLMakes(t *testing.T) {
	base := whole(t)
	photo, err := os.ReadFile(samples + "/photos/bicycle.jpg")
	if err != nil {
		t.Fatal(err)
	}
	resp, body := ask(t, base+"/transform", []field{
		{"image", string(photo)},
		{"transforms", `[{"imageIndex":0,"width":100,"height":50,"fit":"cover","gravity":{"x":0.5,"y":0.2}}]`},
		{"output_format", "image/webp"}, {"output_quality", "60"},
	})
	_, want := get(t, base+"/cdn-cgi/image/width=100,height=50,fit=cover,gravity=0.5x0.2,format=webp,quality=60/photos/bicycle.jpg")
	if resp.StatusCode != 200 || body != want {
		t.Errorf("%d, %d bytes, want %d", resp.StatusCode, len(body), len(want))
	}
	animation, err := os.ReadFile(samples + "/animated/rotating-squares.webp")
	if err != nil {
		t.Fatal(err)
	}
	for anim, frames := range map[string]bool{"true": true, "": true, "false": false} {
		_, body := ask(t, base+"/transform", []field{
			{"image", string(animation)}, {"transforms", `[{"imageIndex":0,"width":50}]`}, {"output_format", "image/gif"}, {"anim", anim},
		})
		moving, err := gif.DecodeAll(strings.NewReader(body))
		if err != nil || len(moving.Image) > 1 != frames {
			t.Errorf("anim %q: %v, %.20q", anim, err, body)
		}
	}
}

// eyes see a face, and the left half as foreground.
type eyes struct{}

func (eyes) Faces(ctx context.Context, s pipeline.Subject, _ *float64) (pipeline.Finding[[]pixel.Face], error) {
	_, err := s.Look(ctx)
	return pipeline.Finding[[]pixel.Face]{Value: []pixel.Face{{Box: pixel.Box{X: 0.75, Y: 0.25, W: 0.125, H: 0.25}, Score: 0.9}}, Model: "m", Provider: "cpu", How: "run"}, err
}

func (eyes) Foreground(ctx context.Context, s pipeline.Subject) (pipeline.Finding[pixel.Mask], error) {
	_, err := s.Look(ctx)
	return pipeline.Finding[pixel.Mask]{Value: pixel.Mask{Width: 2, Height: 1, Pix: []byte{255, 0}}, Model: "m", Provider: "cpu", How: "run"}, err
}

func TestBinding_AsksVision(t *testing.T) {
	base := houseOf(t, parts{root: t.TempDir(), vision: eyes{}})
	// Zoom 1 keeps the face's box of an eighth by a quarter of 80×40 pixels.
	resp, body := ask(t, base+"/transform", []field{
		{"image", square(t, 80, 40, blue)}, {"transforms", `[{"imageIndex":0,"gravity":"face","zoom":1}]`}, {"output_format", "image/png"},
	})
	see(t, body, 10, 10, nil)
	if got := resp.Header.Get("Focal-Inference"); got != "face; model=m; provider=cpu; result=run; count=1" {
		t.Errorf("Focal-Inference %q", got)
	}
	_, body = ask(t, base+"/transform", []field{
		{"image", square(t, 80, 40, blue)}, {"draw_image", square(t, 40, 40, red)},
		{"transforms", `[{"imageIndex":1,"segment":"foreground"},{"drawImageIndex":1,"targetImageIndex":0,"left":0}]`}, {"output_format", "image/png"},
	})
	see(t, body, 80, 40, map[image.Point]color.NRGBA{{2, 20}: red, {38, 20}: blue, {60, 20}: blue})
}

func TestBinding_InfoTellsWhatTheHeaderSays(t *testing.T) {
	base := houseOf(t, parts{root: t.TempDir()})
	file := square(t, 30, 20, red)
	resp, body := ask(t, base+"/info", []field{{"image", file}})
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v: %s", err, body)
	}
	if len(got) != 4 || got["format"] != "image/png" || got["file_size"] != float64(len(file)) || got["width"] != 30.0 || got["height"] != 20.0 {
		t.Errorf("%s", body)
	}
	if _, body := ask(t, base+"/info", []field{{"image", `<svg xmlns="http://www.w3.org/2000/svg"/>`}}); body != `{"format":"image/svg+xml"}` {
		t.Errorf("an SVG: %s", body)
	}
}

func TestBinding_ErrorsHaveTheHeaderThatItsClientReads(t *testing.T) {
	base := houseOf(t, parts{root: t.TempDir()})
	picture := square(t, 10, 10, red)
	output := field{"output_format", "image/png"}
	for _, c := range []struct {
		name   string
		path   string
		fields []field
		status int
		code   string
	}{
		{"no picture", "/transform", []field{{"image", "text"}, output}, 415, "9412"},
		{"no picture", "/info", []field{{"image", "text"}}, 415, "9412"},
		{"an empty one", "/info", []field{{"image", ""}}, 415, "9412"},
		{"an SVG", "/transform", []field{{"image", "<svg/>"}, output}, 415, "9412"},
		{"text", "/transform", []field{{"text_input", "{}"}, output}, 415, "9412"},
		{"damage", "/transform", []field{{"image", picture[:len(picture)/2]}, output}, 422, "9516"},
		{"an invalid option", "/transform", []field{{"image", picture}, {"transforms", `[{"imageIndex":0,"blur":300}]`}, output}, 400, "9401"},
		{"an unknown option", "/transform", []field{{"image", picture}, {"transforms", `[{"imageIndex":0,"colour":1}]`}, output}, 400, "9401"},
		{"an impossible size", "/transform", []field{{"image", picture}, {"transforms", `[{"imageIndex":0,"width":0}]`}, output}, 403, "9413"},
		{"no such picture", "/transform", []field{{"image", picture}, {"transforms", `[{"drawImageIndex":1,"targetImageIndex":0}]`}, output}, 400, "9401"},
		{"no format", "/transform", []field{{"image", picture}}, 400, "9401"},
		{"an unknown format", "/transform", []field{{"image", picture}, {"output_format", "image/bmp"}}, 400, "9401"},
		{"a bad quality", "/transform", []field{{"image", picture}, output, {"output_quality", "0"}}, 400, "9401"},
		{"no image", "/transform", []field{output}, 400, "9401"},
		{"a drawing before the image", "/transform", []field{{"draw_image", picture}, {"image", picture}, output}, 400, "9401"},
		{"two images", "/transform", []field{{"image", picture}, {"image", picture}, output}, 400, "9401"},
		{"a strange part", "/transform", []field{{"image", picture}, output, {"other", "x"}}, 400, "9401"},
		{"a cut-out without inference", "/transform", []field{{"image", picture}, {"transforms", `[{"imageIndex":0,"segment":"foreground"}]`}, output}, 503, "9522"},
		{"too many parts", "/transform", append([]field{{"image", picture}}, make([]field, maxParts)...), 400, "9401"},
	} {
		resp, body := ask(t, base+c.path, c.fields)
		if resp.StatusCode != c.status || resp.Header.Get("Cf-Images-Binding") != "err="+c.code || !strings.HasPrefix(body, "ERROR "+c.code+": ") {
			t.Errorf("%s: %d %q %s", c.name, resp.StatusCode, resp.Header.Get("Cf-Images-Binding"), body)
		}
	}
	for _, kind := range []string{"", "image/png", "multipart/form-data"} {
		if status, body := post(t, base+"/transform", "x", "Content-Type", kind); status != 400 || !strings.HasPrefix(body, "ERROR 9401: ") {
			t.Errorf("%q: %d %s", kind, status, body)
		}
	}
	if resp, _ := get(t, base+"/transform"); resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d", resp.StatusCode)
	}
}

func TestBinding_NeedsTheKeyWhereThereIsOne(t *testing.T) {
	keys := houseOf(t, parts{root: t.TempDir(), change: func(c *Config) { c.SignKeys, c.PurgeToken = []string{"old", "new"}, "token" }})
	fields := []field{{"image", square(t, 4, 4, red)}, {"output_format", "image/png"}}
	for header, want := range map[string]int{"": 403, "Bearer wrong": 403, "Bearer token": 403, "Basic new": 403, "Bearer new": 200, "Bearer old": 200} {
		for _, path := range []string{"/transform", "/info"} {
			resp, body := ask(t, keys+path, fields, "Authorization", header)
			if resp.StatusCode != want || want == 403 && resp.Header.Get("Cf-Images-Binding") != "err=9401" {
				t.Errorf("%s with %q: %d %s", path, header, resp.StatusCode, body)
			}
		}
	}
	presets := houseOf(t, parts{root: t.TempDir(), change: func(c *Config) { c.Presets, c.OnlyPresets = map[string]string{"a": "width=1"}, true }})
	if resp, _ := ask(t, presets+"/transform", fields); resp.StatusCode != 403 {
		t.Errorf("where only presets are served: %d", resp.StatusCode)
	}
	if resp, _ := ask(t, presets+"/transform", fields, "Via", "1.1 image-resizing"); resp.StatusCode != 508 {
		t.Errorf("from an image server: %d", resp.StatusCode)
	}
}

// After an answer that came before the body was read, the rest of a small body
// is no request, and the connection goes on.
func TestServer_ABodyThatNobodyReadIsNoRequest(t *testing.T) {
	base := serve(t, &sources{}, pictures{fixed}, func(c *Config) { c.SignKeys = []string{"key"} })
	reused := false
	trace := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
	for range 2 {
		r, err := http.NewRequestWithContext(trace, http.MethodPost, base+"/transform", strings.NewReader("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 403 {
			t.Errorf("%d %s %v", resp.StatusCode, text, err)
		}
		resp.Body.Close()
	}
	if !reused {
		t.Error("the connection was closed for nothing")
	}
}
