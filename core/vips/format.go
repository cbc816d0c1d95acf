package vips

import "bytes"

// Format is a picture format.
type Format uint8

// The formats. Unknown is what is not served.
const (
	Unknown Format = iota
	JPEG
	PNG
	GIF
	WebP
	AVIF
	HEIC
	TIFF
	SVG // also zipped; recognised, but never rasterised
	JXL // written where libvips can, see Writes; never read
)

var formats = [...]struct{ name, mime string }{
	Unknown: {"unknown", "application/octet-stream"},
	JPEG:    {"jpeg", "image/jpeg"},
	PNG:     {"png", "image/png"},
	GIF:     {"gif", "image/gif"},
	WebP:    {"webp", "image/webp"},
	AVIF:    {"avif", "image/avif"},
	HEIC:    {"heic", "image/heic"},
	TIFF:    {"tiff", "image/tiff"},
	SVG:     {"svg", "image/svg+xml"},
	JXL:     {"jxl", "image/jxl"},
}

// String returns the format's short name.
func (f Format) String() string { return formats[f].name }

// MIME returns the format's media type.
func (f Format) MIME() string { return formats[f].mime }

// Sniff tells the format from a file's first bytes. File names and the
// Content-Type of an origin are never believed. What is zipped is taken for an
// SVG, since no other picture comes so: whoever reads it finds out.
func Sniff(file []byte) Format {
	head := file[:min(len(file), 1024)]
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return JPEG
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return PNG
	case bytes.HasPrefix(head, []byte("GIF87a")), bytes.HasPrefix(head, []byte("GIF89a")):
		return GIF
	case len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP":
		return WebP
	case bytes.HasPrefix(head, []byte("II*\x00")), bytes.HasPrefix(head, []byte("MM\x00*")):
		return TIFF
	case len(head) >= 12 && string(head[4:8]) == "ftyp":
		return sniffBrand(head)
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")), sniffSVG(file):
		return SVG
	default:
		return Unknown
	}
}

// sniffBrand reads the brands of an ISO base media file (ISO/IEC 14496-12
// §4.3): the major brand first, then the compatible ones.
func sniffBrand(head []byte) Format {
	size := int(head[0])<<24 | int(head[1])<<16 | int(head[2])<<8 | int(head[3])
	for at := 8; at+4 <= len(head) && at < size; at += 4 {
		if at == 12 { // the minor version stands between the brands
			continue
		}
		switch string(head[at : at+4]) {
		case "avif", "avis":
			return AVIF
		case "heic", "heix", "hevc", "heim", "heis":
			return HEIC
		}
	}
	return Unknown
}

// svgPrologue is how far into a file the first SVG element may stand: licences
// and entities of drawing programs come before it.
const svgPrologue = 64 << 10

// sniffSVG says whether a file is markup, in UTF-8 or UTF-16, with an SVG
// element. A page that has one among others is sorted out by whoever reads it.
func sniffSVG(file []byte) bool {
	head := file[:min(len(file), svgPrologue)]
	start := bytes.TrimLeftFunc(head[:min(len(head), 64)], func(r rune) bool {
		return r <= ' ' || r == '\ufeff' || r == '\ufffd' // the marks of UTF-8 and, read as such, UTF-16
	})
	if len(start) == 0 || start[0] != '<' {
		return false
	}
	if bytes.IndexByte(head[:min(len(head), 8)], 0) >= 0 {
		head = bytes.ReplaceAll(head, []byte{0}, nil)
	}
	return bytes.Contains(head, []byte("<svg")) || bytes.Contains(head, []byte(":svg"))
}
