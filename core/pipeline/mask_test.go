package pipeline

import (
	"image"
	"image/color"
	"strings"
	"testing"

	"focal/core/fault"
	"focal/core/pixel"
)

func TestSegmentBackground_MakesAHole(t *testing.T) {
	s, none := card(t, 80, 40), color.NRGBA{}
	for _, c := range []struct {
		options, mime  string
		tl, tr, bl, br color.NRGBA
	}{
		{"segment=background", "image/png", none, green, none, yellow},
		{"segment=background,flip=h", "image/png", green, none, yellow, none},
		{"segment=background,rotate=90", "image/png", none, none, yellow, green},
		{"segment=background,background=white", "image/jpeg", blank, green, blank, yellow},
		{"segment=background,format=jpeg", "image/jpeg", blank, green, blank, yellow},
		{"segment=background,background=rgba(255,0,0,0.5)", "image/png", color.NRGBA{255, 0, 0, 128}, green, color.NRGBA{255, 0, 0, 128}, yellow},
	} {
		v := &scripted{mask: leftHalf()}
		r := makePicture(t, v, s, c.options)
		if r.ContentType != c.mime || len(r.Warnings) > 0 {
			t.Errorf("%s: %s, warnings %q", c.options, r.ContentType, r.Warnings)
		}
		m := decode(t, r)
		at(t, m, 0.1, 0.1, c.tl)
		at(t, m, 0.9, 0.1, c.tr)
		at(t, m, 0.1, 0.9, c.bl)
		at(t, m, 0.9, 0.9, c.br)
		if v.mask.Pix[0] != 255 {
			t.Fatal("the finding was changed")
		}
		if t.Failed() {
			t.Fatalf("that was %s", c.options)
		}
	}
	// Without a subject all of it is background.
	r := makePicture(t, &scripted{mask: masked(4, pixel.Rect{})}, s, "segment=background")
	at(t, decode(t, r), 0.1, 0.1, red)
	if len(r.Warnings) != 1 || r.Warnings[0] != "no foreground was found" {
		t.Errorf("warnings %q", r.Warnings)
	}
}

func TestMask_IsThePicture(t *testing.T) {
	s := card(t, 80, 40)
	white, black := color.NRGBA{255, 255, 255, 255}, color.NRGBA{0, 0, 0, 255}
	orange := color.NRGBA{255, 165, 0, 255}
	for _, c := range []struct {
		options, mime  string
		w, h           int
		tl, tr, bl, br color.NRGBA
	}{
		{"", "image/png", 80, 40, white, black, white, black},
		{",width=40", "image/png", 40, 20, white, black, white, black},
		{",segment=foreground", "image/png", 80, 40, white, black, white, black},
		{",segment=background", "image/png", 80, 40, black, white, black, white},
		{",flip=h,format=webp,quality=100", "image/webp", 80, 40, black, white, black, white},
		{",rotate=270,format=jpeg", "image/jpeg", 40, 80, black, black, white, white},
		{",trim.left=20,trim.right=20", "image/png", 40, 40, white, black, white, black},
		{",width=20,height=20,fit=cover,gravity=left", "image/png", 20, 20, white, white, white, white},
		// The bars are not kept either; another colour may be named.
		{",width=80,height=80,fit=pad", "image/png", 80, 80, black, black, black, black},
		{",width=80,height=80,fit=pad,background=orange", "image/png", 80, 80, orange, orange, orange, orange},
		// It is adjusted as any picture is.
		{",brightness=0.5", "image/png", 80, 40, color.NRGBA{128, 128, 128, 255}, black, color.NRGBA{128, 128, 128, 255}, black},
	} {
		r := makePicture(t, &scripted{mask: leftHalf()}, s, "mask=1"+c.options)
		if r.ContentType != c.mime || r.Size != (pixel.Size{Width: c.w, Height: c.h}) || len(r.Warnings) > 0 {
			t.Errorf("mask=1%s: %s of %v, warnings %q", c.options, r.ContentType, r.Size, r.Warnings)
		}
		if c.mime == "image/webp" {
			continue // the standard library reads none
		}
		m := decode(t, r)
		at(t, m, 0.1, 0.1, c.tl)
		at(t, m, 0.9, 0.1, c.tr)
		at(t, m, 0.1, 0.9, c.bl)
		at(t, m, 0.9, 0.9, c.br)
		if _, isGrey := m.(*image.Gray); isGrey == strings.Contains(c.options, "orange") {
			t.Errorf("mask=1%s: a %T", c.options, m)
		}
		if t.Failed() {
			t.Fatalf("that was mask=1%s", c.options)
		}
	}
}

// What the mask shows is what the cut-out keeps, at every pixel but for
// rounding.
func TestMask_IsTheAlphaOfTheCutOut(t *testing.T) {
	s := photo(t, "photos/couple-beach.jpg")
	v := &scripted{mask: masked(32, pixel.Rect{X: 5, Y: 7, Width: 9, Height: 20})}
	for _, list := range []string{"", ",width=200", ",width=100,height=100,fit=cover,gravity=foreground", ",rotate=90,flip=h,width=150", ",trim=foreground"} {
		for _, segment := range []string{"foreground", "background"} {
			cut := decode(t, makePicture(t, v, s, "segment="+segment+list))
			mask := decode(t, makePicture(t, v, s, "mask=1,segment="+segment+list))
			if cut.Bounds() != mask.Bounds() {
				t.Fatalf("%s%s: %v and %v", segment, list, cut.Bounds(), mask.Bounds())
			}
			worst := 0
			for y := range cut.Bounds().Dy() {
				for x := range cut.Bounds().Dx() {
					a := color.NRGBAModel.Convert(cut.At(x, y)).(color.NRGBA).A
					g := color.GrayModel.Convert(mask.At(x, y)).(color.Gray).Y
					worst = max(worst, int(max(a, g)-min(a, g)))
				}
			}
			// Colours are weighed by alpha in numbers of more than eight bits, a
			// mask alone is not.
			if worst > 6 {
				t.Errorf("%s%s: they differ by %d", segment, list, worst)
			}
		}
	}
}

func TestMask_OfAnAnimationIsTheFirstFrames(t *testing.T) {
	for _, list := range []string{"mask=1", "segment=background"} {
		r := makePicture(t, &scripted{mask: leftHalf()}, photo(t, "animated/cogs.gif"), list)
		if r.ContentType != "image/png" || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "first frame") {
			t.Errorf("%s: %s, warnings %q", list, r.ContentType, r.Warnings)
		}
	}
}

func TestMask_IsNeverMissing(t *testing.T) {
	v := &scripted{err: fault.New(fault.Busy, "test", "busy")}
	for _, list := range []string{"mask=1", "segment=background", "mask=1,gravity=foreground,zoom=1"} {
		_, err := pipeline(t, v, nil).Make(t.Context(), Request{Source: card(t, 40, 40), Options: options(t, list)})
		if !fault.Is(err, fault.Busy) {
			t.Errorf("%s: got %v, want busy", list, err)
		}
	}
}

// Whoever drops the alpha channel of a cut-out, or of a picture whose faces are
// hidden, finds nothing there; what is opaque stays as it is.
func TestConceal_LeavesNoColourBehindTransparency(t *testing.T) {
	mask := leftHalf()
	for i := range mask.Pix {
		if i/mask.Width < 16 && mask.Pix[i] == 0 {
			mask.Pix[i] = 1 // as masks are: nearly nothing
		}
	}
	secret := painted(t, 64, 64, func(x, y int) color.NRGBA {
		if x < 32 {
			return color.NRGBA{uint8(4 * x), uint8(4 * y), 77, 255}
		}
		return color.NRGBA{uint8(100 + y), 150, 200, 255}
	})
	behind := painted(t, 64, 64, func(x, y int) color.NRGBA {
		if x < 32 {
			return color.NRGBA{uint8(4 * x), uint8(4 * y), 77, 255}
		}
		return color.NRGBA{uint8(100 + y), 150, 200, uint8(min(1, y/32))}
	})
	for _, c := range []struct {
		s       Source
		options string
	}{
		{secret, "segment=foreground"}, {secret, "segment=foreground,format=png,flip=hv"}, {behind, "blur-faces=1,format=png"},
	} {
		r := makePicture(t, &scripted{mask: mask}, c.s, c.options+",quality=100")
		m, ok := decode(t, r).(*image.NRGBA)
		if !ok {
			t.Fatalf("%s: no straight alpha", c.options)
		}
		opaque := 0
		for i := 0; i < len(m.Pix); i += 4 {
			p := m.Pix[i : i+4]
			switch {
			case p[3] == 0 && (p[0] > 0 || p[1] > 0 || p[2] > 0):
				t.Fatalf("%s: %v behind nothing", c.options, p)
			case p[3] == 1 && (p[0]%255 > 0 || p[1]%255 > 0 || p[2]%255 > 0):
				t.Fatalf("%s: %v behind next to nothing", c.options, p)
			case p[3] == 255:
				opaque++
				if p[2] != 77 {
					t.Fatalf("%s: an opaque pixel became %v", c.options, p)
				}
			}
		}
		if opaque < 64*28 {
			t.Errorf("%s: only %d opaque pixels", c.options, opaque)
		}
	}
}
