package pipeline

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	drawing "image/draw"
	"image/gif"
	"strings"
	"testing"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/core/vips"
)

// film is an animated GIF of 80×40: the left half of each frame has the colour
// that the right half of the one before it had. It runs four times, and its
// frames stay 50, 100 and 150 ms.
func film(t testing.TB) Source {
	t.Helper()
	g := gif.GIF{Delay: []int{5, 10, 15}, LoopCount: 4}
	palette := color.Palette{red, green, blue, yellow}
	for n := range 3 {
		m := image.NewPaletted(image.Rect(0, 0, 80, 40), palette)
		for i := range m.Pix {
			m.Pix[i] = uint8(n + i%80/40)
		}
		g.Image = append(g.Image, m)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &g); err != nil {
		t.Fatal(err)
	}
	return source(b.Bytes())
}

// frames decodes an animated GIF, each frame drawn over the ones before.
func frames(t testing.TB, file []byte) (*gif.GIF, []image.Image) {
	t.Helper()
	g, err := gif.DecodeAll(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	canvas := image.NewNRGBA(image.Rect(0, 0, g.Config.Width, g.Config.Height))
	var out []image.Image
	for _, m := range g.Image {
		drawing.Draw(canvas, m.Bounds(), m, m.Bounds().Min, drawing.Over)
		shown := image.NewNRGBA(canvas.Rect)
		copy(shown.Pix, canvas.Pix)
		out = append(out, shown)
	}
	return g, out
}

func TestAnimation_EveryFrameIsTreatedAlike(t *testing.T) {
	s := film(t)
	shades := []color.NRGBA{red, green, blue, yellow}
	for _, c := range []struct {
		options     string
		w, h        int
		left, right int // which of the frame's two colours, 0 or 1
	}{
		{"quality=80", 80, 40, 0, 1},
		{"width=40", 40, 20, 0, 1},
		{"width=31", 31, 16, 0, 1}, // 15.5 rows a frame: nothing may slip
		{"width=20,height=20,fit=cover,gravity=right", 20, 20, 1, 1},
		{"trim=0;40;0;0", 40, 40, 0, 0},
		{"flip=h", 80, 40, 1, 0},
		{"rotate=180", 80, 40, 1, 0},
		{"rotate=90,flip=h,width=20,height=10,fit=squeeze,trim.left=40", 20, 10, 1, 1},
		{"width=160,fit=contain", 160, 80, 0, 1},
	} {
		r := makePicture(t, nil, s, c.options)
		if r.ContentType != "image/gif" || r.Size != (pixel.Size{Width: c.w, Height: c.h}) {
			t.Fatalf("%s: %s of %v, want a GIF of %d×%d", c.options, r.ContentType, r.Size, c.w, c.h)
		}
		g, shown := frames(t, r.Body)
		if len(shown) != 3 || g.LoopCount != 4 || g.Delay[0] != 5 || g.Delay[1] != 10 || g.Delay[2] != 15 {
			t.Fatalf("%s: %d frames, loop %d, delays %v", c.options, len(shown), g.LoopCount, g.Delay)
		}
		for n, m := range shown {
			if m.Bounds().Dx() != c.w || m.Bounds().Dy() != c.h {
				t.Fatalf("%s: frame %d is %v", c.options, n, m.Bounds())
			}
			for _, y := range []float64{0, 0.5, 0.99} {
				at(t, m, 0.1, y, shades[n+c.left])
				at(t, m, 0.9, y, shades[n+c.right])
			}
		}
		if t.Failed() {
			t.Fatalf("that was %s", c.options)
		}
	}
	// Bars, borders and adjustments too.
	_, shown := frames(t, makePicture(t, nil, s, "width=80,height=80,fit=pad,background=white,border.width=10").Body)
	for n, m := range shown {
		at(t, m, 0.02, 0.5, color.NRGBA{0, 0, 0, 255})
		at(t, m, 0.5, 0.2, blank)
		at(t, m, 0.2, 0.5, shades[n])
	}
}

func TestAnimation_FormatFollowsAccept(t *testing.T) {
	s := film(t)
	both := Accept{AVIF: true, WebP: true}
	for _, c := range []struct {
		options string
		accept  Accept
		want    vips.Format
		pages   int
	}{
		{"width=40", Accept{}, vips.GIF, 3},
		{"width=40", both, vips.WebP, 3},
		{"format=auto,quality=85", both, vips.WebP, 3}, // with a quality the original is no answer
		{"format=auto", Accept{AVIF: true}, vips.GIF, 3},
		{"format=webp", Accept{}, vips.WebP, 3},
		{"compression=fast", Accept{}, vips.GIF, 3},
		{"format=jpeg", both, vips.JPEG, 1},
		{"format=png", both, vips.PNG, 1},
		{"anim=false", both, vips.JPEG, 1},
		{"anim=false,format=webp", both, vips.WebP, 1},
	} {
		r, err := pipeline(t, nil, nil).Make(t.Context(), Request{Source: s, Options: options(t, c.options), Accept: c.accept})
		if err != nil {
			t.Fatalf("%s: %v", c.options, err)
		}
		info, err := vips.Probe(r.Body)
		if err != nil || info.Format != c.want || info.Pages != c.pages || r.ContentType != c.want.MIME() {
			t.Errorf("%s: got %s with %d frames, %v; want %s with %d", c.options, info.Format, info.Pages, err, c.want, c.pages)
		}
	}
	// WebP and back: colours, delays and loops survive.
	r, err := pipeline(t, nil, nil).Make(t.Context(), Request{Source: s, Options: options(t, "format=webp,quality=100")})
	if err != nil {
		t.Fatal(err)
	}
	g, shown := frames(t, makePicture(t, nil, source(r.Body), "width=80").Body)
	if len(shown) != 3 || g.LoopCount != 4 || g.Delay[2] != 15 {
		t.Errorf("%d frames, loop %d, delays %v", len(shown), g.LoopCount, g.Delay)
	}
	at(t, shown[2], 0.1, 0.5, blue)
}

func TestAnimation_IsLimited(t *testing.T) {
	s := film(t) // 9600 pixels
	for _, c := range []struct {
		options   string
		maxPixels int64
		fails     bool
		pages     int
	}{
		{"width=80", 9600, false, 3},
		{"width=80", 9599, true, 0},
		{"width=80,anim=false", 9599, false, 1},
		{"width=160,fit=contain", 9600, true, 0},
		// 3·5000·2500 = 37.5 million, 3·6000·3000 = 54 million.
		{"width=6000,fit=contain,quality=1", 100e6, false, 1},
	} {
		p := pipeline(t, nil, func(cfg *Config) { cfg.MaxPixels = c.maxPixels })
		r, err := p.Make(t.Context(), Request{Source: s, Options: options(t, c.options)})
		if c.fails {
			if !fault.Is(err, fault.TooLarge) || !strings.Contains(err.Error(), "--max-pixels") {
				t.Errorf("%s: got %v, want too_large that names --max-pixels", c.options, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", c.options, err)
		}
		info, err := vips.Probe(r.Body)
		if err != nil || info.Pages != c.pages {
			t.Errorf("%s: %d frames, %v; want %d", c.options, info.Pages, err, c.pages)
		}
		if still := c.pages == 1 && !strings.Contains(c.options, "anim"); still != (len(r.Warnings) == 1) {
			t.Errorf("%s: warnings %q", c.options, r.Warnings)
		}
	}
}

func TestAnimation_CutOutTakesTheFirstFrame(t *testing.T) {
	r := makePicture(t, &scripted{mask: leftHalf()}, film(t), "segment=foreground")
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "first frame") {
		t.Errorf("warnings %q", r.Warnings)
	}
	at(t, decode(t, r), 0.1, 0.5, red)
	at(t, decode(t, r), 0.9, 0.5, color.NRGBA{})
}

func TestDescribe_CountsFrames(t *testing.T) {
	for list, want := range map[string]int{"format=json": 3, "format=json,anim=false": 0} {
		var got description
		if err := json.Unmarshal(makePicture(t, nil, film(t), list).Body, &got); err != nil {
			t.Fatal(err)
		}
		if got.Original.Frames != want {
			t.Errorf("%s: %d frames, want %d", list, got.Original.Frames, want)
		}
	}
}

// Encoders join frames that hardly differ, so their number may fall.
func TestAnimation_OfRealFiles(t *testing.T) {
	for _, name := range []string{
		"rotating-squares.gif", "rotating-squares.webp", "animated-loop-3.gif", "animated-loop-3.webp", "cogs.gif",
		"webp-animated-alpha.webp", "dispose-background.gif", "dispose-previous.gif",
	} {
		s := photo(t, "animated/"+name)
		before, err := vips.Probe(s.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []Accept{{}, {WebP: true}} {
			r, err := pipeline(t, nil, nil).Make(t.Context(), Request{Source: s, Options: options(t, "width=40,compression=fast"), Accept: a})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			after, err := vips.Probe(r.Body)
			if err != nil || after.Pages < 2 || after.Pages > before.Pages || after.Stored != r.Size {
				t.Errorf("%s: %d frames of %v, %v; had %d", name, after.Pages, after.Stored, err, before.Pages)
			}
		}
	}
}

func TestUpscale_GenerateWarnsWhereItWouldEnlarge(t *testing.T) {
	s := card(t, 80, 40)
	for list, want := range map[string]int{
		"upscale=generate,width=160,fit=contain":    1,
		"upscale=generate,width=160":                0, // scale-down
		"upscale=generate,width=40,fit=contain":     0,
		"upscale=interpolate,width=160,fit=contain": 0,
	} {
		if r := makePicture(t, nil, s, list); len(r.Warnings) != want {
			t.Errorf("%s: warnings %q", list, r.Warnings)
		}
	}
}
