package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/core/vips"
)

// seer is a Vision that finds what goldens.py has drawn on the card.
type seer struct{}

func (seer) Faces(_ context.Context, _ pipeline.Subject, lowest *float64) (pipeline.Finding[[]pixel.Face], error) {
	least := 0.6
	if lowest != nil {
		least = *lowest
	}
	on := func(x, y, w, h float64) pixel.Box { return pixel.Box{X: x / 120, Y: y / 80, W: w / 120, H: h / 80} }
	faces := []pixel.Face{{Box: on(66, 22, 12, 16), Score: 0.9}, {Box: on(18, 56, 6, 8), Score: 0.65}, {Box: on(100, 60, 8, 8), Score: 0.1}}
	faces = slices.DeleteFunc(faces, func(f pixel.Face) bool { return f.Score < least })
	return pipeline.Finding[[]pixel.Face]{Value: faces, Model: "drawn", Provider: "cpu", How: "run"}, nil
}

func (seer) Foreground(context.Context, pipeline.Subject) (pipeline.Finding[pixel.Mask], error) {
	m := pixel.Mask{Width: 120, Height: 80, Pix: make([]byte, 120*80)}
	for i := range m.Pix {
		if x, y := i%120, i/120; x >= 30 && x < 90 && y >= 20 {
			m.Pix[i] = 255
		}
	}
	return pipeline.Finding[pixel.Mask]{Value: m, Model: "drawn", Provider: "cpu", How: "run"}, nil
}

// Digest is that of no model: nothing that is made here is kept.
func (seer) Digest(context.Context, pipeline.Task) (pixel.Digest, bool) { return pixel.Digest{}, false }

// gallery is a server whose root holds the sources of testdata, and for each of
// the sizes a picture in which every place has its own colour.
func gallery(t *testing.T, sizes ...image.Point) string {
	t.Helper()
	root := t.TempDir()
	files, err := filepath.Glob("testdata/sources/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d sources, %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(root, filepath.Base(f)), b)
	}
	for _, size := range sizes {
		put(t, filepath.Join(root, fmt.Sprintf("%dx%d.png", size.X, size.Y)), places(t, size))
	}
	return houseOf(t, parts{root: root, vision: seer{}, models: seer{}})
}

func put(t *testing.T, name string, file []byte) {
	t.Helper()
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
}

// places is a PNG that tells of each pixel where it is; see placeOf.
func places(t *testing.T, size image.Point) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rectangle{Max: size})
	for y := range size.Y {
		for x := range size.X {
			m.SetNRGBA(x, y, color.NRGBA{uint8(x), uint8(x>>8<<4 | y>>8), uint8(y), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func placeOf(c color.Color) image.Point {
	p := color.NRGBAModel.Convert(c).(color.NRGBA)
	return image.Pt(int(p.G>>4)<<8|int(p.R), int(p.G&15)<<8|int(p.B))
}

func TestOptions_EachGivesWhatItsGoldenShows(t *testing.T) {
	base := gallery(t, image.Pt(1080, 720))
	for _, c := range allOptionCases() {
		t.Run(c.options+" of "+c.source, func(t *testing.T) { c.expect(t, base) })
	}
}

// allOptionCases is the table and the forms of colours, with the usual values.
func allOptionCases() []optionCase {
	all := slices.Clone(optionCases)
	for golden, forms := range colourCases {
		for _, form := range forms {
			all = append(all, optionCase{options: "format=png,background=" + form, source: "badge.png", golden: golden})
		}
	}
	for i := range all {
		c := &all[i]
		if c.source == "" {
			c.source = "card.png"
		}
		if c.mime == "" {
			c.mime = typePNG
		}
		if c.status == 0 {
			c.status = 200
		}
		if c.mime == typeJXL && !vips.Writes(vips.JXL) {
			c.mime, c.warning, c.check = "image/webp", "JPEG XL cannot be written here", nil
		}
	}
	return all
}

func (c optionCase) expect(t *testing.T, base string) {
	resp, body := get(t, base+"/cdn-cgi/image/"+c.options+"/"+c.source, c.header...)
	if resp.StatusCode != c.status || resp.Header.Get("Content-Type") != c.mime {
		t.Fatalf("%d %s, want %d %s: %.200q", resp.StatusCode, resp.Header.Get("Content-Type"), c.status, c.mime, body)
	}
	warnings := strings.Join(resp.Header.Values("Warning"), "\n")
	warnings = strings.ReplaceAll(warnings, `cf-images 299 "original is smaller"`, "")
	if (c.warning == "") != (warnings == "") || !strings.Contains(warnings, c.warning) {
		t.Errorf("Warning is %q, want %q", warnings, c.warning)
	}
	if c.same != "" {
		if _, other := get(t, base+"/cdn-cgi/image/"+c.same+"/"+c.source, c.header...); other != body {
			t.Errorf("%s gives %d other bytes, not these %d", c.same, len(other), len(body))
		}
	}
	if c.golden != "" {
		expectGolden(t, c.golden, []byte(body))
	}
	if c.check != nil && !c.check(body, resp.Header.Get) {
		t.Errorf("the answer is not what was asked for: %.300q", body)
	}
}

// Checks of what a golden does not show.

// frame finds the start of frame of a JPEG (ITU-T T.81 §B.2.2) and returns its
// marker, and the tables of its head by their marker.
func frame(file string) (sof byte, tables map[byte]string) {
	tables = map[byte]string{}
	for at := 2; at+4 <= len(file) && file[at] == 0xff; {
		n := int(file[at+2])<<8 | int(file[at+3])
		switch m := file[at+1]; {
		case m == 0xc0 || m == 0xc2:
			return m, tables
		case tables[m] == "":
			tables[m] = file[at+4 : at+2+n]
		}
		at += 2 + n
	}
	return 0, tables
}

func progressive(file string, _ func(string) string) bool {
	sof, _ := frame(file)
	return sof == 0xc2
}

func baseline(file string, _ func(string) string) bool {
	sof, _ := frame(file)
	return sof == 0xc0
}

// firstStep checks the first step of the first quantisation table of a JPEG.
func firstStep(want byte) func(string, func(string) string) bool {
	return func(file string, _ func(string) string) bool {
		_, tables := frame(file)
		dqt := tables[0xdb]
		return len(dqt) > 1 && dqt[1] == want
	}
}

// codestream says whether a file is the bare codestream of JPEG XL (ISO/IEC
// 18181-1 §B.1), which nobody here reads.
func codestream(file string, _ func(string) string) bool {
	return strings.HasPrefix(file, "\xff\x0a") && len(file) > 100
}

// palette says whether a PNG has one: its colour type is 3 (PNG §11.2.1).
func palette(file string, _ func(string) string) bool { return file[25] == 3 }

// carries checks what tagged.jpg has: a copyright, an artist, and a position,
// whose pointer's tag is 0x8825; and that no orientation is left.
func carries(rights, artist, position bool) func(string, func(string) string) bool {
	return func(file string, _ func(string) string) bool {
		_, tables := frame(file)
		exif := tables[0xe1]
		has := func(le, be string) bool { return strings.Contains(exif, le) || strings.Contains(exif, be) }
		return strings.Contains(exif, "(c) A. Person") == rights &&
			strings.Contains(strings.ReplaceAll(exif, "(c) A. Person", ""), "A. Person") == artist &&
			has("\x25\x88\x04\x00", "\x88\x25\x00\x04") == position &&
			!has("\x12\x01\x03\x00\x01\x00\x00\x00\x06", "\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06")
	}
}

// describes checks the published fields of format=json.
func describes(w, h, originalW, originalH int) func(string, func(string) string) bool {
	return func(body string, _ func(string) string) bool {
		var got struct {
			Width, Height int
			Original      struct {
				FileSize      int `json:"file_size"`
				Width, Height int
				Format        string
			}
		}
		err := json.Unmarshal([]byte(body), &got)
		o := got.Original
		return err == nil && got.Width == w && got.Height == h && o.FileSize > 0 && o.Width == originalW && o.Height == originalH && o.Format == typePNG
	}
}

// Published vectors: sizes of the documentation, and which part of the source
// is kept.
func TestOptions_PublishedVectorsHold(t *testing.T) {
	base := gallery(t, image.Pt(1080, 720), image.Pt(612, 613), image.Pt(900, 900), image.Pt(200, 100))
	for _, c := range []struct {
		options, source string
		size, corner    image.Point // of the answer; the pixel of the source at its left top, -1: not known
	}{
		{"width=500,height=500,fit=scale-down", "1080x720.png", image.Pt(500, 333), image.Pt(-1, -1)},
		{"width=2000,height=2000,fit=scale-down", "1080x720.png", image.Pt(1080, 720), image.Pt(0, 0)},
		{"width=500,height=500,fit=cover", "1080x720.png", image.Pt(500, 500), image.Pt(-1, -1)},
		{"width=1296,height=1296,fit=crop", "1080x720.png", image.Pt(1080, 720), image.Pt(0, 0)},
		{"width=1920,height=1120,fit=aspect-crop", "612x613.png", image.Pt(612, 357), image.Pt(0, 128)},
		{"width=1080,height=1080,fit=pad", "1080x720.png", image.Pt(1080, 1080), image.Pt(-1, -1)},
		{"width=1080,height=540,fit=squeeze", "1080x720.png", image.Pt(1080, 540), image.Pt(-1, -1)},
		{"width=50,height=50,fit=contain", "200x100.png", image.Pt(50, 25), image.Pt(-1, -1)},
		{"width=50,height=50", "200x100.png", image.Pt(50, 25), image.Pt(-1, -1)},
		{"width=400", "200x100.png", image.Pt(200, 100), image.Pt(0, 0)},
		{"width=200,height=20,fit=cover,gravity=top", "200x100.png", image.Pt(200, 20), image.Pt(0, 0)},
		{"width=200,height=20,fit=cover,gravity=bottom", "200x100.png", image.Pt(200, 20), image.Pt(0, 80)},
		{"width=1080,height=400,fit=cover,gravity=bottom", "1080x720.png", image.Pt(1080, 400), image.Pt(0, 320)},
		{"width=300,height=900,fit=cover,gravity=0.33x0.5", "900x900.png", image.Pt(300, 900), image.Pt(198, 0)},
	} {
		resp, body := get(t, base+"/cdn-cgi/image/"+c.options+",format=png/"+c.source)
		if resp.StatusCode != 200 {
			t.Fatalf("%s: %d %s", c.options, resp.StatusCode, body)
		}
		m := decoded(t, []byte(body))
		if m.Bounds().Size() != c.size {
			t.Errorf("%s of %s: %v, want %v", c.options, c.source, m.Bounds().Size(), c.size)
		}
		if got := placeOf(m.At(0, 0)); c.corner.X >= 0 && got != c.corner {
			t.Errorf("%s of %s: begins at %v, want %v", c.options, c.source, got, c.corner)
		}
	}
	// Bars are of the background, or white.
	for background, want := range map[string]color.NRGBA{",background=%2300ff00": {0, 255, 0, 255}, "": {255, 255, 255, 255}} {
		_, body := get(t, base+"/cdn-cgi/image/width=100,height=100,fit=pad,format=png"+background+"/200x100.png")
		if got := decoded(t, []byte(body)).NRGBAAt(0, 0); got != want {
			t.Errorf("bars with %q: %v, want %v", background, got, want)
		}
	}
}
