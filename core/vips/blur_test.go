package vips

import (
	"bytes"
	"math"
	"testing"

	"focal/core/pixel"
)

// step is grey 50 on its left half and 200 on its right, opaque or with the left
// half transparent.
func step(t testing.TB, w, h, channels int) *Image {
	t.Helper()
	row := append(bytes.Repeat([]byte{50, 50, 50, 0}[:channels], w/2), bytes.Repeat([]byte{200, 200, 200, 255}[:channels], w-w/2)...)
	i, err := FromBuffer(pixel.Buffer{Width: w, Height: h, Channels: channels, Pix: bytes.Repeat(row, h)})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// leftOf is how much of a bell of deviation sigma, which libvips cuts off below a
// fifth of its height, lies left of x.
func leftOf(x, sigma float64) float64 {
	end := sigma * math.Sqrt(-2*math.Log(0.2))
	phi := func(v float64) float64 { return math.Erf(v / sigma / math.Sqrt2) }
	return (phi(max(-end, min(x, end))) + phi(end)) / (2 * phi(end))
}

// A blur so wide that a reduced copy stands in must be what the formula says, but
// for the half pixel that Resize moves what grows.
func TestBlur_IsAGaussianHoweverWide(t *testing.T) {
	for _, sigma := range []float64{6, 15.9, 16, 40, 125} {
		for _, channels := range []int{3, 4} {
			i := step(t, 1501, 1103, channels)
			if err := i.Blur(sigma); err != nil {
				t.Fatal(err)
			}
			b, err := i.Buffer()
			i.Close()
			if err != nil {
				t.Fatal(err)
			}
			if b.Width != 1501 || b.Height != 1103 {
				t.Fatalf("σ %g: %d×%d", sigma, b.Width, b.Height)
			}
			for _, y := range []int{0, 551, 1102} {
				for x := 350; x < 1150; x++ {
					part := leftOf(float64(x)+0.5-750, sigma)
					pixel := b.Pix[(y*b.Width+x)*channels:][:channels]
					got, low, high := pixel[0], 50.0, 200.0
					if channels == 4 {
						got, low, high = pixel[3], 0, 255
						if got > 20 && pixel[0] < 195 {
							t.Fatalf("σ %g, (%d, %d): %d, a colour from where nothing is seen", sigma, x, y, pixel)
						}
					}
					want, slope := low+(high-low)*part, (high-low)/sigma/math.Sqrt(2*math.Pi)
					if math.Abs(float64(got)-want) > 4+slope/2 { // 4: the copy cuts the bell at whole pixels of its own
						t.Fatalf("σ %g, %d channels, (%d, %d): %d, want %.1f", sigma, channels, x, y, got, want)
					}
				}
			}
		}
	}
}

func TestBlur_KeepsMetadata(t *testing.T) {
	file := sample(t, "exif/gps-DSCN0010.jpg")
	i, err := Load(file, probe(t, file), LoadOptions{Shrink: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	before := i.ref.GetBlob(fieldEXIF)
	if err := i.Blur(60); err != nil {
		t.Fatal(err)
	}
	if len(before) == 0 || !bytes.Equal(before, i.ref.GetBlob(fieldEXIF)) {
		t.Errorf("of %d bytes of EXIF %d are left", len(before), len(i.ref.GetBlob(fieldEXIF)))
	}
}

// The widest blur of three million pixels.
func BenchmarkBlur_Widest(b *testing.B) {
	for range b.N {
		i := step(b, 2000, 1500, 3)
		if err := i.Blur(125); err != nil {
			b.Fatal(err)
		}
		if _, err := i.Buffer(); err != nil {
			b.Fatal(err)
		}
		i.Close()
	}
}
