package transform

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	"focal/core/geometry"
	"focal/core/pixel"
)

func readDocs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/options.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDocs_NameEveryOption(t *testing.T) {
	text := readDocs(t)
	for _, opt := range table {
		alias := ""
		if opt.alias != "" {
			alias = " `" + opt.alias + "`"
		}
		if row := "| `" + opt.name + "` |" + alias + " |"; !strings.Contains(text, row) {
			t.Errorf("docs/options.md has no row %q", row)
		}
	}
}

// Each row of the face table holds: its own picture, face and results are
// worked out by hand in the text.
func TestDocs_FaceExamplesHold(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| ([^|]*) \\| `(gravity=face[^`]*)`[^|]*\\| ([0-9.]+), ([0-9.]+), ([0-9.]+)×([0-9.]+) \\| ([0-9]+×[0-9]+) \\|$")
	src := pixel.Size{Width: 1000, Height: 800}
	rows := row.FindAllStringSubmatch(readDocs(t), -1)
	if len(rows) != 10 {
		t.Errorf("%d rows were understood, want 10", len(rows))
	}
	for _, r := range rows {
		o := mustParse(t, r[2])
		faces := []pixel.Box{{X: 0.45, Y: 0.4375, W: 0.1, H: 0.125}}
		switch {
		case strings.HasPrefix(r[1], "At an edge"):
			faces[0].X = 0
		case strings.HasPrefix(r[1], "No face"):
			faces = nil
		}
		for i := range faces {
			faces[i] = geometry.Grow(faces[i], max(1, o.Faces.Padding))
		}
		l, err := geometry.Arrange(src, o.Target(), geometry.FaceFocus(src, faces, o.Zoom, o.Target()))
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range []float64{l.Window.X, l.Window.Y, l.Window.W, l.Window.H} {
			var want float64
			if _, err := fmt.Sscan(r[3+i], &want); err != nil || math.Abs(got-want) > 0.05 {
				t.Errorf("%s: window %v, the text says %v, %v, %v×%v", r[2], l.Window, r[3], r[4], r[5], r[6])
				break
			}
		}
		if got := fmt.Sprintf("%d×%d", l.Canvas.Width, l.Canvas.Height); got != r[7] {
			t.Errorf("%s: answer %s, the text says %s", r[2], got, r[7])
		}
	}
}
