package vips

import (
	"slices"

	"focal/core/fault"
	"focal/core/pixel"

	govips "github.com/davidbyttow/govips/v2/vips"
)

// EncodeOptions say how a picture is written.
type EncodeOptions struct {
	Format  Format // one that Writes says yes to
	Quality int    // 1..100, for JPEG, WebP, AVIF and JPEG XL; 100 is lossless for WebP and JPEG XL
	// Baseline writes a JPEG that is never progressive.
	Baseline bool
	// Fast trades size for time: the least effort that each encoder has.
	Fast bool
	// Palette writes a PNG of at most 256 colours, chosen for Quality.
	Palette bool
	// Metadata is what a JPEG carries besides pixels; other formats carry
	// none.
	Metadata Metadata
}

// A JPEG under 50×50 or over 3000×3000 is written baseline, as Cloudflare
// documents: a small one grows by being progressive, a large one costs the
// reader much memory.
const (
	progressiveMin = 50
	progressiveMax = 3000
)

// avifEffort is libvips' effort for AV1, 0 to 9. Measured at 1024×768 with aom
// 3.6: effort 3 takes 114 ms for 27 KB, 6 takes 901 ms for 26 KB.
const avifEffort = 3

// jxlEffort is libvips' effort for JPEG XL, 3 to 9. Measured at 1024×683 with
// libjxl 0.7: effort 3 takes half the time of 5 and gives 146 KB for 125 KB; 7
// takes longer and gives no less.
const jxlEffort = 5

// The efforts of the encoders, ordinary and fast: zlib's level for PNG, libwebp's
// method (0 to 6) for WebP, libvips' effort for GIF (1 to 10) and AV1 (see avifEffort).
const (
	pngEffort, pngFast   = 6, 1
	webpEffort, webpFast = 4, 0
	gifEffort, gifFast   = 7, 1
	avifFast             = 0
	jxlFast              = 3
)

// Encode runs the picture through and writes it. Colours are sRGB, without a
// profile. Damage in the source's pixels shows here, as fault.Corrupt. See
// Until.
func (i *Image) Encode(o EncodeOptions) (out []byte, err error) {
	const op = "vips.Encode"
	if !Writes(o.Format) {
		return nil, fault.New(fault.Internal, op, "no encoder for %s", o.Format)
	}
	if o.Format != JPEG {
		o.Metadata = MetadataNone
	}
	if err := i.reduceMetadata(o.Metadata); err != nil {
		return nil, wrap(fault.Internal, op, err)
	}
	err = i.evaluate(op, func() error {
		out, err = i.encode(o)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// encode is Encode, with libvips' own errors.
func (i *Image) encode(o EncodeOptions) (out []byte, err error) {
	switch o.Format {
	case JPEG:
		out, err = i.encodeJPEG(o)
	case PNG:
		p := &govips.PngExportParams{StripMetadata: true, Compression: choose(o.Fast, pngFast, pngEffort), Filter: govips.PngFilterAll}
		if o.Palette {
			p.Palette, p.Quality, p.Dither, p.Filter = true, o.Quality, 1, govips.PngFilterNone
		}
		out, _, err = i.ref.ExportPng(p)
	case GIF:
		out, _, err = i.ref.ExportGIF(&govips.GifExportParams{Dither: 1, Effort: choose(o.Fast, gifFast, gifEffort), Bitdepth: 8})
	case WebP:
		out, _, err = i.ref.ExportWebp(&govips.WebpExportParams{
			StripMetadata: true, Quality: o.Quality, Lossless: o.Quality >= 100, ReductionEffort: choose(o.Fast, webpFast, webpEffort),
		})
		out = bareWebP(out)
	case AVIF:
		out, _, err = i.ref.ExportAvif(&govips.AvifExportParams{
			StripMetadata: true, Quality: o.Quality, Bitdepth: 8, Effort: choose(o.Fast, avifFast, avifEffort),
		})
	case JXL:
		out, _, err = i.ref.ExportJxl(&govips.JxlExportParams{
			Distance: jxlDistance(o.Quality), Lossless: o.Quality >= 100, Effort: choose(o.Fast, jxlFast, jxlEffort),
		})
	}
	return out, err
}

func (i *Image) encodeJPEG(o EncodeOptions) ([]byte, error) {
	// Without anything to write, libvips would still write a bare EXIF block.
	bare := o.Metadata != MetadataAll && !slices.Contains(i.ref.ImageFields(), fieldEXIF)
	s := i.Size()
	tiny := s.Width < progressiveMin && s.Height < progressiveMin
	huge := s.Width > progressiveMax && s.Height > progressiveMax
	out, _, err := i.ref.ExportJpeg(&govips.JpegExportParams{
		Quality: o.Quality, StripMetadata: bare,
		OptimizeCoding: !o.Fast, Interlace: !tiny && !huge && !o.Baseline && !o.Fast,
	})
	return out, err
}

// jxlDistance is libjxl's own reading of a quality on JPEG's scale
// (JxlEncoderDistanceFromQuality), as a distance in just noticeable differences.
func jxlDistance(quality int) float64 {
	q := float64(quality)
	if q >= 30 {
		return 0.1 + (100-q)*0.09
	}
	return 53.0/3000*q*q - 23.0/20*q + 25
}

// choose returns a where yes, else b.
func choose(yes bool, a, b int) int {
	if yes {
		return a
	}
	return b
}

// Buffer runs the picture through and returns its pixels.
func (i *Image) Buffer() (pixel.Buffer, error) {
	const op = "vips.Buffer"
	s := i.Size()
	b := pixel.Buffer{Width: s.Width, Height: s.Height, Channels: i.ref.Bands()}
	var err error
	if b.Pix, err = i.bytes(op); err != nil {
		return pixel.Buffer{}, err
	}
	if err := b.Validate(); err != nil {
		return pixel.Buffer{}, fault.New(fault.Internal, op, "%w", err)
	}
	return b, nil
}
