package structure

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"focal/core/fault"
)

const samples = "../../../shared/data/samples"

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(samples, name))
	if os.IsNotExist(err) {
		t.Skip("needs ../shared: data/samples/" + name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(t *testing.T, file []byte) Report {
	t.Helper()
	r, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What follows the end of a crop is its size less its sanitised twin's; for
// case04 its size less the first IEND's end as grep finds it, and for case01
// what follows the 0x3B after the only picture, read in a hex dump. exiftool
// warns of trailer data in the same three PNG files and no other.
func TestRead_FindsWhatACropLeftBehind(t *testing.T) {
	for name, trailing := range map[string]int64{
		"windows10_snipping_tool_1_cropped.png":           38191,
		"windows10_snipping_tool_1_cropped_sanitized.png": 0,
		"windows11_2.png":                   0,
		"windows11_2_cropped.png":           108469,
		"windows11_2_cropped_sanitized.png": 0,
		"windows11_3_cropped.jpg":           33100,
		"windows11_3_cropped_sanitized.jpg": 0,
		"case04_crop.png":                   333597,
		"case01_crop.gif":                   58807,
	} {
		r := read(t, sample(t, "acropalypse/"+name))
		if r.Trailing() != trailing {
			t.Errorf("%s: %d bytes after the end, want %d", name, r.Trailing(), trailing)
		}
		if ok, why := r.PassThrough(All); ok != (trailing == 0) {
			t.Errorf("%s may pass through: %v (%s)", name, ok, why)
		}
	}
}

// The sanitised twin is the vulnerable file up to its end.
func TestRead_EndsWhereTheSanitisedTwinEnds(t *testing.T) {
	file := sample(t, "acropalypse/windows11_3_cropped.jpg")
	clean := sample(t, "acropalypse/windows11_3_cropped_sanitized.jpg")
	if r := read(t, file); !bytes.Equal(file[:r.End], clean) {
		t.Errorf("the end is at %d, the sanitised file has %d bytes", r.End, len(clean))
	}
}

// Every good file of the samples ends where it should, but for these two.
func TestRead_FindsGoodFilesWhole(t *testing.T) {
	exceptions := map[string]string{
		"icc/ultra-hdr-gainmap.jpg":     "the gain map is a second picture after the first one's end",
		"animated/rotating-squares.gif": "2772 zero bytes after the trailer",
	}
	for _, name := range pictures(t) {
		if strings.HasPrefix(name, "broken/") || strings.HasPrefix(name, "acropalypse/") {
			continue
		}
		r, err := Read(sample(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if reason, odd := exceptions[name]; (r.Trailing() != 0) != odd {
			t.Errorf("%s: %d bytes after the end (known exception: %q)", name, r.Trailing(), reason)
		}
	}
}

func TestRead_RefusesTruncatedAndBrokenFiles(t *testing.T) {
	for _, name := range []string{"truncated.jpg", "truncated.png", "truncated.gif", "corrupt-header.jpg", "invalid_multiframe.gif"} {
		if _, err := Read(sample(t, "broken/"+name)); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: got %v, want %v", name, err, fault.Corrupt)
		}
	}
	for _, name := range []string{"svg/logo.svg", "avif/kimono.avif", "avif/heic-24bit.heic"} {
		if _, err := Read(sample(t, name)); !fault.Is(err, fault.Unsupported) {
			t.Errorf("%s: got %v, want %v", name, err, fault.Unsupported)
		}
	}
}

// No prefix of a good file is a good file: each lacks its end.
func TestRead_RefusesEveryPrefix(t *testing.T) {
	for name, file := range drawn(t) {
		for n := range len(file) {
			if r, err := Read(file[:n]); err == nil {
				t.Errorf("%s cut to %d of %d bytes: ends at %d", name, n, len(file), r.End)
			}
		}
		for _, more := range []string{"\x00", "\xff\xd9", "IEND", ";"} {
			if r := read(t, append(slices.Clone(file), more...)); r.Trailing() != int64(len(more)) {
				t.Errorf("%s with %q behind: %d bytes after the end", name, more, r.Trailing())
			}
		}
	}
}

// The list is exiftool's: two files with a GPS group, and the first, whose
// directory of positions is there and empty. A pointer is enough to say so.
func TestRead_ReportsPositions(t *testing.T) {
	positioned := []string{"c2pa/public-truepic-20230212-camera.jpg", "exif/gps-DSCN0010.jpg", "exif/webp-orientation-6.webp"}
	for _, name := range pictures(t) {
		r, err := Read(sample(t, name))
		if err != nil {
			continue // the broken ones: another test's
		}
		if got, want := r.Kinds()&GPS != 0, slices.Contains(positioned, name); got != want {
			t.Errorf("%s: holds a position: %v, want %v", name, got, want)
		}
	}
}

// Kinds as exiftool lists the groups of these files.
func TestRead_NamesMetadata(t *testing.T) {
	for name, want := range map[string]Kind{
		"photos/tulips.jpg":               0,
		"icc/display-p3-photo.jpg":        ICC,
		"icc/prophoto-1x1.png":            ICC,
		"icc/cmyk-swop.jpg":               Exif | Thumbnail | XMP | IPTC | ICC,
		"icc/ultra-hdr-gainmap.jpg":       XMP | ICC | MultiPicture,
		"c2pa/CA.jpg":                     Credentials,
		"c2pa/libpng-test_with_url.png":   XMP,
		"exif/landscape_6.jpg":            Exif,
		"exif/gps-DSCN0010.jpg":           Exif | GPS | Thumbnail | XMP,
		"animated/dispose-background.gif": Comment,
		"alpha/webp-alpha.webp":           0,
	} {
		if got := read(t, sample(t, name)).Kinds(); got != want {
			t.Errorf("%s holds %v, want %v", name, got, want)
		}
	}
}

func TestPassThrough_AsksForNoMoreThanMayLeave(t *testing.T) {
	r := Report{Format: JPEG, Size: 10, End: 10, Segments: []Segment{{Name: "APP1", Kind: Exif | GPS}, {Name: "APP2", Kind: ICC}}}
	for _, c := range []struct {
		keep Kind
		ok   bool
	}{{All, true}, {Exif | GPS | ICC, true}, {Exif | ICC, false}, {ICC, false}, {0, false}} {
		if ok, why := r.PassThrough(c.keep); ok != c.ok {
			t.Errorf("keeping %v: %v (%s)", c.keep, ok, why)
		}
	}
}

// What a browser does not show, or shows otherwise than this reader, may not
// leave, whatever it carries.
func TestPassThrough_RefusesTheUnusual(t *testing.T) {
	const rest = "\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x12\xff\xd9"
	jpeg := func(sof, precision string) string {
		return "\xff\xd8\xff" + sof + "\x00\x0b" + precision + "\x00\x01\x00\x01\x01\x01\x11\x00" + rest
	}
	png := func(chunks ...string) string {
		all := pngSignature + framed("IHDR", "\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00")
		return all + strings.Join(chunks, "") + framed("IDAT", "x") + framed("IEND", "")
	}
	for name, c := range map[string]struct {
		file string
		ok   bool
	}{
		"baseline":             {jpeg("\xc0", "\x08"), true},
		"extended":             {jpeg("\xc1", "\x08"), true},
		"progressive":          {jpeg("\xc2", "\x08"), true},
		"twelve bits":          {jpeg("\xc1", "\x0c"), false},
		"lossless":             {jpeg("\xc3", "\x08"), false},
		"arithmetic":           {jpeg("\xc9", "\x08"), false},
		"a PNG":                {png(), true},
		"an animated PNG":      {png(framed("acTL", "\x00\x00\x00\x02\x00\x00\x00\x00")), false},
		"gamma of sRGB":        {png(framed("gAMA", "\x00\x00\xb1\x8f")), true},  // 45455
		"another gamma":        {png(framed("gAMA", "\x00\x01\x86\xa0")), false}, // 1
		"another primary":      {png(framed("cHRM", strings.Repeat("\x00\x00\x7a\x26", 8))), false},
		"Display P3 by number": {png(framed("cICP", "\x0c\x0d\x00\x01")), false},
	} {
		if ok, why := read(t, []byte(c.file)).PassThrough(0); ok != c.ok {
			t.Errorf("%s: %v (%s)", name, ok, why)
		}
	}
}

// framed is a PNG chunk.
func framed(name, data string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(b, name+data...)
	return string(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE([]byte(name+data))))
}

// T.81 F.1.2.3: a stuffed 0xFF00, RSTn and fill bytes stand inside a scan; an
// end marker inside a segment is data.
func TestJPEG_FollowsMarkersRatherThanSearching(t *testing.T) {
	const (
		soi  = "\xff\xd8"
		app1 = "\xff\xe1\x00\x06\xff\xd8\xff\xd9" // as an EXIF thumbnail has them
		sof  = "\xff\xc0\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00"
		sos  = "\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
		scan = "\x12\xff\x00\xd9\xff\xd0\x34\xff\xff\x00\x56\xff\xd7"
		eoi  = "\xff\xd9"
	)
	whole := soi + app1 + sof + sos + scan + "\xff" + eoi
	for _, c := range []struct {
		name, file string
		end        int // 0: refused
	}{
		{"one scan", whole, len(whole)},
		{"two scans", soi + sof + sos + scan + sos + scan + eoi, len(soi + sof + sos + scan + sos + scan + eoi)},
		{"a second file behind", whole + whole, len(whole)},
		{"no scan", soi + sof + eoi, 0},
		{"no frame", soi + sos + scan + eoi, 0},
		{"two frames", soi + sof + sof + sos + scan + eoi, 0},
		{"a start marker inside", soi + sof + sos + scan + soi + eoi, 0},
		{"length under two", soi + "\xff\xe0\x00\x01" + sof + sos + scan + eoi, 0},
		{"a segment past the end", soi + sof + sos + scan + "\xff\xe0\xff\xff" + eoi, 0},
		{"bytes between segments", soi + "\x00" + sof + sos + scan + eoi, 0},
	} {
		r, err := Read([]byte(c.file))
		if c.end == 0 && !fault.Is(err, fault.Corrupt) || c.end != 0 && (err != nil || r.End != int64(c.end)) {
			t.Errorf("%s: end %d, %v; want %d", c.name, r.End, err, c.end)
		}
	}
}

func TestPNG_VerifiesOrderAndChecksums(t *testing.T) {
	ihdr, idat, iend := framed("IHDR", "\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00"), framed("IDAT", "x"), framed("IEND", "")
	for _, c := range []struct {
		name, chunks string
		ok           bool
	}{
		{"plain", ihdr + idat + idat + iend, true},
		{"text", ihdr + framed("tEXt", "Author\x00x") + idat + iend, true},
		{"a wrong checksum", ihdr + idat[:len(idat)-1] + "x" + iend, false},
		{"no header", idat + iend, false},
		{"two headers", ihdr + ihdr + idat + iend, false},
		{"no pixels", ihdr + iend, false},
		{"pixels in two runs", ihdr + idat + framed("tIME", "1234567") + idat + iend, false},
		{"an end with data", ihdr + idat + framed("IEND", "x"), false},
		{"an unknown critical chunk", ihdr + framed("ABCD", "") + idat + iend, false},
		{"no word", ihdr + framed("a cd", "") + idat + iend, false},
	} {
		_, err := Read([]byte(pngSignature + c.chunks))
		if c.ok && err != nil || !c.ok && !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestRead_BoundsItsReport(t *testing.T) {
	file := append([]byte("\xff\xd8"), bytes.Repeat([]byte("\xff\xfe\x00\x02"), maxSegments+1)...)
	if _, err := Read(file); !fault.Is(err, fault.TooLarge) {
		t.Errorf("got %v, want %v", err, fault.TooLarge)
	}
}

func FuzzRead(f *testing.F) {
	for _, file := range drawn(f) {
		f.Add(file)
	}
	for _, name := range []string{"c2pa/libpng-test_with_url.png", "alpha/tbgn2c16-trns.png", "broken/invalid_multiframe.gif", "broken/looks-like-svg.webp", "broken/corrupt-header.jpg"} {
		if b, err := os.ReadFile(filepath.Join(samples, name)); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) { consistent(t, file) })
}

// The formats apart, so that the fuzzer need not find a signature first.
func FuzzJPEG(f *testing.F) {
	fuzzBehind(f, "\xff\xd8", "\xff\xc0\x00\x02\xff\xda\x00\x02\xff\x00\xff\xd9")
}
func FuzzPNG(f *testing.F) { fuzzBehind(f, pngSignature, "\x00\x00\x00\x00IEND\xae\x42\x60\x82") }
func FuzzGIF(f *testing.F) {
	fuzzBehind(f, "GIF89a", "\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x01\x00\x00;")
}
func FuzzWebP(f *testing.F) { fuzzBehind(f, "RIFF", "\x0c\x00\x00\x00WEBPVP8 \x00\x00\x00\x00") }

// FuzzExif holds the reader of a TIFF directory to its bounds.
func FuzzExif(f *testing.F) {
	f.Add([]byte("II*\x00\x08\x00\x00\x00\x01\x00\x25\x88\x04\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("MM\x00*\x00\x00\x00\x08\xff\xff"))
	f.Fuzz(func(t *testing.T, tiff []byte) {
		if exifKind(tiff)&Exif == 0 {
			t.Error("EXIF is not EXIF")
		}
	})
}

func fuzzBehind(f *testing.F, head string, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, tail []byte) { consistent(t, append([]byte(head), tail...)) })
}

// consistent: the end lies in the file, what is before it is a whole file of
// the same report, and segments lie in order before the end.
func consistent(t *testing.T, file []byte) {
	r, err := Read(file)
	if err != nil {
		if k := fault.KindOf(err); k != fault.Corrupt && k != fault.Unsupported && k != fault.TooLarge {
			t.Errorf("kind %v: %v", k, err)
		}
		return
	}
	if r.End <= 0 || r.End > r.Size || r.Size != int64(len(file)) {
		t.Fatalf("end %d of %d", r.End, len(file))
	}
	at := int64(0)
	for _, s := range r.Segments {
		if s.Offset < at || s.Size <= 0 || s.Offset+s.Size > r.End {
			t.Fatalf("segment %+v after byte %d, end %d", s, at, r.End)
		}
		at = s.Offset + s.Size
	}
	again, err := Read(file[:r.End])
	if err != nil || again.End != r.End || again.Trailing() != 0 {
		t.Fatalf("cut at its end %d: %+v, %v", r.End, again, err)
	}
}

// pictures lists the samples of the formats that this room reads.
func pictures(t *testing.T) []string {
	t.Helper()
	if _, err := os.Stat(samples); err != nil {
		t.Skip("needs ../shared: data/samples")
	}
	var names []string
	for _, ext := range []string{"jpg", "png", "gif", "webp"} {
		found, err := filepath.Glob(filepath.Join(samples, "*/*."+ext))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			name, err := filepath.Rel(samples, f)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, filepath.ToSlash(name))
		}
	}
	if len(names) < 80 {
		t.Fatalf("%d samples: the test looks in the wrong place", len(names))
	}
	return names
}

// drawn are small files made by the encoders of the standard library.
func drawn(t testing.TB) map[string][]byte {
	t.Helper()
	picture := image.NewPaletted(image.Rect(0, 0, 9, 9), color.Palette{color.Black, color.White})
	for i := range picture.Pix {
		picture.Pix[i] = byte(i % 2)
	}
	var j, p, g bytes.Buffer
	for _, err := range []error{jpeg.Encode(&j, picture, nil), png.Encode(&p, picture), gif.Encode(&g, picture, nil)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string][]byte{"jpeg": j.Bytes(), "png": p.Bytes(), "gif": g.Bytes()}
}
