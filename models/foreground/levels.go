package foreground

import (
	"fmt"
	"math"
)

// levels says which of a mask's 256 values a number of the model's output becomes.
// It never falls while the number rises.
type levels struct {
	sigmoid   bool
	low, high float32 // the values that become 0 and 255
}

// value is v on the scale of low and high.
func (l levels) value(v float32) float32 {
	if l.sigmoid {
		return float32(1 / (1 + math.Exp(-float64(v))))
	}
	return v
}

func (l levels) level(v float32) byte { return spaced(l.value(v), l.low, l.high) }

// spaced is where v lies between low and high, in 255ths, cut off and not rounded.
func spaced(v, low, high float32) byte {
	switch {
	case v <= low:
		return 0
	case v >= high:
		return 255
	default:
		return byte(int32((v - low) / (high - low) * 255))
	}
}

// rank orders all floats as whole numbers: those that are no numbers come first and
// last, next to the infinite ones.
func rank(v float32) int32 {
	bits := int32(math.Float32bits(v))
	return bits ^ bits>>31&math.MaxInt32
}

func ranked(r int32) float32 { return math.Float32frombits(uint32(r ^ r>>31&math.MaxInt32)) }

// extent returns the smallest and the largest number of raw, if all are finite.
func extent(raw []float32) (least, most float32, err error) {
	low, high := int32(math.MaxInt32), int32(math.MinInt32)
	for _, v := range raw {
		r := rank(v)
		low, high = min(low, r), max(high, r)
	}
	infinite := rank(float32(math.Inf(1)))
	switch {
	case high >= infinite:
		return 0, 0, fmt.Errorf("the model gave %v", ranked(high))
	case low <= ^infinite:
		return 0, 0, fmt.Errorf("the model gave %v", ranked(low))
	}
	return ranked(low), ranked(high), nil
}

// steps are levels for many numbers, where an exponential for each would take
// longer than small models run: where every level begins is looked for once.
type steps struct {
	bottom, top byte
	from        [257]float32 // where the levels above bottom begin; those above top never do
	scale       float32      // cells in a distance of 1
	cells       [cells]byte  // the lowest level in each, from where bottom ends to where top begins
}

const cells = 1 << 14

// newSteps is for numbers from least to most.
func newSteps(l levels, least, most float32) *steps {
	s := &steps{bottom: l.level(least), top: l.level(most)}
	for i := range s.from {
		s.from[i] = float32(math.Inf(1))
	}
	s.seek(l, int(rank(least)), int(rank(most)), s.bottom, s.top)
	first, last := s.from[int(s.bottom)+1], s.from[s.top]
	if !(first < last) {
		return s
	}
	s.scale = (cells - 1) / (last - first)
	cell := 0
	for level := int(s.bottom) + 1; level <= int(s.top); level++ {
		for end := int((s.from[level] - first) * s.scale); cell <= end; cell++ {
			s.cells[cell] = byte(level - 1)
		}
	}
	return s
}

// seek finds where the levels above low begin, up to high: above the number of rank
// a, and at most at that of rank b.
func (s *steps) seek(l levels, a, b int, low, high byte) {
	switch {
	case low == high:
	case b-a == 1:
		for level := int(low) + 1; level <= int(high); level++ {
			s.from[level] = ranked(int32(b))
		}
	default:
		mid := (a + b) >> 1
		between := l.level(ranked(int32(mid)))
		s.seek(l, a, mid, low, between)
		s.seek(l, mid, b, between, high)
	}
}

// fill writes the level of each of raw.
func (s *steps) fill(pix []byte, raw []float32) {
	first, last := s.from[int(s.bottom)+1], s.from[s.top]
	pix = pix[:len(raw)]
	for i, v := range raw {
		switch {
		case v < first:
			pix[i] = s.bottom
		case v >= last:
			pix[i] = s.top
		default:
			level := s.cells[int32((v-first)*s.scale)&(cells-1)]
			for v >= s.from[int(level)+1] {
				level++
			}
			pix[i] = level
		}
	}
}
