package structure

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

const (
	pngSignature = "\x89PNG\r\n\x1a\n"
	pngOverhead  = 12 // length, type and checksum round a chunk's data
	pngHeader    = 13 // bytes of IHDR's data
)

// png returns the offset after IEND, by the rules of the PNG specification
// (third edition, 5.3 to 5.6): IHDR first, IDAT chunks in one run, IEND last,
// every checksum right. A critical chunk that is not known is refused.
func (w *walk) png() (end int, err error) {
	before, data := "", false
	for at := len(pngSignature); ; {
		kind, body, after, err := w.chunk(at)
		if err != nil {
			return 0, err
		}
		switch {
		case (before == "") != (kind == "IHDR"), kind == "IHDR" && len(body) != pngHeader:
			return 0, w.corrupt(at, "want one IHDR chunk of %d bytes, first", pngHeader)
		case kind == "IDAT" && data && before != "IDAT":
			return 0, w.corrupt(at, "the IDAT chunks are not in one run")
		case kind == "IEND" && (!data || len(body) != 0):
			return 0, w.corrupt(at, "want an empty IEND chunk, after the pixels")
		case kind == "IEND":
			return after, nil
		case kind == "IHDR", kind == "PLTE":
		case kind == "IDAT":
			data = true
		case kind[0] < 'a':
			return 0, w.corrupt(at, "critical chunk %s is not known", kind)
		default:
			if kind == "acTL" {
				w.report.Unusual = "an animated PNG is a still one to many readers"
			}
			if kinds, coding := chunkKind(kind, body); !coding {
				err = w.note(kind, kinds, at, after)
			}
		}
		if err != nil {
			return 0, err
		}
		before, at = kind, after
	}
}

// chunk reads the chunk at and verifies its checksum.
func (w *walk) chunk(at int) (kind string, body []byte, after int, err error) {
	if len(w.file)-at < pngOverhead {
		return "", nil, 0, w.short(at, "a chunk, or has no IEND")
	}
	length := binary.BigEndian.Uint32(w.file[at:])
	if uint64(length) > uint64(len(w.file)-at-pngOverhead) {
		return "", nil, 0, w.short(at, "a chunk")
	}
	after = at + pngOverhead + int(length)
	named := w.file[at+4 : after-4]
	for _, c := range named[:4] {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			return "", nil, 0, w.corrupt(at, "a chunk's type is no word: % X", named[:4])
		}
	}
	if crc32.ChecksumIEEE(named) != binary.BigEndian.Uint32(w.file[after-4:]) {
		return "", nil, 0, w.corrupt(at, "the checksum of %s is wrong", named[:4])
	}
	return string(named[:4]), named[4:], after, nil
}

// standardColours are the chunks' data that say no more than sRGB does (PNG,
// third edition, 11.3.2.5).
var standardColours = map[string]string{
	"gAMA": "\x00\x00\xb1\x8f",
	"cHRM": "\x00\x00\x7a\x26\x00\x00\x80\x84\x00\x00\xfa\x00\x00\x00\x80\xe8\x00\x00\x75\x30\x00\x00\xea\x60\x00\x00\x3a\x98\x00\x00\x17\x70",
}

// chunkKind tells what an ancillary chunk holds; coding ones say how to draw
// the picture, or its other frames (APNG), and are no metadata.
func chunkKind(kind string, body []byte) (k Kind, coding bool) {
	switch kind {
	case "gAMA", "cHRM":
		return ICC, string(body) == standardColours[kind]
	case "cICP", "mDCV", "cLLI":
		return ICC, false
	case "tRNS", "sRGB", "sBIT", "bKGD", "hIST", "pHYs", "sPLT", "acTL", "fcTL", "fdAT":
		return 0, true
	case "eXIf":
		return exifKind(body), false
	case "iCCP":
		return ICC, false
	case "caBX":
		return Credentials, false
	case "tEXt", "zTXt", "iTXt":
		return textKind(body), false
	default:
		return Other, false
	}
}

// textKind tells text by its keyword: XMP has its own, and ImageMagick keeps
// profiles of other formats as "Raw profile type NAME", hexadecimal and often
// compressed, so that a position in one cannot be ruled out.
func textKind(body []byte) Kind {
	keyword, _, _ := bytes.Cut(body, []byte{0})
	switch profile, raw := bytes.CutPrefix(keyword, []byte("Raw profile type ")); {
	case string(keyword) == "XML:com.adobe.xmp":
		// Compressed, as iTXt allows, the packet cannot be looked through.
		if rest := body[len(keyword):]; len(rest) > 1 && rest[1] != 0 {
			return XMP | GPS | Thumbnail
		}
		return xmpKind(body)
	case !raw:
		return Comment
	case string(profile) == "exif", string(profile) == "APP1":
		return Exif | GPS | Thumbnail
	case string(profile) == "xmp":
		return XMP | GPS | Thumbnail
	case string(profile) == "iptc", string(profile) == "8bim":
		return IPTC
	case string(profile) == "icc", string(profile) == "icm":
		return ICC
	default:
		return Other
	}
}
