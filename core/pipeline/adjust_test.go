package pipeline

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"
)

// painted is a PNG of w×h whose pixels paint gives.
func painted(t testing.TB, w, h int, paint func(x, y int) color.NRGBA) Source {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, paint(x, y))
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return source(b.Bytes())
}

func plain(t testing.TB, c color.NRGBA) Source {
	t.Helper()
	return painted(t, 8, 8, func(int, int) color.NRGBA { return c })
}

// The expected values are worked out by hand from the formulas of docs/options.md.
func TestAdjust_ChangesPixelsByItsFormula(t *testing.T) {
	grey := color.NRGBA{100, 100, 100, 255}
	for _, c := range []struct {
		options  string
		from, to color.NRGBA
	}{
		{"brightness=1.5", grey, color.NRGBA{150, 150, 150, 255}},
		{"brightness=0.5", grey, color.NRGBA{50, 50, 50, 255}},
		{"brightness=3", grey, color.NRGBA{255, 255, 255, 255}},
		{"brightness=0", grey, grey},
		// 100·2 + 127.5 - 255 = 72.5
		{"contrast=2", grey, color.NRGBA{73, 73, 73, 255}},
		// 100·0.5 + 127.5 - 63.75 = 113.75
		{"contrast=0.5", grey, color.NRGBA{114, 114, 114, 255}},
		// 255·(100/255)^0.5 = 159.7; squared 39.2
		{"gamma=0.5", grey, color.NRGBA{160, 160, 160, 255}},
		{"gamma=2", grey, color.NRGBA{39, 39, 39, 255}},
		// 255·0.213, and so on
		{"saturation=0", color.NRGBA{255, 0, 0, 255}, color.NRGBA{54, 54, 54, 255}},
		{"saturation=0", color.NRGBA{0, 255, 0, 255}, color.NRGBA{182, 182, 182, 255}},
		{"saturation=0", color.NRGBA{0, 0, 255, 255}, color.NRGBA{18, 18, 18, 255}},
		// grey = 0.213·200 + 0.715·100 + 0.072·50 = 117.7; each becomes
		// grey + 0.5·(itself - grey)
		{"saturation=0.5", color.NRGBA{200, 100, 50, 255}, color.NRGBA{159, 109, 84, 255}},
		{"saturation=2", color.NRGBA{150, 100, 100, 255}, color.NRGBA{189, 89, 89, 255}},
		// Order: 200·0.5 = 100, then contrast 72.5, not rounded, then gamma
		// 255·(72.5/255)^0.5 = 136.0. Contrast first would give 255·0.5.
		{"gamma=0.5,contrast=2,brightness=0.5", color.NRGBA{200, 200, 200, 255}, color.NRGBA{136, 136, 136, 255}},
		// Gamma before saturation: (255, 64, 0) to the power 0.5 is (255,
		// 127.7, 0), rounded 128; grey of that is 145.8.
		{"saturation=0,gamma=0.5", color.NRGBA{255, 64, 0, 255}, color.NRGBA{146, 146, 146, 255}},
		// Transparency stays.
		{"brightness=2", color.NRGBA{50, 60, 70, 128}, color.NRGBA{100, 120, 140, 128}},
		{"saturation=0", color.NRGBA{255, 0, 0, 64}, color.NRGBA{54, 54, 54, 64}},
		{"sharpen=3", color.NRGBA{10, 20, 30, 128}, color.NRGBA{10, 20, 30, 128}},
	} {
		m := decode(t, makePicture(t, nil, plain(t, c.from), "format=png,"+c.options))
		got := color.NRGBAModel.Convert(m.At(4, 4)).(color.NRGBA)
		near := func(a, b uint8) bool { return max(a, b)-min(a, b) <= 1 }
		if !near(got.R, c.to.R) || !near(got.G, c.to.G) || !near(got.B, c.to.B) || got.A != c.to.A {
			t.Errorf("%s of %v: got %v, want %v", c.options, c.from, got, c.to)
		}
	}
}

// At a step from 100 to 200 the kernel 12 20 12 / 44 blurs to 127.3 and 172.7;
// the difference, once, is added.
func TestSharpen_RaisesAnEdge(t *testing.T) {
	s := painted(t, 16, 8, func(x, _ int) color.NRGBA {
		v := uint8(100 + x/8*100)
		return color.NRGBA{v, v, v, 255}
	})
	for list, want := range map[string][4]int{
		"sharpen=1":   {100, 73, 227, 200},
		"sharpen=0.5": {100, 86, 214, 200},
		"sharpen=0":   {100, 100, 200, 200},
	} {
		m := decode(t, makePicture(t, nil, s, "format=png,"+list))
		for i, x := range []int{4, 7, 8, 12} {
			r, _, _, _ := m.At(x, 4).RGBA()
			if got := int(r >> 8); got < want[i]-1 || got > want[i]+1 {
				t.Errorf("%s: at %d got %d, want %d", list, x, got, want[i])
			}
		}
	}
}

// Bars and backgrounds are drawn after the adjustments.
func TestAdjust_LeavesTheBackground(t *testing.T) {
	s := plain(t, color.NRGBA{100, 0, 0, 255})
	m := decode(t, makePicture(t, nil, s, "format=png,brightness=2,width=16,height=8,fit=pad,background=%23808080"))
	at(t, m, 0.1, 0.5, color.NRGBA{128, 128, 128, 255})
	at(t, m, 0.5, 0.5, color.NRGBA{200, 0, 0, 255})
	m = decode(t, makePicture(t, nil, plain(t, color.NRGBA{100, 0, 0, 0}), "format=png,brightness=2,blur=4,background=%23808080"))
	at(t, m, 0.5, 0.5, color.NRGBA{128, 128, 128, 255})
}

// Real photos are read in order, once; sharpening reads them twice at a time.
func TestAdjust_WorksOnStreams(t *testing.T) {
	for _, name := range []string{"photos/portrait-afro.jpg", "alpha/rgba.png", "animated/cogs.gif"} {
		s := photo(t, name)
		for _, list := range []string{"sharpen=10", "sharpen=2,blur=20", "sharpen=1,width=200", "saturation=2,sharpen=1,rotate=90", "gamma=2,sharpen=1,brightness=2"} {
			makePicture(t, nil, s, list)
		}
	}
}
