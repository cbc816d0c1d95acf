package transform

import (
	"reflect"
	"strings"
	"testing"

	"focal/core/fault"
	"focal/core/geometry"
)

// What workerd sends, as recorded: rotate, draw a picture made 32 wide, cover.
const recorded = `[{"imageIndex":0,"rotate":90},{"imageIndex":1,"width":32},
 {"drawImageIndex":1,"targetImageIndex":0,"bottom":10,"right":10,"opacity":0.5,"repeat":"x","composite":"xor"},
 {"imageIndex":0,"width":100,"height":50,"fit":"cover","gravity":{"x":0.5,"y":0.2,"mode":"box-center"},"segment":"foreground","upscale":"generate"}]`

func TestParseProgram_ReadsWhatWorkerdSends(t *testing.T) {
	got, warnings, err := ParseProgram([]byte(recorded), 2)
	want := []Step{
		{Image: 0, Options: Options{Rotate: 90}},
		{Image: 1, Options: Options{Width: 32}},
		{Image: 0, Draw: &Draw{
			Overlay: 1, X: Place{End, 10}, Y: Place{End, 10}, Opacity: 0.5, RepeatX: true, Composite: Xor,
		}},
		{Image: 0, Options: Options{
			Width: 100, Height: 50, Fit: geometry.Cover, Segment: SegmentForeground, Generate: true,
			Gravity: Gravity{Kind: GravityPoint, X: 0.5, Y: 0.2, BoxCenter: true},
		}},
	}
	if err != nil || len(warnings) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v\n%v %v", got, want, warnings, err)
	}
}

// An option means in a program what it means in a URL.
func TestParseProgram_OptionsAreThoseOfURLs(t *testing.T) {
	for object, list := range map[string]string{
		`"width":100,"height":50.0`:         "width=100,height=50",
		`"w":100`:                           "width=100",
		`"w":100,"width":200`:               "width=200",
		`"width":1e2,"dpr":2`:               "width=100,dpr=2",
		`"rotate":"90","flip":"hv"`:         "rotate=90,flip=hv",
		`"gravity":"face","zoom":0.5`:       "gravity=face,zoom=0.5",
		`"gravity":{"x":0.25,"y":1}`:        "gravity=0.25x1",
		`"gravity":"left"`:                  "gravity=left",
		`"background":"rgba(0, 0, 0, 0.5)"`: "background=rgba(0,0,0,0.5)",
		`"background":"#f00"`:               "background=%23f00",
		`"trim":"border"`:                   "trim=border",
		`"trim":{"border":true}`:            "trim=border",
		`"trim":{"border":false,"top":5}`:   "trim.top=5",
		`"trim":{"border":{"color":"#fff","tolerance":3,"keep":2}}`:            "trim=border,trim.border.color=%23fff,trim.border.tolerance=3,trim.border.keep=2",
		`"trim":{"left":10,"top":0.1,"width":200,"height":0.5}`:                "trim.left=10,trim.top=0.1,trim.width=200,trim.height=0.5",
		`"border":{"color":"red","width":4}`:                                   "border.color=red,border.width=4",
		`"border":{"color":"red","top":1,"left":2}`:                            "border.color=red,border.top=1,border.left=2",
		`"brightness":1.5,"contrast":0.5,"gamma":2,"saturation":0,"sharpen":1`: "brightness=1.5,contrast=0.5,gamma=2,saturation=0,sharpen=1",
		`"blur":20,"fit":"pad","segment":"foreground"`:                         "blur=20,fit=pad,segment=foreground",
		`"mask":true,"segment":"foreground"`:                                   "mask=1,segment=foreground",
		`"width":null`:                                                         "fit=scale-down",
	} {
		got, _, err := ParseProgram([]byte(`[{"imageIndex":0,`+object+`}]`), 1)
		if err != nil {
			t.Errorf("%s: %v", object, err)
			continue
		}
		if want := mustParse(t, list); got[0].Options != want {
			t.Errorf("%s: got %s, want %s", object, got[0].Options.Canonical(), want.Canonical())
		}
	}
}

func TestParseProgram_RefusesWhatAURLWouldPassOver(t *testing.T) {
	many := "[" + strings.TrimSuffix(strings.Repeat(`{"imageIndex":0},`, MaxSteps+1), ",") + "]"
	for program, want := range map[string]string{
		``: "JSON array", `{}`: "JSON array", `[1]`: "JSON array", `[] []`: "JSON array", `null x`: "JSON array", many: "64",
		`[{}]`:                                              "imageIndex",
		`[{"imageIndex":1}]`:                                "imageIndex",
		`[{"imageIndex":-1}]`:                               "imageIndex",
		`[{"imageIndex":0.5}]`:                              "imageIndex",
		`[{"imageIndex":"0"}]`:                              "imageIndex",
		`[{"imageIndex":0,"colour":1}]`:                     "unknown",
		`[{"imageIndex":0,"":1}]`:                           "unknown",
		`[{"imageIndex":0,"width":{"of":1}}]`:               "unknown",
		`[{"imageIndex":0,"width":"abc"}]`:                  "width=abc",
		`[{"imageIndex":0,"width":1.5}]`:                    "width=1.5",
		`[{"imageIndex":0,"width":[1]}]`:                    "width",
		`[{"imageIndex":0,"width":1e400}]`:                  "width",
		`[{"imageIndex":0,"width":"auto"}]`:                 "screen",
		`[{"imageIndex":0,"blur":300}]`:                     "blur=300",
		`[{"imageIndex":0,"brightness":256}]`:               "brightness=256",
		`[{"imageIndex":0,"contrast":-1}]`:                  "contrast=-1",
		`[{"imageIndex":0,"sharpen":11}]`:                   "sharpen=11",
		`[{"imageIndex":0,"zoom":2}]`:                       "zoom=2",
		`[{"imageIndex":0,"dpr":3}]`:                        "dpr=3",
		`[{"imageIndex":0,"gravity":{"x":2}}]`:              "gravity.x=2",
		`[{"imageIndex":0,"gravity":{"mode":"remainder"}}]`: "gravity.mode",
		`[{"imageIndex":0,"fit":"fill"}]`:                   "fit=fill",
		`[{"imageIndex":0,"rotate":45}]`:                    "rotate=45",
		`[{"imageIndex":0,"background":"none"}]`:            "background=none",
		`[{"imageIndex":0,"format":"webp"}]`:                "output",
		`[{"imageIndex":0,"quality":50}]`:                   "output",
		`[{"imageIndex":0,"onerror":"redirect"}]`:           "onerror",
		`[{"drawImageIndex":0}]`:                            "targetImageIndex",
		`[{"drawImageIndex":0,"targetImageIndex":0}]`:       "itself",
		`[{"drawImageIndex":2,"targetImageIndex":0}]`:       "drawImageIndex",
	} {
		_, _, err := ParseProgram([]byte(program), 2)
		if program == `[{"imageIndex":1}]` {
			_, _, err = ParseProgram([]byte(program), 1)
		}
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q in it", program, err, want)
		}
	}
	if _, _, err := ParseProgram([]byte(`[{"imageIndex":0,"width":0}]`), 1); !fault.Is(err, fault.TooLarge) {
		t.Errorf("no width: %v", err)
	}
	if _, _, err := ParseProgram(make([]byte, maxProgramBytes+1), 1); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a very long program: %v", err)
	}
}

func TestParseProgram_RefusesDrawingsThatContradictThemselves(t *testing.T) {
	for _, draw := range []string{
		`"left":1,"right":1`, `"top":0,"bottom":0`, `"left":1.5`, `"left":"1"`, `"left":1e9`, `"opacity":1.1`, `"opacity":-1`, `"opacity":"1"`,
		`"repeat":"z"`, `"repeat":1`, `"composite":"copy"`, `"composite":1`, `"width":5`, `"imageIndex":0`,
	} {
		_, _, err := ParseProgram([]byte(`[{"drawImageIndex":1,"targetImageIndex":0,`+draw+`}]`), 2)
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", draw, err)
		}
	}
	if _, _, err := ParseProgram([]byte(`[{"drawImageIndex":1,"targetImageIndex":0,"left":null,"right":1}]`), 2); err != nil {
		t.Error(err)
	}
}

func TestParseOutput_ReadsTheBindingsFields(t *testing.T) {
	got, err := ParseOutput("image/webp", "80", "#ff0000", "false")
	want := Output{Options: Options{Format: FormatWebP, Quality: 80, Background: Colour{255, 0, 0, 255, true}, FirstFrame: true}}
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range [][4]string{
		{}, {"webp"}, {"image/bmp"}, {"image/jpeg", "0"}, {"image/jpeg", "101"}, {"image/jpeg", "best"}, {"image/jpeg", "", "none"}, {"image/gif", "", "", "yes"},
	} {
		if _, err := ParseOutput(bad[0], bad[1], bad[2], bad[3]); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Whatever is sent, there is a program over the pictures that are there, of
// options that a URL can say, or an error.
func FuzzParseProgram(f *testing.F) {
	for _, seed := range []string{recorded, `[]`, `[{"imageIndex":0,"trim":{"border":{"keep":1}}}]`, `[{"imageIndex":0,"gravity":{"x":1e-9}}]`, `[{"":{"":{}}}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		const images = 3
		steps, warnings, err := ParseProgram(program, images)
		if err != nil {
			if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.TooLarge) {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, w := range warnings {
			if w != headerSafe(w) || len(w) > maxWarningBytes {
				t.Errorf("warning %q", w)
			}
		}
		for _, s := range steps {
			if s.Image < 0 || s.Image >= images || s.Draw != nil && (s.Draw.Overlay < 0 || s.Draw.Overlay >= images || s.Draw.Overlay == s.Image) {
				t.Fatalf("%+v", s)
			}
			if again, complaints, err := Parse(s.Options.Canonical()); err != nil || len(complaints) > 0 || again != s.Options {
				t.Errorf("%s: %+v, %v %v", s.Options.Canonical(), again, complaints, err)
			}
		}
	})
}
