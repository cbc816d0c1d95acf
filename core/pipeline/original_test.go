package pipeline

import (
	"bytes"
	"image/jpeg"
	"image/png"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"focal/core/vips"
)

const passed = "original is smaller"

// small is a JPEG that no encoding at our quality makes smaller.
func small(t *testing.T) Source {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, noise(t, 120, 80), &jpeg.Options{Quality: 20}); err != nil {
		t.Fatal(err)
	}
	return source(b.Bytes())
}

func untouched(t *testing.T, s Source, list string, a Accept) bool {
	t.Helper()
	r, err := pipeline(t, nil, nil).Make(t.Context(), Request{Source: s, Options: options(t, list), Accept: a})
	if err != nil {
		t.Fatalf("%s: %v", list, err)
	}
	same := bytes.Equal(r.Body, s.Bytes)
	if same != slices.Contains(r.Warnings, passed) {
		t.Errorf("%s: the original: %v, warnings %q", list, same, r.Warnings)
	}
	if same && r.ContentType != vips.Sniff(s.Bytes).MIME() {
		t.Errorf("%s: said %s", list, r.ContentType)
	}
	return same
}

func TestOriginal_IsTheAnswerWhereItSatisfiesTheRequest(t *testing.T) {
	s, all := small(t), Accept{AVIF: true, WebP: true}
	for list, want := range map[string]bool{
		"format=jpeg":                            true,
		"fit=cover":                              true,
		"width=120":                              true,
		"width=5000,height=5000":                 true, // scale-down never enlarges
		"width=120,height=80,fit=cover":          true,
		"background=red":                         true, // there is nothing behind
		"metadata=none":                          true,
		"width=119":                              false,
		"width=240,fit=contain":                  false,
		"width=120,height=120,fit=pad":           false,
		"rotate=180":                             false,
		"flip=h":                                 false,
		"trim=0;1;0;0":                           false,
		"border.width=1":                         false,
		"blur=1":                                 false,
		"saturation=1.1":                         false,
		"quality=100":                            false,
		"format=baseline-jpeg":                   false,
		"format=webp":                            false,
		"format=png":                             false,
		"width=120,height=80,rotate=90,fit=crop": false,
	} {
		if got := untouched(t, s, list, all); got != want {
			t.Errorf("%s: the original: %v, want %v", list, got, want)
		}
	}
}

// Noise of few colours: as good as PNG and GIF can be packed.
func TestOriginal_OfEveryFormat(t *testing.T) {
	var asPNG bytes.Buffer
	m := noise(t, 60, 60)
	m.Pix[3] = 0 // so that the answer without a format is PNG
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&asPNG, m); err != nil {
		t.Fatal(err)
	}
	still := source(asPNG.Bytes())
	if !untouched(t, still, "format=png", Accept{}) {
		t.Error("a PNG is written anew, larger")
	}
	web := photo(t, "animated/rotating-squares.webp")
	for accept, want := range map[Accept]bool{{}: false, {WebP: true}: true, {WebP: true, AVIF: true}: true} {
		if got := untouched(t, web, "format=auto", accept); got != want {
			t.Errorf("a WebP for %+v: the original: %v, want %v", accept, got, want)
		}
	}
	if !untouched(t, web, "format=webp", Accept{}) {
		t.Error("a WebP is written anew, larger")
	}
	if flat := wasteful(t); untouched(t, source(flat), "background=white", Accept{}) {
		t.Error("a colour behind transparency changes the picture")
	}
}

func TestOriginal_OfAnAnimationHasAllFrames(t *testing.T) {
	s := photo(t, "animated/rotating-squares.webp")
	for list, want := range map[string]bool{
		"format=auto": true, "format=webp": true, "": true,
		"anim=false,format=webp": false, "format=png": false, "width=40,format=webp": false, "quality=85,format=webp": false,
	} {
		if got := untouched(t, s, "fit=cover,"+list, Accept{WebP: true}); got != want {
			t.Errorf("%s: the original: %v, want %v", list, got, want)
		}
	}
}

// The files are as small as they come, so that only their content speaks
// against them; what is appended or inserted is as in the samples.
func TestOriginal_NeverWithWhatMustNotLeave(t *testing.T) {
	s := small(t)
	app := func(marker byte, body string) []byte {
		n := len(body) + 2
		return slices.Concat(s.Bytes[:2], []byte{0xff, marker, byte(n >> 8), byte(n)}, []byte(body), s.Bytes[2:])
	}
	const position = "Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x25\x88\x04\x00\x01\x00\x00\x00\x1a\x00\x00\x00\x00\x00\x00\x00"
	const turned = "Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
	const described = "Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x0f\x01\x02\x00\x02\x00\x00\x00A\x00\x00\x00\x00\x00\x00\x00"
	for name, c := range map[string]struct {
		file       []byte
		kept, none bool // with metadata=keep, and without
	}{
		"as it is":            {s.Bytes, true, true},
		"bytes after the end": {append(bytes.Clone(s.Bytes), "left of a crop\xff\xd9"...), false, false},
		"a comment":           {app(0xfe, "hello"), false, false},
		"a camera's name":     {app(0xe1, described), true, false},
		"a position":          {app(0xe1, position), true, false},
		"an orientation":      {app(0xe1, turned), false, false},
		"credentials":         {app(0xeb, "JP\x00\x01\x00\x00\x00\x01"), false, false},
		"more pictures":       {app(0xe2, "MPF\x00II*\x00"), false, false},
		"unknown data":        {app(0xe5, "what is this"), false, false},
	} {
		if got := untouched(t, source(c.file), "metadata=keep", Accept{}); got != c.kept {
			t.Errorf("%s, metadata=keep: the original: %v, want %v", name, got, c.kept)
		}
		for _, list := range []string{"format=jpeg", "metadata=copyright,format=auto", "metadata=none"} {
			if got := untouched(t, source(c.file), list, Accept{}); got != c.none {
				t.Errorf("%s, %s: the original: %v, want %v", name, list, got, c.none)
			}
		}
	}
}

// The files on which pixels were cropped and left, the photo with a position,
// and the files with credentials or with other colours than sRGB.
func TestOriginal_NeverOfTheAwkwardSamples(t *testing.T) {
	const root = "../../../shared/data/samples"
	photo(t, "photos/bicycle.jpg") // skips without the samples
	tried := 0
	for _, folder := range []string{"acropalypse", "c2pa", "exif", "icc"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, e fs.DirEntry, err error) error {
			name := strings.TrimPrefix(path, root+"/")
			if err != nil || e.IsDir() || fit(name) {
				return err
			}
			s := photo(t, name)
			info, err := vips.Probe(s.Bytes)
			if err != nil {
				return err
			}
			tried++
			if r := makePicture(t, nil, s, "fit=cover"); bytes.Equal(r.Body, s.Bytes) {
				t.Errorf("%s left as it is", name)
			}
			if clean(s.Bytes, 0) && info.Standard && info.Orientation == 1 {
				t.Errorf("%s would leave if it were smaller", name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if tried < 35 {
		t.Errorf("%d samples tried", tried)
	}
}

// fit names the samples of those folders that nothing speaks against, by what
// is told of them.
func fit(name string) bool {
	return strings.Contains(name, "_sanitized") || name == "acropalypse/windows11_2.png" || name == "c2pa/sample1.webp"
}
