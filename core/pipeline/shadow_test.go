package pipeline

import (
	"image/color"
	"testing"

	"focal/core/pixel"
)

// The subject of the card of 200×200: 40×40 at (80, 80), in all four colours.
func middleSubject() *scripted {
	return &scripted{mask: masked(200, pixel.Rect{X: 80, Y: 80, Width: 40, Height: 40})}
}

func TestShadow_FallsWhereItIsTold(t *testing.T) {
	none, pink, half := color.NRGBA{}, color.NRGBA{255, 0, 255, 255}, color.NRGBA{255, 0, 255, 128}
	s := card(t, 200, 200)
	for _, c := range []struct {
		options, mime string
		points        map[[2]int]color.NRGBA
	}{
		{"shadow=30;10;0,shadow.color=fuchsia", "image/png", map[[2]int]color.NRGBA{
			{85, 85}: red, {115, 85}: green, {115, 115}: yellow, // the subject lies over it
			{140, 100}: pink, {115, 125}: pink, {148, 128}: pink, {152, 128}: none, {85, 125}: none, {140, 85}: none,
		}},
		{"shadow=-30;-10;0,shadow.color=rgba(255,0,255,0.5)", "image/png", map[[2]int]color.NRGBA{
			{60, 80}: half, {52, 72}: half, {48, 72}: none, {85, 75}: half, {100, 100}: yellow,
		}},
		// It is of the result, not of the source, and grows with dpr.
		{"width=100,dpr=2,shadow=15;5;0,shadow.color=fuchsia", "image/png", map[[2]int]color.NRGBA{{140, 100}: pink, {152, 128}: none}},
		{"width=100,shadow=15;5;0,shadow.color=fuchsia", "image/png", map[[2]int]color.NRGBA{{70, 50}: pink, {76, 64}: none}},
		{"rotate=180,shadow=30;10;0,shadow.color=fuchsia", "image/png", map[[2]int]color.NRGBA{{85, 85}: yellow, {140, 100}: pink}},
		// Over the background and under the subject.
		{"shadow=30;10;0,shadow.color=fuchsia,background=white", "image/jpeg", map[[2]int]color.NRGBA{
			{90, 90}: red, {140, 110}: pink, {20, 20}: blank,
		}},
		{"shadow=30;10;0,shadow.color=rgba(0,0,0,0.5),background=white", "image/jpeg", map[[2]int]color.NRGBA{
			{140, 110}: {127, 127, 127, 255}, {20, 20}: blank,
		}},
		// The bars are room for it too.
		{"trim=foreground,width=80,height=40,fit=pad,shadow=15;0;0,shadow.color=fuchsia", "image/png", map[[2]int]color.NRGBA{
			{22, 5}: red, {58, 35}: yellow, {65, 20}: pink, {73, 20}: pink, {77, 20}: none, {10, 20}: none,
		}},
		{"trim=foreground,width=80,height=40,fit=pad,shadow=15;0;0,shadow.color=fuchsia,background=white,format=png", "image/png", map[[2]int]color.NRGBA{
			{22, 5}: red, {65, 20}: pink, {77, 20}: blank, {10, 20}: blank,
		}},
		// What touches the edge goes on beyond it: no gap where it is cut off.
		{"trim=foreground,shadow=-5;-5;0,shadow.color=fuchsia", "image/png", map[[2]int]color.NRGBA{{39, 39}: yellow, {0, 0}: red}},
		// Farther than the picture is long.
		{"shadow=1000000;0;0,shadow.color=fuchsia", "image/png", map[[2]int]color.NRGBA{{90, 90}: red, {150, 100}: none}},
	} {
		r := makePicture(t, middleSubject(), s, "segment=foreground,"+c.options)
		if r.ContentType != c.mime || len(r.Warnings) > 0 {
			t.Errorf("%s: %s, warnings %q", c.options, r.ContentType, r.Warnings)
		}
		m := decode(t, r)
		for p, want := range c.points {
			w, h := float64(m.Bounds().Dx()), float64(m.Bounds().Dy())
			at(t, m, (float64(p[0])+0.5)/w, (float64(p[1])+0.5)/h, want)
		}
		if t.Failed() {
			t.Fatalf("that was %s", c.options)
		}
	}
}

// Without numbers it is soft, lies below the subject, and is of the result's
// scale.
func TestShadow_SuitsTheSizeByItself(t *testing.T) {
	for _, list := range []string{"width=200", "width=600,fit=contain"} {
		m := decode(t, makePicture(t, middleSubject(), card(t, 200, 200), "segment=foreground,shadow=1,"+list))
		n := m.Bounds().Dx()
		alpha := func(x, y float64) uint8 {
			return color.NRGBAModel.Convert(m.At(int(x*float64(n)), int(y*float64(n)))).(color.NRGBA).A
		}
		// The subject ends at 0.6; the shadow is moved down by 0.02 and has a
		// deviation of 0.02.
		below, above, far := alpha(0.5, 0.615), alpha(0.5, 0.385), alpha(0.5, 0.72)
		if below < 40 || below > 102 || above >= below/2 || far > 2 {
			t.Errorf("%s: alpha %d below, %d above, %d far away", list, below, above, far)
		}
		if mid := alpha(0.5, 0.5); mid != 255 {
			t.Errorf("%s: the subject has alpha %d", list, mid)
		}
	}
}

func TestShadow_OfAPhotographReducedWhileDecoding(t *testing.T) {
	v := &scripted{mask: masked(64, pixel.Rect{X: 20, Y: 16, Width: 20, Height: 30})}
	r := makePicture(t, v, photo(t, "photos/portrait-smile.jpg"), "segment=foreground,shadow=1,width=300")
	m := decode(t, r)
	a := color.NRGBAModel.Convert(m.At(150*300/320, int(float64(m.Bounds().Dy())*0.735))).(color.NRGBA).A
	if a < 20 || a > 110 {
		t.Errorf("below the subject alpha is %d", a)
	}
}
