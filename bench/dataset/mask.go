package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif"  // masks come in these formats,
	_ "image/jpeg" // whatever their names say
	_ "image/png"
	"os"
	"slices"

	"focal/core/pixel"
	"focal/core/vips"
)

// errLeftOut says that the problems beside it say why.
var errLeftOut = errors.New("left out")

// readMask reads a mask file. labels says that its values are class numbers.
func readMask(path string, labels bool) (pixel.Mask, []Problem, error) {
	left := func(k Kind, detail string) (pixel.Mask, []Problem, error) {
		return pixel.Mask{}, []Problem{{path, k, detail}}, errLeftOut
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return left(Unreadable, err.Error())
	}
	mask, kind, err := decodeMask(file, labels)
	switch {
	case errors.Is(err, errColoured):
		return left(Coloured, err.Error())
	case err != nil:
		return left(Unreadable, err.Error())
	}
	problems := suspect(path, mask)
	if kind != "" && !labels {
		problems = append(problems, Problem{path, Converted, kind})
	}
	return mask, problems, nil
}

// unusual says in which way a readable mask is no 8-bit grey one.
func unusual(img image.Image, format string, file []byte) string {
	switch img := img.(type) {
	case *image.Gray:
		// The depth of a PNG stands in its header: 8 bytes of signature, 8 of
		// the chunk, 8 of the size.
		const depth = 24
		if format == "png" && file[depth] < 8 {
			return fmt.Sprintf("is %d-bit grey", file[depth])
		}
		return ""
	case *image.Gray16:
		return "is 16-bit grey: its upper 8 bits were read"
	case *image.Paletted:
		if !greys(img.Palette) {
			return "has a palette of colours: read as labels, 0 being background"
		}
		return "has a palette of greys"
	}
	return "is RGB with equal channels: read as grey"
}

var errColoured = errors.New("its pixels have colours: want grey values, 0 background, 255 foreground")

// maxMask bounds what a mask's header may ask for.
const maxMask = 200e6

// DecodeMask reads a mask of any depth and colour type that has grey values
// only: 1, 8 and 16 bits, a palette, RGB with equal channels. A palette that is
// not grey is read as labels, 0 being background; with labels any is, and 255
// (PASCAL's void) is background too.
func DecodeMask(file []byte, labels bool) (pixel.Mask, error) {
	m, _, err := decodeMask(file, labels)
	return m, err
}

// decodeMask says besides in which way the file is unusual.
func decodeMask(file []byte, labels bool) (pixel.Mask, string, error) {
	c, _, err := image.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		return pixel.Mask{}, "", err
	}
	if c.Width <= 0 || c.Height <= 0 || c.Width > maxMask/c.Height {
		return pixel.Mask{}, "", fmt.Errorf("a mask of %d×%d", c.Width, c.Height)
	}
	img, format, err := image.Decode(bytes.NewReader(file))
	if err != nil {
		return pixel.Mask{}, "", err
	}
	kind := unusual(img, format, file)
	if p, ok := img.(*image.Paletted); ok && (labels || !greys(p.Palette)) {
		return fromLabels(p), kind, nil
	}
	mask, err := fromGreys(img)
	if labels && err == nil {
		for i, v := range mask.Pix {
			mask.Pix[i] = label(v)
		}
	}
	return mask, kind, err
}

func greys(p color.Palette) bool {
	return !slices.ContainsFunc(p, func(c color.Color) bool {
		r, g, b, _ := c.RGBA()
		return r != g || g != b
	})
}

func label(v byte) byte {
	const void = 255
	if v == 0 || v == void {
		return 0
	}
	return 255
}

func fromLabels(p *image.Paletted) pixel.Mask {
	b := p.Bounds()
	m := pixel.Mask{Width: b.Dx(), Height: b.Dy(), Pix: make([]byte, 0, b.Dx()*b.Dy())}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			m.Pix = append(m.Pix, label(p.ColorIndexAt(x, y)))
		}
	}
	return m
}

// fromGreys takes the grey values. What is transparent is what it is without
// its alpha: some tools write masks with one.
func fromGreys(img image.Image) (pixel.Mask, error) {
	b := img.Bounds()
	m := pixel.Mask{Width: b.Dx(), Height: b.Dy(), Pix: make([]byte, 0, b.Dx()*b.Dy())}
	if g, ok := img.(*image.Gray); ok {
		for y := range m.Height {
			m.Pix = append(m.Pix, g.Pix[y*g.Stride:][:m.Width]...)
		}
		return m, nil
	}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.NRGBA64Model.Convert(img.At(x, y)).(color.NRGBA64)
			// JPEG keeps colours of its own making: a little is none.
			const little = 3 << 8
			if low, high := min(c.R, c.G, c.B), max(c.R, c.G, c.B); high-low > little {
				return pixel.Mask{}, fmt.Errorf("at %d, %d: %w", x, y, errColoured)
			}
			m.Pix = append(m.Pix, byte(c.G>>8))
		}
	}
	return m, nil
}

// suspect names what looks wrong with a mask, and spreads one of 0 and 1.
func suspect(path string, m pixel.Mask) []Problem {
	var found []Problem
	if len(m.Pix) > 0 && slices.Max(m.Pix) == 1 {
		for i, v := range m.Pix {
			m.Pix[i] = 255 * v
		}
		found = append(found, Problem{path, Scaled, "holds 0 and 1: read as 0 and 255"})
	}
	in, border, edge, centre, middle := 0, 0, 0, 0, 0
	for i, v := range m.Pix {
		set := 0
		if v >= 128 {
			set = 1
		}
		in += set
		x, y := i%m.Width, i/m.Width
		if x == 0 || y == 0 || x == m.Width-1 || y == m.Height-1 {
			border, edge = border+set, edge+1
		}
		if 4*x >= m.Width && 4*x < 3*m.Width && 4*y >= m.Height && 4*y < 3*m.Height {
			centre, middle = centre+set, middle+1
		}
	}
	switch {
	case in == 0:
		found = append(found, Problem{path, Empty, "has no foreground"})
	case in == len(m.Pix):
		found = append(found, Problem{path, Full, "has no background"})
	case 10*border > 7*edge && 10*centre < 3*middle:
		found = append(found, Problem{path, Inverted, fmt.Sprintf("%d %% of the border is foreground, %d %% of the centre: want foreground white", 100*border/edge, 100*centre/middle)})
	}
	return found
}

func sizesDiffer(image string, mask pixel.Size, info vips.Info) Problem {
	detail := fmt.Sprintf("the picture is %d×%d, its mask %d×%d", info.Oriented.Width, info.Oriented.Height, mask.Width, mask.Height)
	if info.Orientation > 1 && mask == info.Stored {
		detail += " as the picture is stored: it was drawn without the EXIF orientation"
	}
	return Problem{image, SizesDiffer, detail}
}
