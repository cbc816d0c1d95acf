package vips

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"testing"

	"focal/core/pixel"
)

// load opens a file as it is drawn.
func load(t testing.TB, file []byte) pixel.Buffer {
	t.Helper()
	i, err := Load(file, probe(t, file), LoadOptions{Shrink: 1, Random: true})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	return pixels(t, i)
}

// patch is the mean colour of 8×8 pixels from a fraction of the picture on, or
// of fewer where the picture is smaller.
func patch(b pixel.Buffer, fx, fy float64) [3]float64 {
	side := min(8, b.Width, b.Height)
	left := min(int(fx*float64(b.Width)), b.Width-side)
	top := min(int(fy*float64(b.Height)), b.Height-side)
	var sum [3]float64
	for y := top; y < top+side; y++ {
		for x := left; x < left+side; x++ {
			for c := range sum {
				sum[c] += float64(b.Pix[(y*b.Width+x)*b.Channels+c])
			}
		}
	}
	for c := range sum {
		sum[c] /= float64(side * side)
	}
	return sum
}

// The expected values are those of LittleCMS 2.19 by Pillow's ImageCms: the
// embedded profile to sRGB, perceptual intent, means of 8×8 pixels. Without
// the conversion the first patch of adobe-rgb.jpg would be 61, 81, 131.
func TestLoad_ColoursAreThoseOfLittleCMS(t *testing.T) {
	type at struct {
		x, y float64
		want [3]float64
	}
	for name, patches := range map[string][]at{
		"icc/adobe-rgb.jpg": {{0.25, 0.25, [3]float64{46, 80, 134}}, {0.5, 0.5, [3]float64{92, 62, 47}}, {0.25, 0.75, [3]float64{209, 170, 159}}},
		"icc/display-p3-photo.jpg": {
			{0.25, 0.25, [3]float64{208, 210, 223}}, {0.5, 0.5, [3]float64{217, 23, 1}}, {0.75, 0.75, [3]float64{178, 13, 2}},
		},
		"icc/display-p3-swatch.png": {{0.5, 0.5, [3]float64{255, 0, 0}}},
		"icc/prophoto-1x1.png":      {{0, 0, [3]float64{117, 160, 210}}},
		"icc/cmyk-swop.jpg": {
			{0.25, 0.25, [3]float64{147, 145, 143}}, {0.5, 0.5, [3]float64{156, 175, 118}}, {0.25, 0.75, [3]float64{66, 92, 47}},
		},
		"icc/cmyk-swop-photo.jpg": {{0.25, 0.25, [3]float64{255, 255, 255}}, {0.5, 0.5, [3]float64{136, 129, 126}}},
		"icc/grey-dot-gain.jpg": {
			{0.25, 0.25, [3]float64{88, 88, 88}}, {0.5, 0.5, [3]float64{104, 104, 104}}, {0.75, 0.25, [3]float64{139, 139, 139}},
		},
		// In Display P3; and turned as its EXIF says, as by ImageOps.exif_transpose.
		"exif/avif-orientation-6.avif": {{0.1, 0.1, [3]float64{164, 143, 126}}, {0.9, 0.1, [3]float64{222, 244, 251}}, {0.1, 0.9, [3]float64{66, 41, 13}}},
		"exif/webp-orientation-6.webp": {{0.1, 0.1, [3]float64{131, 122, 66}}, {0.9, 0.1, [3]float64{102, 106, 54}}, {0.1, 0.9, [3]float64{178, 129, 127}}},
		// A gain map makes highlights brighter on a bright screen; in sRGB the
		// picture is the base picture.
		"icc/ultra-hdr-gainmap.jpg": {{0.25, 0.25, [3]float64{65, 68, 77}}, {0.5, 0.5, [3]float64{203, 171, 148}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := load(t, sample(t, name))
			for _, p := range patches {
				got := patch(b, p.x, p.y)
				for c := range got {
					if math.Abs(got[c]-p.want[c]) > 3 {
						t.Errorf("at %v, %v: got %.0f, want %.0f", p.x, p.y, got, p.want)
						break
					}
				}
			}
		})
	}
}

// The picture was converted from sRGB to Display P3 and must look as before.
func TestLoad_DisplayP3LooksAsItsOriginal(t *testing.T) {
	want, got := load(t, sample(t, "photos/product-pepper.jpg")), load(t, sample(t, "icc/display-p3-photo.jpg"))
	for _, p := range [][2]float64{{0.25, 0.25}, {0.5, 0.5}, {0.75, 0.25}, {0.75, 0.75}} {
		a, b := patch(want, p[0], p[1]), patch(got, p[0], p[1])
		for c := range a {
			if math.Abs(a[c]-b[c]) > 5 {
				t.Errorf("at %v: %.0f and %.0f", p, a, b)
				break
			}
		}
	}
}

// The two files hold one picture, with and without its profile.
func TestLoad_CMYKWithoutAProfileIsPrintedToo(t *testing.T) {
	want, got := load(t, sample(t, "icc/cmyk-swop.jpg")), load(t, sample(t, "icc/cmyk-no-profile.jpg"))
	if d := difference(t, want, got); d > 12 {
		t.Errorf("the pictures differ by %.1f levels on average", d)
	}
}

func TestLoad_SixteenBitsBecomeEight(t *testing.T) {
	m := image.NewNRGBA64(image.Rect(0, 0, 2, 1))
	m.SetNRGBA64(0, 0, color.NRGBA64{R: 0xffff, G: 0x8080, B: 0x0101, A: 0xffff})
	m.SetNRGBA64(1, 0, color.NRGBA64{R: 0x4040, G: 0xc0c0, B: 0x2020, A: 0x8080})
	grey := image.NewGray16(image.Rect(0, 0, 1, 1))
	grey.SetGray16(0, 0, color.Gray16{Y: 0x6464})
	for _, c := range []struct {
		picture image.Image
		want    []byte
	}{
		{m, []byte{255, 128, 1, 255, 64, 192, 32, 128}},
		{grey, []byte{100, 100, 100}},
	} {
		var b bytes.Buffer
		if err := png.Encode(&b, c.picture); err != nil {
			t.Fatal(err)
		}
		got := load(t, b.Bytes()).Pix
		if len(got) != len(c.want) {
			t.Fatalf("got %v, want %v", got, c.want)
		}
		for i := range got {
			if math.Abs(float64(got[i])-float64(c.want[i])) > 1 {
				t.Errorf("got %v, want %v", got, c.want)
				break
			}
		}
	}
}

// withProfile puts a colour profile into a JPEG (ICC.1:2022, annex B.4).
func withProfile(file, profile []byte) []byte {
	body := append([]byte("ICC_PROFILE\x00\x01\x01"), profile...)
	n := len(body) + 2
	out := append([]byte{0xff, 0xd8, 0xff, 0xe2, byte(n >> 8), byte(n)}, body...)
	return append(out, file[2:]...)
}

func TestLoad_PassesOverProfilesThatCannotBeUsed(t *testing.T) {
	grey := image.NewGray(image.Rect(0, 0, 16, 16))
	for i := range grey.Pix {
		grey.Pix[i] = 100
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, grey, nil); err != nil {
		t.Fatal(err)
	}
	wide := sample(t, "icc/display-p3-photo.jpg")
	i, err := Load(wide, probe(t, wide), LoadOptions{Shrink: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	for name, profile := range map[string][]byte{
		"garbage":           bytes.Repeat([]byte("nonsense"), 40),
		"for three colours": i.ref.GetICCProfile(),
	} {
		if len(profile) == 0 {
			t.Fatalf("%s: no profile to try", name)
		}
		if got := patch(load(t, withProfile(b.Bytes(), profile)), 0.5, 0.5); math.Abs(got[0]-100) > 2 {
			t.Errorf("%s: got %v, want 100", name, got)
		}
	}
}
