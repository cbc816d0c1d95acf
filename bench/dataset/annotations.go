package dataset

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"

	"focal/core/fault"
	"focal/core/pixel"
)

// usable says whether a box has finite corners and an area.
func usable(b pixel.Box) bool {
	for _, v := range []float64{b.X, b.Y, b.W, b.H} {
		if math.IsNaN(v) || math.Abs(v) > 1e7 {
			return false
		}
	}
	return b.W > 0 && b.H > 0
}

// add takes a box, or a problem where it is none.
func (m *Marks) add(b pixel.Box, ignore bool) {
	switch {
	case !usable(b):
		m.Problems = append(m.Problems, fmt.Sprintf("a box of %v×%v at %v, %v was left out", b.W, b.H, b.X, b.Y))
	case ignore:
		m.Ignored = append(m.Ignored, b)
	default:
		m.Boxes = append(m.Boxes, b)
	}
}

// ParseAnnotations reads {"images":[{"file","boxes":[[x,y,w,h]],"ignore":[…]}]}.
func ParseAnnotations(text []byte) ([]Marks, error) {
	var all struct {
		Images []struct {
			File   string
			Boxes  [][4]float64
			Ignore [][4]float64
		}
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fault.New(fault.Invalid, "dataset.ParseAnnotations", "annotations.json: %w", err)
	}
	var marks []Marks
	for _, i := range all.Images {
		m := Marks{File: i.File}
		for _, b := range i.Boxes {
			m.add(pixel.Box{X: b[0], Y: b[1], W: b[2], H: b[3]}, false)
		}
		for _, b := range i.Ignore {
			m.add(pixel.Box{X: b[0], Y: b[1], W: b[2], H: b[3]}, true)
		}
		marks = append(marks, m)
	}
	return marks, nil
}

// ParseWIDER reads WIDER FACE's text: a file name, a number, and that many
// lines of x y w h blur expression illumination invalid occlusion pose. Faces
// marked invalid are ignored. Where the number is 0 a line of zeros may follow.
func ParseWIDER(text []byte) ([]Marks, error) {
	const op = "dataset.ParseWIDER"
	lines := strings.Split(strings.ReplaceAll(string(text), "\r", ""), "\n")
	var marks []Marks
	for i := 0; i < len(lines); {
		name := strings.TrimSpace(lines[i])
		if name == "" {
			i++
			continue
		}
		if i+1 >= len(lines) {
			return nil, fault.New(fault.Invalid, op, "line %d: %q ends the file where a number of faces should follow", i+1, name)
		}
		n, err := strconv.Atoi(strings.TrimSpace(lines[i+1]))
		if err != nil || n < 0 || n > len(lines)-i-2 {
			return nil, fault.New(fault.Invalid, op, "line %d: %q is no number of the faces that follow", i+2, lines[i+1])
		}
		m := Marks{File: name}
		for _, line := range lines[i+2 : i+2+n] {
			m.addWIDER(line)
		}
		i += 2 + n
		if n == 0 && i < len(lines) && strings.Trim(lines[i], "0 \t") == "" {
			i++
		}
		marks = append(marks, m)
	}
	return marks, nil
}

func (m *Marks) addWIDER(line string) {
	v, err := numbers(strings.Fields(line))
	const invalid = 7
	if err != nil || len(v) < 4 {
		m.Problems = append(m.Problems, fmt.Sprintf("%q: want x y w h", line))
		return
	}
	m.add(pixel.Box{X: v[0], Y: v[1], W: v[2], H: v[3]}, len(v) > invalid && v[invalid] == 1)
}

// ParseYOLO reads the text of one picture: lines of class cx cy w h, in
// fractions of the picture.
func ParseYOLO(text []byte) (Marks, error) {
	m := Marks{Fractions: true}
	for i, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		v, err := numbers(fields)
		if err != nil || len(v) < 5 {
			return Marks{}, fault.New(fault.Invalid, "dataset.ParseYOLO", "line %d: %q: want class cx cy w h", i+1, line)
		}
		if v[1] < 0 || v[1] > 1 || v[2] < 0 || v[2] > 1 {
			return Marks{}, fault.New(fault.Invalid, "dataset.ParseYOLO", "line %d: centre %v, %v: want fractions of the picture", i+1, v[1], v[2])
		}
		m.add(pixel.Box{X: v[1] - v[3]/2, Y: v[2] - v[4]/2, W: v[3], H: v[4]}, false)
	}
	return m, nil
}

func numbers(fields []string) ([]float64, error) {
	out := make([]float64, len(fields))
	for i, f := range fields {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%q is no number", f)
		}
		out[i] = v
	}
	return out, nil
}

// ParseVOC reads the XML of one picture. Objects marked difficult are ignored.
func ParseVOC(text []byte) (Marks, error) {
	var file struct {
		Objects []struct {
			Difficult int `xml:"difficult"`
			Box       struct {
				Left   float64 `xml:"xmin"`
				Top    float64 `xml:"ymin"`
				Right  float64 `xml:"xmax"`
				Bottom float64 `xml:"ymax"`
			} `xml:"bndbox"`
		} `xml:"object"`
	}
	if err := xml.Unmarshal(text, &file); err != nil {
		return Marks{}, fault.New(fault.Invalid, "dataset.ParseVOC", "%w", err)
	}
	var m Marks
	for _, o := range file.Objects {
		b := o.Box
		m.add(pixel.Box{X: b.Left, Y: b.Top, W: b.Right - b.Left, H: b.Bottom - b.Top}, o.Difficult != 0)
	}
	return m, nil
}
