package vips

import (
	"bytes"
	"strings"

	"focal/core/exif"
)

// Metadata is what a JPEG carries of its source's metadata.
type Metadata uint8

// The choices. A colour profile is never carried: colours are sRGB by then.
// Neither is an EXIF thumbnail, which would show what was cropped away or
// covered, nor the orientation, which has been applied.
const (
	MetadataNone      Metadata = iota
	MetadataCopyright          // the EXIF copyright tag alone
	MetadataAll                // EXIF with GPS, XMP and IPTC
)

// The names of libvips' metadata fields that matter here.
const (
	fieldSequential = "vips-sequential" // without it, resizing reads out of order and fails
	fieldEXIF       = "exif-data"
	fieldXMP        = "xmp-data"
)

// gainMapNamespace marks XMP that speaks of a second picture in the file: a
// gain map (Adobe's Gain Map specification 1.0, §Metadata). It is not carried
// over, so neither may be what promises it.
var gainMapNamespace = []byte("http://ns.adobe.com/hdr-gain-map/")

// reduceMetadata removes what m does not keep. When it writes, libvips adds the
// tags that EXIF demands (version, size, resolution).
func (i *Image) reduceMetadata(m Metadata) error {
	keep := []string{fieldSequential}
	var rights []byte
	switch m {
	case MetadataCopyright:
		// libvips' own field of this tag is text for people, not its value.
		rights = exif.OnlyCopyright(i.ref.GetBlob(fieldEXIF))
	case MetadataAll:
		for _, name := range i.ref.ImageFields() {
			if carried(name) && !(name == fieldXMP && bytes.Contains(i.ref.GetBlob(name), gainMapNamespace)) {
				keep = append(keep, name)
			}
		}
	}
	if err := i.ref.RemoveMetadata(keep...); err != nil {
		return err
	}
	if err := i.ref.RemoveOrientation(); err != nil {
		return err
	}
	if err := i.ref.RemoveICCProfile(); err != nil {
		return err
	}
	if len(rights) > 0 {
		i.ref.SetBlob(fieldEXIF, rights)
	}
	if m == MetadataAll {
		return nil
	}
	return i.forgetDensity()
}

// screenDensity is what a PNG says where nobody knows better, 72 pixels an inch, as
// libvips counts it: in a millimetre.
const screenDensity = 72 / 25.4

// forgetDensity takes away what the source says of its size on paper, which
// EXIF and pHYs would repeat: it tells a scanner or a program apart.
func (i *Image) forgetDensity() error {
	c, err := i.ref.CopyChangingResolution(screenDensity, screenDensity)
	if err != nil {
		return err
	}
	i.ref.Close()
	i.ref = c
	return nil
}

// carried says whether MetadataAll keeps a field of libvips.
func carried(name string) bool {
	if strings.HasPrefix(name, "exif-ifd1-") { // describes the thumbnail
		return false
	}
	return strings.HasPrefix(name, "exif-") || name == fieldXMP || name == "iptc-data"
}
