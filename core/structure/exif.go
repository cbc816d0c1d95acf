package structure

import (
	"bytes"
	"encoding/binary"
)

// Tags of Exif 2.32 and TIFF 6.
const (
	tagGPS     = 0x8825 // offset of the GPS IFD
	tiffHeader = 8
	ifdEntry   = 12
)

// exifKind reads the first directory of a TIFF structure: does it point to a
// position (even to an empty one), and does a second one, the thumbnail's, follow? What cannot be read
// is reported as if it held both, since a laxer reader than this may find them.
func exifKind(tiff []byte) Kind {
	const worst = Exif | GPS | Thumbnail
	if len(tiff) < tiffHeader {
		return worst
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return worst
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return worst
	}
	entries := uint64(order.Uint16(tiff[at:]))
	next := at + 2 + entries*ifdEntry
	if next > uint64(len(tiff)) {
		return worst
	}
	kind := Exif
	for entry := tiff[at+2 : next]; len(entry) > 0; entry = entry[ifdEntry:] {
		if order.Uint16(entry) == tagGPS {
			kind |= GPS
		}
	}
	if next+4 <= uint64(len(tiff)) && order.Uint32(tiff[next:]) != 0 {
		kind |= Thumbnail
	}
	return kind
}

// xmpKind looks for the position properties of the exif namespace
// (exif:GPSLatitude and its like), whatever prefix is bound to it, and for
// thumbnails (xmp:Thumbnails).
func xmpKind(packet []byte) Kind {
	kind := XMP
	if bytes.Contains(packet, []byte(":GPS")) {
		kind |= GPS
	}
	if bytes.Contains(packet, []byte(":Thumbnails")) {
		kind |= Thumbnail
	}
	return kind
}
