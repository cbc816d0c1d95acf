package pipeline

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"strings"
	"testing"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/core/vips"
)

// checked paints w×h in two greys: squares of the given side, light and dark,
// whose mean is 128.
func checked(t testing.TB, w, h, side int) Source {
	t.Helper()
	return painted(t, w, h, func(x, y int) color.NRGBA {
		if (x/side+y/side)%2 == 0 {
			return color.NRGBA{255, 255, 255, 255}
		}
		return color.NRGBA{0, 0, 0, 255}
	})
}

// asJPEG is the same picture as a JPEG, which is reduced while decoding.
func asJPEG(t testing.TB, s Source) Source {
	t.Helper()
	m, _, err := image.Decode(bytes.NewReader(s.Bytes))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return source(b.Bytes())
}

// contrast is the largest difference between neighbouring pixels inside r.
func contrast(m image.Image, r image.Rectangle) int {
	worst := 0
	grey := func(x, y int) int { return int(color.GrayModel.Convert(m.At(x, y)).(color.Gray).Y) }
	for y := r.Min.Y; y < r.Max.Y-1; y++ {
		for x := r.Min.X; x < r.Max.X-1; x++ {
			worst = max(worst, abs(grey(x, y)-grey(x+1, y)), abs(grey(x, y)-grey(x, y+1)))
		}
	}
	return worst
}

func abs(v int) int { return max(v, -v) }

func oneFace(x, y, w, h, score float64) *scripted {
	return &scripted{mask: leftHalf(), faces: []pixel.Face{{Box: pixel.Box{X: x, Y: y, W: w, H: h}, Score: score}}}
}

// A checkerboard is all detail: where a face is hidden, none is left, in every
// pixel of its box, whatever else is done to the picture.
func TestBlurFaces_LeavesNoDetailInTheBox(t *testing.T) {
	s := checked(t, 640, 480, 4)
	// The face is 160×120 at (320, 240), in fractions 0.5, 0.5, 0.25×0.25.
	for _, c := range []struct {
		options string
		box     image.Rectangle // where the face's box is in the answer
	}{
		{"", image.Rect(320, 240, 480, 360)},
		{"width=320", image.Rect(160, 120, 240, 180)},
		{"width=1280,fit=contain", image.Rect(640, 480, 960, 720)},
		{"flip=h", image.Rect(160, 240, 320, 360)},
		{"rotate=90", image.Rect(120, 320, 240, 480)},
		{"rotate=180,flip=v", image.Rect(160, 240, 320, 360)},
		{"trim.left=320,trim.top=240", image.Rect(0, 0, 160, 120)},
		{"trim.left=400", image.Rect(0, 240, 80, 360)},
		{"gravity=face,zoom=1", image.Rect(0, 0, 160, 120)},
		{"gravity=face,zoom=0.5,width=160,height=160,fit=cover", image.Rect(40, 50, 120, 110)},
		{"width=320,height=320,fit=pad", image.Rect(160, 160, 240, 220)},
		{"border.width=10", image.Rect(330, 250, 490, 370)},
		{"width=320,sharpen=10,contrast=1.2", image.Rect(162, 122, 238, 178)},
		{"segment=background", image.Rect(320, 240, 480, 360)},
	} {
		for name, src := range map[string]Source{"png": s, "jpeg": asJPEG(t, s)} {
			m := decode(t, makePicture(t, oneFace(0.5, 0.5, 0.25, 0.25, 0.9), src, "blur-faces=1,format=png,compression=fast,"+c.options))
			// The steepest slope there can be goes from black to white within a
			// fifth of the hidden part, 1.6 times the box; here all means are
			// nearly alike.
			if got := contrast(m, c.box); got > 12 {
				t.Errorf("%s of a %s: neighbours in %v differ by %d", c.options, name, c.box, got)
			}
			// And the test would see it.
			plain := decode(t, makePicture(t, nil, src, "format=png,compression=fast,"+strings.NewReplacer("gravity=face,zoom=1", "", "gravity=face,zoom=0.5,", "", "segment=background", "").Replace(c.options)+",blur=0"))
			if got := contrast(plain, image.Rect(20, 20, 60, 60).Add(plain.Bounds().Size().Div(4))); got < 60 {
				t.Errorf("%s of a %s: without it they differ by %d", c.options, name, got)
			}
		}
	}
}

// Nothing is left but the means: what differs in detail alone looks the same.
func TestBlurFaces_TwoFacesOfTheSameMeansAreOne(t *testing.T) {
	grey := painted(t, 400, 400, func(int, int) color.NRGBA { return color.NRGBA{128, 128, 128, 255} })
	v := oneFace(0.3, 0.3, 0.25, 0.25, 0.9) // hidden: 160×160 from (90, 90), cells of 32
	a := decode(t, makePicture(t, v, grey, "blur-faces=1,format=png"))
	for _, side := range []int{1, 2, 4} {
		b := decode(t, makePicture(t, v, checked(t, 400, 400, side), "blur-faces=1,format=png"))
		for y := 120; y < 220; y++ {
			for x := 120; x < 220; x++ {
				p, q := color.GrayModel.Convert(a.At(x, y)).(color.Gray).Y, color.GrayModel.Convert(b.At(x, y)).(color.Gray).Y
				if abs(int(p)-int(q)) > 3 {
					t.Fatalf("squares of %d: at %d, %d one is %d, the other %d", side, x, y, p, q)
				}
			}
		}
	}
}

// No other size, crop or format gives other means: nobody learns more from many
// pictures than from one.
func TestBlurFaces_ShowsTheSameInEveryPicture(t *testing.T) {
	s := photo(t, "photos/portrait-smile.jpg") // 2048×1117
	v := oneFace(0.35, 0.2, 0.2, 0.5, 0.9)
	middle := func(list string) [9]color.NRGBA {
		m := decode(t, makePicture(t, v, s, "blur-faces=1,format=png,compression=fast,"+list))
		var out [9]color.NRGBA
		for i := range out { // nine points of the face
			x := (0.35 + 0.2*float64(i%3+1)/4) * float64(m.Bounds().Dx())
			y := (0.2 + 0.5*float64(i/3+1)/4) * float64(m.Bounds().Dy())
			out[i] = color.NRGBAModel.Convert(m.At(int(x), int(y))).(color.NRGBA)
		}
		return out
	}
	want := middle("width=1500")
	for _, list := range []string{"width=1024", "width=700", "width=333", "width=120"} {
		for i, got := range middle(list) {
			for _, d := range []int{int(got.R) - int(want[i].R), int(got.G) - int(want[i].G), int(got.B) - int(want[i].B)} {
				if abs(d) > 8 { // a pixel of the smallest is an eighth of a cell
					t.Errorf("%s: point %d is %v, in the full size %v", list, i, got, want[i])
					break
				}
			}
		}
	}
}

func TestBlurFaces_ChangesNothingElse(t *testing.T) {
	s := photo(t, "photos/couple-beach.jpg") // 768×512
	box := pixel.Box{X: 0.5, Y: 0.5, W: 0.1, H: 0.1}
	a := decode(t, makePicture(t, nil, s, "format=png,compression=fast"))
	b := decode(t, makePicture(t, oneFace(box.X, box.Y, box.W, box.H, 0.9), s, "format=png,compression=fast,blur-faces=1"))
	// The ellipse is in the box grown 1.6 times: 122.88×81.92 round (422.4, 281.6).
	changed := 0
	for y := range 512 {
		for x := range 768 {
			if a.At(x, y) == b.At(x, y) {
				continue
			}
			changed++
			if math.Hypot((float64(x)+0.5-422.4)/61.44, (float64(y)+0.5-281.6)/40.96) > 1.05 {
				t.Fatalf("the pixel at %d, %d changed", x, y)
			}
		}
	}
	if least := 76 * 51; changed < least { // its box
		t.Errorf("%d pixels changed, want at least %d", changed, least)
	}
}

// The face at the edge, and one that reaches out of the picture.
func TestBlurFaces_ReachesTheEdges(t *testing.T) {
	s := checked(t, 200, 200, 2)
	for _, v := range []*scripted{
		oneFace(0, 0, 0.2, 0.2, 0.9), oneFace(0.8, 0.8, 0.2, 0.2, 0.9), oneFace(-0.1, 0.4, 0.2, 0.2, 0.9), oneFace(0.4, 0.95, 0.2, 0.2, 0.9),
	} {
		b := v.faces[0].Box
		box := image.Rect(int(200*b.X), int(200*b.Y), int(200*(b.X+b.W)), int(200*(b.Y+b.H)))
		m := decode(t, makePicture(t, v, s, "blur-faces=1,format=png"))
		if got := contrast(m, box.Intersect(m.Bounds())); got > 12 {
			t.Errorf("face at %v: neighbours differ by %d", box, got)
		}
	}
	// One that is nowhere, and none at all, hide nothing and harm nobody.
	for _, v := range []*scripted{oneFace(1.5, 0, 0.2, 0.2, 0.9), oneFace(0.5, 0.5, 0, 0.1, 0.9), oneFace(0.5, 0.5, math.NaN(), 0.1, 0.9)} {
		m := decode(t, makePicture(t, v, s, "blur-faces=1,format=png"))
		if got := contrast(m, m.Bounds()); got < 200 {
			t.Errorf("%v: something was hidden", v.faces[0].Box)
		}
	}
}

func TestBlurFaces_HidesFarMoreThanACropCounts(t *testing.T) {
	s := checked(t, 400, 400, 4)
	box := image.Rect(200, 200, 240, 240)
	for _, c := range []struct {
		options string
		score   float64
		hidden  bool
	}{
		{"", 0.95, true},
		{"", 0.2, true},
		{"", 0.19, false},
		{",face-min-score=0.1", 0.1, true},
		{",face-min-score=0", 0.01, true},
		// A crop to sure faces does not show the others.
		{",gravity=face,face-min-score=0.9", 0.2, true},
		{",gravity=face,faces=largest", 0.2, true},
	} {
		v := oneFace(0.5, 0.5, 0.1, 0.1, c.score)
		r := makePicture(t, v, s, "format=png,blur-faces=1"+c.options)
		if got := contrast(decode(t, r), box) < 30; got != c.hidden {
			t.Errorf("score %v with %q: hidden %v", c.score, c.options, got)
		}
		if none := strings.Contains(strings.Join(r.Warnings, ";"), "no face was found"); none == c.hidden {
			t.Errorf("score %v with %q: warnings %q", c.score, c.options, r.Warnings)
		}
	}
}

func TestBlurFaces_NeverGivesAnUnblurredPicture(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Unavailable, fault.Busy, fault.Timeout, fault.Internal} {
		v := &scripted{err: fault.New(kind, "test", "no")}
		for _, list := range []string{"blur-faces=1", "blur-faces=1,gravity=face,width=20,height=10,fit=cover", "blur-faces=1,format=json"} {
			_, err := pipeline(t, v, nil).Make(t.Context(), Request{Source: card(t, 40, 40), Options: options(t, list)})
			if !fault.Is(err, kind) {
				t.Errorf("%s: got %v, want %s", list, err, kind)
			}
		}
	}
	// The original may be smaller: it stays here. Without a face it may go.
	s := painted(t, 64, 64, func(x, y int) color.NRGBA { return color.NRGBA{uint8(x * 4), uint8(y * 4), 0, 255} })
	for _, c := range []struct {
		v    Vision
		same bool
	}{{oneFace(0.4, 0.4, 0.2, 0.2, 0.9), false}, {&scripted{}, true}} {
		r := makePicture(t, c.v, s, "blur-faces=1,format=png")
		if bytes.Equal(r.Body, s.Bytes) != c.same {
			t.Errorf("the original was handed out: %v", !c.same)
		}
	}
}

// Faces are looked for in the first frame, so no other leaves.
func TestBlurFaces_OfAnAnimationIsTheFirstFrame(t *testing.T) {
	for _, name := range []string{"animated/cogs.gif", "animated/rotating-squares.webp"} {
		for _, list := range []string{"blur-faces=1", "blur-faces=1,format=webp,anim=true"} {
			r, err := pipeline(t, oneFace(0.4, 0.4, 0.2, 0.2, 0.9), nil).Make(t.Context(), Request{
				Source: photo(t, name), Options: options(t, list), Accept: Accept{WebP: true},
			})
			if err != nil {
				t.Fatal(err)
			}
			info, err := vips.Probe(r.Body)
			if err != nil || info.Pages != 1 || !strings.Contains(fmt.Sprint(r.Warnings), "first frame") {
				t.Errorf("%s, %s: %d frames, %v, warnings %q", name, list, info.Pages, err, r.Warnings)
			}
		}
	}
}

func TestBlurFaces_KeepsTransparency(t *testing.T) {
	s := painted(t, 100, 100, func(x, _ int) color.NRGBA {
		if x < 50 {
			return color.NRGBA{}
		}
		return color.NRGBA{200, 0, 0, 255}
	})
	m := decode(t, makePicture(t, oneFace(0.3, 0.3, 0.4, 0.4, 0.9), s, "blur-faces=1,format=png"))
	at(t, m, 0.4, 0.5, color.NRGBA{})
	if a := color.NRGBAModel.Convert(m.At(60, 50)).(color.NRGBA).A; a != 255 {
		t.Errorf("what was opaque has alpha %d", a)
	}
}

// The picture as it lies in the file is turned: the face is found in it upright.
func TestBlurFaces_FollowsTheOrientation(t *testing.T) {
	s := photo(t, "exif/portrait_6.jpg") // 450×600 upright
	plain := decode(t, makePicture(t, nil, s, "format=png"))
	b := plain.Bounds()
	box := image.Rect(b.Dx()*6/10, b.Dy()*2/10, b.Dx()*8/10, b.Dy()*4/10)
	m := decode(t, makePicture(t, oneFace(0.6, 0.2, 0.2, 0.2, 0.9), s, "blur-faces=1,format=png"))
	if before, after := contrast(plain, box), contrast(m, box); after > 14 || before < 2*after {
		t.Errorf("neighbours in %v differ by %d, before by %d", box, after, before)
	}
}

func TestBlurFaces_DropsThePicturesInsideAnSVG(t *testing.T) {
	s := svgOf(dataURL("image/png", card(t, 8, 8).Bytes))
	r := makePicture(t, nil, s, "blur-faces=1")
	if len(inside(t, r.Body)) != 0 || !bytes.Contains(r.Body, []byte("<rect")) {
		t.Errorf("got %s", r.Body)
	}
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "blur-faces") {
		t.Errorf("warnings %q", r.Warnings)
	}
}

// As many faces as a detector gives at most.
func TestBlurFaces_HidesCrowds(t *testing.T) {
	v := &scripted{}
	for i := range 500 {
		v.faces = append(v.faces, pixel.Face{Box: pixel.Box{X: float64(i%25) / 25, Y: float64(i/25) / 20, W: 0.02, H: 0.025}, Score: 0.9})
	}
	s := checked(t, 1000, 800, 2)
	m := decode(t, makePicture(t, v, s, "blur-faces=1,format=png"))
	for i := range v.faces {
		x, y := i%25*40, i/25*40
		if got := contrast(m, image.Rect(x, y, x+20, y+20)); got > 60 {
			t.Fatalf("face %d: neighbours differ by %d", i, got)
		}
	}
}

// Both questions about faces are one fact, which names the model of both.
func TestFacts_CountWhatIsHidden(t *testing.T) {
	a, b := pixel.Digest{1}, pixel.Digest{2}
	two := &Finding[[]pixel.Face]{Value: make([]pixel.Face, 2), Model: "m", Digest: a, How: "run"}
	three := &Finding[[]pixel.Face]{Value: make([]pixel.Face, 3), Model: "m", Digest: a, How: "hit"}
	other := &Finding[[]pixel.Face]{Model: "n", Digest: b, How: "run"}
	for _, c := range []struct {
		found  Findings
		detail string
		digest pixel.Digest
		how    string
	}{
		{Findings{Faces: two}, "count=2", a, "run"},
		{Findings{Hidden: three}, "blurred=3", a, "hit"},
		{Findings{Faces: two, Hidden: three}, "count=2; blurred=3", a, "run"},
		{Findings{Faces: two, Hidden: other}, "count=2; blurred=0", pixel.Digest{}, "run"},
	} {
		facts := c.found.facts()
		if len(facts) != 1 {
			t.Fatalf("%d facts", len(facts))
		}
		if f := facts[0]; f.Task != TaskFace || f.Detail != c.detail || f.Digest != c.digest || f.How != c.how {
			t.Errorf("got %+v, want %+v", f, c)
		}
	}
	if facts := (Findings{}).facts(); len(facts) != 0 {
		t.Errorf("of nothing: %v", facts)
	}
}
