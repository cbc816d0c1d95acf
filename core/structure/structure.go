// Package structure says where a picture file ends and what metadata it
// carries, by walking its segments, chunks and blocks. It answers one question
// for the pipeline: may this original be handed out untouched?
//
// It decodes no pixel and must not know the image engine, options or HTTP. It is
// pure: linear in the file's length, bounded in memory, no goroutine. The report
// holds offsets only and keeps nothing of the file alive.
package structure

import (
	"bytes"
	"fmt"

	"focal/core/fault"
)

// Format is a file format that this room can walk.
type Format uint8

// The formats.
const (
	Unknown Format = iota
	JPEG
	PNG
	GIF
	WebP
)

// String returns the format's short name.
func (f Format) String() string {
	return [...]string{"unknown", "jpeg", "png", "gif", "webp"}[f]
}

// Kind is a set of sorts of metadata.
type Kind uint16

// The sorts. A segment that is needed to draw the picture (JFIF without a
// thumbnail, Adobe's colour transform, a GIF's loop count) is of none.
const (
	Exif      Kind = 1 << iota
	GPS            // a position, in EXIF or in XMP
	Thumbnail      // a small picture inside, which may show what was cropped away
	XMP
	IPTC         // 8BIM and other Photoshop resources
	ICC          // a colour profile, or what says as much: other primaries, another transfer curve
	Credentials  // JUMBF, C2PA manifests
	MultiPicture // MPF: more pictures, such as a gain map, after the first one's end
	Comment      // text
	Other        // application data that nobody here knows

	All Kind = 1<<iota - 1
)

var kindNames = [...]string{"exif", "gps", "thumbnail", "xmp", "iptc", "icc", "credentials", "multipicture", "comment", "other"}

// String lists the names of k, joined by "+"; the empty set is "none".
func (k Kind) String() string {
	var b bytes.Buffer
	for i, name := range kindNames {
		if k&(1<<i) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('+')
		}
		b.WriteString(name)
	}
	if b.Len() == 0 {
		return "none"
	}
	return b.String()
}

// Segment is one stretch of a file that holds no pixels: an APPn or COM segment
// of a JPEG, an ancillary chunk of a PNG or WebP, an extension of a GIF.
type Segment struct {
	Name   string // as the format calls it: "APP1", "eXIf", "COM"
	Kind   Kind
	Offset int64 // of its marker, length or introducer, in bytes from the start
	Size   int64 // in bytes, with marker, length and checksum
}

// Report is what a walk found.
type Report struct {
	Format   Format
	Size     int64 // of the file, in bytes
	End      int64 // offset of the first byte after the format's own end
	Segments []Segment
	// Unusual says why not every reader shows the picture that this one would;
	// empty for most files.
	Unusual string
}

// Trailing returns how many bytes follow the end. They are not part of the
// picture: what a crop left of the uncropped file, a second picture, or worse.
func (r Report) Trailing() int64 { return r.Size - r.End }

// Kinds returns the sorts of metadata that the file carries.
func (r Report) Kinds() Kind {
	var k Kind
	for _, s := range r.Segments {
		k |= s.Kind
	}
	return k
}

// PassThrough says whether the file may be handed out as it is where only the
// metadata of kinds keep may leave: nothing follows its end, and readers agree
// about it; if not, why tells the reason, for a log.
func (r Report) PassThrough(keep Kind) (ok bool, why string) {
	if n := r.Trailing(); n != 0 {
		return false, fmt.Sprintf("%d bytes follow the end of the %s", n, r.Format)
	}
	if r.Unusual != "" {
		return false, r.Unusual
	}
	if extra := r.Kinds() &^ keep; extra != 0 {
		return false, "it carries metadata that must go: " + extra.String()
	}
	return true, ""
}

// Read walks a file of any format it knows. A file that is cut short or breaks
// its format's rules is fault.Corrupt, one of another format
// fault.Unsupported, and one of more than 65,536 segments fault.TooLarge.
func Read(file []byte) (Report, error) {
	const op = "structure.Read"
	w := walk{file: file, report: Report{Size: int64(len(file))}}
	var end int
	var err error
	switch w.report.Format = sniff(file); w.report.Format {
	case JPEG:
		end, err = w.jpeg()
	case PNG:
		end, err = w.png()
	case GIF:
		end, err = w.gif()
	case WebP:
		end, err = w.webp()
	default:
		return Report{}, fault.New(fault.Unsupported, op, "want JPEG, PNG, GIF or WebP")
	}
	if err != nil {
		return Report{}, err
	}
	w.report.End = int64(end)
	return w.report, nil
}

func sniff(file []byte) Format {
	switch {
	case bytes.HasPrefix(file, []byte("\xff\xd8")):
		return JPEG
	case bytes.HasPrefix(file, []byte(pngSignature)):
		return PNG
	case bytes.HasPrefix(file, []byte("GIF87a")), bytes.HasPrefix(file, []byte("GIF89a")):
		return GIF
	case len(file) >= riffHeader && string(file[:4]) == "RIFF" && string(file[8:12]) == "WEBP":
		return WebP
	default:
		return Unknown
	}
}

// maxSegments bounds the report of a hostile file; the largest real ones, with
// an extended XMP packet or a long manifest, have some hundreds.
const maxSegments = 1 << 16

// walk is a file and what has been found in it so far.
type walk struct {
	file   []byte
	report Report
}

// note records file[from:to] as a segment.
func (w *walk) note(name string, kind Kind, from, to int) error {
	if len(w.report.Segments) == maxSegments {
		return fault.New(fault.TooLarge, "structure.Read", "%s of more than %d metadata segments", w.report.Format, maxSegments)
	}
	w.report.Segments = append(w.report.Segments, Segment{Name: name, Kind: kind, Offset: int64(from), Size: int64(to - from)})
	return nil
}

func (w *walk) corrupt(at int, format string, args ...any) error {
	return fault.New(fault.Corrupt, "structure.Read", "%s, byte %d: %s", w.report.Format, at, fmt.Sprintf(format, args...))
}

func (w *walk) short(at int, in string) error {
	return w.corrupt(at, "the file ends inside %s", in)
}
