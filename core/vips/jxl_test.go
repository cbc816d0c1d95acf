package vips

import (
	"bytes"
	"testing"

	"focal/core/pixel"
)

// jxlSize reads the size of a JPEG XL codestream (ISO/IEC 18181-1 §B.2.2): bits
// from the low end of each byte. A size of a ratio is left to the test to avoid.
func jxlSize(t *testing.T, file []byte) pixel.Size {
	t.Helper()
	if !bytes.HasPrefix(file, []byte("\xff\x0a")) {
		t.Fatalf("no JPEG XL codestream: % x", file[:min(12, len(file))])
	}
	at := 16
	bits := func(n int) (v int) {
		for i := range n {
			v |= int(file[at/8]>>(at%8)&1) << i
			at++
		}
		return v
	}
	side := func() int { return 1 + bits([4]int{9, 13, 18, 30}[bits(2)]) }
	if bits(1) == 1 {
		t.Fatal("a size in eights")
	}
	height := side()
	if ratio := bits(3); ratio != 0 {
		t.Fatalf("a size of ratio %d", ratio)
	}
	return pixel.Size{Width: side(), Height: height}
}

func TestEncode_WritesJPEGXLWhereLibvipsCan(t *testing.T) {
	file := sample(t, "photos/couple-beach.jpg")
	i, err := Load(file, probe(t, file), LoadOptions{Shrink: 1, Random: true})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if err := i.Resize(pixel.Size{Width: 301, Height: 203}); err != nil {
		t.Fatal(err)
	}
	if !Writes(JXL) {
		if _, err := i.Encode(EncodeOptions{Format: JXL, Quality: 85}); err == nil {
			t.Error("libvips has no JPEG XL and writes it")
		}
		return
	}
	size := map[int]int{}
	for _, quality := range []int{20, 50, 85, 100} {
		out, err := i.Encode(EncodeOptions{Format: JXL, Quality: quality})
		if err != nil {
			t.Fatal(err)
		}
		if got := jxlSize(t, out); got != i.Size() {
			t.Errorf("quality %d: the file says %v", quality, got)
		}
		size[quality] = len(out)
	}
	if !(size[20] < size[50] && size[50] < size[85] && size[85] < size[100]) {
		t.Errorf("bytes by quality: %v", size)
	}
	// What strangers send is not read by code that libvips does not trust.
	out, err := i.Encode(EncodeOptions{Format: JXL, Quality: 85})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Probe(out); err == nil {
		t.Error("JPEG XL is read")
	}
}
