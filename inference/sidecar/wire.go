package sidecar

import (
	"encoding/json"
	"fmt"
	"math"

	"focal/core/pixel"
	"focal/inference"
)

// facesBody is the JSON of a faces answer.
type facesBody struct {
	Model    string     `json:"model"`
	Provider string     `json:"provider"`
	Content  string     `json:"content"`
	Result   string     `json:"result"`
	Image    imageBody  `json:"image"`
	Faces    []faceBody `json:"faces"`
	Timing   timingBody `json:"timing"`
}

type imageBody struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// faceBody is one face, in pixels of the answer's image.
type faceBody struct {
	Box       [4]float64   `json:"box"` // x, y, width, height
	Score     float64      `json:"score"`
	Landmarks [][2]float64 `json:"landmarks,omitempty"`
}

type timingBody struct {
	QueueMS float64 `json:"queue_ms"`
	RunMS   float64 `json:"run_ms"`
	Batch   int     `json:"batch"`
}

// toPixels scales a fraction to a side, with six digits after the point: the
// way back is then off by at most 5e-7 of the picture, whatever its size, and
// the number stays readable.
func toPixels(fraction float64, side int) float64 {
	return math.Round(fraction*float64(side)*1e6) / 1e6
}

// encodeFaces writes an answer with boxes in pixels of image.
func encodeFaces(content pixel.Digest, image pixel.Size, f inference.Faces) facesBody {
	b := facesBody{
		Model: f.Model, Provider: f.Provider, Content: formatContent(content), Result: string(f.How),
		Image:  imageBody{Width: image.Width, Height: image.Height},
		Faces:  make([]faceBody, 0, len(f.Faces)),
		Timing: timingBody{QueueMS: millis(f.Queue), RunMS: millis(f.Run), Batch: f.Batch},
	}
	for _, face := range f.Faces {
		out := faceBody{
			Box: [4]float64{
				toPixels(face.Box.X, image.Width), toPixels(face.Box.Y, image.Height),
				toPixels(face.Box.W, image.Width), toPixels(face.Box.H, image.Height),
			},
			Score: face.Score,
		}
		for _, p := range face.Landmarks {
			out.Landmarks = append(out.Landmarks, [2]float64{toPixels(p.X, image.Width), toPixels(p.Y, image.Height)})
		}
		b.Faces = append(b.Faces, out)
	}
	return b
}

// decodeFaces is the inverse of encodeFaces: faces in fractions of the source.
func decodeFaces(body []byte) ([]pixel.Face, error) {
	var b facesBody
	if err := json.Unmarshal(body, &b); err != nil {
		return nil, fmt.Errorf("faces answer: %w", err)
	}
	if b.Image.Width <= 0 || b.Image.Height <= 0 {
		return nil, fmt.Errorf("faces answer for a picture of %d×%d", b.Image.Width, b.Image.Height)
	}
	w, h := float64(b.Image.Width), float64(b.Image.Height)
	faces := make([]pixel.Face, 0, len(b.Faces))
	for _, in := range b.Faces {
		face := pixel.Face{
			Box:   pixel.Box{X: in.Box[0] / w, Y: in.Box[1] / h, W: in.Box[2] / w, H: in.Box[3] / h},
			Score: in.Score,
		}
		for _, p := range in.Landmarks {
			face.Landmarks = append(face.Landmarks, pixel.Point{X: p[0] / w, Y: p[1] / h})
		}
		faces = append(faces, face)
	}
	return faces, nil
}
