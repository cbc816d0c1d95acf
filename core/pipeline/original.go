package pipeline

import (
	"focal/core/geometry"
	"focal/core/structure"
	"focal/core/transform"
	"focal/core/vips"
)

// satisfies says whether the original is what was asked for, as far as its
// pixels and its format go:
//
//  1. Quality and baseline-jpeg ask for an encoding of ours.
//  2. The format is the one chosen; with format=auto, any that the client
//     shows, but for compression=fast, which chooses by itself.
//  3. The size is the result's, and nothing was turned, cut or padded. A
//     picture with an EXIF orientation is not the result but for readers who
//     know of it.
//  4. All frames are asked for, or there is one.
//  5. No step changes a pixel: no hidden face, no colour behind transparency, no
//     cut-out, no adjustment, no blur; the colours are those of the result already.
func (p *picture) satisfies(r Request, info vips.Info) bool {
	o := p.options
	if o.Quality > 0 || o.Format == transform.FormatBaselineJPEG { // 1
		return false
	}
	shown := o.Format == transform.FormatAuto && !o.Fast && (info.Format != vips.WebP || r.Accept.WebP)
	if info.Format != p.format && !shown { // 2
		return false
	}
	l := p.plan.layout
	whole := geometry.Window{W: float64(info.Stored.Width), H: float64(info.Stored.Height)}
	if info.Orientation > 1 || p.plan.frame.FlipH || p.plan.frame.FlipV || p.plan.frame.Rotate != 0 ||
		p.plan.working != info.Stored || l.Window != whole || l.Resize != info.Stored || p.plan.size != info.Stored { // 3
		return false
	}
	if info.Pages != p.plan.pages { // 4
		return false
	}
	_, grounded := ground(o.Background)
	return !(grounded && info.Alpha) && len(p.hidden) == 0 && p.mask == nil && o.Adjust == (transform.Adjust{}) && o.Blur == 0 && info.Standard // 5
}

// clean says whether a file may leave untouched: nothing after its end, where
// a crop leaves what it cropped (aCropalypse), and no metadata but those that
// would be carried over. Without metadata=keep that is none: the copyright is
// one tag among others, and the rest would leave with it. A colour profile
// never leaves, since colours are promised to be sRGB, nor a thumbnail.
func clean(file []byte, m transform.Metadata) bool {
	report, err := structure.Read(file)
	if err != nil {
		return false // another format, or one that a laxer reader reads otherwise
	}
	var keep structure.Kind
	if m == transform.MetadataKeep && report.Format == structure.JPEG {
		keep = structure.Exif | structure.GPS | structure.XMP | structure.IPTC
	}
	ok, _ := report.PassThrough(keep)
	return ok
}
