package pipeline

import (
	"image"
	"image/color"
	drawing "image/draw"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"focal/core/pixel"
)

// sketch draws lines and letters over a small picture.
type sketch struct {
	canvas *image.RGBA
	scene  image.Rectangle // where on the canvas the picture is
}

// The letters are of one size, whatever the picture's.
const (
	letterWidth = 7
	lineHeight  = 16
	margin      = 6
)

// newSketch puts a picture on a canvas of at least the given width with room
// for lines of text below it.
func newSketch(b pixel.Buffer, width, lines int) sketch {
	s := sketch{scene: image.Rect(0, 0, b.Width, b.Height)}
	s.canvas = image.NewRGBA(image.Rect(0, 0, max(width, b.Width), b.Height+lines*lineHeight+2*margin))
	drawing.Draw(s.canvas, s.canvas.Bounds(), image.NewUniform(color.RGBA{24, 24, 27, 255}), image.Point{}, drawing.Src)
	for y := range b.Height {
		for x := range b.Width {
			p := b.Pix[(y*b.Width+x)*b.Channels:]
			s.canvas.SetRGBA(x, y, color.RGBA{p[0], p[1], p[2], 255})
		}
	}
	return s
}

// place returns the pixels of a box in fractions of the picture.
func (s sketch) place(b pixel.Box) image.Rectangle {
	w, h := float64(s.scene.Dx()), float64(s.scene.Dy())
	at := func(v, n float64) int { return int(math.Round(math.Max(-n, math.Min(2*n, v*n)))) }
	return image.Rect(at(b.X, w), at(b.Y, h), at(b.X+b.W, w), at(b.Y+b.H, h))
}

// blend mixes c into a pixel of the picture; share is 0 to 1.
func (s sketch) blend(x, y int, c color.RGBA, share float64) {
	if !(image.Point{X: x, Y: y}).In(s.scene) {
		return
	}
	p := s.canvas.RGBAAt(x, y)
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a)*(1-share) + float64(b)*share)) }
	s.canvas.SetRGBA(x, y, color.RGBA{mix(p.R, c.R), mix(p.G, c.G), mix(p.B, c.B), 255})
}

// shade darkens the picture outside of r.
func (s sketch) shade(r image.Rectangle, share float64) {
	for y := range s.scene.Dy() {
		for x := range s.scene.Dx() {
			if !(image.Point{X: x, Y: y}).In(r) {
				s.blend(x, y, color.RGBA{A: 255}, share)
			}
		}
	}
}

// tint colours the picture where m is foreground.
func (s sketch) tint(m pixel.Mask, c color.RGBA, share float64) {
	for y := range s.scene.Dy() {
		for x := range s.scene.Dx() {
			v := m.Pix[y*m.Height/s.scene.Dy()*m.Width+x*m.Width/s.scene.Dx()]
			s.blend(x, y, c, share*float64(v)/255)
		}
	}
}

// frame draws the edge of r, thick pixels to the inside.
func (s sketch) frame(r image.Rectangle, c color.RGBA, thick int) {
	for d := range thick {
		i := r.Inset(d)
		for x := i.Min.X; x < i.Max.X; x++ {
			s.blend(x, i.Min.Y, c, 1)
			s.blend(x, i.Max.Y-1, c, 1)
		}
		for y := i.Min.Y; y < i.Max.Y; y++ {
			s.blend(i.Min.X, y, c, 1)
			s.blend(i.Max.X-1, y, c, 1)
		}
	}
}

// dot marks a point.
func (s sketch) dot(p pixel.Point, c color.RGBA) {
	at := s.place(pixel.Box{X: p.X, Y: p.Y}).Min
	for y := -1; y <= 1; y++ {
		for x := -1; x <= 1; x++ {
			s.blend(at.X+x, at.Y+y, c, 1)
		}
	}
}

// tag writes a word above the left top corner of r, inside the picture, on c.
func (s sketch) tag(r image.Rectangle, text string, c color.RGBA) {
	w := len(text)*letterWidth + 4
	x := max(0, min(r.Min.X, s.scene.Dx()-w))
	y := max(0, r.Min.Y-lineHeight)
	back := image.Rect(x, y, x+w, y+lineHeight).Intersect(s.scene)
	drawing.Draw(s.canvas, back, image.NewUniform(c), image.Point{}, drawing.Src)
	s.write(x+2, y+lineHeight-4, text, color.RGBA{A: 255})
}

// write writes text whose base line begins at x, y.
func (s sketch) write(x, y int, text string, c color.RGBA) {
	d := font.Drawer{Dst: s.canvas, Src: image.NewUniform(c), Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(text)
}

// caption writes lines below the picture, cut to its width.
func (s sketch) caption(lines []string) {
	fits := (s.canvas.Bounds().Dx() - 2*margin) / letterWidth
	for i, line := range lines {
		if len(line) > fits {
			line = line[:max(0, fits-3)] + "..."
		}
		s.write(margin, s.scene.Dy()+margin+(i+1)*lineHeight-4, line, color.RGBA{228, 228, 231, 255})
	}
}

// buffer returns the canvas.
func (s sketch) buffer() pixel.Buffer {
	b := pixel.Buffer{Width: s.canvas.Rect.Dx(), Height: s.canvas.Rect.Dy(), Channels: 3}
	for i := 0; i < len(s.canvas.Pix); i += 4 {
		b.Pix = append(b.Pix, s.canvas.Pix[i:i+3]...)
	}
	return b
}
