package exif

import (
	"bytes"
	"testing"
)

// A big-endian TIFF by hand: one entry, copyright, ASCII, 6 bytes at 26.
const bigEndianRights = "MM\x00*\x00\x00\x00\x08\x00\x01\x82\x98\x00\x02\x00\x00\x00\x06\x00\x00\x00\x1a\x00\x00\x00\x00A. P.\x00"

func TestOnlyCopyright_ReadsBothByteOrders(t *testing.T) {
	want := []byte("Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x98\x82\x02\x00\x06\x00\x00\x00\x1a\x00\x00\x00\x00\x00\x00\x00A. P.\x00")
	for _, block := range []string{bigEndianRights, "Exif\x00\x00" + bigEndianRights, string(want)} {
		if got := OnlyCopyright([]byte(block)); !bytes.Equal(got, want) {
			t.Errorf("%q gives %q, want %q", block, got, want)
		}
	}
	// Up to four bytes stand in the entry itself.
	short := "II*\x00\x08\x00\x00\x00\x01\x00\x98\x82\x02\x00\x03\x00\x00\x00me\x00\x00\x00\x00\x00\x00"
	if got := OnlyCopyright([]byte(short)); string(got) != "Exif\x00\x00"+short {
		t.Errorf("%q gives %q", short, got)
	}
}

func TestRead_TellsTagsAndFurtherDirectories(t *testing.T) {
	const gps = "II*\x00\x08\x00\x00\x00\x01\x00\x25\x88\x04\x00\x01\x00\x00\x00\x1a\x00\x00\x00"
	for block, want := range map[string][3]bool{ // readable, GPS, more
		bigEndianRights:             {true, false, false},
		gps + "\x00\x00\x00\x00":    {true, true, false},
		gps + "\x2a\x00\x00\x00":    {true, true, true},
		gps:                         {true, true, false}, // it ends where the next would be named
		gps[:len(gps)-1]:            {},
		"II*\x00\xff\xff\xff\xff":   {},
		"II*\x00\x08\x00\x00\x00":   {},
		"II+\x00" + gps[4:]:         {},
		Mark:                        {},
		"":                          {},
		Mark + gps + "\x01\x00\x00": {true, true, false},
	} {
		d, ok := Read([]byte(block))
		if got := [3]bool{ok, ok && d.Has(TagGPS), ok && d.More()}; got != want {
			t.Errorf("%q: got %v, want %v", block, got, want)
		}
	}
}

func FuzzOnlyCopyright(f *testing.F) {
	f.Add([]byte(bigEndianRights))
	f.Add([]byte("Exif\x00\x00II*\x00\xff\xff\xff\xff"))
	f.Add([]byte("II*\x00\x08\x00\x00\x00\xff\xff\x98\x82\x02\x00\xff\xff\xff\xff\x08\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, block []byte) {
		d, ok := Read(block)
		d.Has(TagGPS)
		out := OnlyCopyright(block)
		if out == nil {
			return
		}
		if !ok || !d.Has(TagCopyright) {
			t.Fatal("a copyright out of nothing")
		}
		if again := OnlyCopyright(out); !bytes.Equal(again, out) {
			t.Fatalf("%q is read back as %q", out, again)
		}
	})
}
