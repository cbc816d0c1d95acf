package vips

import (
	"bytes"
	"encoding/binary"
)

// What EXIF is made of here: a TIFF (TIFF 6.0 §2) behind a mark of its own
// (EXIF 2.32 §4.7.2).
const (
	exifMark     = "Exif\x00\x00"
	tagCopyright = 0x8298
	typeASCII    = 2
	entryBytes   = 12
)

// maxCopyright bounds the text that is carried over.
const maxCopyright = 8 << 10

// exifCopyright returns an EXIF block that holds nothing but the copyright tag
// of the given one; nil where it has none or cannot be read.
func exifCopyright(block []byte) []byte {
	text := copyrightOf(bytes.TrimPrefix(block, []byte(exifMark)))
	if len(text) == 0 || len(text) > maxCopyright {
		return nil
	}
	const directory = 8
	const after = directory + 2 + entryBytes + 4
	le := binary.LittleEndian
	out := []byte(exifMark + "II*\x00")
	out = le.AppendUint32(out, directory)
	out = le.AppendUint16(out, 1) // one entry
	out = le.AppendUint16(out, tagCopyright)
	out = le.AppendUint16(out, typeASCII)
	out = le.AppendUint32(out, uint32(len(text)))
	if len(text) <= 4 { // a short value stands in the entry itself
		out = append(out, make([]byte, 4)...)
		copy(out[len(out)-4:], text)
		return le.AppendUint32(out, 0)
	}
	out = le.AppendUint32(out, after)
	out = le.AppendUint32(out, 0) // no further directory
	return append(out, text...)
}

// copyrightOf returns the copyright tag of a TIFF's first directory, with its
// closing zero, or nil.
func copyrightOf(tiff []byte) []byte {
	if len(tiff) < 8 {
		return nil
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return nil
	}
	directory, ok := tail(tiff, order.Uint32(tiff[4:]), 2)
	if !ok {
		return nil
	}
	entries := directory[2:]
	for range order.Uint16(directory) {
		if len(entries) < entryBytes {
			return nil
		}
		entry := entries[:entryBytes]
		entries = entries[entryBytes:]
		if order.Uint16(entry) != tagCopyright || order.Uint16(entry[2:]) != typeASCII {
			continue
		}
		n := order.Uint32(entry[4:])
		value := entry[8:]
		if n > 4 {
			if value, ok = tail(tiff, order.Uint32(entry[8:]), n); !ok {
				return nil
			}
		}
		return value[:n]
	}
	return nil
}

// tail returns b from an offset on, where at least n bytes are left there.
func tail(b []byte, from, n uint32) ([]byte, bool) {
	if uint64(from)+uint64(n) > uint64(len(b)) {
		return nil, false
	}
	return b[from:], true
}
