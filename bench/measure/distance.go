package measure

import "math"

// nearest finds for every pixel the nearest one that is set, exactly, by the
// lower envelope of parabolas (Felzenszwalb and Huttenlocher, Distance
// transforms of sampled functions, 2012): first along the columns, then along
// the rows. It returns the squared distance and the index of the nearest pixel;
// the index is -1 where none is set.
func nearest(set []bool, width, height int) (squared []float64, index []int32) {
	squared, index = make([]float64, len(set)), make([]int32, len(set))
	columns(set, width, height, squared, index)
	e := newEnvelope(width)
	for y := range height {
		row := y * width
		e.run(squared[row:row+width], index[row:row+width])
	}
	return squared, index
}

// columns finds the nearest set pixel of the same column.
func columns(set []bool, width, height int, squared []float64, index []int32) {
	for x := range width {
		at := -1
		for y := range height {
			i := y*width + x
			if set[i] {
				at = y
			}
			squared[i], index[i] = math.Inf(1), -1
			if at >= 0 {
				squared[i], index[i] = float64((y-at)*(y-at)), int32(at*width+x)
			}
		}
		at = -1
		for y := height - 1; y >= 0; y-- {
			i := y*width + x
			if set[i] {
				at = y
			}
			if at < 0 {
				continue
			}
			if d := float64((at - y) * (at - y)); d < squared[i] {
				squared[i], index[i] = d, int32(at*width+x)
			}
		}
	}
}

// envelope is the room for one row.
type envelope struct {
	heights []float64
	from    []int32
	foot    []int     // of each parabola in the envelope
	begin   []float64 // where it begins to be the lowest
}

func newEnvelope(width int) *envelope {
	return &envelope{make([]float64, width), make([]int32, width), make([]int, width), make([]float64, width)}
}

func (e *envelope) run(squared []float64, index []int32) {
	copy(e.heights, squared)
	copy(e.from, index)
	last := -1
	for q := range squared {
		if math.IsInf(e.heights[q], 1) {
			continue
		}
		begin := math.Inf(-1)
		for last >= 0 {
			p := e.foot[last]
			begin = ((e.heights[q] + float64(q*q)) - (e.heights[p] + float64(p*p))) / float64(2*(q-p))
			if begin > e.begin[last] {
				break
			}
			last--
			begin = math.Inf(-1)
		}
		last++
		e.foot[last], e.begin[last] = q, begin
	}
	if last < 0 {
		return
	}
	at := 0
	for q := range squared {
		for at < last && e.begin[at+1] < float64(q) {
			at++
		}
		p := e.foot[at]
		squared[q], index[q] = float64((q-p)*(q-p))+e.heights[p], e.from[p]
	}
}
