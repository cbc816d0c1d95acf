package vips

import (
	"bytes"
	"testing"
)

// A big-endian TIFF by hand: one entry, copyright, ASCII, 6 bytes at 26.
const bigEndianRights = "MM\x00*\x00\x00\x00\x08\x00\x01\x82\x98\x00\x02\x00\x00\x00\x06\x00\x00\x00\x1a\x00\x00\x00\x00A. P.\x00"

func TestExifCopyright_ReadsBothByteOrders(t *testing.T) {
	want := []byte("Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x98\x82\x02\x00\x06\x00\x00\x00\x1a\x00\x00\x00\x00\x00\x00\x00A. P.\x00")
	for _, block := range []string{bigEndianRights, "Exif\x00\x00" + bigEndianRights, string(want)} {
		if got := exifCopyright([]byte(block)); !bytes.Equal(got, want) {
			t.Errorf("%q gives %q, want %q", block, got, want)
		}
	}
	// Up to four bytes stand in the entry itself.
	short := "II*\x00\x08\x00\x00\x00\x01\x00\x98\x82\x02\x00\x03\x00\x00\x00me\x00\x00\x00\x00\x00\x00"
	if got := exifCopyright([]byte(short)); string(got) != "Exif\x00\x00"+short {
		t.Errorf("%q gives %q", short, got)
	}
}

func FuzzExifCopyright(f *testing.F) {
	f.Add([]byte(bigEndianRights))
	f.Add([]byte("Exif\x00\x00II*\x00\xff\xff\xff\xff"))
	f.Add([]byte("II*\x00\x08\x00\x00\x00\xff\xff\x98\x82\x02\x00\xff\xff\xff\xff\x08\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, block []byte) {
		out := exifCopyright(block)
		if out == nil {
			return
		}
		if again := exifCopyright(out); !bytes.Equal(again, out) {
			t.Fatalf("%q is read back as %q", out, again)
		}
	})
}
