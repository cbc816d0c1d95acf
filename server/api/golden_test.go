package api

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"focal/core/pixel"
	"focal/core/vips"
)

// Where pictures lie that differ from their golden, to be looked at.
const lookHere = "../../.cache/goldens"

// What a picture and its golden may differ by and still be one to the eye, in ΔE
// of CIE 1976, where 2.3 is just noticed side by side: on the mean, and anywhere
// after a blur of 3×3, which takes away what kernels and codecs do to an edge.
// Without loss the greatest of all cases are 1.5 and 9, with it 2.9 and 15.
type tolerance struct{ mean, most float64 }

var (
	lossless = tolerance{2, 10}
	lossy    = tolerance{3.5, 17}
)

// expectGolden holds an answer to the picture testdata/goldens/NAME.png.
func expectGolden(t *testing.T, name string, file []byte) {
	t.Helper()
	got := decoded(t, file)
	golden, err := os.ReadFile(filepath.Join("testdata", "goldens", name+".png"))
	if err != nil {
		keepForLook(t, name, got)
		t.Errorf("%v: look at %s/%s.png, and copy it if it is right", err, lookHere, name)
		return
	}
	want := decoded(t, golden)
	if got.Bounds().Size() != want.Bounds().Size() {
		keepForLook(t, name, got)
		t.Errorf("the picture is %v, its golden %s is %v", got.Bounds().Size(), name, want.Bounds().Size())
		return
	}
	limit := lossy
	if vips.Sniff(file) == vips.PNG {
		limit = lossless
	}
	mean, most := distance(got, want)
	if mean > limit.mean || most > limit.most {
		keepForLook(t, name, got)
		t.Errorf("the picture differs from its golden %s by a ΔE of %.1f on the mean and %.1f at most; see %s", name, mean, most, lookHere)
	}
}

func keepForLook(t *testing.T, name string, m image.Image) {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(lookHere, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(lookHere, name+".png"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// decoded reads a picture of any format that libvips reads; of an animation all
// frames, one below the other.
func decoded(t *testing.T, file []byte) *image.NRGBA {
	t.Helper()
	info, err := vips.Probe(file)
	if err != nil {
		t.Fatal(err)
	}
	var i *vips.Image
	if info.Animated() {
		a, err := vips.LoadAnimation(file, info)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		i, err = a.Join()
		if err != nil {
			t.Fatal(err)
		}
	} else if i, err = vips.Load(file, info, vips.LoadOptions{Shrink: 1}); err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	b, err := i.Buffer()
	if err != nil {
		t.Fatal(err)
	}
	return imageOf(b)
}

func imageOf(b pixel.Buffer) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, b.Width, b.Height))
	for i := range b.Width * b.Height {
		p := b.Pix[i*b.Channels:]
		m.Pix[4*i], m.Pix[4*i+1], m.Pix[4*i+2], m.Pix[4*i+3] = p[0], p[1], p[2], 255
		if b.Channels == 4 {
			m.Pix[4*i+3] = p[3]
		}
	}
	return m
}

// distance is the mean and the greatest ΔE between two pictures of one size, on
// black or on white, whichever shows more.
func distance(a, b *image.NRGBA) (mean, most float64) {
	if bytes.Equal(a.Pix, b.Pix) {
		return 0, 0
	}
	grounds := []color.Color{color.Black, color.White}
	if a.Opaque() && b.Opaque() {
		grounds = grounds[:1]
	}
	for _, ground := range grounds {
		x, y := softLab(a, ground), softLab(b, ground)
		sum := 0.0
		for i := range x {
			d := math.Sqrt(sq(x[i][0]-y[i][0]) + sq(x[i][1]-y[i][1]) + sq(x[i][2]-y[i][2]))
			sum, most = sum+d, max(most, d)
		}
		mean = max(mean, sum/float64(len(x)))
	}
	return mean, most
}

func sq(v float64) float64 { return v * v }

// softLab draws a picture on ground, blurs it with a box of 3×3 and returns
// CIELAB values, row by row.
func softLab(m *image.NRGBA, ground color.Color) [][3]float64 {
	b := m.Rect
	flat := image.NewRGBA(b)
	draw.Draw(flat, b, image.NewUniform(ground), image.Point{}, draw.Src)
	draw.Draw(flat, b, m, b.Min, draw.Over)
	var out [][3]float64
	for y := range b.Dy() {
		for x := range b.Dx() {
			var sum [3]float64
			n := 0.0
			for yy := max(0, y-1); yy <= min(b.Dy()-1, y+1); yy++ {
				for xx := max(0, x-1); xx <= min(b.Dx()-1, x+1); xx++ {
					p := flat.Pix[flat.PixOffset(xx, yy):]
					sum[0], sum[1], sum[2], n = sum[0]+float64(p[0]), sum[1]+float64(p[1]), sum[2]+float64(p[2]), n+1
				}
			}
			out = append(out, lab(sum[0]/n, sum[1]/n, sum[2]/n))
		}
	}
	return out
}

// lab converts sRGB, 0 to 255, to CIELAB for D65 (IEC 61966-2-1, CIE 15).
func lab(r, g, b float64) [3]float64 {
	linear := func(v float64) float64 {
		if v /= 255; v > 0.04045 {
			return math.Pow((v+0.055)/1.055, 2.4)
		}
		return v / 12.92
	}
	f := func(t float64) float64 {
		if t > 216.0/24389 {
			return math.Cbrt(t)
		}
		return (24389.0/27*t + 16) / 116
	}
	r, g, b = linear(r), linear(g), linear(b)
	x := f((0.4124*r + 0.3576*g + 0.1805*b) / 0.9505)
	y := f(0.2126*r + 0.7152*g + 0.0722*b)
	z := f((0.0193*r + 0.1192*g + 0.9505*b) / 1.089)
	return [3]float64{116*y - 16, 500 * (x - y), 200 * (y - z)}
}

// The values of sRGB's red are those of Lindbloom's calculator for D65.
func TestDistance_IsWhatTheEyeSees(t *testing.T) {
	for i, want := range []float64{53.24, 80.09, 67.20} {
		if got := lab(255, 0, 0)[i]; math.Abs(got-want) > 0.1 {
			t.Errorf("red is %v in CIELAB", lab(255, 0, 0))
		}
	}
	file, err := os.ReadFile("testdata/goldens/card.png")
	if err != nil {
		t.Fatal(err)
	}
	card := decoded(t, file)
	moved := image.NewNRGBA(card.Rect)
	draw.Draw(moved, moved.Rect, card, image.Pt(1, 0), draw.Src)
	if mean, most := distance(card, moved); most < 2*lossy.most {
		t.Errorf("moved by a pixel: %.1f, %.1f", mean, most)
	}
	warmer := image.NewNRGBA(card.Rect)
	for i, v := range card.Pix {
		if warmer.Pix[i] = v; i%4 == 0 {
			warmer.Pix[i] = uint8(min(255, int(v)+20))
		}
	}
	if mean, _ := distance(card, warmer); mean < lossy.mean {
		t.Errorf("20 more of red: %.1f", mean)
	}
	if mean, most := distance(card, card); mean != 0 || most != 0 {
		t.Errorf("itself: %.1f, %.1f", mean, most)
	}
}
