package transform

import (
	"testing"

	"focal/core/geometry"
	"focal/core/pixel"
)

func mustParse(t *testing.T, list string) Options {
	t.Helper()
	o, _, err := Parse(list)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOptions_TargetMultipliesDPR(t *testing.T) {
	for list, want := range map[string]geometry.Target{
		"width=200,height=100,fit=cover": {Width: 200, Height: 100, Fit: geometry.Cover},
		"width=200,dpr=2":                {Width: 400},
		"width=101,height=3,dpr=1.5":     {Width: 152, Height: 5}, // 151.5 and 4.5
		"width=1,dpr=0.1":                {Width: 1},
		"dpr=2":                          {},
	} {
		if got := mustParse(t, list).Target(); got != want {
			t.Errorf("%s: got %v, want %v", list, got, want)
		}
	}
}

func TestOptions_FrameCarriesFlipAndRotate(t *testing.T) {
	for list, want := range map[string]geometry.Frame{
		"fit=cover":          {},
		"flip=h,rotate=90":   {FlipH: true, Rotate: 90},
		"flip=v":             {FlipV: true},
		"flip=hv,rotate=180": {FlipH: true, FlipV: true, Rotate: 180},
	} {
		if got := mustParse(t, list).Frame(); got != want {
			t.Errorf("%s: got %+v, want %+v", list, got, want)
		}
	}
}

func TestOptions_NeedFacesOnlyWhereTheyDecide(t *testing.T) {
	for list, want := range map[string]bool{
		"gravity=face,width=200,height=200,fit=cover":       true,
		"gravity=face,width=200,height=200,fit=crop":        true,
		"gravity=face,width=200,height=200,fit=aspect-crop": true,
		"gravity=face,zoom=0.5":                             true,
		"gravity=face,zoom=0.5,width=200":                   true,
		"gravity=face,format=json":                          true,
		"gravity=face":                                      false,
		"gravity=face,width=200,height=200":                 false, // scale-down crops nothing
		"gravity=face,width=200,fit=cover":                  false, // neither does one side
		"gravity=auto,width=200,height=200,fit=cover":       false,
		"format=json":             false,
		"blur-faces=1":            true,
		"gravity=face,debug=crop": true,
		"debug=crop":              false,
	} {
		if got := mustParse(t, list).NeedsFaces(); got != want {
			t.Errorf("%s: got %v", list, got)
		}
	}
}

func TestOptions_NeedTheForegroundOnlyWhereItDecidesOrShows(t *testing.T) {
	for list, want := range map[string]struct{ crops, shows bool }{
		"segment=foreground":             {false, true},
		"trim=foreground":                {false, true},
		"segment=background":             {false, true},
		"mask=1":                         {false, true},
		"gravity=foreground,zoom=1":      {true, false},
		"gravity=foreground,format=json": {true, false},
		"gravity=foreground,width=20,height=20,fit=cover": {true, false},
		"gravity=foreground,width=20,height=20":           {false, false},
		"gravity=foreground,zoom=1,segment=foreground":    {true, true},
		"gravity=face,zoom=1":                             {false, false},
	} {
		o := mustParse(t, list)
		if o.CropsToForeground() != want.crops || o.ShowsForeground() != want.shows || o.NeedsForeground() != (want.crops || want.shows) {
			t.Errorf("%s: crops %v, shows %v, needs %v", list, o.CropsToForeground(), o.ShowsForeground(), o.NeedsForeground())
		}
	}
}

// The row of cloudflare-api.md §1.4, from the URL to the offset.
func TestGravity_PointsWhereItSays(t *testing.T) {
	src := pixel.Size{Width: 900, Height: 900}
	for gravity, want := range map[string]float64{
		"left": 0, "right": 600, "top": 300, "center": 300, "auto": 300, "face": 300, "0.33x0.5": 198,
	} {
		o := mustParse(t, "width=300,height=900,fit=cover,gravity="+gravity)
		l, err := geometry.Arrange(src, o.Target(), o.Gravity.Focus())
		if err != nil || l.Window.X != want {
			t.Errorf("%s: offset %v, %v; want %v", gravity, l.Window.X, err, want)
		}
	}
	for gravity, want := range map[string]float64{"top": 0, "bottom": 600, "right": 300} {
		o := mustParse(t, "width=900,height=300,fit=cover,gravity="+gravity)
		l, err := geometry.Arrange(src, o.Target(), o.Gravity.Focus())
		if err != nil || l.Window.Y != want {
			t.Errorf("%s: offset %v, %v; want %v", gravity, l.Window.Y, err, want)
		}
	}
}
