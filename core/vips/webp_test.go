package vips

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"focal/core/pixel"
)

// chunks are the names of the chunks of a WebP; the last is "broken" where they
// do not fill the file exactly.
func chunks(file []byte) []string {
	var names []string
	for at := riffHead; at < len(file); {
		if len(file)-at < chunkHead {
			return append(names, "broken")
		}
		names = append(names, string(file[at:at+4]))
		size := int(binary.LittleEndian.Uint32(file[at+4:]))
		at += chunkHead + size + size%2
		if at > len(file) {
			return append(names, "broken")
		}
	}
	return names
}

func TestEncode_WebPHoldsThePictureAndNothingElse(t *testing.T) {
	white := Colour{255, 255, 255, 255}
	onWhite := func(file []byte, then func(*Image)) pixel.Buffer {
		i, err := Load(file, probe(t, file), LoadOptions{Shrink: 1, Random: true})
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		if then != nil {
			then(i)
		}
		if err := i.Fill(white); err != nil { // what is transparent may have any colour
			t.Fatal(err)
		}
		return pixels(t, i)
	}
	for _, c := range []struct {
		name    string
		quality int
		want    []string
	}{
		{"exif/gps-DSCN0010.jpg", 90, []string{"VP8 "}},
		{"icc/display-p3-photo.jpg", 90, []string{"VP8 "}},
		{"alpha/rgba.png", 100, []string{"VP8L"}},
		{"alpha/rgba.png", 90, []string{"VP8X", "ALPH", "VP8 "}},
	} {
		var out []byte
		before := onWhite(sample(t, c.name), func(i *Image) {
			var err error
			if out, err = i.Encode(EncodeOptions{Format: WebP, Quality: c.quality, Metadata: MetadataAll}); err != nil {
				t.Fatal(err)
			}
		})
		if got := chunks(out); !slices.Equal(got, c.want) || int(binary.LittleEndian.Uint32(out[4:])) != len(out)-8 {
			t.Errorf("%s: chunks %q, want %q; %d bytes", c.name, got, c.want, len(out))
		}
		if d := difference(t, before, onWhite(out, nil)); d > 4 {
			t.Errorf("%s: the picture changed by %.1f levels on average", c.name, d)
		}
	}
}

func FuzzBareWebP(f *testing.F) {
	vp8x := append([]byte("VP8X\x0a\x00\x00\x00\x2c"), make([]byte, 9)...)
	riff := func(parts ...[]byte) []byte {
		return append([]byte("RIFF\x00\x00\x00\x00WEBP"), bytes.Join(parts, nil)...)
	}
	f.Add(riff(vp8x, []byte("EXIF\x01\x00\x00\x00\x00\x00"), []byte("VP8 \x02\x00\x00\x00ab")))
	f.Add(riff([]byte("VP8X\x00\x00\x00\x00")))
	f.Add(riff([]byte("EXIF\xff\xff\xff\xff")))
	f.Add([]byte("RIFF"))
	f.Fuzz(func(t *testing.T, file []byte) {
		before := bytes.Clone(file)
		out := bareWebP(file)
		if !bytes.Equal(file, before) {
			t.Fatal("the file itself was changed")
		}
		if len(out) > len(file) {
			t.Fatalf("%d bytes became %d", len(file), len(out))
		}
		if bytes.Equal(out, file) {
			return
		}
		for _, name := range chunks(out) {
			if slices.Contains([]string{"EXIF", "XMP ", "ICCP", "broken"}, name) {
				t.Fatalf("a chunk %q is left", name)
			}
		}
		if again := bareWebP(out); !bytes.Equal(again, out) {
			t.Fatal("it is barer the second time")
		}
	})
}
