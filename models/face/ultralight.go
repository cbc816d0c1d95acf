package face

import "focal/core/pixel"

// Ultra-Light (Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB) decodes in
// its graph: scores [A,2] (background, face) and corners [A,4] (left, top,
// right, bottom) in fractions of the canvas, A fixed by the file. It gives no
// landmarks.

func ultralightShapes(pixel.Size) [][]int64 { return [][]int64{{-1, 2}, {-1, 4}} }

func ultralight(out [][]float32, canvas pixel.Size, floor float64) []pixel.Face {
	scores, corners := out[0], out[1]
	w, h := float64(canvas.Width), float64(canvas.Height)
	var faces []pixel.Face
	for a := range min(len(scores)/2, len(corners)/4) {
		score := float64(scores[2*a+1])
		if score < floor {
			continue
		}
		left, top := float64(corners[4*a])*w, float64(corners[4*a+1])*h
		right, bottom := float64(corners[4*a+2])*w, float64(corners[4*a+3])*h
		faces = append(faces, pixel.Face{
			Box:   pixel.Box{X: left, Y: top, W: max(0, right-left), H: max(0, bottom-top)},
			Score: score,
		})
	}
	return faces
}
