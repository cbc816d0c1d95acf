package pipeline

import (
	"focal/core/pixel"
	"focal/core/transform"
	"focal/core/vips"
)

// The longest sides of results that AVIF and WebP are used for: AVIF takes an
// order of magnitude longer than the rest. The figures are Cloudflare's.
const (
	avifAuto     = 1200 // format=auto
	avifExplicit = 1600 // format=avif
	webpAuto     = 2560
)

const defaultQuality = 85

var white = vips.Colour{R: 255, G: 255, B: 255, A: 255}

// chooseFormat decides what the result is written as:
//
//  1. jpeg, png, webp: as asked.
//  2. avif: as asked up to 1600 pixels, else WebP where the client takes it,
//     else as in 4; with a warning.
//  3. auto: AVIF up to 1200 pixels, then WebP up to 2560, each if the client
//     takes it, else as in 4.
//  4. Nothing: JPEG, or PNG where the result is transparent.
//
// transparent says that there may be transparency before a background.
func chooseFormat(o transform.Options, a Accept, size pixel.Size, transparent bool) (f vips.Format, warning string) {
	if c, given := ground(o.Background); given && c.A == 255 {
		transparent = false
	}
	standard := vips.JPEG
	if transparent {
		standard = vips.PNG
	}
	long := max(size.Width, size.Height)
	switch o.Format {
	case transform.FormatJPEG, transform.FormatBaselineJPEG: // 1
		return vips.JPEG, ""
	case transform.FormatPNG:
		return vips.PNG, ""
	case transform.FormatWebP:
		return vips.WebP, ""
	case transform.FormatAVIF: // 2
		switch {
		case long <= avifExplicit:
			return vips.AVIF, ""
		case a.WebP && long <= webpAuto:
			return vips.WebP, "image too large for AVIF"
		default:
			return standard, "image too large for AVIF"
		}
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

// carriesAlpha says whether a format can be transparent.
func carriesAlpha(f vips.Format) bool { return f != vips.JPEG }

// quality returns the encoder's quality.
func quality(o transform.Options) int {
	if o.Quality == 0 {
		return defaultQuality
	}
	return o.Quality
}

// ground returns the background colour, and whether one was asked for.
func ground(c transform.Colour) (vips.Colour, bool) {
	return vips.Colour{R: c.R, G: c.G, B: c.B, A: c.A}, c.Set
}
