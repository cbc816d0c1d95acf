package transform

import (
	"errors"
	"strconv"
	"strings"

	"focal/core/fault"
	"focal/core/geometry"
)

// option is one option of the grammar. parse and write are inverse: what write
// gives for an Options, parse stores back.
type option struct {
	name, alias string
	want        string // what a value looks like, for the warning
	// parse stores a value. errUnfit means that the value is ignored, a remark
	// that it was taken with a change, any other error that the request is
	// refused.
	parse func(o *Options, value string) error
	// write returns the value, safe in a URL; "" where it is the default.
	write func(o Options) string
}

// errUnfit is the answer of parse to a value that is ignored.
var errUnfit = errors.New("unfit value")

// remark is the answer of parse to a value that was taken with a change.
type remark string

func (r remark) Error() string { return string(r) }

// table holds the options in canonical order. Nothing writes to it.
var table = [...]option{
	{"width", "w", "a whole number of pixels, or auto", parseWidth, writeWidth},
	{"wbreakpoints", "", "up to 16 widths, separated by semicolons", parseBreakpoints, writeBreakpoints},
	{"wmobile", "", "a whole number of pixels",
		func(o *Options, v string) error { return parseFallback(&o.Auto.Mobile, v) },
		func(o Options) string { return writeInt(o.Auto.Mobile) }},
	{"wdesktop", "", "a whole number of pixels",
		func(o *Options, v string) error { return parseFallback(&o.Auto.Desktop, v) },
		func(o Options) string { return writeInt(o.Auto.Desktop) }},
	{"height", "h", "a whole number of pixels",
		func(o *Options, v string) error { return parseSide(&o.Height, "height", v) },
		func(o Options) string { return writeInt(o.Height) }},
	{"dpr", "", "a number above 0, at most 2", parseDPR,
		func(o Options) string { return writeFloat(o.DPR) }},
	{"fit", "", "scale-down, contain, cover, crop, aspect-crop, pad, squeeze or scale-up", parseFit, writeFit},
	{"upscale", "", "interpolate or generate",
		func(o *Options, v string) error { return pick(&o.Generate, upscales, v) },
		func(o Options) string { return name(upscales, o.Generate) }},
	{"gravity", "g", "auto, entropy, face, foreground, left, right, top, bottom, center or XxY", parseGravity, writeGravity},
	{"gravity.x", "", "a number from 0 to 1",
		func(o *Options, v string) error { return parsePoint(o, func(g *Gravity) *float64 { return &g.X }, v) }, unwritten},
	{"gravity.y", "", "a number from 0 to 1",
		func(o *Options, v string) error { return parsePoint(o, func(g *Gravity) *float64 { return &g.Y }, v) }, unwritten},
	{"gravity.mode", "", "remainder or box-center, with a point", parseGravityMode,
		func(o Options) string { return name(gravityModes, o.Gravity.BoxCenter) }},
	{"zoom", "face-zoom", "a number from 0 to 1", parseZoom,
		func(o Options) string { return writeFloat(o.Zoom) }},
	{"faces", "", "all, largest or a number: 1 is the largest face", parseFaces, writeFaces},
	{"face-padding", "", "a number from 1 to 20", parseFacePadding,
		func(o Options) string { return writeFloat(o.Faces.Padding) }},
	{"face-min-score", "", "a number from 0 to 1", parseMinScore,
		func(o Options) string { return o.Faces.MinScore.write() }},
	{"segment", "", "foreground or background",
		func(o *Options, v string) error { return pick(&o.Segment, segments, v) },
		func(o Options) string { return name(segments, o.Segment) }},
	{"mask", "", switchValues,
		func(o *Options, v string) error { return pick(&o.Mask, switches, v) },
		func(o Options) string { return name(switches, o.Mask) }},
	{"shadow", "", "1, 0, or x;y;blur in pixels", parseShadow, writeShadow},
	{"shadow.color", "", "a CSS colour",
		func(o *Options, v string) error { return storeColour(&o.Shadow.Colour, v) },
		func(o Options) string { return o.Shadow.Colour.canonical() }},
	{"background", "", "a CSS colour",
		func(o *Options, v string) error { return storeColour(&o.Background, v) },
		func(o Options) string { return o.Background.canonical() }},
	{"format", "f", "auto, avif, webp, jpeg, baseline-jpeg, png, gif, jxl or json",
		func(o *Options, v string) error { return pick(&o.Format, formats, v) },
		func(o Options) string { return name(formats, o.Format) }},
	{"quality", "q", qualityValues,
		func(o *Options, v string) error { return parseQuality(&o.Quality, v) },
		func(o Options) string { return writeInt(o.Quality) }},
	{"slow-connection-quality", "scq", qualityValues,
		func(o *Options, v string) error { return parseQuality(&o.SlowQuality, v) },
		func(o Options) string { return writeInt(o.SlowQuality) }},
	{"compression", "", "fast",
		func(o *Options, v string) error { return pick(&o.Fast, compressions, v) },
		func(o Options) string { return name(compressions, o.Fast) }},
	{"trim", "", "border, foreground, or top;right;bottom;left in pixels or fractions", parseTrim, writeTrim},
	{"trim.top", "", extent,
		func(o *Options, v string) error { return parseExtent(&o.Trim.Sides.Top, v) }, unwritten},
	{"trim.right", "", extent,
		func(o *Options, v string) error { return parseExtent(&o.Trim.Sides.Right, v) }, unwritten},
	{"trim.bottom", "", extent,
		func(o *Options, v string) error { return parseExtent(&o.Trim.Sides.Bottom, v) }, unwritten},
	{"trim.left", "", extent,
		func(o *Options, v string) error { return parseExtent(&o.Trim.Sides.Left, v) }, unwritten},
	{"trim.width", "", extent,
		func(o *Options, v string) error { return parseExtent(&o.Trim.Sides.Width, v) },
		func(o Options) string { return writeFloat(o.Trim.Sides.Width) }},
	{"trim.height", "", extent,
		func(o *Options, v string) error { return parseExtent(&o.Trim.Sides.Height, v) },
		func(o Options) string { return writeFloat(o.Trim.Sides.Height) }},
	{"trim.border.color", "", "a CSS colour",
		func(o *Options, v string) error { return storeColour(&o.Trim.Colour, v) },
		func(o Options) string { return o.Trim.Colour.canonical() }},
	{"trim.border.tolerance", "", "a number from 0 to 255", parseTolerance,
		func(o Options) string { return o.Trim.Tolerance.write() }},
	{"trim.border.keep", "", "a whole number of pixels",
		func(o *Options, v string) error { return parseLength(&o.Trim.Keep, v) },
		func(o Options) string { return writeInt(o.Trim.Keep) }},
	{"rotate", "", "0, 90, 180, 270 or 360",
		func(o *Options, v string) error { return pick(&o.Rotate, rotations, v) },
		func(o Options) string { return writeInt(o.Rotate) }},
	{"flip", "", "h, v or hv",
		func(o *Options, v string) error { return pick(&o.Flip, flips, v) },
		func(o Options) string { return name(flips, o.Flip) }},
	{"brightness", "", "a number from 0 to 255",
		func(o *Options, v string) error { return parseMultiplier(&o.Adjust.Brightness, "brightness", v) },
		func(o Options) string { return writeFloat(o.Adjust.Brightness) }},
	{"contrast", "", "a number from 0 to 255",
		func(o *Options, v string) error { return parseMultiplier(&o.Adjust.Contrast, "contrast", v) },
		func(o Options) string { return writeFloat(o.Adjust.Contrast) }},
	{"gamma", "", "a number from 0 to 255",
		func(o *Options, v string) error { return parseMultiplier(&o.Adjust.Gamma, "gamma", v) },
		func(o Options) string { return writeFloat(o.Adjust.Gamma) }},
	{"saturation", "", "a number from 0 to 255", parseSaturation,
		func(o Options) string { return o.Adjust.Saturation.write() }},
	{"sharpen", "", "a number from 0 to 10", parseSharpen,
		func(o Options) string { return writeFloat(o.Adjust.Sharpen) }},
	{"blur", "", "a number from 0 to 250", parseBlur,
		func(o Options) string { return writeFloat(o.Blur) }},
	{"blur-faces", "", switchValues,
		func(o *Options, v string) error { return pick(&o.BlurFaces, switches, v) },
		func(o Options) string { return name(switches, o.BlurFaces) }},
	{"border.width", "", "a whole number of pixels", parseBorder, writeBorder},
	{"border.top", "", "a whole number of pixels",
		func(o *Options, v string) error { return parseLength(&o.Border.Top, v) },
		func(o Options) string { return writeSide(o, o.Border.Top) }},
	{"border.right", "", "a whole number of pixels",
		func(o *Options, v string) error { return parseLength(&o.Border.Right, v) },
		func(o Options) string { return writeSide(o, o.Border.Right) }},
	{"border.bottom", "", "a whole number of pixels",
		func(o *Options, v string) error { return parseLength(&o.Border.Bottom, v) },
		func(o Options) string { return writeSide(o, o.Border.Bottom) }},
	{"border.left", "", "a whole number of pixels",
		func(o *Options, v string) error { return parseLength(&o.Border.Left, v) },
		func(o Options) string { return writeSide(o, o.Border.Left) }},
	{"border.color", "", "a CSS colour",
		func(o *Options, v string) error { return storeColour(&o.Border.Colour, v) },
		func(o Options) string { return o.Border.Colour.canonical() }},
	{"anim", "", "true or false",
		func(o *Options, v string) error { return pick(&o.FirstFrame, anims, v) },
		func(o Options) string { return name(anims, o.FirstFrame) }},
	{"onerror", "", "redirect",
		func(o *Options, v string) error { return pick(&o.RedirectOnError, onErrors, v) },
		func(o Options) string { return name(onErrors, o.RedirectOnError) }},
	{"metadata", "", "copyright, keep or none",
		func(o *Options, v string) error { return pick(&o.Metadata, metadata, v) },
		func(o Options) string { return name(metadata, o.Metadata) }},
	{"debug", "", "crop",
		func(o *Options, v string) error { return pick(&o.Debug, debugs, v) },
		func(o Options) string { return name(debugs, o.Debug) }},
}

// switchValues says what a switch looks like.
const switchValues = "1 or 0"

// qualityValues says what a quality looks like.
const qualityValues = "1 to 100, high, medium-high, medium-low or low"

// extent says what a length of a trim looks like.
const extent = "pixels, or a fraction below 1"

// unwritten is the write of an option whose value another row writes.
func unwritten(Options) string { return "" }

// choice is one word that an option takes. Where several words give the same
// value, the first is the canonical one.
type choice[T comparable] struct {
	word  string
	value T
}

var (
	segments     = []choice[Segment]{{"foreground", SegmentForeground}, {"background", SegmentBackground}}
	switches     = []choice[bool]{{"1", true}, {"true", true}, {"0", false}, {"false", false}}
	compressions = []choice[bool]{{"fast", true}}
	debugs       = []choice[bool]{{"crop", true}}
	upscales     = []choice[bool]{{"interpolate", false}, {"generate", true}}
	anims        = []choice[bool]{{"true", false}, {"false", true}}
	onErrors     = []choice[bool]{{"redirect", true}}
	metadata     = []choice[Metadata]{{"copyright", MetadataCopyright}, {"keep", MetadataKeep}, {"none", MetadataNone}}
	flips        = []choice[Flip]{{"h", FlipHorizontal}, {"v", FlipVertical}, {"hv", FlipBoth}}
	formats      = []choice[Format]{
		{"auto", FormatAuto}, {"avif", FormatAVIF}, {"webp", FormatWebP}, {"jpeg", FormatJPEG}, {"jpg", FormatJPEG},
		{"baseline-jpeg", FormatBaselineJPEG}, {"png", FormatPNG}, {"png-force", FormatPNG}, {"jxl", FormatJXL}, {"gif", FormatGIF}, {"json", FormatJSON},
	}
	rotations = []choice[int]{{"0", 0}, {"90", 90}, {"180", 180}, {"270", 270}, {"360", 0}}
	// Cloudflare does not publish these numbers; they are those of its own
	// local mock.
	qualities = []choice[int]{{"high", 90}, {"medium-high", 70}, {"medium-low", 50}, {"low", 35}}
	gravities = []choice[Gravity]{
		{"auto", Gravity{Kind: GravityAuto}}, {"face", Gravity{Kind: GravityFace}},
		{"left", Gravity{Kind: GravityLeft}}, {"right", Gravity{Kind: GravityRight}},
		{"top", Gravity{Kind: GravityTop}}, {"bottom", Gravity{Kind: GravityBottom}},
		{"center", Gravity{}}, {"entropy", Gravity{Kind: GravityEntropy}}, {"foreground", Gravity{Kind: GravityForeground}},
	}
	gravityModes = []choice[bool]{{"remainder", false}, {"box-center", true}}
)

// pick stores the value of a word.
func pick[T comparable](to *T, from []choice[T], word string) error {
	for _, c := range from {
		if c.word == word {
			*to = c.value
			return nil
		}
	}
	return errUnfit
}

// name is the inverse of pick: "" for the zero value, which is every option's
// default.
func name[T comparable](from []choice[T], value T) string {
	var zero T
	for _, c := range from {
		if c.value == value && value != zero {
			return c.word
		}
	}
	return ""
}

// parseSide reads a width or height. What is no whole number is ignored, but a
// whole number that no picture can have is an impossible size and refused.
func parseSide(to *int, key, v string) error {
	digits := strings.TrimPrefix(v, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return errUnfit
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > geometry.MaxSide {
		return fault.New(fault.TooLarge, "transform.Parse", "%s=%s: a side is 1 to %d pixels", key, brief(v), geometry.MaxSide)
	}
	*to = n
	return nil
}

func parseDPR(o *Options, v string) error {
	n, ok := parseDecimal(v)
	switch {
	case !ok || n <= 0:
		return errUnfit
	case n > MaxDPR:
		o.DPR = MaxDPR
		return remark("dpr is at most 2")
	case n != 1: // 1 is the default, which is 0
		o.DPR = n
	}
	return nil
}

func parseFit(o *Options, v string) error {
	f, ok := geometry.ParseFit(v)
	if !ok {
		return errUnfit
	}
	o.Fit = f
	return nil
}

func writeFit(o Options) string {
	if o.Fit == geometry.ScaleDown {
		return ""
	}
	return o.Fit.String()
}

func parseGravity(o *Options, v string) error {
	if pick(&o.Gravity, gravities, v) == nil {
		return nil
	}
	first, second, ok := strings.Cut(v, "x")
	x, okX := parseDecimal(first)
	y, okY := parseDecimal(second)
	if !ok || !okX || !okY || x < 0 || x > 1 || y < 0 || y > 1 {
		return errUnfit
	}
	o.Gravity = Gravity{Kind: GravityPoint, X: x, Y: y}
	return nil
}

// parsePoint reads one axis of a point, the other being in the middle unless it
// is given too.
func parsePoint(o *Options, axis func(*Gravity) *float64, v string) error {
	n, ok := parseDecimal(v)
	if !ok || n < 0 || n > 1 {
		return errUnfit
	}
	if o.Gravity.Kind != GravityPoint {
		o.Gravity = Gravity{Kind: GravityPoint, X: 0.5, Y: 0.5}
	}
	*axis(&o.Gravity) = n
	return nil
}

func parseGravityMode(o *Options, v string) error {
	if o.Gravity.Kind != GravityPoint {
		return errUnfit
	}
	return pick(&o.Gravity.BoxCenter, gravityModes, v)
}

func writeGravity(o Options) string {
	if o.Gravity.Kind == GravityPoint {
		return decimal(o.Gravity.X) + "x" + decimal(o.Gravity.Y)
	}
	return name(gravities, o.Gravity)
}

func storeColour(to *Colour, v string) error {
	c, ok := parseColour(v)
	if !ok {
		return errUnfit
	}
	*to = c
	return nil
}

func parseQuality(to *int, v string) error {
	if pick(to, qualities, v) == nil {
		return nil
	}
	n, ok := parseDecimal(v)
	if !ok || n < 1 || n > 100 || n != float64(int(n)) {
		return errUnfit
	}
	*to = int(n)
	return nil
}

// parseBlur brings what is too strong to the limit rather than ignoring it: a
// blur is often there to hide something.
func parseBlur(o *Options, v string) (err error) {
	o.Blur, err = bounded("blur", v, MaxBlur)
	return err
}
