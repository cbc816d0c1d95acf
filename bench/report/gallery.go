package report

import (
	"cmp"
	"fmt"
	"image"
	"slices"

	"focal/core/pixel"
)

// galleryEach is how many pictures of each set are shown side by side.
const galleryEach = 6

// gallery shows the pictures on which the models differ most, cut out by each:
// where all agree there is nothing to choose by.
func gallery(e Evidence) ([]Case, error) {
	groups, order := grouped(e.Pictures, func(p *Picture) [2]string { return [2]string{p.Dataset, p.Stem} })
	spread := func(k [2]string) float64 {
		low, high := 1.0, 0.0
		for _, p := range groups[k] {
			low, high = min(low, p.iou()), max(high, p.iou())
		}
		return high - low
	}
	slices.SortStableFunc(order, func(a, b [2]string) int { return cmp.Compare(spread(b), spread(a)) })
	shown := map[string]int{}
	var cases []Case
	for _, k := range order {
		if len(groups[k]) < 2 || shown[k[0]] == galleryEach {
			continue
		}
		shown[k[0]]++
		c, err := e.sideBySide(groups[k])
		if err != nil {
			return nil, err
		}
		cases = append(cases, c)
	}
	slices.SortStableFunc(cases, func(a, b Case) int { return cmp.Compare(a.Group, b.Group) })
	return cases, nil
}

// sideBySide shows one picture with what each model made of it.
func (e Evidence) sideBySide(results []*Picture) (Case, error) {
	first := results[0]
	c := Case{Group: first.Dataset, Stem: first.Stem, Figure: "of " + first.Dataset + "; figures are IoU"}
	photo, truth, err := e.subject(first)
	if err != nil {
		return c, err
	}
	panels := []panel{{"picture", plainImage(photo)}, {"truth", cutOut(photo, truth)}}
	for _, p := range results {
		mask, err := e.result(p, photo.Size())
		if err != nil {
			return c, err
		}
		panels = append(panels, panel{fmt.Sprintf("%s %.3f", p.Model, p.iou()), cutOut(photo, mask)})
	}
	return c, c.add(panels...)
}

// cutOut lays what a mask keeps of a picture over a chequered ground.
func cutOut(photo pixel.Buffer, mask pixel.Mask) image.Image {
	out := plainImage(photo)
	for i, v := range mask.Pix {
		ground := 236
		const field = 8
		if (i%mask.Width/field+i/mask.Width/field)%2 == 1 {
			ground = 205
		}
		for c := range 3 {
			at := &out.Pix[4*i+c]
			*at = byte((int(*at)*int(v) + ground*(255-int(v))) / 255)
		}
	}
	return out
}
