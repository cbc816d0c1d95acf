package report

import (
	"fmt"
	"image"
	"image/color"
	"slices"

	"focal/bench/measure"
	"focal/core/fault"
)

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
	c := Case{
		Group: p.Model + " on " + p.Dataset, Stem: p.Stem,
		Figure: fmt.Sprintf("%s on %s: %d found, %d missed, %d too many, %.0f ms", p.Model, p.Dataset, t.Hits, t.Missed, t.False, p.Times.Infer),
	}
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
