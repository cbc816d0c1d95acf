package structure

import (
	"bytes"

	"focal/core/exif"
)

// exifKind reads the first directory of an EXIF block: does it point to a
// position (even to an empty one), and does a second one, the thumbnail's,
// follow? What cannot be read is reported as if it held both, since a laxer
// reader than this may find them.
func exifKind(block []byte) Kind {
	d, ok := exif.Read(block)
	if !ok {
		return Exif | GPS | Thumbnail
	}
	kind := Exif
	if d.Has(exif.TagGPS) {
		kind |= GPS
	}
	if d.More() {
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
