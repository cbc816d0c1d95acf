package pipeline

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"slices"
	"testing"

	"focal/core/pixel"
	"focal/core/structure"
	"focal/core/transform"
)

// The tags of EXIF 2.32 that the tests look at.
const (
	tagOrientation = 0x0112
	tagArtist      = 0x013b
	tagCopyright   = 0x8298
	tagGPS         = 0x8825
	tagLatitudeRef = 0x0001 // in the GPS directory
)

// segments returns the payloads of a JPEG's APPn segments that start with
// prefix (ITU-T T.81 §B.1.1.4), written apart from what the server reads with.
func segments(t testing.TB, file []byte, marker byte, prefix string) [][]byte {
	t.Helper()
	var found [][]byte
	for at := 2; at+4 <= len(file) && file[at] == 0xff && file[at+1] != 0xda; {
		n := int(binary.BigEndian.Uint16(file[at+2:]))
		if body := file[at+4 : at+2+n]; file[at+1] == marker && bytes.HasPrefix(body, []byte(prefix)) {
			found = append(found, body[len(prefix):])
		}
		at += 2 + n
	}
	return found
}

// exif reads the tags of a JPEG's first directory and of its GPS directory,
// and whether there is a second directory, which holds a thumbnail.
func exif(t testing.TB, file []byte) (first, gps map[uint16]string, thumbnail bool) {
	t.Helper()
	found := segments(t, file, 0xe1, "Exif\x00\x00")
	if len(found) == 0 {
		return nil, nil, false
	}
	tiff := found[0]
	var order binary.ByteOrder = binary.LittleEndian
	if tiff[0] == 'M' {
		order = binary.BigEndian
	}
	read := func(at uint32) (map[uint16]string, uint32) {
		tags, n := map[uint16]string{}, int(order.Uint16(tiff[at:]))
		for e := range n {
			entry := tiff[int(at)+2+12*e:][:12]
			kind, count := order.Uint16(entry[2:]), order.Uint32(entry[4:])
			value := entry[8:]
			if kind == 2 && count > 4 {
				value = tiff[order.Uint32(entry[8:]):][:count]
			}
			tags[order.Uint16(entry)] = string(bytes.TrimRight(value[:min(len(value), int(max(4, count)))], "\x00"))
		}
		return tags, order.Uint32(tiff[int(at)+2+12*n:])
	}
	first, next := read(order.Uint32(tiff[4:]))
	if at, ok := first[tagGPS]; ok {
		raw := make([]byte, 4)
		copy(raw, at)
		gps, _ = read(order.Uint32(raw))
	}
	return first, gps, next != 0
}

// tagged is a JPEG, 40×20, stored upright but marked as turned (orientation
// 6), with a copyright, an artist and a position.
func tagged(t testing.TB) Source {
	t.Helper()
	const rights, artist = "(c) A. Person, all rights reserved\x00", "A. Person\x00"
	le := binary.LittleEndian
	tiff := []byte("II*\x00\x08\x00\x00\x00\x04\x00")
	entry := func(tag, kind uint16, count, value uint32) {
		tiff = le.AppendUint16(le.AppendUint16(tiff, tag), kind)
		tiff = le.AppendUint32(le.AppendUint32(tiff, count), value)
	}
	const data = 8 + 2 + 4*12 + 4
	entry(tagOrientation, 3, 1, 6)
	entry(tagArtist, 2, uint32(len(artist)), data)
	entry(tagCopyright, 2, uint32(len(rights)), data+uint32(len(artist)))
	entry(tagGPS, 4, 1, data+uint32(len(artist)+len(rights)))
	tiff = append(le.AppendUint32(tiff, 0), artist+rights...)
	tiff = le.AppendUint16(tiff, 1)
	entry(tagLatitudeRef, 2, 2, 'N')
	tiff = le.AppendUint32(tiff, 0)

	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 40, 20)), nil); err != nil {
		t.Fatal(err)
	}
	app1 := append([]byte("Exif\x00\x00"), tiff...)
	head := binary.BigEndian.AppendUint16([]byte{0xff, 0xd8, 0xff, 0xe1}, uint16(len(app1)+2))
	return source(append(append(head, app1...), b.Bytes()[2:]...))
}

func TestMetadata_KeepsWhatWasAskedFor(t *testing.T) {
	const rights = "(c) A. Person, all rights reserved"
	s := tagged(t)
	for _, c := range []struct {
		options        string
		rights, artist string
		gps            bool
	}{
		{"width=10", rights, "", false},
		{"metadata=copyright", rights, "", false},
		{"metadata=keep", rights, "A. Person", true},
		{"metadata=keep,width=10", rights, "A. Person", true},
		{"metadata=none", "", "", false},
	} {
		r := makePicture(t, nil, s, c.options)
		first, gps, _ := exif(t, r.Body)
		if first[tagCopyright] != c.rights || first[tagArtist] != c.artist || (gps[tagLatitudeRef] == "N") != c.gps {
			t.Errorf("%s: copyright %q, artist %q, position %v", c.options, first[tagCopyright], first[tagArtist], gps)
		}
		if o := first[tagOrientation]; o != "" && o != "\x01" {
			t.Errorf("%s: the orientation is still there: %q", c.options, o)
		}
		if r.Size.Height != 2*r.Size.Width {
			t.Errorf("%s: the orientation was not applied: %v", c.options, r.Size)
		}
	}
	for _, list := range []string{"format=png,metadata=keep", "format=webp,metadata=keep", "format=avif,metadata=keep"} {
		if r := makePicture(t, nil, s, list); bytes.Contains(r.Body, []byte("A. Person")) {
			t.Errorf("%s: metadata in a format other than JPEG", list)
		}
	}
}

func TestMetadata_OfRealPhotos(t *testing.T) {
	s := photo(t, "exif/gps-DSCN0010.jpg")
	if first, _, _ := exif(t, makePicture(t, nil, s, "width=50").Body); first != nil {
		t.Errorf("a photo without a copyright tag got an EXIF block: %v", first)
	}
	if _, gps, thumbnail := exif(t, s.Bytes); gps == nil || !thumbnail {
		t.Fatal("the sample has neither position nor thumbnail: this test shows nothing")
	}
	for list, want := range map[string]bool{"width=50": false, "width=50,metadata=none": false, "width=50,metadata=keep": true} {
		_, gps, thumbnail := exif(t, makePicture(t, nil, s, list).Body)
		if (gps != nil) != want {
			t.Errorf("%s: position %v", list, gps)
		}
		if thumbnail {
			t.Errorf("%s: the thumbnail of the whole picture is still there", list)
		}
	}
	// A gain map is not carried over, so nothing may promise one.
	s = photo(t, "icc/ultra-hdr-gainmap.jpg")
	if r := makePicture(t, nil, s, "width=50,metadata=keep"); bytes.Contains(r.Body, []byte("hdr-gain-map")) {
		t.Error("the result still speaks of a gain map")
	}
	// Colours are sRGB by then: a profile would change them again.
	s = photo(t, "icc/adobe-rgb.jpg")
	if r := makePicture(t, nil, s, "width=50,metadata=keep"); len(segments(t, r.Body, 0xe2, "ICC_PROFILE\x00")) > 0 {
		t.Error("the result still has a colour profile")
	}
}

func TestCompression_FastIsJPEGUnlessTransparent(t *testing.T) {
	s, cut := card(t, 80, 40), &scripted{mask: leftHalf()}
	for list, want := range map[string]string{
		"compression=fast":                                      "image/jpeg",
		"compression=fast,format=avif":                          "image/jpeg",
		"compression=fast,format=webp":                          "image/jpeg",
		"compression=fast,format=auto":                          "image/jpeg",
		"compression=fast,format=png":                           "image/png",
		"compression=fast,segment=foreground":                   "image/png",
		"compression=fast,segment=foreground,format=avif":       "image/png",
		"compression=fast,segment=foreground,background=%23fff": "image/jpeg",
	} {
		r, err := pipeline(t, cut, nil).Make(t.Context(), Request{
			Source: s, Options: options(t, list), Accept: Accept{AVIF: true, WebP: true},
		})
		if err != nil || r.ContentType != want {
			t.Errorf("%s: got %s, %v; want %s", list, r.ContentType, err, want)
		}
		if sof2 := []byte{0xff, 0xc2}; want == "image/jpeg" && bytes.Contains(r.Body, sof2) {
			t.Errorf("%s: progressive", list)
		}
	}
}

func TestQuality_BelowAHundredGivesPNGAPalette(t *testing.T) {
	s := photo(t, "photos/bicycle.jpg")
	for list, want := range map[string]bool{"format=png,width=64": false, "format=png,width=64,quality=80": true, "format=png,width=64,quality=100": false} {
		r := makePicture(t, nil, s, list)
		c, err := png.DecodeConfig(bytes.NewReader(r.Body))
		if err != nil {
			t.Fatal(err)
		}
		if _, palette := c.ColorModel.(color.Palette); palette != want {
			t.Errorf("%s: palette %v, want %v", list, palette, want)
		}
	}
	// Transparency survives the palette.
	r := makePicture(t, &scripted{mask: leftHalf()}, card(t, 80, 40), "segment=foreground,quality=80")
	at(t, decode(t, r), 0.1, 0.1, red)
	at(t, decode(t, r), 0.9, 0.1, color.NRGBA{})
	if r.Size != (pixel.Size{Width: 80, Height: 40}) {
		t.Errorf("size %v", r.Size)
	}
}

func TestEncoding_KnowsEveryChoiceOfMetadata(t *testing.T) {
	for _, m := range []transform.Metadata{transform.MetadataCopyright, transform.MetadataKeep, transform.MetadataNone} {
		if _, ok := metadata[m]; !ok {
			t.Errorf("%d is not known", m)
		}
	}
}

func TestMetadata_OnlyJPEGCarriesAny(t *testing.T) {
	s := photo(t, "exif/gps-DSCN0010.jpg")
	for _, format := range []string{"png", "webp", "avif"} {
		r := makePicture(t, nil, s, "width=60,metadata=keep,format="+format)
		if bytes.Contains(r.Body, []byte("Exif")) || bytes.Contains(r.Body, []byte("adobe")) {
			t.Errorf("%s: there is metadata in it", format)
		}
		if format == "avif" {
			continue // whose boxes nobody here reads
		}
		if report, err := structure.Read(r.Body); err != nil || report.Kinds() != 0 || report.Trailing() != 0 {
			t.Errorf("%s: %+v, %v", format, report, err)
		}
	}
}

// density is what a file says of it: a JPEG (JFIF 1.02: unit, then both axes), a PNG
// (pHYs: both axes in pixels a metre, then the unit).
func density(file []byte) string {
	if at := bytes.Index(file, []byte("JFIF\x00")); at >= 0 {
		return fmt.Sprintf("%x", file[at+7:at+12])
	}
	if at := bytes.Index(file, []byte("pHYs")); at >= 0 {
		return fmt.Sprintf("%x", file[at+4:at+13])
	}
	return ""
}

func TestMetadata_TheSourcesSizeOnPaperIsForgotten(t *testing.T) {
	// 300 dots an inch: 0x12c; 11811 pixels a metre: 0x2e23.
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 40, 20)), nil); err != nil {
		t.Fatal(err)
	}
	jfif := source(slices.Concat([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x02\x01\x01\x2c\x01\x2c\x00\x00"), b.Bytes()[2:]))
	card := card(t, 40, 20).Bytes
	const head = 8 + 25 // the signature and IHDR
	phys := []byte("\x00\x00\x00\x09pHYs\x00\x00\x2e\x23\x00\x00\x2e\x23\x01")
	phys = binary.BigEndian.AppendUint32(phys, crc32.ChecksumIEEE(phys[4:]))
	picture := source(slices.Concat(card[:head], phys, card[head:]))
	const nothing, screen = "", "00000b1300000b1301" // 2835 pixels a metre: 0xb13
	for _, c := range []struct {
		source        Source
		options, want string
	}{
		{jfif, "width=10", nothing},
		{jfif, "width=10,metadata=none", nothing},
		{jfif, "width=10,metadata=keep", nothing}, // its EXIF block would say it
		{picture, "width=10,format=jpeg", nothing},
		{picture, "width=10,format=png", screen},
		{jfif, "width=10,format=png,metadata=keep", screen}, // a PNG carries no metadata
	} {
		if got := density(makePicture(t, nil, c.source, c.options).Body); got != c.want {
			t.Errorf("%s: density %s, want %s", c.options, got, c.want)
		}
	}
}
