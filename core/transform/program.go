package transform

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"

	"focal/core/fault"
	"focal/core/geometry"
)

// Step is one step of a program: options for a picture, or another picture drawn
// on it.
type Step struct {
	Image   int // the picture that changes, counted from 0
	Options Options
	Draw    *Draw // nil: Options
}

// The limits of programs.
const (
	MaxSteps        = 64
	maxProgramBytes = 256 << 10
)

// ParseProgram reads the `transforms` of the Workers Images binding: a JSON array
// of steps over as many pictures as images says. A step is an object of options,
// with imageIndex, or of what a drawing takes, with drawImageIndex and
// targetImageIndex.
//
// An option has the name, and its value the form, that it has in a URL; numbers
// and booleans may be JSON's own, null is nothing, and an object holds the
// options whose names begin with its own: {"gravity":{"x":0.5}} is gravity.x=0.5.
//
// What Parse would ignore or change is refused here, with fault.Invalid: a
// program is written by a program. The texts are warnings of options that have
// no effect beside others.
func ParseProgram(program []byte, images int) ([]Step, []string, error) {
	const op = "transform.ParseProgram"
	if len(program) > maxProgramBytes {
		return nil, nil, fault.New(fault.TooLarge, op, "transforms has %d bytes, more than %d", len(program), maxProgramBytes)
	}
	d := json.NewDecoder(bytes.NewReader(program))
	d.UseNumber()
	var list []map[string]any
	err := d.Decode(&list)
	if _, more := d.Token(); err != nil || more != io.EOF {
		return nil, nil, fault.New(fault.Invalid, op, "transforms is no JSON array of objects")
	}
	if len(list) > MaxSteps {
		return nil, nil, fault.New(fault.Invalid, op, "%d transforms are more than %d", len(list), MaxSteps)
	}
	var w warnings
	steps := make([]Step, len(list))
	for i, object := range list {
		if _, draws := object["drawImageIndex"]; draws {
			steps[i], err = parseDraw(object, images)
		} else {
			steps[i], err = parseStep(object, images, &w)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return steps, w, nil
}

// index takes the number of a picture out of an object.
func index(object map[string]any, key string, images int) (int, error) {
	n, ok := whole(object[key])
	if !ok || n < 0 || n >= images {
		return 0, fault.New(fault.Invalid, "transform.ParseProgram", "%s: want the number of a picture, 0 to %d", key, images-1)
	}
	delete(object, key)
	return n, nil
}

// whole reads a whole number of JSON.
func whole(v any) (int, bool) {
	text, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	n, err := text.Float64()
	if err != nil || n != math.Trunc(n) || math.Abs(n) > math.MaxInt32 {
		return 0, false
	}
	return int(n), true
}

// misplaced are options that say how an answer is delivered, and to whom: what a
// program makes goes back to it.
var misplaced = map[string]string{
	"format":                  "it is given with output",
	"quality":                 "it is given with output",
	"anim":                    "it is given with output",
	"wbreakpoints":            "it needs a client's screen",
	"wmobile":                 "it needs a client's screen",
	"wdesktop":                "it needs a client's screen",
	"slow-connection-quality": "it needs a client's connection",
	"compression":             "it needs a URL",
	"metadata":                "it needs a URL",
	"onerror":                 "it needs a URL",
	"debug":                   "it needs a URL",
}

// parseStep reads the options of one picture.
func parseStep(object map[string]any, images int, w *warnings) (s Step, err error) {
	const op = "transform.ParseProgram"
	if s.Image, err = index(object, "imageIndex", images); err != nil {
		return s, err
	}
	var all winners
	if err := all.flatten("", object); err != nil {
		return s, err
	}
	for i, g := range all {
		if g.key == "" {
			continue
		}
		if why := misplaced[table[i].name]; why != "" {
			return s, fault.New(fault.Invalid, op, "%s is no option of a transform here: %s", g.key, why)
		}
		complaint, err := s.Options.read(i, g, g.value, nil)
		if err != nil {
			return s, err
		}
		if complaint != "" {
			return s, fault.New(fault.Invalid, op, "%s=%s: want %s", g.key, brief(g.value), table[i].want)
		}
	}
	if s.Options.Auto.Width {
		return s, fault.New(fault.Invalid, op, "width=auto needs a client's screen")
	}
	return s, s.Options.settle(w)
}

// flatten notes the options of an object whose own name is prefix.
func (w *winners) flatten(prefix string, object map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if err := w.note(prefix+name, object[name]); err != nil {
			return err
		}
	}
	return nil
}

// note takes one value. That of trim.border stands for trim=border.
func (w *winners) note(name string, v any) error {
	const op = "transform.ParseProgram"
	var value string
	switch v := v.(type) {
	case nil:
		return nil
	case map[string]any:
		if name == "trim.border" {
			w.take(lookup("trim"), given{"trim", "border"})
		}
		return w.flatten(name+".", v)
	case string:
		value = v
	case bool:
		if name == "trim.border" {
			if v {
				w.take(lookup("trim"), given{"trim", "border"})
			}
			return nil
		}
		value = strconv.FormatBool(v)
	case json.Number:
		n, err := v.Float64()
		if err != nil {
			return fault.New(fault.Invalid, op, "%s: a number beyond all limits", brief(name))
		}
		value = decimal(n)
	default:
		return fault.New(fault.Invalid, op, "%s: want a string, a number or an object", brief(name))
	}
	i := lookup(name)
	if i < 0 || name == "" {
		return fault.New(fault.Invalid, op, "option %s is unknown", brief(name))
	}
	w.take(i, given{name, value})
	return nil
}

// Draw is how a picture is drawn on another.
type Draw struct {
	Overlay int // the picture that is drawn, counted from 0
	// X and Y say where it lies; the zero value is the middle.
	X, Y             Place
	Opacity          float64 // 0 to 1
	RepeatX, RepeatY bool    // as often as there is room, through where it lies
	Composite        Composite
}

// Place is where something lies on one axis.
type Place struct {
	Edge   Edge
	Offset int // pixels from that edge inwards; may be negative
}

// Edge is what a Place counts from.
type Edge uint8

// The edges. Middle takes no offset.
const (
	Middle Edge = iota
	Start       // left, top
	End         // right, bottom
)

// At returns where a stretch of the given length begins in room.
func (p Place) At(room, length int) int {
	switch p.Edge {
	case Start:
		return p.Offset
	case End:
		return room - length - p.Offset
	default:
		return (room - length) / 2
	}
}

// Composite is an operator of Porter and Duff, or their sum, by which a picture
// is drawn. Where the picture is not, nothing changes.
type Composite uint8

// The operators.
const (
	Over Composite = iota
	In
	Atop
	Out
	Xor
	Lighter
)

var (
	composites = []choice[Composite]{{"over", Over}, {"in", In}, {"atop", Atop}, {"out", Out}, {"xor", Xor}, {"lighter", Lighter}}
	sides      = []string{"left", "top", "right", "bottom"}
)

// parseDraw reads a drawing.
func parseDraw(object map[string]any, images int) (s Step, err error) {
	const op = "transform.ParseProgram"
	d := &Draw{Opacity: 1}
	s.Draw = d
	if d.Overlay, err = index(object, "drawImageIndex", images); err != nil {
		return s, err
	}
	if s.Image, err = index(object, "targetImageIndex", images); err != nil {
		return s, err
	}
	if d.Overlay == s.Image {
		return s, fault.New(fault.Invalid, op, "picture %d is drawn on itself", s.Image)
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if object[key] == nil {
			continue
		}
		if err := d.read(key, object[key]); err != nil {
			return s, err
		}
	}
	return s, nil
}

// read stores one value of a drawing.
func (d *Draw) read(key string, v any) error {
	bad := func(want string) error {
		return fault.New(fault.Invalid, "transform.ParseProgram", "%s: want %s", brief(key), want)
	}
	switch key {
	case "opacity":
		n, ok := v.(json.Number)
		f, err := n.Float64()
		if !ok || err != nil || f < 0 || f > 1 {
			return bad("a number from 0 to 1")
		}
		d.Opacity = f
	case "repeat":
		d.RepeatX, d.RepeatY = v == true || v == "x", v == true || v == "y"
		if v != false && !d.RepeatX && !d.RepeatY {
			return bad("true, false, x or y")
		}
	case "composite":
		word, ok := v.(string)
		if !ok || pick(&d.Composite, composites, word) != nil {
			return bad("over, in, atop, out, xor or lighter")
		}
	default:
		i := slices.Index(sides, key)
		if i < 0 {
			return bad("no such thing: a drawing has sides, opacity, repeat and composite")
		}
		to := &d.X
		if i%2 == 1 {
			to = &d.Y
		}
		n, ok := whole(v)
		if !ok || n < -geometry.MaxSide || n > geometry.MaxSide {
			return bad("a whole number of pixels")
		}
		if to.Edge != Middle {
			return bad("one of two sides that face each other")
		}
		*to = Place{Edge: Start + Edge(i/2), Offset: n}
	}
	return nil
}
