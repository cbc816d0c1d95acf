package pipeline

import (
	"encoding/json"
	"image/color"
	"strings"
	"testing"

	"focal/core/pixel"
)

// Three faces on the card of 400×400, one in each quarter but the red: the
// green one is of 40×40, the blue one of 80×80, the yellow one of 20×20 and
// little more than a guess.
func threeFaces() *scripted {
	return &scripted{mask: leftHalf(), faces: []pixel.Face{
		{Box: pixel.Box{X: 0.7, Y: 0.2, W: 0.1, H: 0.1}, Score: 0.95},
		{Box: pixel.Box{X: 0.15, Y: 0.65, W: 0.2, H: 0.2}, Score: 0.9},
		{Box: pixel.Box{X: 0.75, Y: 0.75, W: 0.05, H: 0.05}, Score: 0.4},
	}}
}

func TestFaces_DecideTheCrop(t *testing.T) {
	s := card(t, 400, 400)
	for _, c := range []struct {
		options        string
		w, h           int
		tl, tr, bl, br color.NRGBA
		warns          string
	}{
		// Both sure ones: from 60 to 320, from 80 to 340.
		{"zoom=1", 260, 260, red, green, blue, yellow, ""},
		{"zoom=1,faces=all", 260, 260, red, green, blue, yellow, ""},
		{"zoom=1,faces=largest", 80, 80, blue, blue, blue, blue, ""},
		{"zoom=1,faces=1", 80, 80, blue, blue, blue, blue, ""},
		{"zoom=1,faces=2", 40, 40, green, green, green, green, ""},
		{"faces=2,width=50,height=50,fit=cover,zoom=0.5", 50, 50, green, green, green, green, ""},
		// The guess counts only for who takes guesses.
		{"zoom=1,faces=3,face-min-score=0.4", 20, 20, yellow, yellow, yellow, yellow, ""},
		{"zoom=1,faces=3", 400, 400, red, green, blue, yellow, "faces=3: only 2 were found"},
		{"zoom=1,face-min-score=0.92", 40, 40, green, green, green, green, ""},
		{"zoom=1,face-min-score=1", 400, 400, red, green, blue, yellow, "no face was found"},
		// 40×40 three times: 240 to 360, 40 to 160; four times would cross the middle.
		{"faces=2,face-padding=3", 120, 120, green, green, green, green, ""},
		{"faces=2,face-padding=20", 400, 400, red, green, blue, yellow, ""},
		// Turned, the faces turn with it; trimmed away, they do not count.
		{"zoom=1,faces=largest,rotate=180,flip=h", 80, 80, blue, blue, blue, blue, ""},
		{"zoom=1,faces=1,trim.left=200", 40, 40, green, green, green, green, ""},
		{"zoom=1,trim.bottom=300,trim.right=300", 100, 100, red, red, red, red, "no face was found"},
	} {
		// The quality keeps the original from being handed out.
		r := makePicture(t, threeFaces(), s, "format=png,quality=100,gravity=face,"+c.options)
		if got := strings.Join(r.Warnings, "; "); got != c.warns {
			t.Errorf("%s: warnings %q, want %q", c.options, got, c.warns)
		}
		quarters(t, r, c.w, c.h, c.tl, c.tr, c.bl, c.br)
		if t.Failed() {
			t.Fatalf("that was %s", c.options)
		}
	}
}

func TestFaces_JSONTellsWhichDecide(t *testing.T) {
	for list, want := range map[string][]bool{
		"gravity=face":                                  {true, true},
		"gravity=face,faces=largest":                    {false, true},
		"gravity=face,faces=2,face-min-score=0.1":       {true, false, false},
		"gravity=face,faces=9":                          {false, false},
		"gravity=face,faces=1,trim.left=200,rotate=270": {true, false},
	} {
		r := makePicture(t, threeFaces(), card(t, 400, 400), "format=json,"+list)
		var d description
		if err := json.Unmarshal(r.Body, &d); err != nil {
			t.Fatal(err)
		}
		if len(d.Faces) != len(want) {
			t.Fatalf("%s: %d faces, want %d", list, len(d.Faces), len(want))
		}
		for i, f := range d.Faces {
			if f.Chosen != want[i] {
				t.Errorf("%s: face %d decides: %v", list, i, f.Chosen)
			}
		}
	}
}
