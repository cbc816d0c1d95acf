package pipeline

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/png"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"focal/core/fault"
	"focal/core/vips"
)

// svgOf is an SVG with pictures inside.
func svgOf(pictures ...string) Source {
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script>`)
	for _, p := range pictures {
		b.WriteString(`<image href="` + p + `"/>`)
	}
	b.WriteString(`<rect width="5" height="5"/></svg>`)
	return source([]byte(b.String()))
}

func dataURL(mime string, file []byte) string {
	return "data:" + mime + ";base64," + base64.StdEncoding.EncodeToString(file)
}

// inside returns the pictures inside an SVG.
func inside(t *testing.T, svg []byte) [][]byte {
	t.Helper()
	var out [][]byte
	for _, part := range strings.Split(string(svg), ";base64,")[1:] {
		text, _, _ := strings.Cut(part, `"`)
		file, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, file)
	}
	return out
}

func TestDrawing_IsSanitisedAndNeverRasterised(t *testing.T) {
	s := svgOf()
	for list, warnings := range map[string]int{
		"format=auto":                            0,
		"quality=50,metadata=keep,anim=false":    0,
		"fit=cover":                              0,
		"width=100,height=50,fit=cover":          1,
		"format=png":                             1,
		"gravity=face,segment=foreground,blur=3": 1,
	} {
		r := makePicture(t, nil, s, list) // there is no vision: it must not be missed
		if r.ContentType != "image/svg+xml" || !bytes.Contains(r.Body, []byte("<rect")) || bytes.Contains(r.Body, []byte("alert")) {
			t.Errorf("%s: %s\n%s", list, r.ContentType, r.Body)
		}
		if len(r.Warnings) != warnings {
			t.Errorf("%s: warnings %q, want %d", list, r.Warnings, warnings)
		}
	}
	r := makePicture(t, nil, s, "width=100,segment=foreground")
	if want := "SVG is never rasterised, ignored: width=100,segment=foreground"; r.Warnings[0] != want {
		t.Errorf("warning %q, want %q", r.Warnings[0], want)
	}
}

func TestDrawing_ZippedIsTheSame(t *testing.T) {
	s := photo(t, "svg/logo.svg")
	want := makePicture(t, nil, s, "format=auto")
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(s.Bytes); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if got := makePicture(t, nil, source(b.Bytes()), "format=auto"); !bytes.Equal(got.Body, want.Body) || got.ContentType != want.ContentType {
		t.Error("the zipped file gives another answer")
	}
}

func TestDrawing_WhatIsNoSVGIsUnsupported(t *testing.T) {
	for name, file := range map[string][]byte{
		"cut short":         []byte(`<svg xmlns="http://www.w3.org/2000/svg"><g>`),
		"no namespace":      []byte(`<svg/>`),
		"a page":            []byte(`<html xmlns="http://www.w3.org/1999/xhtml"><svg/></html>`),
		"a zip of text":     {0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0},
		"a sample, cut too": photo(t, "broken/truncated.svgz").Bytes,
	} {
		_, err := pipeline(t, nil, nil).Make(t.Context(), Request{Source: source(file), Options: options(t, "width=10")})
		if !fault.Is(err, fault.Unsupported) {
			t.Errorf("%s: %v, want unsupported", name, err)
		}
	}
}

func TestDrawing_LimitsNameTheirFlag(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write([]byte(`<svg xmlns="http://www.w3.org/2000/svg">` + strings.Repeat(" ", 1<<20))); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{
		"a zip bomb":        bomb.Bytes(),
		"grown by escaping": []byte(`<svg xmlns="http://www.w3.org/2000/svg"><text a="" class="` + strings.Repeat("'", 9000) + `"/></svg>`),
	} {
		p := pipeline(t, nil, func(c *Config) { c.MaxBytes = 10_000 })
		_, err := p.Make(t.Context(), Request{Source: source(file), Options: options(t, "width=10")})
		if !fault.Is(err, fault.TooLarge) || !strings.Contains(err.Error(), "--max-source-bytes 10000") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDrawing_IsDescribedWithoutASize(t *testing.T) {
	s := svgOf(dataURL("image/png", card(t, 8, 8).Bytes))
	r := makePicture(t, nil, s, "format=json")
	var got map[string]map[string]any
	if err := json.Unmarshal(r.Body, &got); err != nil {
		t.Fatal(err)
	}
	o := got["original"]
	if r.ContentType != "application/json" || len(got) != 1 || o["format"] != "image/svg+xml" || o["file_size"] != float64(len(s.Bytes)) || len(o) != 2 || len(r.Warnings) > 0 {
		t.Errorf("%s: %s, warnings %q", r.ContentType, r.Body, r.Warnings)
	}
}

// With one worker that the picture needs whole: who held the slot of the SVG
// while waiting for that of a picture would wait for ever.
func TestDrawing_PicturesInsideAreMadeAnew(t *testing.T) {
	photo := photo(t, "exif/gps-DSCN0010.jpg").Bytes
	drawn := wasteful(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := pipeline(t, nil, nil).Make(ctx, Request{
		Source: svgOf(dataURL("image/jpeg", photo), dataURL("image/gif", drawn)), Options: options(t, "format=auto"),
	})
	if err != nil {
		t.Fatal(err)
	}
	files := inside(t, r.Body)
	if len(files) != 2 || len(r.Warnings) > 0 {
		t.Fatalf("%d pictures, warnings %q", len(files), r.Warnings)
	}
	if vips.Sniff(files[0]) != vips.JPEG || bytes.Contains(files[0], []byte("GPS")) || bytes.Contains(files[0], []byte("NIKON")) {
		t.Error("the photo kept its metadata, or is none any more")
	}
	if vips.Sniff(files[1]) != vips.PNG || len(files[1]) >= len(drawn)/2 || !bytes.Contains(r.Body, []byte("data:image/png")) {
		t.Errorf("the PNG of %d bytes, misnamed a GIF, became %s of %d", len(drawn), vips.Sniff(files[1]), len(files[1]))
	}
	if got := decode(t, Result{Body: files[1]}); got.Bounds() != image.Rect(0, 0, 200, 200) {
		t.Errorf("the PNG became %v", got.Bounds())
	}
}

// wasteful is a PNG of one colour, stored without compression.
func wasteful(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.NoCompression}
	if err := e.Encode(&b, image.NewNRGBA(image.Rect(0, 0, 200, 200))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDrawing_PicturesInsideAreBounded(t *testing.T) {
	small := dataURL("image/png", card(t, 10, 10).Bytes)
	nested := dataURL("image/png", svgOf(small).Bytes)
	many := make([]string, maxEmbedded+5)
	for i := range many {
		many[i] = small
	}
	for name, c := range map[string]struct {
		source  Source
		pixels  int64
		kept    int
		warning string
	}{
		"broken":       {svgOf(small, dataURL("image/png", []byte("\x89PNG\r\n\x1a\nno more"))), 1e6, 1, "embedded pictures dropped: 1"},
		"an SVG":       {svgOf(small, nested), 1e6, 1, "embedded pictures dropped: 1"},
		"a WebP":       {svgOf(dataURL("image/png", photo(t, "alpha/webp-alpha.webp").Bytes)), 1e6, 0, "embedded pictures dropped: 1"},
		"many":         {svgOf(many...), 1e6, maxEmbedded, "embedded pictures dropped: 5"},
		"many pixels":  {svgOf(small, small, small, small), 250, 2, "embedded pictures dropped: 2"},
		"one too many": {svgOf(dataURL("image/png", card(t, 20, 20).Bytes)), 250, 0, "embedded pictures dropped: 1"},
	} {
		p := pipeline(t, nil, func(cfg *Config) { cfg.MaxPixels = c.pixels })
		r, err := p.Make(t.Context(), Request{Source: c.source, Options: options(t, "format=auto")})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if n := len(inside(t, r.Body)); n != c.kept || len(r.Warnings) != 1 || r.Warnings[0] != c.warning {
			t.Errorf("%s: %d pictures, warnings %q; want %d, %q", name, n, r.Warnings, c.kept, c.warning)
		}
	}
}

// A result without its pictures must not pass for the result.
func TestDrawing_ADeadlineIsAnError(t *testing.T) {
	p := pipeline(t, nil, nil)
	release, err := p.slots.take(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := &drawingWork{pipeline: p, ctx: ctx, pixels: 1e6}
	if _, _, err := w.embedded("image/png", card(t, 10, 10).Bytes); !fault.Is(err, fault.Canceled) || w.failed == nil {
		t.Errorf("%v, failed %v", err, w.failed)
	}
}

func noise(t *testing.T, w, h int) *image.NRGBA {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	g := rand.New(rand.NewPCG(1, 2))
	for i := range m.Pix {
		m.Pix[i] = byte(g.UintN(256)) | 255*byte(i%4/3)
	}
	return m
}
