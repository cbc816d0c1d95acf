package transform

import (
	"strconv"
	"strings"

	"focal/core/geometry"
)

// Trim is what is cut off before anything else: given lengths, all but the
// subject, or a border of one colour that is looked for.
type Trim struct {
	Sides      geometry.Trim
	Foreground bool
	Border     bool // the rest is for trim=border alone
	// Colour is the border's; not set: that of the corner at the left top.
	Colour Colour
	// Tolerance is the difference of a channel that still counts as border, 0
	// to 255; not set: the pipeline's default.
	Tolerance Number
	Keep      int // pixels of the border that stay, in pixels before DPR
}

// MaxTolerance is the largest Trim.Tolerance.
const MaxTolerance = 255

// parseTrim reads "border", "foreground", or the four sides in the order of CSS.
func parseTrim(o *Options, v string) error {
	switch v {
	case "border":
		o.Trim.Border = true
		return nil
	case "foreground":
		o.Trim.Foreground = true
		return nil
	}
	parts := strings.Split(v, ";")
	if len(parts) != 4 {
		return errUnfit
	}
	var t geometry.Trim
	for i, to := range []*float64{&t.Top, &t.Right, &t.Bottom, &t.Left} {
		if err := parseExtent(to, parts[i]); err != nil {
			return err
		}
	}
	o.Trim.Sides = t
	return nil
}

// writeTrim is the inverse of parseTrim.
func writeTrim(o Options) string {
	t := o.Trim.Sides
	switch {
	case o.Trim.Border:
		return "border"
	case o.Trim.Foreground:
		return "foreground"
	case t.Top == 0 && t.Right == 0 && t.Bottom == 0 && t.Left == 0:
		return ""
	default:
		return strings.Join([]string{decimal(t.Top), decimal(t.Right), decimal(t.Bottom), decimal(t.Left)}, ";")
	}
}

// parseExtent reads a length of a trim: whole pixels, or a fraction below 1.
func parseExtent(to *float64, v string) error {
	n, ok := parseDecimal(v)
	if !ok || n < 0 || n > geometry.MaxSide || (n > 1 && n != float64(int(n))) {
		return errUnfit
	}
	*to = n
	return nil
}

func parseTolerance(o *Options, v string) error {
	n, err := bounded("trim.border.tolerance", v, MaxTolerance)
	if err != errUnfit {
		o.Trim.Tolerance = Number{Value: n, Set: true}
	}
	return err
}

// settleTrim drops what the other kinds of Trim make meaningless.
func (o *Options) settleTrim(w *warnings) {
	t := &o.Trim
	if (t.Border || t.Foreground) && t.Sides != (geometry.Trim{}) {
		t.Sides = geometry.Trim{}
		w.add("the sides of trim are ignored beside trim=%s", writeTrim(*o))
	}
	if kept := (Trim{Sides: t.Sides, Foreground: t.Foreground}); !t.Border && *t != kept {
		*t = kept
		w.add("trim.border is ignored: it needs trim=border")
	}
}

// Border is a frame drawn round the finished picture, in pixels before DPR.
type Border struct {
	Top, Right, Bottom, Left int
	Colour                   Colour // not set: black
}

// even says whether all sides are as wide.
func (b Border) even() bool { return b.Top == b.Right && b.Top == b.Bottom && b.Top == b.Left }

// parseBorder reads the width of all four sides; the rows of single sides come
// after it.
func parseBorder(o *Options, v string) error {
	b := &o.Border
	if err := parseLength(&b.Top, v); err != nil {
		return err
	}
	b.Right, b.Bottom, b.Left = b.Top, b.Top, b.Top
	return nil
}

func writeBorder(o Options) string {
	if !o.Border.even() {
		return ""
	}
	return writeInt(o.Border.Top)
}

// writeSide writes one side of a border that is not even.
func writeSide(o Options, width int) string {
	if o.Border.even() {
		return ""
	}
	return writeInt(width)
}

// parseLength reads whole pixels, 0 included.
func parseLength(to *int, v string) error {
	if v == "" || strings.Trim(v, "0123456789") != "" {
		return errUnfit
	}
	n, err := strconv.Atoi(v)
	if err != nil || n > geometry.MaxSide {
		return errUnfit
	}
	*to = n
	return nil
}

// Drawn returns the border with DPR multiplied in.
func (o Options) Drawn() Border {
	b := o.Border
	b.Top, b.Right, b.Bottom, b.Left = o.scaled(b.Top), o.scaled(b.Right), o.scaled(b.Bottom), o.scaled(b.Left)
	return b
}

// Density returns DPR with its default spelled out.
func (o Options) Density() float64 {
	if o.DPR == 0 {
		return 1
	}
	return o.DPR
}
