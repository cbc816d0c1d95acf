// Package exif reads the first directory of an EXIF block, and writes one that
// holds nothing but a copyright.
//
// It must not know the files that such blocks lie in. It is pure, and holds on
// to the block that it was given.
package exif

import (
	"bytes"
	"encoding/binary"
)

// Mark stands before the block in a JPEG, and where some writers leave it
// (EXIF 2.32 §4.7.2). Behind it is a TIFF (TIFF 6.0 §2).
const Mark = "Exif\x00\x00"

// Tags of EXIF 2.32 and TIFF 6.0.
const (
	TagCopyright = 0x8298
	TagGPS       = 0x8825 // where the directory of the position lies
)

const (
	header     = 8 // byte order, 42, offset of the first directory
	entryBytes = 12
	typeASCII  = 2
	inline     = 4 // bytes of a value that stands in the entry itself
)

// Directory is the first directory of a block.
type Directory struct {
	tiff    []byte
	order   binary.ByteOrder
	entries []byte
	next    uint32
}

// Read reads a block, with or without its mark; false: it is none, or is cut
// short before the directory's end.
func Read(block []byte) (Directory, bool) {
	d := Directory{tiff: bytes.TrimPrefix(block, []byte(Mark))}
	if len(d.tiff) < header {
		return Directory{}, false
	}
	switch string(d.tiff[:4]) {
	case "II*\x00":
		d.order = binary.LittleEndian
	case "MM\x00*":
		d.order = binary.BigEndian
	default:
		return Directory{}, false
	}
	rest, ok := d.at(d.order.Uint32(d.tiff[4:]), 2)
	if !ok {
		return Directory{}, false
	}
	length := int(d.order.Uint16(rest)) * entryBytes
	if rest = rest[2:]; length > len(rest) {
		return Directory{}, false
	}
	d.entries = rest[:length]
	if rest = rest[length:]; len(rest) >= 4 {
		d.next = d.order.Uint32(rest)
	}
	return d, true
}

// at returns the block from an offset on, where at least n bytes are left there.
func (d Directory) at(from, n uint32) ([]byte, bool) {
	if uint64(from)+uint64(n) > uint64(len(d.tiff)) {
		return nil, false
	}
	return d.tiff[from:], true
}

// Has says whether there is an entry of that tag.
func (d Directory) Has(tag uint16) bool { return d.entry(tag) != nil }

func (d Directory) entry(tag uint16) []byte {
	for e := d.entries; len(e) > 0; e = e[entryBytes:] {
		if d.order.Uint16(e) == tag {
			return e[:entryBytes]
		}
	}
	return nil
}

// More says whether another directory follows: a thumbnail's.
func (d Directory) More() bool { return d.next != 0 }

// text returns the value of a tag of ASCII type, with its closing zero.
func (d Directory) text(tag uint16) []byte {
	e := d.entry(tag)
	if e == nil || d.order.Uint16(e[2:]) != typeASCII {
		return nil
	}
	n, value := d.order.Uint32(e[4:]), e[8:]
	if n > inline {
		var ok bool
		if value, ok = d.at(d.order.Uint32(e[8:]), n); !ok {
			return nil
		}
	}
	return value[:n]
}

// maxCopyright bounds the text that is carried over, in bytes.
const maxCopyright = 8 << 10

// OnlyCopyright returns a block that holds nothing but the copyright tag of the
// given one; nil where it has none or cannot be read.
func OnlyCopyright(block []byte) []byte {
	d, ok := Read(block)
	if !ok {
		return nil
	}
	text := d.text(TagCopyright)
	if len(text) == 0 || len(text) > maxCopyright {
		return nil
	}
	le := binary.LittleEndian
	out := []byte(Mark + "II*\x00")
	out = le.AppendUint32(out, header)
	out = le.AppendUint16(out, 1) // one entry
	out = le.AppendUint16(out, TagCopyright)
	out = le.AppendUint16(out, typeASCII)
	out = le.AppendUint32(out, uint32(len(text)))
	if len(text) <= inline {
		out = append(out, make([]byte, inline)...)
		copy(out[len(out)-inline:], text)
		return le.AppendUint32(out, 0)
	}
	out = le.AppendUint32(out, header+2+entryBytes+4)
	out = le.AppendUint32(out, 0) // no further directory
	return append(out, text...)
}
