package face

import (
	"math"

	"focal/core/pixel"
)

// RetinaFace lays two square priors of the following sides, in pixels, on
// every cell of three grids; the outputs are box [A,4], confidence [A,2]
// (background, face) and landmarks [A,10], with A counting strides, then rows,
// columns and sizes. Formula: Deng et al., RetinaFace (2019), as in
// biubug6/Pytorch_Retinaface, layers/functions/prior_box.py and utils/box_utils.py.
var retinafacePriors = [...]struct {
	stride int
	sides  [2]float64
}{{8, [2]float64{16, 32}}, {16, [2]float64{64, 128}}, {32, [2]float64{256, 512}}}

func retinafaceShapes(canvas pixel.Size) [][]int64 {
	var anchors int64
	for _, p := range retinafacePriors {
		anchors += 2 * int64(cells(canvas.Width, p.stride)*cells(canvas.Height, p.stride))
	}
	return [][]int64{{anchors, 4}, {anchors, 2}, {anchors, 10}}
}

// cells counts the grid cells of a side, a partial one included.
func cells(side, stride int) int { return (side + stride - 1) / stride }

func retinaface(out [][]float32, canvas pixel.Size, floor float64) []pixel.Face {
	const (
		centreVariance = 0.1
		sizeVariance   = 0.2
	)
	box, confidence, landmark := out[0], out[1], out[2]
	var faces []pixel.Face
	anchor := 0
	for _, p := range retinafacePriors {
		columns := cells(canvas.Width, p.stride)
		for cell := range columns * cells(canvas.Height, p.stride) {
			x := (float64(cell%columns) + 0.5) * float64(p.stride)
			y := (float64(cell/columns) + 0.5) * float64(p.stride)
			for _, side := range p.sides {
				a := anchor
				anchor++
				score := float64(confidence[2*a+1])
				if score < floor {
					continue
				}
				d := box[4*a : 4*a+4]
				w, h := side*math.Exp(float64(d[2])*sizeVariance), side*math.Exp(float64(d[3])*sizeVariance)
				step := centreVariance * side
				faces = append(faces, pixel.Face{
					Box:       centred(x+float64(d[0])*step, y+float64(d[1])*step, w, h),
					Score:     score,
					Landmarks: points(landmark[10*a:10*a+10], x, y, step),
				})
			}
		}
	}
	return faces
}

func centred(x, y, w, h float64) pixel.Box { return pixel.Box{X: x - w/2, Y: y - h/2, W: w, H: h} }

// points reads five pairs as offsets from x, y in units of step.
func points(pairs []float32, x, y, step float64) []pixel.Point {
	all := make([]pixel.Point, len(pairs)/2)
	for i := range all {
		all[i] = pixel.Point{X: x + float64(pairs[2*i])*step, Y: y + float64(pairs[2*i+1])*step}
	}
	return all
}
