package pipeline

import (
	"focal/core/pixel"
	"focal/core/transform"
	"focal/core/vips"
)

// The longest sides of results that AVIF and WebP are used for: AVIF takes an
// order of magnitude longer than the rest. The figures are Cloudflare's, and that
// of JPEG XL, which takes as long and 58 bytes a pixel, is ours.
const (
	avifAuto     = 1200 // format=auto
	avifExplicit = 1600 // format=avif
	jxlExplicit  = 1600 // format=jxl
	webpAuto     = 2560
)

const defaultQuality = 85

var (
	white = vips.Colour{R: 255, G: 255, B: 255, A: 255}
	black = vips.Colour{A: 255}
)

// chooseFormat decides what the result is written as:
//
//  0. compression=fast: as in 4, except for an explicit PNG.
//  1. jpeg, png, webp, gif: as asked.
//  2. avif, jxl: as asked up to 1600 pixels, jxl where it can be written; else
//     WebP where the client takes it, else as in 4; with a warning.
//  3. auto: AVIF up to 1200 pixels, then WebP up to 2560, each if the client
//     takes it, else as in 4.
//  4. Nothing: JPEG, or PNG where the result is transparent or a mask.
//
// transparent says that there may be transparency before a background.
func chooseFormat(o transform.Options, a Accept, size pixel.Size, transparent bool) (f vips.Format, warning string) {
	if c, given := ground(o.Background); given && c.A == 255 {
		transparent = translucentBorder(o)
	}
	standard := vips.JPEG
	if transparent || o.Mask { // a mask's edges do not suffer JPEG
		standard = vips.PNG
	}
	if o.Fast && o.Format != transform.FormatPNG { // 0
		return standard, ""
	}
	long := max(size.Width, size.Height)
	switch o.Format {
	case transform.FormatJPEG, transform.FormatBaselineJPEG: // 1
		return vips.JPEG, ""
	case transform.FormatPNG:
		return vips.PNG, ""
	case transform.FormatWebP:
		return vips.WebP, ""
	case transform.FormatGIF:
		return vips.GIF, ""
	case transform.FormatAVIF: // 2
		if long <= avifExplicit {
			return vips.AVIF, ""
		}
		return next(standard, a, long), "image too large for AVIF"
	case transform.FormatJXL: // 2
		if !vips.Writes(vips.JXL) {
			return next(standard, a, long), "JPEG XL cannot be written here: libvips was built without it"
		}
		if long <= jxlExplicit {
			return vips.JXL, ""
		}
		return next(standard, a, long), "image too large for JPEG XL"
	case transform.FormatAuto: // 3
		switch {
		case a.AVIF && long <= avifAuto:
			return vips.AVIF, ""
		case a.WebP && long <= webpAuto:
			return vips.WebP, ""
		}
	}
	return standard, "" // 4
}

// next is what is written where neither AVIF nor JPEG XL is.
func next(standard vips.Format, a Accept, long int) vips.Format {
	if a.WebP && long <= webpAuto {
		return vips.WebP
	}
	return standard
}

// chooseAnimated decides what an animation is written as: WebP where it was
// asked for or the client takes it, else GIF.
func chooseAnimated(o transform.Options, a Accept) vips.Format {
	if o.Format == transform.FormatWebP || a.WebP && o.Format != transform.FormatGIF {
		return vips.WebP
	}
	return vips.GIF
}

// seeThrough says whether the options draw something that is not opaque round
// the picture.
func (p plan) seeThrough(o transform.Options) bool {
	c, given := ground(o.Background)
	return given && c.A < 255 && p.layout.Canvas != p.layout.Resize || translucentBorder(o)
}

// translucentBorder says whether there is a border that is not opaque.
func translucentBorder(o transform.Options) bool {
	b := o.Border
	return b.Colour.Set && b.Colour.A < 255 && b != (transform.Border{Colour: b.Colour})
}

// carriesAlpha says whether a format can be transparent.
func carriesAlpha(f vips.Format) bool { return f != vips.JPEG }

// encoding returns how a result of format f is written. A quality below 100
// that was asked for makes a PNG one of at most 256 colours, as Cloudflare
// documents; 100 is lossless, as for WebP.
func encoding(o transform.Options, f vips.Format) vips.EncodeOptions {
	e := vips.EncodeOptions{
		Format: f, Quality: defaultQuality, Fast: o.Fast,
		Baseline: o.Format == transform.FormatBaselineJPEG,
		Palette:  o.Quality > 0 && o.Quality < 100,
		Metadata: metadata[o.Metadata],
	}
	if o.Quality > 0 {
		e.Quality = o.Quality
	}
	return e
}

// metadata are the engine's names for what a JPEG keeps.
var metadata = map[transform.Metadata]vips.Metadata{
	transform.MetadataCopyright: vips.MetadataCopyright,
	transform.MetadataKeep:      vips.MetadataAll,
	transform.MetadataNone:      vips.MetadataNone,
}

// ground returns the background colour, and whether one was asked for.
func ground(c transform.Colour) (vips.Colour, bool) {
	return vips.Colour{R: c.R, G: c.G, B: c.B, A: c.A}, c.Set
}
