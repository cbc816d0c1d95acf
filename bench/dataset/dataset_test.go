package dataset_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"focal/bench/dataset"
	"focal/bench/reference"
	"focal/core/vips"
)

func TestMain(m *testing.M) {
	if err := vips.Open(vips.DefaultConfig()); err != nil {
		panic(err)
	}
	code := m.Run()
	if vips.Live() != 0 {
		code = 1
	}
	os.Exit(code)
}

func encoded(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// picture draws two columns of each value of c in one row.
func picture[C color.Color](img interface {
	image.Image
	Set(x, y int, c color.Color)
}, values ...C) image.Image {
	for i, c := range values {
		img.Set(i, 0, c)
	}
	return img
}

func TestDecodeMask_ReadsEveryKindOfGrey(t *testing.T) {
	three := image.Rect(0, 0, 3, 1)
	for name, c := range map[string]struct {
		file []byte
		want []byte
	}{
		"8 bits":  {encoded(t, picture(image.NewGray(three), color.Gray{0}, color.Gray{100}, color.Gray{255})), []byte{0, 100, 255}},
		"16 bits": {encoded(t, picture(image.NewGray16(three), color.Gray16{0}, color.Gray16{0x64ff}, color.Gray16{0xffff})), []byte{0, 100, 255}},
		"RGB":     {encoded(t, picture(image.NewRGBA(three), color.Gray{0}, color.Gray{100}, color.Gray{255})), []byte{0, 100, 255}},
		"palette of greys": {encoded(t, picture(image.NewPaletted(three, color.Palette{color.Gray{0}, color.Gray{255}, color.Gray{100}}),
			color.Gray{0}, color.Gray{100}, color.Gray{255})), []byte{0, 100, 255}},
		"1 bit, as a palette of two": {encoded(t, picture(image.NewPaletted(three, color.Palette{color.Gray{255}, color.Gray{0}}),
			color.Gray{0}, color.Gray{255}, color.Gray{255})), []byte{0, 255, 255}},
		"palette of colours": {encoded(t, picture(image.NewPaletted(three, color.Palette{color.Gray{0}, color.RGBA{128, 0, 0, 255}}),
			color.Color(color.Gray{0}), color.Color(color.RGBA{128, 0, 0, 255}), color.Color(color.Gray{0}))), []byte{0, 255, 0}},
	} {
		m, err := dataset.DecodeMask(c.file, false)
		if err != nil || !slices.Equal(m.Pix, c.want) || m.Width != 3 || m.Height != 1 {
			t.Errorf("%s: %v, %v, want %v", name, m, err, c.want)
		}
	}
	red := encoded(t, picture(image.NewRGBA(three), color.Color(color.Gray{0}), color.Color(color.RGBA{255, 0, 0, 255})))
	if _, err := dataset.DecodeMask(red, false); err == nil {
		t.Error("a coloured mask was read")
	}
}

// folder writes a set of files.
func folder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func flat(width, height int, v byte) *image.Gray {
	g := image.NewGray(image.Rect(0, 0, width, height))
	for i := range g.Pix {
		g.Pix[i] = v
	}
	return g
}

// framed is v at the border and within, w in the middle.
func framed(v, w byte) *image.Gray {
	g := flat(8, 8, v)
	for y := 2; y < 6; y++ {
		for x := 2; x < 6; x++ {
			g.SetGray(x, y, color.Gray{w})
		}
	}
	return g
}

// recoloured is framed(0, 255) in another kind of image.
func recoloured(img draw.Image) image.Image {
	draw.Draw(img, img.Bounds(), framed(0, 255), image.Point{}, draw.Src)
	return img
}

// cut is a picture whose header is whole and whose pixels are not.
func cut(t *testing.T) []byte {
	t.Helper()
	noise := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range noise.Pix {
		noise.Pix[i] = byte(i * i * 31 / 7)
	}
	file := encoded(t, noise)
	return file[:len(file)/2]
}

// oneBit is framed(0, 255) as a PNG of depth 1, which Go's encoder does not
// write: header, one chunk of eight rows with a filter byte each, end.
func oneBit(t *testing.T) []byte {
	t.Helper()
	var rows, file bytes.Buffer
	z := zlib.NewWriter(&rows)
	for y := range 8 {
		bits := byte(0)
		if y >= 2 && y < 6 {
			bits = 0b00111100
		}
		if _, err := z.Write([]byte{0, bits}); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file.WriteString("\x89PNG\r\n\x1a\n")
	for _, chunk := range []string{"IHDR\x00\x00\x00\x08\x00\x00\x00\x08\x01\x00\x00\x00\x00", "IDAT" + rows.String(), "IEND"} {
		file.Write(binary.BigEndian.AppendUint32(nil, uint32(len(chunk)-4)))
		file.WriteString(chunk)
		file.Write(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(chunk))))
	}
	return file.Bytes()
}

// badFiles is a set with one of every kind of bad input.
func badFiles(t *testing.T) string {
	t.Helper()
	grey := encoded(t, flat(8, 8, 90))
	return folder(t, map[string][]byte{
		"images/alone.png": grey, "masks/lonely.png": grey,
		"images/good.png": grey, "masks/good.png": encoded(t, framed(0, 255)),
		"images/inverted.png": grey, "masks/inverted.png": encoded(t, framed(255, 0)),
		"images/empty.png": grey, "masks/empty.png": encoded(t, flat(8, 8, 0)),
		"images/ones.png": grey, "masks/ones.png": encoded(t, framed(0, 1)),
		"images/size.png": grey, "masks/size.png": encoded(t, flat(8, 7, 0)),
		"images/broken.png": grey, "masks/broken.png": grey[:40],
		"images/none.png": []byte("no picture"), "masks/none.png": grey,
		"images/red.png": grey, "masks/red.png": encoded(t, picture(image.NewRGBA(image.Rect(0, 0, 8, 8)), color.RGBA{255, 0, 0, 255})),
		"images/cut.png": cut(t), "masks/cut.png": grey,
		"images/rgb.png": grey, "masks/rgb.png": encoded(t, recoloured(image.NewRGBA(image.Rect(0, 0, 8, 8)))),
		"images/deep.png": grey, "masks/deep.png": encoded(t, recoloured(image.NewGray16(image.Rect(0, 0, 8, 8)))),
		"images/palette.png": grey, "masks/palette.png": encoded(t, recoloured(image.NewPaletted(image.Rect(0, 0, 8, 8), color.Palette{color.Gray{0}, color.Gray{255}, color.Gray{7}}))),
		"images/bit.png": grey, "masks/bit.png": oneBit(t),
		"tags.csv": []byte("good,thin\n"),
	})
}

// Every kind of bad input of a folder of pairs is named by file; what can be
// used is used.
func TestOpenPairs_NamesEveryBadFile(t *testing.T) {
	s, err := dataset.OpenPairs(badFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]dataset.Kind{}
	for _, p := range s.Problems {
		got[filepath.Base(p.File)] = p.Kind
	}
	used := map[string]bool{}
	for _, p := range s.Pairs {
		_, truth, problems, ok := p.Load()
		used[p.Stem] = ok
		for _, problem := range problems {
			got[p.Stem] = problem.Kind
			if problem.Kind.Fatal() == ok {
				t.Errorf("%s: %v, and used: %v", p.Stem, problem, ok)
			}
		}
		if slices.Contains([]string{"rgb", "deep", "palette", "bit"}, p.Stem) && !slices.Equal(truth.Pix, framed(0, 255).Pix) {
			t.Errorf("%s became %v", p.Stem, truth.Pix)
		}
		if p.Stem == "ones" && slices.Max(truth.Pix) != 255 {
			t.Error("a mask of ones stayed so")
		}
		if p.Stem == "good" && !slices.Equal(p.Subsets, []string{dataset.All, dataset.Hard, "thin"}) {
			t.Errorf("good is in %v", p.Subsets)
		}
	}
	for name, want := range map[string]dataset.Kind{
		"alone.png": dataset.Unpaired, "lonely.png": dataset.Unpaired, "inverted": dataset.Inverted, "empty": dataset.Empty,
		"ones": dataset.Scaled, "size": dataset.SizesDiffer, "broken": dataset.Unreadable, "none": dataset.Unreadable, "red": dataset.Coloured, "good": "",
		"cut": dataset.Unreadable, "rgb": dataset.Converted, "deep": dataset.Converted, "palette": dataset.Converted, "bit": dataset.Converted,
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	for name, want := range map[string]bool{"good": true, "inverted": true, "empty": true, "ones": true, "size": false, "broken": false, "none": false, "red": false,
		"cut": false, "rgb": true, "deep": true, "palette": true, "bit": true} {
		if used[name] != want {
			t.Errorf("%s: used %v, want %v", name, used[name], want)
		}
	}
}

// A folder within images and masks is a tag, so that a probe is a folder of its
// own; names may repeat in another.
func TestOpenPairs_TakesFoldersForTags(t *testing.T) {
	grey, mask := encoded(t, flat(8, 8, 90)), encoded(t, framed(0, 255))
	s, err := dataset.OpenPairs(folder(t, map[string][]byte{
		"images/a.png": grey, "masks/a.png": mask, "images/thin/a.jpg": grey, "masks/thin/a.png": mask,
		"images/on-subject/b.png": grey, "masks/on-subject/b.png": mask, "images/on-subject/c.png": grey, "images/soft/d.png": grey, "masks/soft/d.png": mask,
		"tags.csv": []byte("b,logo\n"),
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range s.Pairs {
		got[p.Stem] = strings.Join(p.Subsets, " ")
	}
	want := map[string]string{"a": "all hard", "thin/a": "all hard thin", "on-subject/b": "all hard on-subject logo", "soft/d": "all soft"}
	if !maps.Equal(got, want) || len(s.Problems) != 1 {
		t.Errorf("got %v, %v", got, s.Problems)
	}
}

func TestOpenPairs_RefusesAnEmptyFolder(t *testing.T) {
	for name, dir := range map[string]string{
		"nothing":    t.TempDir(),
		"no file":    filepath.Join(t.TempDir(), "none"),
		"no picture": folder(t, map[string][]byte{"images/.keep": nil, "masks/.keep": nil}),
	} {
		if s, err := dataset.OpenPairs(dir); err == nil {
			t.Errorf("%s: %v", name, s)
		}
	}
}

func TestOpenPairs_KnowsTheLayoutsThatPeoplePublish(t *testing.T) {
	grey := encoded(t, flat(4, 4, 90))
	colours := color.Palette{color.Gray{0}, color.RGBA{128, 0, 0, 255}, color.RGBA{224, 224, 192, 255}}
	labels := picture(image.NewPaletted(image.Rect(0, 0, 4, 4), colours), color.RGBA{128, 0, 0, 255})
	for layout, files := range map[string]map[string][]byte{
		"DIS5K": {"im/a.png": grey, "gt/a.png": grey},
		"P3M":   {"original_image/a.png": grey, "mask/a.png": grey},
		"VOC":   {"JPEGImages/a.png": grey, "JPEGImages/b.png": grey, "SegmentationObject/a.png": encoded(t, labels)},
		"COCO persons": {"val2017/a.png": grey, "annotations/instances_val2017.json": []byte(`{
			"images":[{"id":7,"file_name":"a.png","width":4,"height":4},{"id":8,"file_name":"b.png","width":4,"height":4}],
			"categories":[{"id":1,"name":"person"},{"id":2,"name":"dog"}],
			"annotations":[{"image_id":7,"category_id":1,"segmentation":[[1,1,3,1,3,3,1,3]]},
			 {"image_id":7,"category_id":1,"segmentation":{"counts":[0,1,15],"size":[4,4]},"iscrowd":1},
			 {"image_id":8,"category_id":2,"segmentation":[[0,0,4,0,4,4]]}]}`)},
	} {
		s, err := dataset.OpenPairs(folder(t, files))
		if err != nil || s.Layout != layout || len(s.Pairs) != 1 || len(s.Problems) != 0 {
			t.Fatalf("%s: %+v, %v", layout, s, err)
		}
		_, truth, _, ok := s.Pairs[0].Load()
		if !ok {
			t.Fatalf("%s: cannot be read", layout)
		}
		if layout == "VOC" && (truth.Pix[0] != 255 || truth.Pix[1] != 0) {
			t.Errorf("VOC: %v", truth.Pix)
		}
		// The polygon covers the middle four pixels, the run the first of all.
		want := []byte{255, 0, 0, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0, 0, 0, 0}
		if layout == "COCO persons" && !slices.Equal(truth.Pix, want) {
			t.Errorf("COCO: %v", truth.Pix)
		}
	}
}

func TestOpenPairs_ReadsTheDevelopmentSets(t *testing.T) {
	for name, want := range map[string][2]int{"humans": {104, 4}, "objects": {99, 8}} {
		s, err := dataset.OpenPairs(reference.Shared(t, "data", name))
		if err != nil {
			t.Fatal(err)
		}
		soft := 0
		for _, p := range s.Pairs {
			if slices.Contains(p.Subsets, dataset.Soft) {
				soft++
			}
		}
		if len(s.Pairs) != want[0] || soft != want[1] || len(s.Problems) != 0 || s.Name != name {
			t.Errorf("%s: %d pairs, %d soft, %v", name, len(s.Pairs), soft, s.Problems)
		}
	}
}

func TestLeaks_ComparesNamesAndPrefixes(t *testing.T) {
	trained := []string{"WIDER FACE", "DUTS-TR", "P3M-10k"}
	for _, c := range []struct {
		set   string
		stems []string
		want  []string
	}{
		{"faces", []string{"facemask_1", "wider_a_b"}, []string{"WIDER FACE"}},
		{"humans", []string{"ecssd_0001", "soft_p_1"}, nil},
		{"DUTS-TR", nil, []string{"DUTS-TR"}},
		{"p3m_10k", nil, []string{"P3M-10k"}},
	} {
		if got := dataset.Leaks(trained, c.set, c.stems); !slices.Equal(got, c.want) {
			t.Errorf("%s %v: %v, want %v", c.set, c.stems, got, c.want)
		}
	}
}

func TestHashes_FindWhatLooksAlike(t *testing.T) {
	other := image.NewGray(image.Rect(0, 0, 90, 80))
	for i := range other.Pix {
		other.Pix[i] = byte(255 - 2*(i%90))
	}
	var h dataset.Hashes
	for i, c := range []struct {
		img  image.Image
		want bool
	}{{blocks(180, 160), false}, {blocks(90, 80), true}, {other, false}} {
		p, err := h.Add("set/images/"+string(rune('a'+i))+".png", encoded(t, c.img))
		if err != nil || (p != nil) != c.want {
			t.Errorf("%d: %v, %v", i, p, err)
		}
	}
}

// blocks is a chessboard of nine by eight fields, at any size.
func blocks(width, height int) image.Image {
	g := image.NewGray(image.Rect(0, 0, width, height))
	for i := range g.Pix {
		x, y := i%width*9/width, i/width*8/height
		g.Pix[i] = byte(37 * (x*x + 3*y*x) % 251)
	}
	return g
}
