package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"image"
	"image/color"
	_ "image/jpeg"
	"image/png"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/core/transform"
	"focal/core/vips"
)

func TestMain(m *testing.M) {
	if err := vips.Open(vips.DefaultConfig()); err != nil {
		log.Fatal(err)
	}
	code := m.Run()
	if n := vips.Live(); n != 0 && code == 0 {
		log.Printf("%d images of libvips were left open", n)
		code = 1
	}
	os.Exit(code)
}

// scripted is a Vision whose answers are given.
type scripted struct {
	faces []pixel.Face
	mask  pixel.Mask
	err   error
	looks atomic.Int64 // how often it made a look
}

func (s *scripted) see(ctx context.Context, sub Subject) error {
	if s.err != nil {
		return s.err
	}
	if _, err := sub.Look(ctx); err != nil {
		return err
	}
	s.looks.Add(1)
	return nil
}

func (s *scripted) Faces(ctx context.Context, sub Subject, lowest *float64) (Finding[[]pixel.Face], error) {
	threshold := 0.6
	if lowest != nil {
		threshold = *lowest
	}
	found := slices.DeleteFunc(slices.Clone(s.faces), func(f pixel.Face) bool { return f.Score < threshold })
	return Finding[[]pixel.Face]{Value: found, Model: "scripted", Provider: "cpu", How: "run"}, s.see(ctx, sub)
}

func (s *scripted) Foreground(ctx context.Context, sub Subject) (Finding[pixel.Mask], error) {
	return Finding[pixel.Mask]{Value: s.mask, Model: "scripted", Provider: "cpu", How: "run"}, s.see(ctx, sub)
}

// The colours of the test card's quarters.
var (
	red    = color.NRGBA{255, 0, 0, 255}
	green  = color.NRGBA{0, 255, 0, 255}
	blue   = color.NRGBA{0, 0, 255, 255}
	yellow = color.NRGBA{255, 255, 0, 255}
	blank  = color.NRGBA{255, 255, 255, 255}
)

// card is a test picture: red, green over blue, yellow.
func card(t testing.TB, w, h int) Source {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := [2][2]color.NRGBA{{red, green}, {blue, yellow}}[2*y/h][2*x/w]
			m.SetNRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return source(b.Bytes())
}

func source(file []byte) Source {
	return Source{Bytes: file, Digest: pixel.Digest(sha256.Sum256(file))}
}

// photo reads a shared picture.
func photo(t testing.TB, name string) Source {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../../shared/data/samples", name))
	if os.IsNotExist(err) {
		t.Skip("needs ../shared: data/samples/" + name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return source(b)
}

func options(t testing.TB, list string) transform.Options {
	t.Helper()
	o, warnings, err := transform.Parse(list)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%s: %v %v", list, warnings, err)
	}
	return o
}

func pipeline(t testing.TB, v Vision, change func(*Config)) *Pipeline {
	t.Helper()
	c := DefaultConfig()
	if change != nil {
		change(&c)
	}
	p, err := New(c, v)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func makePicture(t testing.TB, v Vision, s Source, list string) Result {
	t.Helper()
	r, err := pipeline(t, v, nil).Make(t.Context(), Request{Source: s, Options: options(t, list)})
	if err != nil {
		t.Fatalf("%s: %v", list, err)
	}
	return r
}

func decode(t testing.TB, r Result) image.Image {
	t.Helper()
	m, _, err := image.Decode(bytes.NewReader(r.Body))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// at checks the colour at a fraction of the picture, with room for a codec.
func at(t testing.TB, m image.Image, x, y float64, want color.NRGBA) {
	t.Helper()
	b := m.Bounds()
	got := color.NRGBAModel.Convert(m.At(int(x*float64(b.Dx())), int(y*float64(b.Dy())))).(color.NRGBA)
	near := func(a, b uint8) bool { return max(a, b)-min(a, b) <= 8 }
	if !near(got.A, want.A) || want.A > 0 && !(near(got.R, want.R) && near(got.G, want.G) && near(got.B, want.B)) {
		t.Errorf("at %.2f, %.2f: got %v, want %v", x, y, got, want)
	}
}

// quarters checks the size of a picture, and the colours near its corners.
func quarters(t testing.TB, r Result, w, h int, tl, tr, bl, br color.NRGBA) {
	t.Helper()
	m := decode(t, r)
	if r.Size != (pixel.Size{Width: w, Height: h}) || m.Bounds().Dx() != w || m.Bounds().Dy() != h {
		t.Errorf("size is %v, of the pixels %v, want %d×%d", r.Size, m.Bounds(), w, h)
	}
	at(t, m, 0.1, 0.1, tl)
	at(t, m, 0.9, 0.1, tr)
	at(t, m, 0.1, 0.9, bl)
	at(t, m, 0.9, 0.9, br)
}

func TestMake_TurnsTheCard(t *testing.T) {
	s := card(t, 80, 40)
	for _, c := range []struct {
		options        string
		w, h           int
		tl, tr, bl, br color.NRGBA
	}{
		{"format=png", 80, 40, red, green, blue, yellow},
		{"format=png,flip=h", 80, 40, green, red, yellow, blue},
		{"format=png,flip=v", 80, 40, blue, yellow, red, green},
		{"format=png,flip=hv", 80, 40, yellow, blue, green, red},
		{"format=png,rotate=90", 40, 80, blue, red, yellow, green},
		{"format=png,rotate=180", 80, 40, yellow, blue, green, red},
		{"format=png,rotate=270", 40, 80, green, yellow, red, blue},
		// Flip comes before rotate.
		{"format=png,flip=h,rotate=90", 40, 80, yellow, green, blue, red},
		{"format=png,width=20", 20, 10, red, green, blue, yellow},
		{"format=png,width=40,height=40,fit=cover,gravity=left", 40, 40, red, red, blue, blue},
		{"format=png,width=40,height=40,fit=cover,gravity=right", 40, 40, green, green, yellow, yellow},
		{"format=png,width=80,height=20,fit=cover,gravity=top", 80, 20, red, green, red, green},
		{"format=png,width=30,height=30,fit=squeeze", 30, 30, red, green, blue, yellow},
		{"format=png,width=80,height=80,fit=pad,background=%23ff0000", 80, 80, red, red, red, red},
		{"format=png,width=80,height=80,fit=pad", 80, 80, blank, blank, blank, blank},
	} {
		r := makePicture(t, nil, s, c.options)
		quarters(t, r, c.w, c.h, c.tl, c.tr, c.bl, c.br)
		if t.Failed() {
			t.Fatalf("that was %s", c.options)
		}
	}
}

// leftHalf is a mask whose left half is foreground.
func leftHalf() pixel.Mask {
	m := pixel.Mask{Width: 32, Height: 32, Pix: make([]byte, 32*32)}
	for i := range m.Pix {
		if i%32 < 16 {
			m.Pix[i] = 255
		}
	}
	return m
}

func TestMake_TheMaskTurnsWithThePicture(t *testing.T) {
	s, v := card(t, 80, 40), &scripted{mask: leftHalf()}
	none := color.NRGBA{}
	m := decode(t, makePicture(t, v, s, "segment=foreground"))
	at(t, m, 0.1, 0.1, red)
	at(t, m, 0.9, 0.1, none)
	m = decode(t, makePicture(t, v, s, "segment=foreground,flip=h"))
	at(t, m, 0.1, 0.1, none)
	at(t, m, 0.9, 0.1, red)
	m = decode(t, makePicture(t, v, s, "segment=foreground,rotate=90"))
	at(t, m, 0.9, 0.1, red)
	at(t, m, 0.1, 0.1, blue)
	at(t, m, 0.5, 0.9, none)
	m = decode(t, makePicture(t, v, s, "segment=foreground,width=40,height=40,fit=cover,gravity=0.25x0.5"))
	at(t, m, 0.1, 0.1, red)
	at(t, m, 0.9, 0.1, none)
}

func TestMake_BackgroundAndFormatOfACutOut(t *testing.T) {
	s, v := card(t, 80, 40), &scripted{mask: leftHalf()}
	for _, c := range []struct{ options, mime string }{
		{"segment=foreground", "image/png"},
		{"segment=foreground,background=white", "image/jpeg"},
		{"segment=foreground,background=rgba(0,0,255,0.5)", "image/png"},
		{"segment=foreground,format=jpeg", "image/jpeg"},
		{"width=20", "image/jpeg"},
	} {
		if r := makePicture(t, v, s, c.options); r.ContentType != c.mime {
			t.Errorf("%s: got %s, want %s", c.options, r.ContentType, c.mime)
		}
	}
	m := decode(t, makePicture(t, v, s, "segment=foreground,background=white"))
	at(t, m, 0.9, 0.5, blank)
	m = decode(t, makePicture(t, v, s, "segment=foreground,format=jpeg"))
	at(t, m, 0.9, 0.5, blank)
	m = decode(t, makePicture(t, v, s, "segment=foreground,background=rgba(0,0,255,0.5)"))
	at(t, m, 0.9, 0.2, color.NRGBA{0, 0, 255, 128})
}

func TestMake_NoSubjectIsAResult(t *testing.T) {
	v := &scripted{mask: pixel.Mask{Width: 2, Height: 2, Pix: make([]byte, 4)}}
	r := makePicture(t, v, card(t, 20, 20), "segment=foreground")
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "no foreground") {
		t.Errorf("warnings: %q", r.Warnings)
	}
	at(t, decode(t, r), 0.5, 0.5, color.NRGBA{})
}

// The face sits in the middle of the green quarter.
func TestMake_CropsToTheFace(t *testing.T) {
	v := &scripted{faces: []pixel.Face{{Box: pixel.Box{X: 0.7, Y: 0.2, W: 0.1, H: 0.1}, Score: 0.9}}}
	s := card(t, 400, 400)
	r := makePicture(t, v, s, "gravity=face,zoom=0.5,format=png")
	// 1/0.5 times a box of 40×40.
	if r.Size != (pixel.Size{Width: 80, Height: 80}) {
		t.Errorf("size is %v, want 80×80", r.Size)
	}
	m := decode(t, r)
	for _, p := range [][2]float64{{0.1, 0.1}, {0.9, 0.1}, {0.1, 0.9}, {0.9, 0.9}} {
		at(t, m, p[0], p[1], green)
	}
	// Turned by 90° the face is at the bottom right.
	m = decode(t, makePicture(t, v, s, "gravity=face,zoom=0.5,rotate=90,format=png"))
	at(t, m, 0.5, 0.5, green)
	if got := v.looks.Load(); got != 2 {
		t.Errorf("two pictures made %d looks", got)
	}
}

func TestMake_BothQuestionsShareOneLook(t *testing.T) {
	v := &scripted{mask: leftHalf()}
	var looks atomic.Int64
	p := pipeline(t, v, func(c *Config) {
		c.Workers = 2
		c.Observe = countSteps(&looks)
	})
	_, err := p.Make(t.Context(), Request{Source: card(t, 60, 60), Options: options(t, "gravity=face,zoom=1,segment=foreground")})
	if err != nil {
		t.Fatal(err)
	}
	if looks.Load() != 1 {
		t.Errorf("%d looks were made for two questions", looks.Load())
	}
}

func TestMake_PlainTransformsAskNobody(t *testing.T) {
	v := &scripted{err: fault.New(fault.Unavailable, "test", "down")}
	makePicture(t, v, card(t, 20, 20), "width=10")
	// gravity=face decides nothing without a size and zoom.
	makePicture(t, v, card(t, 20, 20), "gravity=face,width=10")
}

func TestMake_TakesTheLadderOnlyForFaces(t *testing.T) {
	down := fault.New(fault.Unavailable, "test", "down")
	face := "gravity=face,fit=cover,width=20,height=10"
	r := makePicture(t, &scripted{err: down}, card(t, 40, 40), face)
	if d := r.Findings.Degraded; d == nil || d.From != "face" || d.To != "auto" || d.Reason != fault.Unavailable {
		t.Errorf("degraded: %+v", d)
	}
	for _, c := range []struct {
		name, options string
		fallback      Fallback
		err           error
		want          fault.Kind
	}{
		{"fail refuses", face, FallbackFail, down, fault.Unavailable},
		{"a cut-out has no ladder", "segment=foreground", FallbackLadder, down, fault.Unavailable},
		{"a bad request is no reason to degrade", face, FallbackLadder, fault.New(fault.Invalid, "test", "unknown model"), fault.Invalid},
		{"nor is a defect of ours", face, FallbackLadder, fault.New(fault.Internal, "test", "defect"), fault.Internal},
	} {
		p := pipeline(t, &scripted{err: c.err}, func(cfg *Config) { cfg.Fallback = c.fallback })
		_, err := p.Make(t.Context(), Request{Source: card(t, 40, 40), Options: options(t, c.options)})
		if !fault.Is(err, c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

func TestMake_LimitsNameTheirFlag(t *testing.T) {
	for _, c := range []struct {
		name, options, flag string
		change              func(*Config)
	}{
		{"many pixels", "width=10", "--max-pixels 1000", func(c *Config) { c.MaxPixels = 1000 }},
		{"a long side", "width=10", "--max-side 39", func(c *Config) { c.MaxSide = 39 }},
		{"a large result", "width=5000,fit=contain", "--max-side 2000", func(c *Config) { c.MaxSide = 2000 }},
	} {
		_, err := pipeline(t, nil, c.change).Make(t.Context(), Request{Source: card(t, 40, 40), Options: options(t, c.options)})
		if !fault.Is(err, fault.TooLarge) || !strings.Contains(err.Error(), c.flag) {
			t.Errorf("%s: got %v, want too_large naming %s", c.name, err, c.flag)
		}
	}
}

func TestMake_RefusesBombsFromTheirHeader(t *testing.T) {
	refuse := func(name, words string, change func(*Config)) {
		t.Helper()
		_, err := pipeline(t, nil, change).Make(t.Context(), Request{Source: photo(t, name), Options: options(t, "width=10")})
		if !fault.Is(err, fault.TooLarge) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: got %v, want too_large with %q", name, err, words)
		}
	}
	for _, name := range []string{"broken/bomb-65536.png", "broken/giant-image.jpg", "broken/bomb-17000x17000.avif"} {
		refuse(name, "--max-pixels 100000000", nil)
	}
	// libheif has a limit of its own, of which the flags know nothing.
	const avif = "broken/bomb-17000x17000.avif"
	refuse(avif, "--max-side 12000", func(c *Config) { c.MaxPixels = 1e9 })
	refuse(avif, "limit of 16384x16384 that no flag raises", func(c *Config) { c.MaxPixels, c.MaxSide = 1e9, 20000 })
}

func TestMake_BadFilesHaveTheirKind(t *testing.T) {
	for name, want := range map[string]fault.Kind{
		"broken/truncated.jpg":      fault.Corrupt,
		"broken/truncated.png":      fault.Corrupt,
		"broken/corrupt-header.jpg": fault.Corrupt,
		"broken/truncated.svgz":     fault.Unsupported,
	} {
		_, err := pipeline(t, nil, nil).Make(t.Context(), Request{Source: photo(t, name), Options: options(t, "width=10")})
		if !fault.Is(err, want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
}

func TestMake_IsDeterministic(t *testing.T) {
	s, v := photo(t, "photos/couple-beach.jpg"), &scripted{mask: leftHalf()}
	for _, list := range []string{"width=300", "segment=foreground,format=webp", "gravity=auto,fit=cover,width=100,height=100,format=avif"} {
		a, b := makePicture(t, v, s, list), makePicture(t, v, s, list)
		if !bytes.Equal(a.Body, b.Body) {
			t.Errorf("%s: two runs gave different bytes", list)
		}
	}
}

func TestMake_DescribesInPixelsOfTheResult(t *testing.T) {
	v := &scripted{
		mask: leftHalf(),
		faces: []pixel.Face{{
			Box: pixel.Box{X: 0.7, Y: 0.2, W: 0.1, H: 0.1}, Score: 0.9,
			Landmarks: []pixel.Point{{X: 0.75, Y: 0.25}},
		}},
	}
	s := card(t, 400, 400)
	r := makePicture(t, v, s, "gravity=face,zoom=0.5,width=40,height=40,fit=cover,segment=foreground,format=json")
	var got description
	if err := json.Unmarshal(r.Body, &got); err != nil {
		t.Fatal(err)
	}
	// The window is 80×80 round the face at 300, 100: it begins at 260, 60 and
	// becomes 40×40, so everything halves.
	if got.Width != 40 || got.Height != 40 || *got.Crop != [4]float64{260, 60, 80, 80} {
		t.Errorf("got %d×%d of %v", got.Width, got.Height, *got.Crop)
	}
	if len(got.Faces) != 1 || got.Faces[0].Box != [4]float64{10, 10, 20, 20} || got.Faces[0].Landmarks[0] != [2]float64{20, 20} {
		t.Errorf("faces: %+v", got.Faces)
	}
	// The left half of the source ends at 200, that is at (200-260)/2.
	if got.Foreground.Coverage != 0.5 || got.Foreground.Box != [4]float64{-130, -30, 100, 200} {
		t.Errorf("foreground: %+v", got.Foreground)
	}
	if got.Original.Width != 400 || got.Original.Format != "image/png" || got.Original.FileSize != len(s.Bytes) {
		t.Errorf("original: %+v", got.Original)
	}
}

func TestChooseFormat_FollowsAcceptAndSize(t *testing.T) {
	both := Accept{AVIF: true, WebP: true}
	for _, c := range []struct {
		options     string
		accept      Accept
		side        int
		transparent bool
		want        vips.Format
		warns       bool
	}{
		{"format=auto", both, 1200, false, vips.AVIF, false},
		{"format=auto", both, 1201, false, vips.WebP, false},
		{"format=auto", both, 2561, false, vips.JPEG, false},
		{"format=auto", Accept{WebP: true}, 100, true, vips.WebP, false},
		{"format=auto", Accept{}, 100, true, vips.PNG, false},
		{"format=auto", Accept{}, 100, false, vips.JPEG, false},
		{"format=avif", Accept{}, 1600, false, vips.AVIF, false},
		{"format=avif", both, 1601, false, vips.WebP, true},
		{"format=avif", Accept{}, 1601, true, vips.PNG, true},
		{"format=webp", Accept{}, 9000, true, vips.WebP, false},
		{"width=1", both, 1, true, vips.PNG, false},
		{"width=1,background=white", both, 1, true, vips.JPEG, false},
		{"format=jpeg", both, 1, true, vips.JPEG, false},
		{"format=jxl", Accept{}, 1600, true, vips.JXL, false},
		{"format=jxl", both, 1601, true, vips.WebP, true},
		{"format=jxl", Accept{}, 1601, false, vips.JPEG, true},
	} {
		if c.want == vips.JXL && !vips.Writes(vips.JXL) {
			c.want, c.warns = vips.PNG, true
		}
		got, warning := chooseFormat(options(t, c.options), c.accept, pixel.Size{Width: c.side, Height: 1}, c.transparent)
		if got != c.want || (warning != "") != c.warns {
			t.Errorf("%+v: got %s, warning %q", c, got, warning)
		}
	}
}

func TestSlots_WaitEndsWithTheContext(t *testing.T) {
	s := newSlots(1, 100)
	release, err := s.take(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.take(ctx, 1); !fault.Is(err, fault.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	release()
	if _, err := s.take(t.Context(), 1<<40); err != nil {
		t.Errorf("a picture larger than all slots must still run alone: %v", err)
	}
}

// countSteps counts looks.
func countSteps(looks *atomic.Int64) func(string, time.Duration) {
	return func(step string, _ time.Duration) {
		if step == "look" {
			looks.Add(1)
		}
	}
}
