package report

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"slices"

	"focal/bench/dataset"
	"focal/bench/measure"
	"focal/core/fault"
	"focal/core/pixel"
	"focal/core/vips"
	"focal/models/vision"
)

// Case is one picture shown: small copies of it, its truth, the result and
// where they differ.
type Case struct {
	Model, Dataset, Stem string
	Figure               string
	Panels               []Panel
}

// Panel is one small picture.
type Panel struct {
	Name string
	URL  template.URL
}

// casesEach is how many of the worst pictures are shown of each model and set;
// panelSide their longer side. Together they keep a page of several models
// under a few megabytes.
const (
	casesEach = 6
	panelSide = 320
)

// worst shows the pictures of each model and set with the lowest IoU.
func worst(e Evidence) ([]Case, error) {
	groups := map[[2]string][]*Picture{}
	var order [][2]string
	for i := range e.Pictures {
		p := &e.Pictures[i]
		k := [2]string{p.Model, p.Dataset}
		if p.Error != "" || p.Mask == "" {
			continue
		}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], p)
	}
	iou := func(p *Picture) float64 { c := p.Counts(measure.Threshold); return c.IoU() }
	var cases []Case
	for _, k := range order {
		g := groups[k]
		slices.SortStableFunc(g, func(a, b *Picture) int {
			switch x, y := iou(a), iou(b); {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		})
		for _, p := range g[:min(casesEach, len(g))] {
			c, err := e.showMask(p, iou(p))
			if err != nil {
				return nil, err
			}
			cases = append(cases, c)
		}
	}
	faces, err := worstFaces(e)
	return append(cases, faces...), err
}

func (e Evidence) showMask(p *Picture, iou float64) (Case, error) {
	const op = "report.showMask"
	c := Case{Model: p.Model, Dataset: p.Dataset, Stem: p.Stem, Figure: fmt.Sprintf("IoU %.3f, boundary %.3f, %.0f ms", iou, p.Boundary, p.Times.Infer)}
	photo, err := small(p.Image)
	if err != nil {
		return c, fault.New(fault.KindOf(err), op, "%s: %w", p.Image, err)
	}
	file, err := os.ReadFile(filepath.Join(e.Out, p.Mask))
	if err != nil {
		return c, fault.New(fault.NotFound, op, "%w", err)
	}
	result, err := dataset.DecodeMask(file, false)
	if err != nil {
		return c, fault.New(fault.Corrupt, op, "%s: %w", p.Mask, err)
	}
	truth, err := e.Truth(p.Dataset, p.Stem)
	if err != nil {
		return c, fault.New(fault.KindOf(err), op, "%s: %w", p.Image, err)
	}
	size := photo.Size()
	r, err := vision.ResizeMask(result, size, vision.Area)
	if err != nil {
		return c, err
	}
	t, err := vision.ResizeMask(truth, size, vision.Area)
	if err != nil {
		return c, err
	}
	return c, c.add(
		panel{"picture", plainImage(photo)}, panel{"truth", greyImage(t)},
		panel{"mask", greyImage(r)}, panel{"difference", difference(photo, t, r)},
	)
}

type panel struct {
	name  string
	image image.Image
}

// add encodes panels into the page itself.
func (c *Case) add(panels ...panel) error {
	for _, p := range panels {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, p.image, &jpeg.Options{Quality: 72}); err != nil {
			return fault.New(fault.Internal, "report.Case", "%w", err)
		}
		c.Panels = append(c.Panels, Panel{p.name, template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(b.Bytes()))})
	}
	return nil
}

// small reads a picture at the size of a panel.
func small(path string) (pixel.Buffer, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return pixel.Buffer{}, err
	}
	info, err := vips.Probe(file)
	if err != nil {
		return pixel.Buffer{}, err
	}
	look, err := vips.Look(file, info)
	if err != nil {
		return look, err
	}
	long := max(look.Width, look.Height)
	if long <= panelSide {
		return look, nil
	}
	return vision.Resize(look, pixel.Size{Width: max(1, look.Width*panelSide/long), Height: max(1, look.Height*panelSide/long)}, vision.Area)
}

func plainImage(b pixel.Buffer) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, b.Width, b.Height))
	for i := range b.Width * b.Height {
		copy(out.Pix[4*i:], b.Pix[b.Channels*i:b.Channels*i+3])
		out.Pix[4*i+3] = 255
	}
	return out
}

func greyImage(m pixel.Mask) image.Image {
	return &image.Gray{Pix: m.Pix, Stride: m.Width, Rect: image.Rect(0, 0, m.Width, m.Height)}
}

// difference darkens the picture and paints what is missed red and what is too
// much blue, the more the surer.
func difference(photo pixel.Buffer, truth, result pixel.Mask) image.Image {
	out := plainImage(photo)
	for i := range truth.Pix {
		d := int(result.Pix[i]) - int(truth.Pix[i])
		paint, by := color.RGBA{255, 40, 40, 255}, -d
		if d > 0 {
			paint, by = color.RGBA{60, 130, 255, 255}, d
		}
		for c, v := range []byte{paint.R, paint.G, paint.B} {
			at := &out.Pix[4*i+c]
			*at = byte((int(*at)/3*(255-by) + int(v)*by) / 255)
		}
	}
	return out
}

// worstFaces shows the pictures of each face model with the most misses and
// false alarms from a score of one half.
func worstFaces(e Evidence) ([]Case, error) {
	groups := map[[2]string][]*Portrait{}
	var order [][2]string
	for i := range e.Portraits {
		p := &e.Portraits[i]
		k := [2]string{p.Model, p.Dataset}
		if groups[k] == nil {
			order = append(order, k)
		}
		if p.Error == "" {
			groups[k] = append(groups[k], p)
		}
	}
	var cases []Case
	for _, k := range order {
		g := groups[k]
		slices.SortStableFunc(g, func(a, b *Portrait) int { return b.wrong() - a.wrong() })
		for _, p := range g[:min(casesEach, len(g))] {
			c, err := showFaces(p)
			if err != nil {
				return nil, err
			}
			cases = append(cases, c)
		}
	}
	return cases, nil
}

// shownScore is the score from which a page draws a face.
const shownScore = 0.5

func (p *Portrait) tally() measure.Tally {
	v, marked := measure.Judge(p.boxes(), 0.5, measure.AllSizes)
	return measure.At(v, marked, shownScore)
}

func (p *Portrait) wrong() int {
	t := p.tally()
	return t.False + t.Missed
}

func showFaces(p *Portrait) (Case, error) {
	t := p.tally()
	c := Case{Model: p.Model, Dataset: p.Dataset, Stem: p.Stem, Figure: fmt.Sprintf("%d found, %d missed, %d too many, %.0f ms", t.Hits, t.Missed, t.False, p.Times.Infer)}
	photo, err := small(p.Image)
	if err != nil {
		return c, fault.New(fault.KindOf(err), "report.showFaces", "%s: %w", p.Image, err)
	}
	truth, found := plainImage(photo), plainImage(photo)
	sx, sy := float64(photo.Width)/float64(p.Width), float64(photo.Height)/float64(p.Height)
	for _, b := range p.Truth {
		outline(truth, b[0]*sx, b[1]*sy, b[2]*sx, b[3]*sy, color.RGBA{60, 220, 90, 255})
	}
	for _, b := range p.Found {
		if b[4] >= shownScore {
			outline(found, b[0]*sx, b[1]*sy, b[2]*sx, b[3]*sy, color.RGBA{255, 190, 40, 255})
		}
	}
	return c, c.add(panel{"truth", truth}, panel{"found", found})
}

// outline draws a box two pixels wide.
func outline(img *image.RGBA, x, y, w, h float64, c color.RGBA) {
	x0, y0, x1, y1 := int(x), int(y), int(x+w), int(y+h)
	for t := range 2 {
		for i := x0; i <= x1; i++ {
			img.SetRGBA(i, y0+t, c)
			img.SetRGBA(i, y1-t, c)
		}
		for i := y0; i <= y1; i++ {
			img.SetRGBA(x0+t, i, c)
			img.SetRGBA(x1-t, i, c)
		}
	}
}
