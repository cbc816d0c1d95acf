package pipeline

import (
	"image"
	"image/color"
	"testing"

	"focal/core/fault"
	"focal/core/pixel"
)

// plainGrey is 500×400 of one grey, so that all that is drawn stands out.
func plainGrey(t testing.TB) Source {
	t.Helper()
	return painted(t, 500, 400, func(int, int) color.NRGBA { return color.NRGBA{200, 200, 200, 255} })
}

// shown checks the colours of pixels of a lossless overlay.
func shown(t *testing.T, name string, m image.Image, points map[[2]int]color.Color) {
	t.Helper()
	for p, want := range points {
		got, c := color.NRGBAModel.Convert(m.At(p[0], p[1])).(color.NRGBA), color.NRGBAModel.Convert(want).(color.NRGBA)
		if abs(int(got.R)-int(c.R))+abs(int(got.G)-int(c.G))+abs(int(got.B)-int(c.B)) > 6 {
			t.Errorf("%s: at %v %v, want %v", name, p, got, c)
		}
	}
}

func TestOverlay_ShowsWhatIsFoundAndWhatIsKept(t *testing.T) {
	whole, dim, dimmer := color.Gray{Y: 200}, color.Gray{Y: 100}, color.Gray{Y: 50}
	v := &scripted{
		mask: masked(50, pixel.Rect{X: 10, Y: 10, Width: 10, Height: 20}), // 100, 100 to 200, 240... in 500×400: 100..200, 80..240
		faces: []pixel.Face{
			{Box: pixel.Box{X: 0.6, Y: 0.5, W: 0.2, H: 0.25}, Score: 0.9}, // 300, 200 to 400, 300
			{Box: pixel.Box{X: 0.1, Y: 0.5, W: 0.1, H: 0.1}, Score: 0.8},  // 50, 200 to 100, 240
		},
	}
	for _, c := range []struct {
		options string
		points  map[[2]int]color.Color
	}{
		{"trim=100;0;0;0", map[[2]int]color.Color{
			{10, 50}: dimmer, {10, 102}: cropColour, {250, 250}: whole, // what was trimmed away lies outside of the window too
		}},
		{"width=100,height=100,fit=cover,gravity=left", map[[2]int]color.Color{ // 0 to 400
			{1, 200}: cropColour, {398, 200}: cropColour, {200, 200}: whole, {450, 200}: dim,
		}},
		{"gravity=face,faces=largest,zoom=0.5", map[[2]int]color.Color{ // 250, 150 to 450, 350
			{251, 250}: cropColour, {448, 250}: cropColour, {350, 151}: cropColour, {320, 160}: whole,
			{300, 250}: chosenColour, {399, 250}: chosenColour, {50, 220}: otherColour, {470, 380}: dim,
		}},
		// Turned and trimmed, everything lies where it was in the source.
		{"gravity=face,faces=largest,zoom=0.5,rotate=90,flip=h,trim.left=0.2", map[[2]int]color.Color{
			{251, 250}: cropColour, {448, 250}: cropColour, {300, 250}: chosenColour, {50, 220}: otherColour, {470, 380}: dim, {60, 380}: dimmer,
		}},
		{"gravity=foreground,zoom=1", map[[2]int]color.Color{
			// The window lies on the subject's box, over its frame.
			{101, 160}: cropColour, {198, 160}: cropColour, {300, 160}: dim,
			{150, 160}: color.NRGBA{150, 203, 211, 255}, // 0.7·200 + 0.3·(34, 211, 238)
		}},
	} {
		r := makePicture(t, v, plainGrey(t), "debug=crop,format=png,"+c.options)
		if !r.Fleeting || r.ContentType != "image/png" || r.Size.Width != 500 || r.Size.Height <= 400 {
			t.Errorf("%s: %+v of %s, fleeting: %v", c.options, r.Size, r.ContentType, r.Fleeting)
		}
		shown(t, c.options, decode(t, r), c.points)
	}
}

// The words below differ by what was asked and found.
func TestOverlay_SaysHow(t *testing.T) {
	found := Findings{
		Hidden:     &Finding[[]pixel.Face]{Value: make([]pixel.Face, 2), Model: "m", Provider: "cuda", How: "hit"},
		Foreground: &Finding[pixel.Mask]{Value: leftHalf(), Model: "n", Provider: "cpu", How: "run"},
		Salient:    &pixel.Point{X: 0.25, Y: 1},
		Degraded:   &Degraded{From: "face", To: "auto", Reason: fault.Busy},
	}
	p := pipeline(t, nil, nil)
	info, err := p.probe(t.Context(), card(t, 80, 40).Bytes)
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Options: options(t, "g=auto,w=20,h=20,fit=cover,debug=crop")}
	pl, err := draft(info, r.Options, found, p.config)
	if err != nil {
		t.Fatal(err)
	}
	pl.warn("a warning")
	want := []string{
		"width=20,height=20,fit=cover,gravity=auto,debug=crop",
		"crop 10,0 40x40 of 80x40 (source 80x40) -> 20x20", // a quarter of the 40 left over
		"face: m on cuda, hit; blurred=2",
		"foreground: n on cpu, run; coverage=0.5",
		"salient at 0.25,1.00 of what the crop leaves over",
		"degraded: face=auto; reason=busy",
		"a warning",
	}
	got := legend(r, info, pl, found)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	// And they are written.
	a := newSketch(pixel.Buffer{Width: 8, Height: 8, Channels: 3, Pix: make([]byte, 192)}, leastOverlay, len(got))
	before := string(a.canvas.Pix)
	a.caption(got)
	if string(a.canvas.Pix) == before {
		t.Error("nothing was written")
	}
}

func TestOverlay_HidesFacesToo(t *testing.T) {
	s := checked(t, 640, 480, 4)
	v := oneFace(0.5, 0.5, 0.25, 0.25, 0.9)
	m := decode(t, makePicture(t, v, s, "debug=crop,blur-faces=1,format=png"))
	if got := contrast(m, image.Rect(320, 240, 480, 360)); got > 12 {
		t.Errorf("neighbours in the face differ by %d", got)
	}
	m = decode(t, makePicture(t, v, s, "debug=crop,format=png"))
	if got := contrast(m, image.Rect(320, 240, 480, 360)); got < 200 {
		t.Errorf("without: neighbours differ by %d", got)
	}
	_, err := pipeline(t, &scripted{err: fault.New(fault.Busy, "test", "busy")}, nil).Make(t.Context(), Request{
		Source: s, Options: options(t, "debug=crop,blur-faces=1"),
	})
	if !fault.Is(err, fault.Busy) {
		t.Errorf("got %v, want busy", err)
	}
}

// From one pixel to a long strip, from a photograph to an animation.
func TestOverlay_TakesAnySource(t *testing.T) {
	for name, s := range map[string]Source{
		"one pixel": card(t, 1, 1), "high": card(t, 3, 900), "wide": card(t, 900, 3), "photo": photo(t, "photos/couple-beach.jpg"),
		"turned": photo(t, "exif/portrait_6.jpg"), "animated": photo(t, "animated/cogs.gif"), "transparent": photo(t, "alpha/rgba.png"),
	} {
		for _, list := range []string{"debug=crop", "debug=crop,gravity=face,segment=foreground", "debug=crop,format=webp,width=10,height=10,fit=cover,gravity=foreground"} {
			r := makePicture(t, oneFace(0.4, 0.4, 0.2, 0.2, 0.9), s, list)
			if len(r.Body) == 0 || !r.Fleeting {
				t.Errorf("%s, %s: %d bytes, fleeting: %v", name, list, len(r.Body), r.Fleeting)
			}
		}
	}
	// Facts stay facts, and a drawing stays a drawing.
	if r := makePicture(t, nil, card(t, 9, 9), "debug=crop,format=json"); r.ContentType != "application/json" || r.Fleeting {
		t.Errorf("got %s", r.ContentType)
	}
	if r := makePicture(t, nil, svgOf(), "debug=crop"); r.ContentType != "image/svg+xml" || len(r.Warnings) != 1 {
		t.Errorf("got %s with %q", r.ContentType, r.Warnings)
	}
}
