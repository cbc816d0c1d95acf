package vips

import (
	"fmt"
	"slices"
	"strings"

	"focal/core/fault"
	"focal/core/pixel"

	govips "github.com/davidbyttow/govips/v2/vips"
)

// Info is what a file's header says.
type Info struct {
	Format      Format
	Stored      pixel.Size // as stored in the file
	Oriented    pixel.Size // after the EXIF orientation
	Orientation int        // EXIF orientation, 1 where there is none
	Pages       int        // frames or pages, 1 for a still picture
	Alpha       bool
	Interlaced  bool // progressive JPEG, interlaced PNG
	Wide        bool // more than 8 bits a channel
	// Standard says that the pixels are the result's already: 8 bits a channel,
	// grey or RGB, without a colour profile.
	Standard bool
	Bytes    int // the file's size
}

// Probe reads the header of file. It decodes no pixels but runs C code: take a
// slot first. What is no picture of a format served is fault.Unsupported. A
// picture that its decoder itself finds too large is fault.TooLarge; its size is
// returned then too, for whoever has limits of his own to name.
func Probe(file []byte) (Info, error) {
	const op = "vips.Probe"
	if len(file) == 0 {
		return Info{}, fault.New(fault.Unsupported, op, "the source is empty")
	}
	f := Sniff(file)
	switch f {
	case Unknown:
		return Info{}, fault.New(fault.Unsupported, op, "the requested file is not an image")
	case SVG:
		return Info{}, fault.New(fault.Unsupported, op, "an SVG is not rasterised")
	}
	ref, err := govips.LoadImageFromBuffer(file, importParams(f, 1, true))
	if err != nil {
		if size, limit, ok := beyondDecoder(err.Error()); ok {
			return Info{Format: f, Bytes: len(file), Stored: size, Oriented: size, Orientation: 1, Pages: 1},
				fault.New(fault.TooLarge, op, "the source is %d×%d, and its decoder has a limit of %s that no flag raises", size.Width, size.Height, limit)
		}
		return Info{}, wrap(fault.Corrupt, op, err)
	}
	defer ref.Close()
	i := Info{
		Format: f, Bytes: len(file),
		Stored:      pixel.Size{Width: ref.Width(), Height: ref.Height()},
		Orientation: max(1, ref.Orientation()),
		Pages:       max(1, ref.Pages()),
		Alpha:       ref.HasAlpha(),
		Wide:        ref.BandFormat() != govips.BandFormatUchar,
	}
	i.Standard = !i.Wide && !ref.HasICCProfile() &&
		slices.Contains([]govips.Interpretation{govips.InterpretationSRGB, govips.InterpretationBW}, ref.Interpretation())
	i.Interlaced = slices.Contains(ref.ImageFields(), "interlaced")
	i.Oriented = i.Stored
	if i.Orientation >= 5 { // EXIF 5 to 8 swap the axes
		i.Oriented.Width, i.Oriented.Height = i.Stored.Height, i.Stored.Width
	}
	return i, nil
}

// beyondDecoder finds in libheif's words that a picture is too large for it:
// "Image size 17000x17000 exceeds the maximum image size 16384x16384".
func beyondDecoder(text string) (size pixel.Size, limit string, ok bool) {
	_, text, _ = strings.Cut(text, "Image size ")
	n, _ := fmt.Sscanf(text, "%dx%d exceeds the maximum image size %s", &size.Width, &size.Height, &limit)
	return size, limit, n == 3
}

// DecodeMemory estimates the bytes that decoding the picture at a reduction of
// shrink takes, for admission. random says that rows are not read in order, so
// that the whole reduced picture is held.
//
// The model, checked against measured peaks: a JPEG or PNG read in order holds
// some rows only; an interlaced one holds itself whole (a progressive JPEG its
// coefficients, two bytes each, at full size, whatever the reduction); the
// other formats are decoded whole.
func (i Info) DecodeMemory(shrink int, random bool) int64 {
	const fixed = 4 << 20 // buffers, tables, the encoder
	pixels := int64(i.Stored.Width) * int64(i.Stored.Height)
	channels := int64(3)
	if i.Alpha {
		channels = 4
	}
	if i.Wide {
		channels *= 2
	}
	s := int64(max(1, shrink))
	reduced := pixels * channels / (s * s)
	switch i.Format {
	case JPEG, PNG:
		rows := int64(i.Stored.Width) * channels * 256 / s
		need := fixed + min(rows, reduced)
		if i.Interlaced && i.Format == JPEG {
			need += pixels * 3 * 2
		} else if i.Interlaced {
			need += pixels * channels
		}
		if random {
			need += reduced
		}
		return need
	case AVIF, HEIC:
		return fixed + pixels*(channels+3) // the decoder's planes, then interleaved
	default:
		return fixed + pixels*channels + reduced
	}
}

// importParams are the loader's switches: first page only, errors reported.
func importParams(f Format, shrink int, random bool) *govips.ImportParams {
	p := govips.NewImportParams()
	p.NumPages.Set(1)
	if !random {
		p.Access.Set(govips.AccessSequential)
	}
	switch {
	case f == JPEG && shrink > 1:
		p.JpegShrinkFactor.Set(shrink)
	case f == WebP && shrink > 1:
		p.WebpScaleFactor.Set(1 / float64(shrink))
	case f == AVIF || f == HEIC:
		p.AutoRotate.Set(true)
	}
	return p
}
