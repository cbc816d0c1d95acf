package geometry

import (
	"math"
	"testing"

	"focal/core/fault"
	"focal/core/pixel"
	"pgregory.net/rapid"
)

func size(w, h int) pixel.Size { return pixel.Size{Width: w, Height: h} }

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

func sameWindow(a, b Window) bool {
	return near(a.X, b.X) && near(a.Y, b.Y) && near(a.W, b.W) && near(a.H, b.H)
}

func mustArrange(t *testing.T, src pixel.Size, target Target, f Focus) Layout {
	t.Helper()
	l, err := Arrange(src, target, f)
	if err != nil {
		t.Fatalf("Arrange(%v, %v): %v", src, target, err)
	}
	return l
}

// The table of cloudflare-api.md §1.3, and the rules of its first table.
func TestArrange_GivesThePublishedSizes(t *testing.T) {
	for _, c := range []struct {
		name   string
		src    pixel.Size
		target Target
		want   pixel.Size // of the canvas
	}{
		{"§1.3 scale-down rounds 333.3 to 333", size(1080, 720), Target{500, 500, ScaleDown}, size(500, 333)},
		{"§1.3 scale-down never enlarges", size(1080, 720), Target{2000, 2000, ScaleDown}, size(1080, 720)},
		{"scale-down does not enlarge by a little", size(1080, 720), Target{1082, 722, ScaleDown}, size(1080, 720)},
		{"§1.3 cover", size(1080, 720), Target{500, 500, Cover}, size(500, 500)},
		{"§1.3 crop of a smaller source", size(1080, 720), Target{1296, 1296, Crop}, size(1080, 720)},
		{"§1.3 aspect-crop gives 357", size(612, 613), Target{1920, 1120, AspectCrop}, size(612, 357)},
		{"§1.3 pad", size(1080, 720), Target{1080, 1080, Pad}, size(1080, 1080)},
		{"§1.3 squeeze", size(1080, 720), Target{1080, 540, Squeeze}, size(1080, 540)},
		{"§1.3 contain, no bars", size(200, 100), Target{50, 50, Contain}, size(50, 25)},
		{"§1.3 default, no bars", size(200, 100), Target{Width: 50, Height: 50}, size(50, 25)},
		{"§1.3 scale-down by width", size(200, 100), Target{Width: 400}, size(200, 100)},
		{"§1.3 pad shrinks", size(200, 100), Target{100, 100, Pad}, size(100, 100)},
		{"§1.3 cover shrinks", size(200, 100), Target{200, 20, Cover}, size(200, 20)},
		{"§1.4 bottom", size(1080, 720), Target{1080, 400, Cover}, size(1080, 400)},

		{"contain enlarges", size(200, 100), Target{400, 400, Contain}, size(400, 200)},
		{"contain with one side matches it", size(200, 100), Target{Height: 300, Fit: Contain}, size(600, 300)},
		{"cover enlarges", size(200, 100), Target{400, 400, Cover}, size(400, 400)},
		{"crop as cover when both sides reach", size(1080, 720), Target{500, 500, Crop}, size(500, 500)},
		{"crop of a source too low only", size(1080, 720), Target{500, 1000, Crop}, size(500, 720)},
		{"crop of a source too narrow only", size(720, 1080), Target{1000, 500, Crop}, size(720, 500)},
		{"crop of a source of the box's height", size(1080, 720), Target{500, 720, Crop}, size(500, 720)},
		{"aspect-crop shrinks", size(1080, 720), Target{200, 200, AspectCrop}, size(200, 200)},
		{"pad enlarges", size(200, 100), Target{400, 400, Pad}, size(400, 400)},
		{"squeeze enlarges", size(200, 100), Target{400, 400, Squeeze}, size(400, 400)},
		{"scale-up enlarges", size(200, 100), Target{400, 400, ScaleUp}, size(400, 200)},
		{"scale-up never shrinks", size(1080, 720), Target{500, 500, ScaleUp}, size(1080, 720)},
		{"scale-up by width", size(200, 100), Target{Width: 300, Fit: ScaleUp}, size(300, 150)},
		{"scale-up by a smaller height", size(200, 100), Target{Height: 50, Fit: ScaleUp}, size(200, 100)},

		{"cover with one side does not enlarge", size(200, 100), Target{Width: 400, Fit: Cover}, size(200, 100)},
		{"cover with one side shrinks", size(200, 100), Target{Width: 100, Fit: Cover}, size(100, 50)},
		{"crop with one side", size(200, 100), Target{Height: 20, Fit: Crop}, size(40, 20)},
		{"aspect-crop with one side", size(200, 100), Target{Height: 200, Fit: AspectCrop}, size(200, 100)},
		{"pad with one side", size(200, 100), Target{Width: 400, Fit: Pad}, size(400, 200)},
		{"squeeze with one side", size(200, 100), Target{Width: 400, Fit: Squeeze}, size(400, 200)},

		{"a side is at least one pixel", size(2000, 1), Target{Width: 10}, size(10, 1)},
		{"half rounds up", size(4, 2), Target{Width: 3}, size(3, 2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := mustArrange(t, c.src, c.target, Focus{}).Canvas; got != c.want {
				t.Errorf("%v to %v: got %v, want %v", c.src, c.target, got, c.want)
			}
		})
	}
}

func TestArrange_WithoutATargetKeepsThePicture(t *testing.T) {
	for f := ScaleDown; f <= ScaleUp; f++ {
		l := mustArrange(t, size(31, 17), Target{Fit: f}, KeepSide(Right))
		if l.Window != whole(size(31, 17)) || l.Canvas != size(31, 17) || l.Resize != l.Canvas || len(l.Warnings) != 0 {
			t.Errorf("%v: got %+v", f, l)
		}
	}
}

func TestArrange_CoverCropsBeforeItScales(t *testing.T) {
	// §1.3: resized to 750×500, cropped to 500×500; in source pixels 720×720
	// from the middle.
	l := mustArrange(t, size(1080, 720), Target{500, 500, Cover}, Focus{})
	if want := (Window{180, 0, 720, 720}); l.Window != want || l.Resize != size(500, 500) {
		t.Errorf("got %+v, want the window %v", l, want)
	}
}

func TestArrange_PadCentresThePicture(t *testing.T) {
	l := mustArrange(t, size(1080, 720), Target{1080, 1080, Pad}, Focus{})
	if l.Resize != size(1080, 720) || l.Left != 0 || l.Top != 180 {
		t.Errorf("got %+v", l)
	}
	l = mustArrange(t, size(200, 100), Target{101, 101, Pad}, Focus{})
	if l.Resize != size(101, 51) || l.Left != 0 || l.Top != 25 {
		t.Errorf("got %+v", l)
	}
}

// §1.3, second list: the text is Cloudflare's.
func TestArrange_WarnsOfCoverWithOneSide(t *testing.T) {
	l := mustArrange(t, size(1080, 720), Target{Width: 500, Fit: Cover}, Focus{})
	if len(l.Warnings) != 1 || l.Warnings[0] != "cover fit mode needs both width and height" {
		t.Errorf("got %q", l.Warnings)
	}
	for _, f := range []Fit{ScaleDown, Contain, Crop, Pad, ScaleUp} {
		if l := mustArrange(t, size(1080, 720), Target{Width: 500, Fit: f}, Focus{}); len(l.Warnings) != 0 {
			t.Errorf("%v warns %q", f, l.Warnings)
		}
	}
}

func TestArrange_RefusesImpossibleSizes(t *testing.T) {
	for _, c := range []struct {
		src    pixel.Size
		target Target
		want   fault.Kind
	}{
		{size(0, 10), Target{}, fault.Invalid},
		{size(10, -1), Target{}, fault.Invalid},
		{size(math.MaxInt, 10), Target{}, fault.Invalid},
		{size(10, 10), Target{Width: -1}, fault.TooLarge},
		{size(10, 10), Target{Height: MaxSide + 1}, fault.TooLarge},
		{size(1, 1000), Target{Width: 100_000, Fit: Contain}, fault.TooLarge},
	} {
		if _, err := Arrange(c.src, c.target, Focus{}); !fault.Is(err, c.want) {
			t.Errorf("Arrange(%v, %v): got %v, want kind %v", c.src, c.target, err, c.want)
		}
	}
}

func TestFit_NamesRoundTrip(t *testing.T) {
	for f := ScaleDown; f <= ScaleUp; f++ {
		if got, ok := ParseFit(f.String()); !ok || got != f {
			t.Errorf("ParseFit(%q) = %v, %v", f, got, ok)
		}
	}
	if _, ok := ParseFit("outside"); ok {
		t.Error("outside is no fit of ours")
	}
}

func drawSize(t *rapid.T, label string) pixel.Size {
	side := rapid.OneOf(rapid.IntRange(1, 30), rapid.IntRange(1, 12000))
	return size(side.Draw(t, label+" width"), side.Draw(t, label+" height"))
}

func drawFocus(t *rapid.T, src pixel.Size, target Target) Focus {
	unit := rapid.Float64Range(0, 1)
	f := Focus{
		Mode:  Mode(rapid.IntRange(0, int(Region)).Draw(t, "mode")),
		Point: pixel.Point{X: unit.Draw(t, "x"), Y: unit.Draw(t, "y")},
	}
	if f.Mode == Region {
		box := pixel.Box{X: f.Point.X, Y: f.Point.Y, W: unit.Draw(t, "w"), H: unit.Draw(t, "h")}
		f.Window = FaceWindow(src, box, unit.Draw(t, "zoom"), target)
	}
	return f
}

func TestArrange_HoldsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src, asked := drawSize(t, "source"), drawSize(t, "target")
		target := Target{
			Width:  asked.Width * rapid.IntRange(0, 1).Draw(t, "width given"),
			Height: asked.Height * rapid.IntRange(0, 1).Draw(t, "height given"),
			Fit:    Fit(rapid.IntRange(0, int(ScaleUp)).Draw(t, "fit")),
		}
		f := drawFocus(t, src, target)
		l, err := Arrange(src, target, f)
		if fault.Is(err, fault.TooLarge) && !target.box() {
			return // one side blew up the other
		}
		if err != nil {
			t.Fatal(err)
		}
		w, r := l.Window, l.Resize
		const slack = 1e-6
		if !(w.X >= 0 && w.Y >= 0 && w.X+w.W <= float64(src.Width)+slack && w.Y+w.H <= float64(src.Height)+slack && w.W >= 1 && w.H >= 1) {
			t.Fatalf("window %v leaves the source %v", w, src)
		}
		if r.Width < 1 || r.Height < 1 || l.Left < 0 || l.Top < 0 || l.Left+r.Width > l.Canvas.Width || l.Top+r.Height > l.Canvas.Height {
			t.Fatalf("%v at (%d, %d) leaves the canvas %v", r, l.Left, l.Top, l.Canvas)
		}
		if rect := w.Rect(src); rect.X < 0 || rect.Y < 0 || rect.Width < 1 || rect.Height < 1 ||
			rect.X+rect.Width > src.Width || rect.Y+rect.Height > src.Height {
			t.Fatalf("%v on whole pixels, %v, leaves the source %v", w, rect, src)
		}
		checkFit(t, src, target, l)
	})
}

// checkFit holds a layout against the columns of the table of §1.3.
func checkFit(t *rapid.T, src pixel.Size, target Target, l Layout) {
	box := size(target.Width, target.Height)
	switch target.Fit {
	case Cover, Pad, Squeeze:
		if target.box() && l.Canvas != box {
			t.Fatalf("%v gives %v, want exactly %v", target.Fit, l.Canvas, box)
		}
	case ScaleDown, Contain, Crop, AspectCrop:
		if (target.Width > 0 && l.Canvas.Width > target.Width) || (target.Height > 0 && l.Canvas.Height > target.Height) {
			t.Fatalf("%v gives %v, larger than %v", target.Fit, l.Canvas, box)
		}
	case ScaleUp:
		if float64(l.Resize.Width) < l.Window.W-0.5 || float64(l.Resize.Height) < l.Window.H-0.5 {
			t.Fatalf("scale-up shrinks %v to %v", l.Window, l.Resize)
		}
	}
	switch target.Fit {
	case ScaleDown, Crop, AspectCrop:
		if float64(l.Resize.Width) > l.Window.W+0.5 || float64(l.Resize.Height) > l.Window.H+0.5 {
			t.Fatalf("%v enlarges %v to %v", target.Fit, l.Window, l.Resize)
		}
	case Cover:
		// The aspect holds within a pixel, of the source or of the result:
		// each side is compared with what the other one asks for.
		ideal := l.Window.H * float64(box.Width) / math.Max(1, float64(box.Height))
		if target.box() && math.Abs(l.Window.W-ideal) > 1 && math.Abs(l.Window.H-l.Window.W*float64(box.Height)/float64(box.Width)) > 1 {
			t.Fatalf("cover cuts %v for %v", l.Window, box)
		}
	}
	if l.Resize == l.Window.size() && l.Window != (Window{math.Round(l.Window.X), math.Round(l.Window.Y), float64(l.Resize.Width), float64(l.Resize.Height)}) {
		t.Fatalf("nothing is scaled, yet %v is not on whole pixels", l.Window)
	}
}
