package transform

import (
	"fmt"
	"strings"
	"testing"

	"focal/core/fault"
	"focal/core/geometry"
)

func TestParse_ReadsEveryOption(t *testing.T) {
	// The values and aliases of cloudflare-api.md §1.2.
	for list, want := range map[string]Options{
		"width=200":   {Width: 200},
		"w=200,h=100": {Width: 200, Height: 100},
		"width=auto":  {Auto: Auto{Width: true}},
		"w=auto,wbreakpoints=500;100,wmobile=7,wdesktop=8": {
			Auto: Auto{Width: true, Breakpoints: [MaxBreakpoints]int{100, 500}, Mobile: 7, Desktop: 8},
		},
		"scq=low":                               {SlowQuality: 35},
		"quality=80,slow-connection-quality=50": {Quality: 80, SlowQuality: 50},
		"height=100":                            {Height: 100},
		"dpr=2":                                 {DPR: 2},
		"dpr=1.5":                               {DPR: 1.5},
		"dpr=1":                                 {},
		"fit=scale-down":                        {},
		"fit=contain":                           {Fit: geometry.Contain},
		"fit=cover":                             {Fit: geometry.Cover},
		"fit=crop":                              {Fit: geometry.Crop},
		"fit=aspect-crop":                       {Fit: geometry.AspectCrop},
		"fit=pad":                               {Fit: geometry.Pad},
		"fit=squeeze":                           {Fit: geometry.Squeeze},
		"fit=scale-up":                          {Fit: geometry.ScaleUp},
		"gravity=auto":                          {Gravity: Gravity{Kind: GravityAuto}},
		"g=face":                                {Gravity: Gravity{Kind: GravityFace}},
		"gravity=left":                          {Gravity: Gravity{Kind: GravityLeft}},
		"gravity=right":                         {Gravity: Gravity{Kind: GravityRight}},
		"gravity=top":                           {Gravity: Gravity{Kind: GravityTop}},
		"gravity=bottom":                        {Gravity: Gravity{Kind: GravityBottom}},
		"gravity=center":                        {},
		"gravity=0.33x0.5":                      {Gravity: Gravity{Kind: GravityPoint, X: 0.33, Y: 0.5}},
		"gravity=0x1":                           {Gravity: Gravity{Kind: GravityPoint, X: 0, Y: 1}},
		"upscale=interpolate":                   {},
		"upscale=generate":                      {Generate: true},
		"gravity=foreground":                    {Gravity: Gravity{Kind: GravityForeground}},
		"g=foreground,zoom=0.5":                 {Gravity: Gravity{Kind: GravityForeground}, Zoom: 0.5},
		"trim=foreground":                       {Trim: Trim{Foreground: true}},
		"gravity=entropy":                       {Gravity: Gravity{Kind: GravityEntropy}},
		"gravity.x=0.2":                         {Gravity: Gravity{Kind: GravityPoint, X: 0.2, Y: 0.5}},
		"gravity.x=0.2,gravity.y=0.9,gravity.mode=box-center": {Gravity: Gravity{GravityPoint, 0.2, 0.9, true}},
		"gravity=0.1x0.2,gravity.mode=remainder":              {Gravity: Gravity{Kind: GravityPoint, X: 0.1, Y: 0.2}},
		"trim=1;2;3;4":                                        {Trim: Trim{Sides: geometry.Trim{Top: 1, Right: 2, Bottom: 3, Left: 4}}},
		"trim=0.1%3B0;20;0.05":                                {Trim: Trim{Sides: geometry.Trim{Top: 0.1, Bottom: 20, Left: 0.05}}},
		"trim.top=5,trim.left=6,trim.width=7,trim.height=0.5": {Trim: Trim{Sides: geometry.Trim{Top: 5, Left: 6, Width: 7, Height: 0.5}}},
		"trim.right=5,trim.bottom=6":                          {Trim: Trim{Sides: geometry.Trim{Right: 5, Bottom: 6}}},
		"trim=1;2;3;4,trim.top=9":                             {Trim: Trim{Sides: geometry.Trim{Top: 9, Right: 2, Bottom: 3, Left: 4}}},
		"trim=border":                                         {Trim: Trim{Border: true}},
		"trim=border,trim.border.color=white,trim.border.tolerance=0,trim.border.keep=5": {
			Trim: Trim{Border: true, Colour: Colour{255, 255, 255, 255, true}, Tolerance: Number{0, true}, Keep: 5},
		},
		"border.width=5": {Border: Border{Top: 5, Right: 5, Bottom: 5, Left: 5}},
		"border.top=1,border.right=2,border.bottom=3,border.left=4,border.color=%23f00": {
			Border: Border{Top: 1, Right: 2, Bottom: 3, Left: 4, Colour: Colour{255, 0, 0, 255, true}},
		},
		"border.width=5,border.top=0": {Border: Border{Right: 5, Bottom: 5, Left: 5}},
		"gravity=face,zoom=0.5":       {Gravity: Gravity{Kind: GravityFace}, Zoom: 0.5},
		"face-zoom=1,g=face":          {Gravity: Gravity{Kind: GravityFace}, Zoom: 1},
		"g=face,faces=all":            {Gravity: Gravity{Kind: GravityFace}},
		"g=face,faces=largest":        {Gravity: Gravity{Kind: GravityFace}, Faces: Faces{Which: 1}},
		"g=face,faces=1":              {Gravity: Gravity{Kind: GravityFace}, Faces: Faces{Which: 1}},
		"g=face,faces=3,zoom=0.2":     {Gravity: Gravity{Kind: GravityFace}, Zoom: 0.2, Faces: Faces{Which: 3}},
		"g=face,face-padding=2.5":     {Gravity: Gravity{Kind: GravityFace}, Zoom: 1, Faces: Faces{Padding: 2.5}},
		"face-padding=1,g=face":       {Gravity: Gravity{Kind: GravityFace}, Zoom: 1},
		"face-padding=2,g=face,zoom=0.5": {
			Gravity: Gravity{Kind: GravityFace}, Zoom: 0.5, Faces: Faces{Padding: 2},
		},
		"g=face,face-min-score=0":     {Gravity: Gravity{Kind: GravityFace}, Faces: Faces{MinScore: Number{0, true}}},
		"g=face,face-min-score=0.35":  {Gravity: Gravity{Kind: GravityFace}, Faces: Faces{MinScore: Number{0.35, true}}},
		"segment=foreground":          {Segment: SegmentForeground},
		"segment=background":          {Segment: SegmentBackground},
		"mask=1":                      {Mask: true},
		"segment=foreground,shadow=1": {Segment: SegmentForeground, Shadow: Shadow{On: true}},
		"segment=foreground,shadow=0": {Segment: SegmentForeground},
		"segment=foreground,shadow=-3;4.5;10,shadow.color=rgba(1,2,3,1)": {
			Segment: SegmentForeground, Shadow: Shadow{On: true, Sized: true, X: -3, Y: 4.5, Blur: 10, Colour: Colour{1, 2, 3, 255, true}},
		},
		"segment=foreground,shadow=0;0;0": {Segment: SegmentForeground, Shadow: Shadow{On: true, Sized: true}},
		"blur-faces=1":                    {BlurFaces: true},
		"blur-faces=true":                 {BlurFaces: true},
		"blur-faces=0":                    {},
		"blur-faces=1,face-min-score=0.1": {BlurFaces: true, Faces: Faces{MinScore: Number{0.1, true}}},
		"mask=true":                       {Mask: true},
		"mask=0":                          {},
		"mask=false":                      {},
		"background=white":                {Background: Colour{255, 255, 255, 255, true}},
		"background=%23ff0000":            {Background: Colour{255, 0, 0, 255, true}},
		"format=auto":                     {Format: FormatAuto},
		"f=avif":                          {Format: FormatAVIF},
		"f=webp":                          {Format: FormatWebP},
		"format=jpeg":                     {Format: FormatJPEG},
		"format=jpg":                      {Format: FormatJPEG},
		"format=baseline-jpeg":            {Format: FormatBaselineJPEG},
		"format=png":                      {Format: FormatPNG},
		"format=png-force":                {Format: FormatPNG},
		"format=json":                     {Format: FormatJSON},
		"quality=85":                      {Quality: 85},
		"q=1":                             {Quality: 1},
		"q=100":                           {Quality: 100},
		"quality=high":                    {Quality: 90},
		"quality=medium-high":             {Quality: 70},
		"quality=medium-low":              {Quality: 50},
		"q=low":                           {Quality: 35},
		"compression=fast":                {Fast: true},
		"rotate=0":                        {},
		"rotate=90":                       {Rotate: 90},
		"rotate=180":                      {Rotate: 180},
		"rotate=270":                      {Rotate: 270},
		"rotate=360":                      {},
		"flip=h":                          {Flip: FlipHorizontal},
		"flip=v":                          {Flip: FlipVertical},
		"flip=hv":                         {Flip: FlipBoth},
		"brightness=0.5":                  {Adjust: Adjust{Brightness: 0.5}},
		"brightness=0":                    {}, // §1.2: 0 is ignored
		"brightness=1":                    {},
		"contrast=1.5":                    {Adjust: Adjust{Contrast: 1.5}},
		"contrast=0":                      {},
		"gamma=2.2":                       {Adjust: Adjust{Gamma: 2.2}},
		"gamma=0":                         {},
		"saturation=0":                    {Adjust: Adjust{Saturation: Number{0, true}}},
		"saturation=2":                    {Adjust: Adjust{Saturation: Number{2, true}}},
		"saturation=1":                    {},
		"sharpen=0.5":                     {Adjust: Adjust{Sharpen: 0.5}},
		"blur=20":                         {Blur: 20},
		"blur=0.5":                        {Blur: 0.5},
		"blur=0":                          {},
		"debug=crop":                      {Debug: true},
		"anim=true":                       {},
		"anim=false":                      {FirstFrame: true},
		"onerror=redirect":                {RedirectOnError: true},
		"metadata=copyright":              {},
		"metadata=keep":                   {Metadata: MetadataKeep},
		"metadata=none":                   {Metadata: MetadataNone},
		"background=rgba(1,2,3,1)":        {Background: Colour{1, 2, 3, 255, true}},
		"background=rgb(1%2C2%2C3)":       {Background: Colour{1, 2, 3, 255, true}},
	} {
		got, warnings, err := Parse(list)
		if err != nil || got != want || len(warnings) != 0 {
			t.Errorf("Parse(%q) = %+v, %q, %v; want %+v", list, got, warnings, err, want)
		}
	}
}

func TestParse_ReadsWhatRealClientsSend(t *testing.T) {
	// Recorded from the clients of cloudflare-api.md §8, and the blog's own
	// example of §3.3.
	for list, want := range map[string]Options{
		"width=200,background=%23ff0000,gravity=0.5x0.2,f=auto,fit=cover": {
			Width: 200, Background: Colour{255, 0, 0, 255, true},
			Gravity: Gravity{Kind: GravityPoint, X: 0.5, Y: 0.2}, Format: FormatAuto, Fit: geometry.Cover,
		},
		"w=80,h=80,q=70,f=webp,dpr=2,fit=crop": {
			Width: 80, Height: 80, Quality: 70, Format: FormatWebP, DPR: 2, Fit: geometry.Crop,
		},
		"width=300,height=200,fit=crop,quality=80,format=auto,onerror=redirect,metadata=none": {
			Width: 300, Height: 200, Fit: geometry.Crop, Quality: 80, Format: FormatAuto, RedirectOnError: true, Metadata: MetadataNone,
		},
		"gravity=face,zoom=0.5,segment=foreground,background=white": {
			Gravity: Gravity{Kind: GravityFace}, Zoom: 0.5, Segment: SegmentForeground, Background: Colour{255, 255, 255, 255, true},
		},
	} {
		got, warnings, err := Parse(list)
		if err != nil || got != want || len(warnings) != 0 {
			t.Errorf("Parse(%q) = %+v, %q, %v; want %+v", list, got, warnings, err, want)
		}
	}
}

func TestParse_IgnoresWithAWarning(t *testing.T) {
	for _, c := range []struct {
		list string
		want Options
		word string // in the only warning
	}{
		{"width=abc", Options{}, "width"}, // §1.1: 200 at the original size
		{"wbreakpoints=100;200", Options{}, "width=auto"},
		{"width=auto,wbreakpoints=100;x", Options{Auto: Auto{Width: true}}, "wbreakpoints"},
		{"width=auto,wbreakpoints=1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17", Options{Auto: Auto{Width: true}}, "wbreakpoints"},
		{"width=auto,wmobile=0", Options{Auto: Auto{Width: true}}, "wmobile"},
		{"scq=max", Options{}, "scq"},
		{"width=12.5", Options{}, "width"},
		{"width=", Options{}, "width"},
		{"height=%32%30,width=1e3", Options{Height: 20}, "width"},
		{"trim=1;2;3,width=5", Options{Width: 5}, "trim"},
		{"trim=1;2;3;-4", Options{}, "trim"},
		{"trim=1;2;3;1.5", Options{}, "trim"},
		{"trim=9999999;2;3;4", Options{}, "trim"},
		{"trim.border.keep=5", Options{}, "trim=border"},
		{"trim.border.tolerance=0", Options{}, "trim=border"},
		{"trim=border,trim.top=5", Options{Trim: Trim{Border: true}}, "beside"},
		{"trim=border,trim.border.tolerance=256", Options{Trim: Trim{Border: true, Tolerance: Number{255, true}}}, "at most 255"},
		{"border.width=-5", Options{}, "border.width"},
		{"border.width=1.5", Options{}, "border.width"},
		{"border.color=nocolour", Options{}, "border.color"},
		{"upscale=more", Options{}, "upscale"},
		{"gravity.mode=box-center", Options{}, "gravity.mode"},
		{"gravity.x=2", Options{}, "gravity.x"},
		{"brightness=300", Options{Adjust: Adjust{Brightness: 255}}, "at most 255"},
		{"contrast=-1", Options{}, "contrast"},
		{"gamma=x", Options{}, "gamma"},
		{"saturation=-0.5", Options{}, "saturation"},
		{"saturation=256", Options{Adjust: Adjust{Saturation: Number{255, true}}}, "at most 255"},
		{"sharpen=11", Options{Adjust: Adjust{Sharpen: 10}}, "at most 10"},
		{"width=5,width", Options{Width: 5}, "key=value"},
		{"width=5,=7", Options{Width: 5}, "key=value"},
		{"width=5, height=6", Options{Width: 5}, "height"},
		{"width=5,%20height=6", Options{Width: 5}, "height"},
		{"Width=5", Options{}, "Width"},
		{"fit=outside", Options{}, "fit"},
		{"gravity=1.5x0.5", Options{}, "gravity"},
		{"gravity=0.5", Options{}, "gravity"},
		{"gravity=x", Options{}, "gravity"},
		{"gravity=NaNxInf", Options{}, "gravity"},
		{"dpr=0", Options{}, "dpr"},
		{"dpr=-1", Options{}, "dpr"},
		{"dpr=3", Options{DPR: 2}, "at most 2"},
		{"g=face,zoom=1.5", Options{Gravity: Gravity{Kind: GravityFace}, Zoom: 1}, "at most 1"},
		{"g=face,zoom=-0.5", Options{Gravity: Gravity{Kind: GravityFace}}, "at least 0"},
		{"zoom=0.5", Options{}, "gravity=face"},
		{"faces=largest", Options{}, "faces is ignored"},
		{"face-padding=2", Options{}, "face-padding is ignored"},
		{"g=foreground,face-padding=2", Options{Gravity: Gravity{Kind: GravityForeground}}, "face-padding is ignored"},
		{"g=foreground,zoom=2", Options{Gravity: Gravity{Kind: GravityForeground}, Zoom: 1}, "at most 1"},
		{"trim=foreground,trim.top=5", Options{Trim: Trim{Foreground: true}}, "beside trim=foreground"},
		{"trim=foreground,trim.border.keep=5", Options{Trim: Trim{Foreground: true}}, "needs trim=border"},
		{"trim=subject", Options{}, "trim"},
		{"faces=2,g=auto", Options{Gravity: Gravity{Kind: GravityAuto}}, "gravity=face"},
		{"face-min-score=0", Options{}, "gravity=face"},
		{"g=face,faces=0", Options{Gravity: Gravity{Kind: GravityFace}}, "faces"},
		{"g=face,faces=-1", Options{Gravity: Gravity{Kind: GravityFace}}, "faces"},
		{"g=face,faces=1.5", Options{Gravity: Gravity{Kind: GravityFace}}, "faces"},
		{"g=face,faces=biggest", Options{Gravity: Gravity{Kind: GravityFace}}, "faces"},
		{"g=face,face-padding=wide", Options{Gravity: Gravity{Kind: GravityFace}}, "face-padding"},
		{"g=face,face-padding=0.5", Options{Gravity: Gravity{Kind: GravityFace}, Zoom: 1}, "at least 1"},
		{"g=face,face-padding=21", Options{Gravity: Gravity{Kind: GravityFace}, Zoom: 1, Faces: Faces{Padding: 20}}, "at most 20"},
		{"g=face,face-min-score=-0.1", Options{Gravity: Gravity{Kind: GravityFace}}, "face-min-score"},
		{"g=face,face-min-score=2", Options{Gravity: Gravity{Kind: GravityFace}, Faces: Faces{MinScore: Number{1, true}}}, "at most 1"},
		{"quality=0", Options{}, "quality"},
		{"quality=101", Options{}, "quality"},
		{"quality=80.5", Options{}, "quality"},
		{"quality=max", Options{}, "quality"},
		{"rotate=45", Options{}, "rotate"},
		{"rotate=-90", Options{}, "rotate"},
		{"flip=vh", Options{}, "flip"},
		{"blur=300", Options{Blur: 250}, "at most 250"},
		{"blur=-1", Options{}, "blur"},
		{"blur=Inf", Options{}, "blur"},
		{"format=svg", Options{}, "format"},
		{"segment=middle", Options{}, "segment"},
		{"mask=yes", Options{}, "mask"},
		{"shadow=1", Options{}, "segment=foreground"},
		{"shadow=1,segment=background", Options{Segment: SegmentBackground}, "segment=foreground"},
		{"shadow=1;2;3,segment=foreground,mask=1", Options{Segment: SegmentForeground, Mask: true}, "no mask"},
		{"shadow.color=red,segment=foreground", Options{Segment: SegmentForeground}, "needs shadow"},
		{"shadow=1;2,segment=foreground", Options{Segment: SegmentForeground}, "shadow"},
		{"shadow=1;2;x,segment=foreground", Options{Segment: SegmentForeground}, "shadow"},
		{"shadow=1;2;-3,segment=foreground", Options{Segment: SegmentForeground}, "shadow"},
		{"shadow=9999999;2;3,segment=foreground", Options{Segment: SegmentForeground}, "shadow"},
		{"shadow=1;2;251,segment=foreground", Options{Segment: SegmentForeground, Shadow: Shadow{On: true, Sized: true, X: 1, Y: 2, Blur: 250}}, "at most 250"},
		{"blur-faces=strong", Options{}, "blur-faces"},
		{"blur-faces=1,onerror=redirect", Options{BlurFaces: true}, "onerror=redirect is ignored"},
		{"blur-faces=1,metadata=keep", Options{BlurFaces: true}, "metadata=keep is ignored"},
		{"blur-faces=1,metadata=all", Options{BlurFaces: true}, "metadata"},
		{"blur-faces=1,faces=2", Options{BlurFaces: true}, "gravity=face"},
		{"anim=1", Options{}, "anim"},
		{"debug=1", Options{}, "debug"},
		{"onerror=ignore", Options{}, "onerror"},
		{"metadata=all", Options{}, "metadata"},
		{"background=ff0000", Options{}, "background"},
		{"background=%zz", Options{}, "background"},
		{"blur=1,background=rgb(1", Options{Blur: 1}, "background"},
		{"width=%2532", Options{}, "width"}, // decoded once: %32, not 2
		{"width=5,w=7", Options{Width: 5}, "more than once"},
		{"w=7,width=5", Options{Width: 5}, "more than once"},
		{"w=7,w=5", Options{Width: 5}, "more than once"},
		{"width=7,width=5", Options{Width: 5}, "more than once"},
	} {
		got, warnings, err := Parse(c.list)
		if err != nil || got != c.want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", c.list, got, err, c.want)
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], c.word) {
			t.Errorf("Parse(%q) warns %q, want one that says %q", c.list, warnings, c.word)
		}
	}
}

func TestParse_ForgivesEmptyItems(t *testing.T) {
	got, warnings, err := Parse(",width=5,,")
	if err != nil || got != (Options{Width: 5}) || len(warnings) != 0 {
		t.Errorf("got %+v, %q, %v", got, warnings, err)
	}
}

func TestParse_RefusesAMissingList(t *testing.T) {
	for _, list := range []string{"", ",", "photos", "photos,2024", "=", "=5"} {
		if _, _, err := Parse(list); !fault.Is(err, fault.Invalid) {
			t.Errorf("Parse(%q): %v, want kind invalid", list, err)
		}
	}
}

func TestParse_RefusesImpossibleSizes(t *testing.T) {
	for _, list := range []string{
		"width=0", "height=-5", "w=1048577", "h=99999999999999999999", "width=" + strings.Repeat("9", 10000),
		"width=600000,dpr=2",
	} {
		_, _, err := Parse(list)
		if !fault.Is(err, fault.TooLarge) {
			t.Errorf("Parse(%.40q): %v, want kind too_large", list, err)
		}
		if err != nil && len(err.Error()) > maxWarningBytes {
			t.Errorf("Parse(%.40q) answers with %d bytes", list, len(err.Error()))
		}
	}
}

func TestParse_TheWinnerAloneIsJudged(t *testing.T) {
	// The long name wins, so the alias's impossible size is never looked at.
	got, _, err := Parse("w=0,width=5")
	if err != nil || got.Width != 5 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestParse_WarningsAreSafeAndFew(t *testing.T) {
	var items []string
	for i := range 100 {
		items = append(items, fmt.Sprintf("bad%d=\"\r\n\\\x00é%s", i, strings.Repeat("x", 500)))
	}
	_, warnings, err := Parse(strings.Join(items, ",") + ",width=\"%0d%0aX:y" + strings.Repeat("\xff", 300))
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != maxWarnings {
		t.Errorf("%d warnings, want %d", len(warnings), maxWarnings)
	}
	checkWarnings(t, warnings)
}

func checkWarnings(t *testing.T, warnings []string) {
	t.Helper()
	if len(warnings) > maxWarnings {
		t.Errorf("%d warnings", len(warnings))
	}
	for _, w := range warnings {
		if len(w) > maxWarningBytes || w == "" {
			t.Errorf("a warning of %d bytes", len(w))
		}
		for _, c := range []byte(w) {
			if c < ' ' || c > '~' || c == '"' || c == '\\' {
				t.Errorf("warning %q holds %q", w, c)
			}
		}
	}
}

func TestCanonical_IsOneSpelling(t *testing.T) {
	for list, want := range map[string]string{
		"h=100,w=200": "width=200,height=100",
		"f=jpg,q=high,fit=scale-down,gravity=center":                    "format=jpeg,quality=90",
		"face-min-score=.50,face-padding=2.0,faces=1,g=face":            "gravity=face,zoom=1,faces=largest,face-padding=2,face-min-score=0.5",
		"zoom=0.5,g=foreground,trim=foreground,trim.border.tolerance=3": "gravity=foreground,zoom=0.5,trim=foreground",
		"fit=scale-down": "fit=scale-down",
		"width=abc":      "fit=scale-down",
		"background=rgba(255,0,0,0.5),segment=foreground": "segment=foreground,background=%23ff000080",
		"gravity=-0x0.5":                  "gravity=0x0.5",
		"background=transparent":          "background=%2300000000",
		"gravity=.5x1.0,dpr=2.0,blur=007": "dpr=2,gravity=0.5x1,blur=7",
		"metadata=none,onerror=redirect,anim=false,flip=hv,rotate=90,face-zoom=0.50,g=face": "" +
			"gravity=face,zoom=0.5,rotate=90,flip=hv,anim=false,onerror=redirect,metadata=none",
	} {
		o, _, err := Parse(list)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.Canonical(); got != want {
			t.Errorf("Parse(%q).Canonical() = %q, want %q", list, got, want)
		}
	}
}

func TestTable_NamesAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, opt := range table {
		for _, n := range []string{opt.name, opt.alias} {
			if n != "" && seen[n] {
				t.Errorf("%s stands twice", n)
			}
			seen[n] = true
		}
		if w := opt.write(Options{}); w != "" {
			t.Errorf("%s: the default is written as %q", opt.name, w)
		}
	}
}

func FuzzOptions(f *testing.F) {
	for _, list := range []string{
		"width=200,height=100,fit=cover,gravity=face,zoom=0.5,dpr=1.5",
		"w=1,h=2,f=auto,q=low,g=0.33x0.5,segment=foreground",
		"background=rgba(250,40,145,0.5),blur=0.25,rotate=90,flip=hv",
		"background=hsl(120deg%20100%25%2050%25%20/%2050%25),anim=false,onerror=redirect,metadata=none",
		"gravity=face,faces=2,face-padding=1.5,face-min-score=0,zoom=0", "trim=foreground,trim.left=3,trim.border.keep=1,g=foreground,zoom=1",
		"brightness=2,contrast=0.5,gamma=2.2,saturation=0,sharpen=1", "background=%23abc8,format=json,trim=1;2;3;4", "trim.top=0.5,trim=border,trim.border.color=red,border.width=5,border.top=0,border.color=rgba(1,2,3,0)", "gravity.x=0.3,gravity.mode=box-center", "segment=background,mask=true", "segment=foreground,shadow=1;-2;0.5,shadow.color=rgba(1,2,3,0.2)", "shadow=0,shadow.color=red", "segment=foreground,shadow=-0;0;0", "blur-faces=1,onerror=redirect,metadata=keep,face-min-score=0.1", "width=auto,wbreakpoints=3;2;1,wmobile=5,scq=low", "width=0", "", ",,=", "a(b=c,d)=(", "g=1x-0,dpr=0.0000000001",
	} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		o, warnings, err := Parse(list)
		if err != nil {
			if k := fault.KindOf(err); k != fault.Invalid && k != fault.TooLarge {
				t.Fatalf("Parse(%q): kind %v", list, k)
			}
			if o != (Options{}) || warnings != nil {
				t.Fatalf("Parse(%q) gives something with its error", list)
			}
			return
		}
		checkWarnings(t, warnings)
		canonical := o.Canonical()
		again, warnings, err := Parse(canonical)
		if err != nil || len(warnings) != 0 || again != o {
			t.Fatalf("Parse(%q) = %+v; its canonical form %q gives %+v, %q, %v", list, o, canonical, again, warnings, err)
		}
		if c := again.Canonical(); c != canonical {
			t.Fatalf("%q is not stable: %q", canonical, c)
		}
		if options, source, err := Split(canonical + "/a.jpg"); err != nil || options != canonical || source != "a.jpg" {
			t.Fatalf("%q does not survive a URL: %q, %q, %v", canonical, options, source, err)
		}
		for i := range canonical {
			if c := canonical[i]; c <= ' ' || c > '~' || c == '#' || c == '?' {
				t.Fatalf("%q holds %q", canonical, c)
			}
		}
	})
}
