package vision

import (
	"encoding/binary"

	"focal/core/pixel"
)

// taps says from which pixels along one axis a new pixel is made: weights[i] of the
// pixel first+i.
type taps struct {
	first   int
	weights []uint32
}

// one is what the weights of a new pixel come to, if nothing else is said.
const one = 1 << 16

// lanes are eight bytes while they are mixed, the even ones and the odd ones, with
// 16 bits for each: a product with a weight, less the last eight bits.
type lanes [2]uint64

const (
	bytewise = 0x00ff00ff00ff00ff // the lower half of each lane
	half     = 0x0080008000800080 // of a byte's last bit, in each
	ones     = 0x0001000100010001 // the last bit of each
)

// areas are the taps of pixels that average what they cover of from, which are no
// fewer. Where of is from, the pixels of a new one together weigh weight; where it
// is to, a whole pixel does.
func areas(from, to, weight, of int) []taps {
	all, weights := make([]taps, to), make([]uint32, 0, from+2*to)
	for i := range all {
		// In parts of which a pixel has to, and a new one from.
		begin, end := i*from, (i+1)*from
		all[i].first = begin / to
		start, before := len(weights), 0
		for p := begin / to; p*to < end; p++ {
			upTo := (min((p+1)*to, end) - begin) * weight / of // rounded so that all have one sum
			weights, before = append(weights, uint32(upTo-before)), upTo
		}
		all[i].weights = weights[start:]
	}
	return all
}

// mostRows is how many rows can be mixed at once: one of more would weigh nothing in
// the upper eight bits.
const mostRows = 256

// average is Area where no axis grows. A whole row weighs a power of two, which is
// less work; what a new one weighs too little for that, the columns make good.
func average(src []byte, channels int, from, to pixel.Size) []byte {
	if most := mostRows * to.Height; from.Height > most {
		// Of each new row so many, whole ones, are averaged afterwards.
		step := pixel.Size{Width: from.Width, Height: (from.Height + most - 1) / most * to.Height}
		return average(average(src, channels, from, step), channels, step, to)
	}
	row := one
	for row*from.Height > one*to.Height {
		row /= 2
	}
	down := areas(from.Height, to.Height, row, to.Height)
	across := areas(from.Width, to.Width, one*one/(row*from.Height/to.Height), from.Width)
	return mix(src, channels, from, to, down, across)
}

// mix resizes with taps: rows first, eight bytes at a time, then along each row,
// where across is not nil.
func mix(src []byte, channels int, from, to pixel.Size, down, across []taps) []byte {
	wide, stride := from.Width*channels, to.Width*channels
	sums := make([]lanes, (wide+7)/8)
	row, values := make([]byte, 8*len(sums)), make([]uint16, 8*len(sums))
	dst := make([]byte, to.Height*stride, to.Height*stride+8) // words of a row may reach beyond it
	for y, t := range down {
		start := uint64(0)
		if len(t.weights) > 1 {
			start = ones // what is cut off on average
		}
		for i := range sums {
			sums[i] = lanes{start, start}
		}
		for i, weight := range t.weights {
			line := src[(t.first+i)*wide : (t.first+i+1)*wide]
			if wide%8 != 0 {
				copy(row, line)
				line = row
			}
			weigh(sums, line, uint64(weight))
		}
		if across == nil {
			round(dst[y*stride:cap(dst)], sums)
			continue
		}
		spread(values, sums)
		out := dst[y*stride : (y+1)*stride]
		if channels == 3 {
			along3(out, values, across)
		} else {
			along1(out, values, across)
		}
	}
	return dst
}

// weigh adds a row of bytes to the lanes. Those have no room for a byte times a
// weight: it is multiplied by the upper and the lower eight bits, if there are any.
func weigh(sums []lanes, row []byte, weight uint64) {
	high, low := weight>>8, weight&255
	if low == 0 {
		for i := range sums {
			v := binary.LittleEndian.Uint64(row[8*i : 8*i+8])
			sum := &sums[i]
			sum[0] += v & bytewise * high
			sum[1] += v >> 8 & bytewise * high
		}
		return
	}
	for i := range sums {
		v := binary.LittleEndian.Uint64(row[8*i : 8*i+8])
		even, odd := v&bytewise, v>>8&bytewise
		sum := &sums[i]
		sum[0] += even*high + even*low>>8&bytewise
		sum[1] += odd*high + odd*low>>8&bytewise
	}
}

// round makes lanes bytes again.
func round(dst []byte, sums []lanes) {
	for i := range sums {
		even, odd := sums[i][0]+half, sums[i][1]+half
		binary.LittleEndian.PutUint64(dst[8*i:8*i+8], even>>8&bytewise|odd&^bytewise)
	}
}

// spread puts lanes in the order of their bytes.
func spread(values []uint16, sums []lanes) {
	for i := range sums {
		even, odd, v := sums[i][0], sums[i][1], values[8*i:8*i+8]
		v[0], v[2], v[4], v[6] = uint16(even), uint16(even>>16), uint16(even>>32), uint16(even>>48)
		v[1], v[3], v[5], v[7] = uint16(odd), uint16(odd>>16), uint16(odd>>32), uint16(odd>>48)
	}
}

// rounding is half of a byte's last bit, in 256ths times a weight.
const rounding = 1 << 23

// along3 mixes the pixels of a row.
func along3(dst []byte, values []uint16, across []taps) {
	for x, t := range across {
		r, g, b := uint32(rounding), uint32(rounding), uint32(rounding)
		at := 3 * t.first
		for _, w := range t.weights {
			p := values[at : at+3 : at+3]
			r, g, b = r+w*uint32(p[0]), g+w*uint32(p[1]), b+w*uint32(p[2])
			at += 3
		}
		out := dst[3*x : 3*x+3 : 3*x+3]
		out[0], out[1], out[2] = byte(r>>24), byte(g>>24), byte(b>>24)
	}
}

// along1 is that of one channel.
func along1(dst []byte, values []uint16, across []taps) {
	for x, t := range across {
		v := uint32(rounding)
		for i, w := range t.weights {
			v += w * uint32(values[t.first+i])
		}
		dst[x] = byte(v >> 24)
	}
}
