package pipeline

import (
	"math"

	"focal/core/geometry"
	"focal/core/pixel"
)

// Coverage returns how much of the picture is foreground, 0 to 1.
func Coverage(m pixel.Mask) float64 {
	if len(m.Pix) == 0 {
		return 0
	}
	var sum int64
	for _, v := range m.Pix {
		sum += int64(v)
	}
	return float64(sum) / 255 / float64(len(m.Pix))
}

// isSubject is the least value of a mask that is more foreground than
// background.
const isSubject = 128

// subjectBox returns the smallest box round everything that is more foreground
// than background; false means that nothing is.
func subjectBox(m pixel.Mask) (pixel.Box, bool) {
	left, top, right, bottom := m.Width, m.Height, -1, -1
	for y := range m.Height {
		for x := range m.Width {
			if m.Pix[y*m.Width+x] < isSubject {
				continue
			}
			left, right = min(left, x), max(right, x)
			top, bottom = min(top, y), max(bottom, y)
		}
	}
	if right < 0 {
		return pixel.Box{}, false
	}
	w, h := float64(m.Width), float64(m.Height)
	return pixel.Box{
		X: float64(left) / w, Y: float64(top) / h,
		W: float64(right-left+1) / w, H: float64(bottom-top+1) / h,
	}, true
}

// subjectOf returns where the foreground stands in the working picture that
// frame makes of the source: what was trimmed away does not count.
func subjectOf(m pixel.Mask, frame geometry.Frame) geometry.Subject {
	size := frame.Size(m.Size())
	s := geometry.Subject{Across: make([]float64, size.Width), Down: make([]float64, size.Height)}
	cut := frame.Cut(m.Size())
	kept := pixel.Mask{Width: cut.Width, Height: cut.Height, Pix: make([]byte, 0, cut.Width*cut.Height)}
	for y := cut.Y; y < cut.Y+cut.Height; y++ {
		kept.Pix = append(kept.Pix, m.Pix[y*m.Width+cut.X:][:cut.Width]...)
	}
	frame.Trim = pixel.Box{} // from here on only turned
	for y := range kept.Height {
		for x := range kept.Width {
			v := float64(kept.Pix[y*kept.Width+x])
			if v == 0 {
				continue
			}
			at := frame.Point(pixel.Point{X: (float64(x) + 0.5) / float64(kept.Width), Y: (float64(y) + 0.5) / float64(kept.Height)})
			s.Across[int(at.X*float64(size.Width))] += v
			s.Down[int(at.Y*float64(size.Height))] += v
		}
	}
	if box, ok := subjectBox(kept); ok {
		s.Box = frame.Box(box)
	}
	return s
}

// subjectRect returns the pixels of an oriented source of size src that the
// foreground touches; false means that there is none.
func subjectRect(m pixel.Mask, src pixel.Size) (pixel.Rect, bool) {
	box, ok := subjectBox(m)
	if !ok {
		return pixel.Rect{}, false
	}
	w, h := float64(src.Width), float64(src.Height)
	const slack = 1e-6 // what fractions of the mask's size are off by is no pixel
	left, top := int(math.Floor(box.X*w+slack)), int(math.Floor(box.Y*h+slack))
	right, bottom := int(math.Ceil((box.X+box.W)*w-slack)), int(math.Ceil((box.Y+box.H)*h-slack))
	return pixel.Rect{X: left, Y: top, Width: min(right, src.Width) - left, Height: min(bottom, src.Height) - top}, true
}
