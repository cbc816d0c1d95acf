package vips

import (
	"bytes"
	"context"
	"log"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
)

func TestMain(m *testing.M) {
	if err := Open(DefaultConfig()); err != nil {
		log.Fatal(err)
	}
	code := m.Run()
	if n := Live(); n != 0 && code == 0 {
		log.Printf("%d images of libvips were left open", n)
		code = 1
	}
	os.Exit(code)
}

// sample reads a file of the shared samples.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../../shared/data/samples", name))
	if os.IsNotExist(err) {
		t.Skip("needs ../shared: data/samples/" + name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func probe(t testing.TB, file []byte) Info {
	t.Helper()
	info, err := Probe(file)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func look(t testing.TB, name string) pixel.Buffer {
	t.Helper()
	file := sample(t, name)
	b, err := Look(file, probe(t, file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// difference is the mean absolute difference of two pictures of one size.
func difference(t testing.TB, a, b pixel.Buffer) float64 {
	t.Helper()
	if a.Size() != b.Size() || a.Channels != b.Channels {
		t.Fatalf("pictures differ in shape: %v×%d and %v×%d", a.Size(), a.Channels, b.Size(), b.Channels)
	}
	sum := 0.0
	for i := range a.Pix {
		sum += math.Abs(float64(a.Pix[i]) - float64(b.Pix[i]))
	}
	return sum / float64(len(a.Pix))
}

// The EXIF samples show one scene, stored in every orientation.
func TestLook_AppliesOrientationOnce(t *testing.T) {
	want := look(t, "exif/landscape_3.jpg")
	for _, name := range []string{"landscape_6.jpg", "landscape_8.jpg"} {
		if d := difference(t, want, look(t, "exif/"+name)); d > 3 {
			t.Errorf("%s differs from landscape_3.jpg by %.1f levels on average: it does not stand upright", name, d)
		}
	}
	want = look(t, "exif/portrait_1.jpg")
	for _, name := range []string{"portrait_2.jpg", "portrait_5.jpg", "portrait_6.jpg"} {
		if d := difference(t, want, look(t, "exif/"+name)); d > 3 {
			t.Errorf("%s differs from portrait_1.jpg by %.1f levels on average: it does not stand upright", name, d)
		}
	}
	// AVIF turns by a property of its own (ISO/IEC 23008-12 §6.5.10), which the
	// decoder applies.
	if d := difference(t, look(t, "avif/kimono.avif"), look(t, "avif/kimono.rotate90.avif")); d > 5 { // two lossy files
		t.Errorf("kimono.rotate90.avif differs from kimono.avif by %.1f levels on average", d)
	}
}

func TestProbe_ReadsHeaders(t *testing.T) {
	for _, c := range []struct {
		name string
		want Info
	}{
		{"photos/portrait-freckles.jpg", Info{Format: JPEG, Stored: pixel.Size{Width: 2048, Height: 1365}, Oriented: pixel.Size{Width: 2048, Height: 1365}, Orientation: 1, Pages: 1, Standard: true}},
		{"exif/landscape_6.jpg", Info{Format: JPEG, Stored: pixel.Size{Width: 1200, Height: 1800}, Oriented: pixel.Size{Width: 1800, Height: 1200}, Orientation: 6, Pages: 1, Standard: true}},
		{"alpha/png-alpha-64bit.png", Info{Format: PNG, Stored: pixel.Size{Width: 1350, Height: 600}, Oriented: pixel.Size{Width: 1350, Height: 600}, Orientation: 1, Pages: 1, Alpha: true, Wide: true}},
		{"jpeg/progressive-2560x1600.jpg", Info{Format: JPEG, Stored: pixel.Size{Width: 2560, Height: 1600}, Oriented: pixel.Size{Width: 2560, Height: 1600}, Orientation: 1, Pages: 1, Interlaced: true}},
		{"animated/rotating-squares.gif", Info{Format: GIF, Stored: pixel.Size{Width: 80, Height: 80}, Oriented: pixel.Size{Width: 80, Height: 80}, Orientation: 1, Pages: 30, Alpha: true, Standard: true}},
		{"avif/heic-24bit.heic", Info{Format: HEIC, Stored: pixel.Size{Width: 1440, Height: 960}, Oriented: pixel.Size{Width: 1440, Height: 960}, Orientation: 1, Pages: 1, Standard: true}},
	} {
		file := sample(t, c.name)
		c.want.Bytes = len(file)
		if got := probe(t, file); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestProbe_StandardColoursAreThoseOfTheResult(t *testing.T) {
	for name, want := range map[string]bool{
		"photos/bicycle.jpg":        true,
		"alpha/rgba.png":            true,
		"alpha/indexed.png":         true,
		"icc/adobe-rgb.jpg":         false,
		"icc/display-p3-swatch.png": false,
		"icc/cmyk-no-profile.jpg":   false,
		"icc/grey-dot-gain.jpg":     false,
		"alpha/png-alpha-64bit.png": false,
	} {
		if got := probe(t, sample(t, name)).Standard; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestSniff_FindsAnSVGBehindItsPrologue(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want Format
	}{
		"bare":             {"<svg/>", SVG},
		"a mark first":     {"\xef\xbb\xbf<svg/>", SVG},
		"space first":      {"\r\n\t <svg/>", SVG},
		"a long comment":   {"<?xml version='1.0'?><!--" + strings.Repeat("licence ", 4000) + "--><svg/>", SVG},
		"a prefix":         {"<s:svg xmlns:s='http://www.w3.org/2000/svg'/>", SVG},
		"UTF-16":           {"\xff\xfe<\x00s\x00v\x00g\x00/\x00>\x00", SVG},
		"UTF-16, big":      {"\xfe\xff\x00<\x00s\x00v\x00g\x00/\x00>", SVG},
		"zipped":           {string(sample(t, "svg/logo.svgz")), SVG},
		"text that has it": {"how to write <svg/>", Unknown},
		"another language": {"<html><body/></html>", Unknown},
	} {
		if got := Sniff([]byte(c.file)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestProbe_RefusesWhatIsNoPicture(t *testing.T) {
	cases := map[string]struct {
		file []byte
		want fault.Kind
	}{
		"nothing":        {nil, fault.Unsupported},
		"text":           {[]byte("hello, this is no picture at all"), fault.Unsupported},
		"html":           {[]byte("<!doctype html><p>not found"), fault.Unsupported},
		"svg":            {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), fault.Unsupported},
		"gzip":           {[]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"), fault.Unsupported},
		"only a magic":   {[]byte("\xff\xd8\xff"), fault.Corrupt},
		"corrupt header": {sample(t, "broken/corrupt-header.jpg"), fault.Corrupt},
	}
	for name, c := range cases {
		if _, err := Probe(c.file); !fault.Is(err, c.want) {
			t.Errorf("%s: got %v (%s), want %s", name, err, fault.KindOf(err), c.want)
		}
	}
}

func TestLook_ReportsTruncation(t *testing.T) {
	for _, name := range []string{"broken/truncated.jpg", "broken/truncated.png"} {
		file := sample(t, name)
		_, err := Look(file, probe(t, file))
		if !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: got %v, want corrupt", name, err)
		}
		if err != nil && bytes.ContainsAny([]byte(err.Error()), "\n\r") {
			t.Errorf("%s: the error has more than one line: %q", name, err)
		}
	}
	// One picture's error must not stand before the next one's.
	file := sample(t, "photos/dog.jpg")
	if _, err := Look(file, probe(t, file)); err != nil {
		t.Errorf("a good picture after bad ones: %v", err)
	}
}

func TestShrinkOnLoad_LeavesRoomForAFilter(t *testing.T) {
	for _, c := range []struct {
		format Format
		factor float64
		want   int
	}{{JPEG, 1, 1}, {JPEG, 3.9, 1}, {JPEG, 4, 2}, {JPEG, 8, 4}, {JPEG, 15.9, 4}, {JPEG, 16, 8}, {JPEG, 100, 8}, {WebP, 8, 4}, {PNG, 100, 1}, {JPEG, 0.5, 1}} {
		if got := ShrinkOnLoad(c.format, c.factor); got != c.want {
			t.Errorf("%s by %v: got %d, want %d", c.format, c.factor, got, c.want)
		}
	}
}

// Reading in order must hold for every reduction: libvips refuses to go back.
func TestLoad_ReadsInOrderAtEveryReduction(t *testing.T) {
	file := sample(t, "photos/portrait-afro.jpg")
	info := probe(t, file)
	for _, width := range []int{1360, 1000, 500, 340, 200, 170, 128, 50, 3} {
		i, err := Load(file, info, LoadOptions{Shrink: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Resize(pixel.Size{Width: width, Height: max(1, width*2048/1360)}); err != nil {
			t.Fatal(err)
		}
		if _, err := i.Buffer(); err != nil {
			t.Errorf("to %d wide: %v", width, err)
		}
		i.Close()
	}
}

// A picture that the decoder reduced must look like one reduced by us.
func TestLoad_ShrinkingChangesLittle(t *testing.T) {
	file := sample(t, "photos/portrait-afro.jpg")
	info := probe(t, file)
	size := pixel.Size{Width: 170, Height: 256}
	var got [2]pixel.Buffer
	for n, shrink := range []int{1, 4} {
		i, err := Load(file, info, LoadOptions{Shrink: shrink})
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		if err := i.Resize(size); err != nil {
			t.Fatal(err)
		}
		if got[n], err = i.Buffer(); err != nil {
			t.Fatal(err)
		}
	}
	if d := difference(t, got[0], got[1]); d > 2 {
		t.Errorf("shrinking while decoding changes the picture by %.2f levels on average", d)
	}
}

// solid makes a picture of one colour.
func solid(t testing.TB, w, h int, c ...byte) *Image {
	t.Helper()
	i, err := FromBuffer(pixel.Buffer{Width: w, Height: h, Channels: len(c), Pix: bytes.Repeat(c, w*h)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

func pixels(t testing.TB, i *Image) pixel.Buffer {
	t.Helper()
	b, err := i.Buffer()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCutOut_MultipliesTheMaskIntoAlpha(t *testing.T) {
	mask := pixel.Mask{Width: 2, Height: 1, Pix: []byte{255, 128}}
	opaque := solid(t, 2, 1, 10, 20, 30)
	if err := opaque.CutOut(mask); err != nil {
		t.Fatal(err)
	}
	if got, want := pixels(t, opaque).Pix, []byte{10, 20, 30, 255, 10, 20, 30, 128}; !bytes.Equal(got, want) {
		t.Errorf("opaque picture: got %v, want %v", got, want)
	}
	half := solid(t, 2, 1, 10, 20, 30, 128)
	if err := half.CutOut(mask); err != nil {
		t.Fatal(err)
	}
	// 128·255/255 = 128 and 128·128/255 = 64.25.
	if got := pixels(t, half).Pix; got[3] != 128 || got[7] != 64 {
		t.Errorf("half transparent picture: alpha %d and %d, want 128 and 64", got[3], got[7])
	}
}

func TestFill_ComposesOver(t *testing.T) {
	i := solid(t, 1, 1, 200, 100, 0, 128)
	if err := i.Fill(Colour{255, 255, 255, 255}); err != nil {
		t.Fatal(err)
	}
	// a = 128/255: 200a + 255(1-a) = 227.4, 100a + 255(1-a) = 177.2, 127.
	got := pixels(t, i)
	want := []float64{227.4, 177.2, 127}
	if got.Channels != 3 {
		t.Fatalf("an opaque background left %d channels", got.Channels)
	}
	for c := range want {
		if math.Abs(float64(got.Pix[c])-want[c]) > 1 {
			t.Errorf("channel %d: got %d, want %.1f", c, got.Pix[c], want[c])
		}
	}
	// Transparent over a half transparent red: the red shows as it is.
	i = solid(t, 1, 1, 0, 0, 0, 0)
	if err := i.Fill(Colour{255, 0, 0, 128}); err != nil {
		t.Fatal(err)
	}
	if got, want := pixels(t, i).Pix, []byte{255, 0, 0, 128}; !bytes.Equal(got, want) {
		t.Errorf("translucent background: got %v, want %v", got, want)
	}
}

// A transparent pixel's colour must not bleed into its neighbours.
func TestResize_WeighsColoursByAlpha(t *testing.T) {
	i, err := FromBuffer(pixel.Buffer{Width: 2, Height: 2, Channels: 4, Pix: []byte{
		255, 0, 0, 255, 0, 255, 0, 0,
		255, 0, 0, 255, 0, 255, 0, 0,
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if err := i.Resize(pixel.Size{Width: 1, Height: 1}); err != nil {
		t.Fatal(err)
	}
	got := pixels(t, i).Pix
	if got[0] < 250 || got[1] > 5 {
		t.Errorf("invisible green shows: %v", got)
	}
	if got[3] < 110 || got[3] > 145 {
		t.Errorf("half covered pixel has alpha %d, want about 128", got[3])
	}
}

func TestResize_HitsTheSizeExactly(t *testing.T) {
	for _, s := range []pixel.Size{{Width: 1, Height: 1}, {Width: 7, Height: 3}, {Width: 33, Height: 101}, {Width: 100, Height: 37}, {Width: 333, Height: 1}} {
		i := solid(t, 101, 37, 1, 2, 3)
		if err := i.Resize(s); err != nil {
			t.Fatal(err)
		}
		if got := i.Size(); got != s {
			t.Errorf("got %v, want %v", got, s)
		}
		pixels(t, i)
	}
}

func TestPad_GivesTransparentBarsOnlyWhereAsked(t *testing.T) {
	i := solid(t, 1, 1, 9, 9, 9)
	if err := i.Pad(pixel.Size{Width: 3, Height: 1}, 1, 0, Colour{0, 255, 0, 255}); err != nil {
		t.Fatal(err)
	}
	if got, want := pixels(t, i).Pix, []byte{0, 255, 0, 9, 9, 9, 0, 255, 0}; !bytes.Equal(got, want) {
		t.Errorf("green bars: got %v, want %v", got, want)
	}
	i = solid(t, 1, 1, 9, 9, 9)
	if err := i.Pad(pixel.Size{Width: 2, Height: 1}, 0, 0, Colour{}); err != nil {
		t.Fatal(err)
	}
	if got, want := pixels(t, i).Pix, []byte{9, 9, 9, 255, 0, 0, 0, 0}; !bytes.Equal(got, want) {
		t.Errorf("transparent bars: got %v, want %v", got, want)
	}
}

func TestRotateAndFlip_TurnClockwise(t *testing.T) {
	two := func() *Image {
		i, err := FromBuffer(pixel.Buffer{Width: 2, Height: 1, Channels: 3, Pix: []byte{1, 1, 1, 2, 2, 2}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(i.Close)
		return i
	}
	i := two()
	if err := i.Rotate(90); err != nil {
		t.Fatal(err)
	}
	if got := pixels(t, i); got.Width != 1 || got.Pix[0] != 1 || got.Pix[3] != 2 {
		t.Errorf("90° clockwise: %dx%d %v", got.Width, got.Height, got.Pix)
	}
	i = two()
	if err := i.Rotate(270); err != nil {
		t.Fatal(err)
	}
	if got := pixels(t, i); got.Pix[0] != 2 {
		t.Errorf("270° clockwise: %v", got.Pix)
	}
	i = two()
	if err := i.FlipH(); err != nil {
		t.Fatal(err)
	}
	if got := pixels(t, i); got.Pix[0] != 2 {
		t.Errorf("flipped: %v", got.Pix)
	}
}

func TestEncode_WritesWhatItSays(t *testing.T) {
	for _, f := range []Format{JPEG, PNG, WebP, AVIF} {
		file := sample(t, "photos/couple-beach.jpg")
		i, err := Load(file, probe(t, file), LoadOptions{Shrink: 1, Random: true})
		if err != nil {
			t.Fatal(err)
		}
		before := pixels(t, i)
		out, err := i.Encode(EncodeOptions{Format: f, Quality: 90})
		i.Close()
		if err != nil {
			t.Fatal(err)
		}
		info := probe(t, out)
		if info.Format != f || info.Oriented != before.Size() {
			t.Errorf("%s: wrote %s of %v", f, info.Format, info.Oriented)
		}
		again, err := Load(out, info, LoadOptions{Shrink: 1})
		if err != nil {
			t.Fatal(err)
		}
		if d := difference(t, before, pixels(t, again)); d > 4 {
			t.Errorf("%s: the picture changed by %.1f levels on average", f, d)
		}
		again.Close()
	}
}

func TestEncode_SmallAndHugeJPEGsAreBaseline(t *testing.T) {
	progressive := func(w, h int) bool {
		out, err := solid(t, w, h, 5, 5, 5).Encode(EncodeOptions{Format: JPEG, Quality: 80})
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(out, []byte{0xff, 0xc2}) // SOF2, ITU-T T.81 table B.1
	}
	for _, c := range []struct {
		w, h int
		want bool
	}{{49, 49, false}, {50, 50, true}, {400, 30, true}, {3001, 3001, false}} {
		if got := progressive(c.w, c.h); got != c.want {
			t.Errorf("%d×%d: progressive is %v, want %v", c.w, c.h, got, c.want)
		}
	}
}

// The subject of this picture stands at the right.
func TestSalient_FindsTheSubject(t *testing.T) {
	file := sample(t, "photos/portrait-offcentre.jpg")
	info := probe(t, file)
	all := pixel.Rect{Width: info.Oriented.Width, Height: info.Oriented.Height}
	for _, s := range []Strategy{Attention, Entropy} {
		x, y, err := Salient(file, info, all, 0.5, s)
		if err != nil {
			t.Fatal(err)
		}
		if x < 0.5 {
			t.Errorf("strategy %d: the window begins at %.2f of what is left over, want the right half", s, x)
		}
		if y != 0.5 {
			t.Errorf("strategy %d: nothing is left over vertically, yet y is %v", s, y)
		}
	}
	// Of the left half, which is a plain wall, the subject is at the far end.
	left := all
	left.Width /= 2
	if x, _, err := Salient(file, info, left, 0.25, Attention); err != nil || x < 0.5 {
		t.Errorf("in the left half the window begins at %.2f, %v", x, err)
	}
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x1cftypavif\x00\x00\x00\x00mif1avif"))
	f.Add([]byte("\xff\xff\xff\xffftyp"))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBPVP8 "))
	f.Fuzz(func(t *testing.T, file []byte) {
		if got := Sniff(file); int(got) >= len(formats) {
			t.Fatalf("format %d", got)
		}
	})
}

// Without that a URL whose picture takes minutes keeps its slot as long, whatever
// --timeout says.
func TestEncode_StopsWhereItsTimeIsUp(t *testing.T) {
	file := sample(t, "photos/couple-beach.jpg")
	for _, f := range []Format{JPEG, PNG} {
		i, err := Load(file, probe(t, file), LoadOptions{Shrink: 1, Random: true})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		i.Until(ctx)
		if err := i.Resize(pixel.Size{Width: 20000, Height: 20000}); err != nil { // seconds
			t.Fatal(err)
		}
		if blurred := i.Blur(200); !fault.Is(blurred, fault.Timeout) {
			t.Errorf("%v, want a timeout of what is worked through before", blurred)
		}
		_, err = i.Encode(EncodeOptions{Format: f, Quality: 90})
		cancel()
		i.Close()
		if !fault.Is(err, fault.Timeout) {
			t.Errorf("%s: %v, want a timeout", f, err)
		}
		i, err = Load(file, probe(t, file), LoadOptions{Shrink: 1, Random: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Encode(EncodeOptions{Format: f, Quality: 90}); err != nil {
			t.Errorf("%s: %v afterwards", f, err)
		}
		i.Close()
	}
}
