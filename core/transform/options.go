// Package transform is what a request asks for: the options of a URL as a
// typed struct, their grammar, and their canonical form.
//
// It is pure: it reads strings and gives values. It does not know HTTP, where
// a source lies, or how a picture is made. It owns no goroutine and no memory,
// and every function is safe for concurrent use.
package transform

import (
	"math"
	"strings"

	"focal/core/geometry"
)

// Options is everything that can be asked of one picture. The zero value
// leaves it as it is. Two Options can be compared with ==, and those that Parse
// gives are equal exactly when they ask for the same values.
type Options struct {
	Width, Height int // in pixels before DPR; 0: not given
	Auto          Auto
	DPR           float64 // multiplies Width and Height, at most MaxDPR; 0 means 1
	Fit           geometry.Fit
	Generate      bool // upscale=generate: enlarge by a model
	Gravity       Gravity
	Zoom          float64 // 0 to 1, only with GravityFace and GravityForeground
	Faces         Faces   // only with GravityFace
	Segment       Segment
	Mask          bool // mask=1: the mask of what Segment keeps, instead of the picture
	Shadow        Shadow
	Background    Colour
	Format        Format
	Quality       int  // 1 to 100; 0: the default, which the pipeline knows
	SlowQuality   int  // replaces Quality on a slow connection; see Resolve
	Fast          bool // compression=fast: the quickest encoder
	Rotate        int  // clockwise: 0, 90, 180 or 270
	Flip          Flip // before Rotate
	Trim          Trim
	Border        Border
	Adjust        Adjust
	Blur          float64
	BlurFaces     bool // every face is made unrecognisable
	FirstFrame    bool // anim=false
	Debug         bool // debug=crop: the source, and over it what decided the crop
	// RedirectOnError sends a client on to the source when the picture cannot
	// be made.
	RedirectOnError bool
	Metadata        Metadata
}

// The limits of options.
const (
	MaxDPR  = 2
	MaxBlur = 250
)

// GravityKind says what a crop keeps.
type GravityKind uint8

// The kinds of gravity.
const (
	GravityCentre GravityKind = iota
	GravityAuto               // what catches the eye
	GravityFace               // faces
	GravityLeft
	GravityRight
	GravityTop
	GravityBottom
	GravityPoint      // X and Y
	GravityEntropy    // what holds most detail
	GravityForeground // the subject
)

// Gravity is what a crop keeps. X and Y are fractions of the picture after
// trim, flip and rotate, and zero unless Kind is GravityPoint. They name the
// point of the result that lies on the same point of the picture or, with
// BoxCenter, the point of the picture that the result is centred on.
type Gravity struct {
	Kind      GravityKind
	X, Y      float64
	BoxCenter bool
}

// Salient says whether the gravity is found by looking at the pixels, without
// a model.
func (g Gravity) Salient() bool { return g.Kind == GravityAuto || g.Kind == GravityEntropy }

// Focus returns what geometry makes of the gravity. GravityAuto, GravityEntropy,
// GravityFace and GravityForeground give the centre: where they point is found
// by looking.
func (g Gravity) Focus() geometry.Focus {
	switch g.Kind {
	case GravityLeft:
		return geometry.KeepSide(geometry.Left)
	case GravityRight:
		return geometry.KeepSide(geometry.Right)
	case GravityTop:
		return geometry.KeepSide(geometry.Top)
	case GravityBottom:
		return geometry.KeepSide(geometry.Bottom)
	case GravityPoint:
		f := geometry.Focus{Mode: geometry.Remainder}
		if g.BoxCenter {
			f.Mode = geometry.BoxCenter
		}
		f.Point.X, f.Point.Y = g.X, g.Y
		return f
	default:
		return geometry.Focus{}
	}
}

// Segment is which part of the picture stays when the rest becomes transparent.
type Segment uint8

// The choices.
const (
	SegmentNone Segment = iota
	SegmentForeground
	SegmentBackground
)

// Format is the format of the answer.
type Format uint8

// The formats.
const (
	FormatDefault      Format = iota // JPEG, or PNG where the result has transparency
	FormatAuto                       // the best that the client accepts
	FormatAVIF                       //
	FormatWebP                       //
	FormatJPEG                       // progressive
	FormatBaselineJPEG               //
	FormatPNG                        //
	FormatJSON                       // facts about the result instead of pixels
	FormatJXL                        // JPEG XL, where the image engine writes it
	FormatGIF                        //
)

// Flip is which axes are mirrored.
type Flip uint8

// The flips. FlipBoth is the two others together.
const (
	FlipNone       Flip = 0
	FlipHorizontal Flip = 1 // left and right change places
	FlipVertical   Flip = 2 // top and bottom change places
	FlipBoth       Flip = FlipHorizontal | FlipVertical
)

// Metadata is which metadata of the source a JPEG keeps.
type Metadata uint8

// The choices. GPS goes unless MetadataKeep.
const (
	MetadataCopyright Metadata = iota
	MetadataKeep
	MetadataNone
)

// Target returns the size that was asked for, with DPR multiplied in. A side
// that was given is at least 1.
func (o Options) Target() geometry.Target {
	return geometry.Target{Width: o.scaled(o.Width), Height: o.scaled(o.Height), Fit: o.Fit}
}

// scaled is one side of Target.
func (o Options) scaled(side int) int {
	if side == 0 || o.DPR == 0 {
		return side
	}
	return int(math.Max(1, math.Round(float64(side)*o.DPR)))
}

// Frame returns the way from the oriented source to the picture that is fitted,
// but for the trim, which needs the source's size.
func (o Options) Frame() geometry.Frame {
	return geometry.Frame{
		FlipH:  o.Flip&FlipHorizontal != 0,
		FlipV:  o.Flip&FlipVertical != 0,
		Rotate: o.Rotate,
	}
}

// Canonical returns the one spelling of o: long names, fixed order, defaults
// left out. Parse reads it back without a warning, to an equal Options. It is
// never empty, since an empty list is no list.
func (o Options) Canonical() string {
	var b strings.Builder
	for _, opt := range table {
		value := opt.write(o)
		if value == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(opt.name)
		b.WriteByte('=')
		b.WriteString(value)
	}
	if b.Len() == 0 {
		return "fit=" + o.Fit.String()
	}
	return b.String()
}
