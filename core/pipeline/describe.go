package pipeline

import (
	"encoding/json"
	"math"
	"slices"

	"focal/core/fault"
	"focal/core/geometry"
	"focal/core/pixel"
	"focal/core/vips"
)

// description is the answer of format=json: Cloudflare's fields, and under
// names of ours what vision found, where it was asked for. Faces and the
// foreground's box are in pixels of the result.
type description struct {
	Width      int                  `json:"width"`
	Height     int                  `json:"height"`
	Original   original             `json:"original"`
	Faces      []describedFace      `json:"faces,omitempty"`
	Blurred    [][4]float64         `json:"blurred,omitempty"` // what blur-faces covers
	Crop       *[4]float64          `json:"crop,omitempty"`    // of the working picture, in its pixels
	Foreground *describedForeground `json:"foreground,omitempty"`
}

type original struct {
	FileSize int    `json:"file_size"`
	Width    int    `json:"width"`
	Height   int    `json:"height"`
	Format   string `json:"format"`
	Frames   int    `json:"frames,omitempty"` // of an animation, unless anim=false
}

type describedFace struct {
	Box       [4]float64   `json:"box"`
	Score     float64      `json:"score"`
	Landmarks [][2]float64 `json:"landmarks,omitempty"`
	Chosen    bool         `json:"chosen"` // it decides the crop
}

type describedForeground struct {
	Box      [4]float64 `json:"box"`
	Coverage float64    `json:"coverage"`
}

// describe answers format=json without decoding anything.
func describe(r Request, info vips.Info, pl plan, found Findings) (Result, error) {
	l := pl.layout
	d := description{
		Width: pl.size.Width, Height: pl.size.Height,
		Original: original{FileSize: info.Bytes, Width: info.Oriented.Width, Height: info.Oriented.Height, Format: info.Format.MIME()},
	}
	if info.Animated() && !r.Options.FirstFrame {
		d.Original.Frames = info.Pages
	}
	if found.Faces != nil {
		d.Faces = make([]describedFace, 0, len(found.Faces.Value))
		for _, f := range found.Faces.Value {
			d.Faces = append(d.Faces, pl.describeFace(f))
		}
	}
	if found.Hidden != nil {
		for _, f := range found.Hidden.Value {
			d.Blurred = append(d.Blurred, pl.onResult(pl.frame.Box(geometry.Grow(f.Box, hideGrow))))
		}
	}
	if r.Options.CropsToFaces() || r.Options.CropsToForeground() {
		w := l.Window
		d.Crop = &[4]float64{round(w.X), round(w.Y), round(w.W), round(w.H)}
	}
	if found.Foreground != nil {
		mask := found.Foreground.Value
		d.Foreground = &describedForeground{Coverage: math.Round(Coverage(mask)*1e4) / 1e4}
		if box, ok := subjectBox(mask); ok {
			d.Foreground.Box = pl.onResult(pl.frame.Box(box))
		}
	}
	body, err := json.Marshal(d)
	if err != nil {
		return Result{}, fault.New(fault.Internal, "pipeline.describe", "%w", err)
	}
	return Result{Body: append(body, '\n'), ContentType: "application/json", Size: pl.size, Warnings: pl.warnings}, nil
}

func (p plan) describeFace(f pixel.Face) describedFace {
	box := p.frame.Box(f.Box)
	d := describedFace{Box: p.onResult(box), Score: math.Round(f.Score*1e4) / 1e4, Chosen: slices.Contains(p.chosen, box)}
	for _, m := range f.Landmarks {
		at := p.onResult(pixel.Box{X: p.frame.Point(m).X, Y: p.frame.Point(m).Y})
		d.Landmarks = append(d.Landmarks, [2]float64{at[0], at[1]})
	}
	return d
}

// onResult scales a box of the working picture, in fractions, to the pixels of
// the result.
func (p plan) onResult(b pixel.Box) [4]float64 {
	l := p.layout
	sx := float64(l.Resize.Width) / l.Window.W
	sy := float64(l.Resize.Height) / l.Window.H
	pw, ph := float64(p.working.Width), float64(p.working.Height)
	return [4]float64{
		round((b.X*pw-l.Window.X)*sx + float64(l.Left+p.border.Left)),
		round((b.Y*ph-l.Window.Y)*sy + float64(l.Top+p.border.Top)),
		round(b.W * pw * sx),
		round(b.H * ph * sy),
	}
}

func round(v float64) float64 { return math.Round(v*100) / 100 }
