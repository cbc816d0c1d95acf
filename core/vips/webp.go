package vips

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// What a WebP is made of (RFC 9649 §2.3 to 2.7): chunks in a RIFF container, of
// which VP8X says what others there are.
const (
	riffHead  = 12 // "RIFF", size, "WEBP"
	chunkHead = 8  // name, size
	flagICC   = 0x20
	flagEXIF  = 0x08
	flagXMP   = 0x04
)

// bareWebP returns file without EXIF, XMP and profile: libvips writes an EXIF
// block of its own, with the source's resolution, even where it is told to write
// no metadata. What it cannot read comes back as it is.
func bareWebP(file []byte) []byte {
	if len(file) < riffHead || string(file[:4]) != "RIFF" || string(file[8:riffHead]) != "WEBP" {
		return file
	}
	out := bytes.Clone(file[:riffHead])
	var extended []byte // the VP8X chunk
	others := 0         // chunks that only a file with one has
	for rest := file[riffHead:]; len(rest) > 0; {
		if len(rest) < chunkHead {
			return file
		}
		size := uint64(binary.LittleEndian.Uint32(rest[4:]))
		size += chunkHead + size%2
		if size > uint64(len(rest)) {
			return file
		}
		chunk := rest[:size]
		rest = rest[size:]
		switch string(chunk[:4]) {
		case "EXIF", "XMP ", "ICCP":
			continue
		case "VP8X":
			if extended != nil || len(out) > riffHead || size != chunkHead+10 {
				return file
			}
			extended = bytes.Clone(chunk)
			extended[chunkHead] &^= flagICC | flagEXIF | flagXMP
			continue
		case "VP8 ", "VP8L":
		default:
			others++
		}
		out = append(out, chunk...)
	}
	if others > 0 { // else the picture says it all
		out = slices.Insert(out, riffHead, extended...)
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}
