package report

import (
	"bytes"
	"cmp"
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

// Case is one picture shown in small copies: with its truth, the result and where
// they differ, or with the results of several models.
type Case struct {
	Group  string // what a reader may choose to see alone
	Stem   string
	Figure string
	Panels []Panel
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
	groups, order := grouped(e.Pictures, func(p *Picture) [2]string { return [2]string{p.Model, p.Dataset} })
	var cases []Case
	for _, k := range order {
		g := groups[k]
		slices.SortStableFunc(g, func(a, b *Picture) int { return cmp.Compare(a.iou(), b.iou()) })
		for _, p := range g[:min(casesEach, len(g))] {
			c, err := e.showMask(p)
			if err != nil {
				return nil, err
			}
			cases = append(cases, c)
		}
	}
	faces, err := worstFaces(e)
	return append(cases, faces...), err
}

// iou is that at the threshold of the contract.
func (p *Picture) iou() float64 { return p.Counts(measure.Threshold).IoU() }

// grouped sorts what has a mask into groups, in the order in which they come.
func grouped[K comparable](all []Picture, of func(*Picture) K) (groups map[K][]*Picture, order []K) {
	groups = map[K][]*Picture{}
	for i := range all {
		p := &all[i]
		if p.Error != "" || p.Mask == "" {
			continue
		}
		k := of(p)
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], p)
	}
	return groups, order
}

func (e Evidence) showMask(p *Picture) (Case, error) {
	c := Case{
		Group: p.Model + " on " + p.Dataset, Stem: p.Stem,
		Figure: fmt.Sprintf("%s on %s: IoU %.3f, boundary %.3f, %.0f ms", p.Model, p.Dataset, p.iou(), p.Boundary, p.Times.Infer),
	}
	photo, truth, err := e.subject(p)
	if err != nil {
		return c, err
	}
	result, err := e.result(p, photo.Size())
	if err != nil {
		return c, err
	}
	return c, c.add(
		panel{"picture", plainImage(photo)}, panel{"truth", greyImage(truth)},
		panel{"mask", greyImage(result)}, panel{"difference", difference(photo, truth, result)},
	)
}

// subject is a small copy of a picture and its truth.
func (e Evidence) subject(p *Picture) (photo pixel.Buffer, truth pixel.Mask, err error) {
	const op = "report.subject"
	if photo, err = small(p.Image); err != nil {
		return photo, truth, fault.New(fault.KindOf(err), op, "%s: %w", p.Image, err)
	}
	if truth, err = e.Truth(p.Dataset, p.Stem); err != nil {
		return photo, truth, fault.New(fault.KindOf(err), op, "%s: %w", p.Image, err)
	}
	truth, err = vision.ResizeMask(truth, photo.Size(), vision.Area)
	return photo, truth, err
}

// result is a small copy of a mask that was measured.
func (e Evidence) result(p *Picture, size pixel.Size) (pixel.Mask, error) {
	const op = "report.result"
	file, err := os.ReadFile(filepath.Join(e.Out, p.Mask))
	if err != nil {
		return pixel.Mask{}, fault.New(fault.NotFound, op, "%w", err)
	}
	mask, err := dataset.DecodeMask(file, false)
	if err != nil {
		return mask, fault.New(fault.Corrupt, op, "%s: %w", p.Mask, err)
	}
	return vision.ResizeMask(mask, size, vision.Area)
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
