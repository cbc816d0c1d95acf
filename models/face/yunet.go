package face

import (
	"math"

	"focal/core/pixel"
)

// yunetStrides are the grids of YuNet, which has no priors. Its outputs are,
// for each grid of K cells in rows, class [K,1] (all strides), objectness
// [K,1], box [K,4] and landmarks [K,10], in that order; a model may have no
// landmarks. Formula: Wu et al., YuNet (2023), as in
// ShiqiYu/libfacedetection.train, mmdet/models/dense_heads/yunet_head.py.
var yunetStrides = [...]int{8, 16, 32}

func yunetShapes(canvas pixel.Size) [][]int64 {
	var shapes [][]int64
	for _, values := range []int64{1, 1, 4, 10} {
		for _, s := range yunetStrides {
			shapes = append(shapes, []int64{int64(canvas.Width / s * (canvas.Height / s)), values})
		}
	}
	return shapes
}

func yunet(out [][]float32, canvas pixel.Size, floor float64) []pixel.Face {
	n := len(yunetStrides)
	var faces []pixel.Face
	for i, stride := range yunetStrides {
		class, object, box := out[i], out[n+i], out[2*n+i]
		var landmark []float32
		if len(out) > 3*n {
			landmark = out[3*n+i]
		}
		step, columns := float64(stride), canvas.Width/stride
		for k := range class {
			score := math.Sqrt(unit(class[k]) * unit(object[k]))
			if score < floor {
				continue
			}
			x, y := float64(k%columns)*step, float64(k/columns)*step
			d := box[4*k : 4*k+4]
			face := pixel.Face{
				Box: centred(x+float64(d[0])*step, y+float64(d[1])*step,
					math.Exp(float64(d[2]))*step, math.Exp(float64(d[3]))*step),
				Score: score,
			}
			if landmark != nil {
				face.Landmarks = points(landmark[10*k:10*k+10], x, y, step)
			}
			faces = append(faces, face)
		}
	}
	return faces
}

func unit(v float32) float64 { return min(max(float64(v), 0), 1) }
