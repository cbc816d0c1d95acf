package pipeline

import (
	"math"

	"focal/core/geometry"
	"focal/core/pixel"
	"focal/core/transform"
	"focal/core/vips"
)

// How faces are made unrecognisable. What is left of one is the mean colours of
// hideCells × hideCells parts of its surroundings, three across the face
// itself, and nothing else: no sharpening brings back what is not there. They
// are taken from the look, on a grid that only the face's box decides, so that
// other sizes, crops or formats of the same picture give the same means and no
// more.
const (
	// hideScore is the lowest score that is hidden, whatever the crop counts as
	// a face: a patch too many does less harm than a face too many.
	hideScore = 0.2
	// hideGrow is how many times larger than the face's box the hidden part is:
	// it reaches over ears, hair and chin.
	hideGrow  = 1.6
	hideCells = 5
	// hidePatch is the side of a patch before it is stretched over the face.
	hidePatch = 64
	// hideOpaque is where the ellipse in the hidden part begins to fade, from 0
	// in its middle to 1 at its edge. The corners of the face's box lie at
	// √2/hideGrow = 0.884.
	hideOpaque = 0.93
)

// hiddenScore returns the lowest score of faces that are hidden.
func hiddenScore(o transform.Options) float64 {
	if s := o.Faces.MinScore; s.Set {
		return min(hideScore, s.Value)
	}
	return hideScore
}

// hide covers faces before anything else is done to the picture.
func hide(p *picture) error {
	if len(p.hidden) == 0 {
		return nil
	}
	size := p.image.Size()
	patches := make([]vips.Patch, 0, len(p.hidden))
	for _, face := range p.hidden {
		if at, ok := placeOf(face.Box, size); ok {
			patches = append(patches, vips.Patch{Pixels: face.draw(at, size), At: at})
		}
	}
	return p.image.Cover(patches)
}

// placeOf returns the pixels of a picture of the given size that box touches;
// false means that it lies outside.
func placeOf(box pixel.Box, size pixel.Size) (pixel.Rect, bool) {
	w, h := float64(size.Width), float64(size.Height)
	left, top := max(0, int(math.Floor(box.X*w))), max(0, int(math.Floor(box.Y*h)))
	right := min(size.Width, int(math.Ceil((box.X+box.W)*w)))
	bottom := min(size.Height, int(math.Ceil((box.Y+box.H)*h)))
	return pixel.Rect{X: left, Y: top, Width: right - left, Height: bottom - top}, right > left && bottom > top
}

// hiddenFace is all that is left of a face.
type hiddenFace struct {
	pixel.Box // the hidden part, in fractions of the source; it may reach outside
	means     [hideCells][hideCells][3]float64
}

// hiddenFaces takes the mean colours of faces from the look.
func hiddenFaces(look pixel.Buffer, faces []pixel.Face) []hiddenFace {
	out := make([]hiddenFace, 0, len(faces))
	for _, f := range faces {
		if !(f.Box.W > 0 && f.Box.H > 0) { // so that NaN counts as no face
			continue
		}
		h := hiddenFace{Box: geometry.Grow(f.Box, hideGrow)}
		for row := range hideCells {
			for column := range hideCells {
				h.means[row][column] = mean(look, pixel.Box{
					X: h.X + h.W*float64(column)/hideCells, Y: h.Y + h.H*float64(row)/hideCells,
					W: h.W / hideCells, H: h.H / hideCells,
				})
			}
		}
		out = append(out, h)
	}
	return out
}

// mean returns the mean colour of the part of a picture that box touches, of
// the nearest pixel where it lies outside.
func mean(b pixel.Buffer, box pixel.Box) (sum [3]float64) {
	span := func(from, length float64, n int) (first, end int) {
		first = min(max(int(math.Floor(from*float64(n))), 0), n-1)
		end = min(max(int(math.Ceil((from+length)*float64(n))), first+1), n)
		return first, end
	}
	left, right := span(box.X, box.W, b.Width)
	top, bottom := span(box.Y, box.H, b.Height)
	for y := top; y < bottom; y++ {
		for x := left; x < right; x++ {
			for c := range sum {
				sum[c] += float64(b.Pix[(y*b.Width+x)*b.Channels+c])
			}
		}
	}
	for c := range sum {
		sum[c] /= float64((bottom - top) * (right - left))
	}
	return sum
}

// draw paints the part of the hidden face that lies at a place in a picture of
// the given size: an ellipse of its mean colours, flowing into each other, that
// fades at its edge.
func (h hiddenFace) draw(at pixel.Rect, size pixel.Size) pixel.Buffer {
	b := pixel.Buffer{Width: hidePatch, Height: hidePatch, Channels: 4, Pix: make([]byte, 0, hidePatch*hidePatch*4)}
	for y := range hidePatch {
		v := (float64(at.Y)+float64(at.Height)*(float64(y)+0.5)/hidePatch)/float64(size.Height) - h.Y
		for x := range hidePatch {
			u := (float64(at.X)+float64(at.Width)*(float64(x)+0.5)/hidePatch)/float64(size.Width) - h.X
			c := h.colour(u/h.W, v/h.H)
			r := math.Hypot(2*u/h.W-1, 2*v/h.H-1)
			alpha := 255 * unit((1-r)/(1-hideOpaque))
			b.Pix = append(b.Pix, byte(c[0]+0.5), byte(c[1]+0.5), byte(c[2]+0.5), byte(alpha+0.5))
		}
	}
	return b
}

// colour returns the colour at a point of the hidden part, in fractions of it:
// between the middles of its cells by linear interpolation.
func (h hiddenFace) colour(u, v float64) (c [3]float64) {
	column, right := cell(u)
	row, low := cell(v)
	for i := range c {
		above := h.means[row][column][i]*(1-right) + h.means[row][column+1][i]*right
		below := h.means[row+1][column][i]*(1-right) + h.means[row+1][column+1][i]*right
		c[i] = above*(1-low) + below*low
	}
	return c
}

// cell returns the cell whose middle lies before a point, and how far the point
// is on the way to the next.
func cell(at float64) (n int, onward float64) {
	at = math.Max(0, math.Min(hideCells-1, at*hideCells-0.5))
	n = min(int(at), hideCells-2)
	return n, at - float64(n)
}
