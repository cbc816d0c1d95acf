package structure

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Markers of ITU-T T.81, table B.1.
const (
	markerTEM  = 0x01
	markerSOF0 = 0xc0
	markerSOF2 = 0xc2
	markerDHT  = 0xc4
	markerJPG  = 0xc8
	markerDAC  = 0xcc
	markerSOFf = 0xcf
	markerRST0 = 0xd0
	markerRST7 = 0xd7
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerAPP0 = 0xe0
	markerAPPf = 0xef
	markerCOM  = 0xfe
)

// jpeg returns the offset after EOI. It follows T.81 annex B: markers with
// their lengths, and after each SOS the entropy-coded data, where 0xFF is
// followed by 0x00 (stuffed), by RSTn or by the next marker. An 0xFFD9 inside a
// segment, such as an EXIF thumbnail's, is therefore no end. Hierarchical files
// (several frames) are refused; no browser shows them.
func (w *walk) jpeg() (end int, err error) {
	frame, scan := false, false
	for at := 2; ; {
		start := at
		code, after, err := w.marker(at)
		if err != nil {
			return 0, err
		}
		switch {
		case code == markerEOI && scan:
			return after, nil
		case code == markerEOI:
			return 0, w.corrupt(start, "the end comes before any scan")
		case code == markerTEM:
			at = after
			continue
		case code < markerSOF0, code >= markerRST0 && code <= markerSOI:
			return 0, w.corrupt(start, "marker FF%02X is out of place", code)
		}
		body, at2, err := w.segment(after)
		if err != nil {
			return 0, err
		}
		at = at2
		switch {
		case isFrame(code):
			if frame {
				return 0, w.corrupt(start, "a second frame")
			}
			frame = true
			if code > markerSOF2 || len(body) == 0 || body[0] != 8 {
				w.report.Unusual = fmt.Sprintf("a JPEG of process SOF%d is not for browsers", code-markerSOF0)
			}
		case code == markerSOS:
			if !frame {
				return 0, w.corrupt(start, "a scan before its frame")
			}
			scan = true
			at = w.afterScan(at)
		case code >= markerAPP0 && code <= markerAPPf:
			err = w.note(fmt.Sprintf("APP%d", code-markerAPP0), appKind(code, body), start, at)
		case code == markerCOM:
			err = w.note("COM", Comment, start, at)
		}
		if err != nil {
			return 0, err
		}
	}
}

// marker reads the marker at, with its fill bytes.
func (w *walk) marker(at int) (code byte, after int, err error) {
	if at >= len(w.file) {
		return 0, 0, w.short(at, "the picture: no end marker")
	}
	if w.file[at] != 0xff {
		return 0, 0, w.corrupt(at, "want a marker, found %02X", w.file[at])
	}
	for ; at < len(w.file); at++ {
		if w.file[at] != 0xff {
			return w.file[at], at + 1, nil
		}
	}
	return 0, 0, w.short(at, "a marker")
}

// segment returns the body of the segment whose length stands at.
func (w *walk) segment(at int) (body []byte, after int, err error) {
	if len(w.file)-at < 2 {
		return nil, 0, w.short(at, "a segment's length")
	}
	length := int(binary.BigEndian.Uint16(w.file[at:]))
	if length < 2 {
		return nil, 0, w.corrupt(at, "a segment of length %d", length)
	}
	if len(w.file)-at < length {
		return nil, 0, w.short(at, "a segment")
	}
	return w.file[at+2 : at+length], at + length, nil
}

// afterScan returns the offset of the marker that ends the entropy-coded data.
func (w *walk) afterScan(at int) int {
	for {
		i := bytes.IndexByte(w.file[at:], 0xff)
		if i < 0 || at+i+1 >= len(w.file) {
			return len(w.file)
		}
		at += i
		switch next := w.file[at+1]; {
		case next == 0x00, next >= markerRST0 && next <= markerRST7:
			at += 2
		case next == 0xff:
			at++
		default:
			return at
		}
	}
}

func isFrame(code byte) bool {
	return code >= markerSOF0 && code <= markerSOFf && code != markerDHT && code != markerJPG && code != markerDAC
}

// appKind tells an application segment by the name it begins with. The names
// are those of JFIF 1.02, Exif 2.32 (4.7.2), ICC.1 annex B.4, XMP part 3
// (1.1.3), CIPA DC-007 (MPF) and ISO/IEC 19566-5 (JUMBF).
func appKind(code byte, body []byte) Kind {
	begins := func(s string) bool { return bytes.HasPrefix(body, []byte(s)) }
	switch code - markerAPP0 {
	case 0:
		switch {
		case begins("JFIF\x00") && len(body) >= 14 && body[12] != 0 && body[13] != 0, begins("JFXX\x00"):
			return Thumbnail
		case begins("JFIF\x00"):
			return 0
		}
	case 1:
		switch {
		case begins("Exif\x00"):
			return exifKind(body[min(6, len(body)):])
		case begins("http://ns.adobe.com/xap/1.0/\x00"), begins("http://ns.adobe.com/xmp/extension/\x00"):
			return xmpKind(body)
		}
	case 2:
		switch {
		case begins("ICC_PROFILE\x00"):
			return ICC
		case begins("MPF\x00"):
			return MultiPicture
		}
	case 11:
		if begins("JP") {
			return Credentials
		}
	case 13:
		return IPTC
	case 14:
		if begins("Adobe") {
			return 0
		}
	}
	return Other
}
