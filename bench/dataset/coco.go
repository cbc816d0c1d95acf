package dataset

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"focal/core/fault"
	"focal/core/pixel"
)

// findCOCO looks for annotations/instances_NAME.json and its folder of pictures.
func findCOCO(dir string) (file, images string, ok bool) {
	found, _ := filepath.Glob(filepath.Join(dir, "annotations", "instances_*.json")) // the pattern is good
	for _, file := range found {
		name := strings.TrimPrefix(stem(file), "instances_")
		for _, images := range []string{filepath.Join(dir, name), filepath.Join(dir, "images"), filepath.Join(dir, "images", name)} {
			if exists(images) {
				return file, images, true
			}
		}
	}
	return "", "", false
}

// instances is the part of COCO's file that is read.
type instances struct {
	Images []struct {
		ID            int64  `json:"id"`
		File          string `json:"file_name"`
		Width, Height int
	}
	Annotations []instance
	Categories  []struct {
		ID   int64
		Name string
	}
}

type instance struct {
	Image        int64 `json:"image_id"`
	Category     int64 `json:"category_id"`
	Segmentation json.RawMessage
}

// ParseCOCO reads an instances file: the masks of all persons of each picture
// that has one, by file name.
func ParseCOCO(text []byte) (map[string]func() (pixel.Mask, error), error) {
	const op = "dataset.ParseCOCO"
	var all instances
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fault.New(fault.Invalid, op, "%w", err)
	}
	person := int64(-1)
	for _, c := range all.Categories {
		if c.Name == "person" {
			person = c.ID
		}
	}
	if person < 0 {
		return nil, fault.New(fault.Invalid, op, "there is no category person")
	}
	of := map[int64][]json.RawMessage{}
	for _, a := range all.Annotations {
		if a.Category == person {
			of[a.Image] = append(of[a.Image], a.Segmentation)
		}
	}
	masks := map[string]func() (pixel.Mask, error){}
	for _, i := range all.Images {
		if parts := of[i.ID]; len(parts) > 0 {
			masks[i.File] = func() (pixel.Mask, error) { return drawParts(i.Width, i.Height, parts) }
		}
	}
	return masks, nil
}

func (s *Pairs) openCOCO(file, images string, tags map[string][]string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fault.New(fault.NotFound, "dataset.openCOCO", "%w", err)
	}
	masks, err := ParseCOCO(text)
	if err != nil {
		return err
	}
	for name, draw := range masks {
		path := filepath.Join(images, filepath.Base(name))
		if !exists(path) {
			s.Problems = append(s.Problems, Problem{path, Unpaired, "is in " + filepath.Base(file) + " but not in the folder"})
			continue
		}
		read := func() (pixel.Mask, []Problem, error) {
			m, err := draw()
			if err != nil {
				return m, []Problem{{path, BadLabel, err.Error()}}, errLeftOut
			}
			return m, suspect(path, m), nil
		}
		s.Pairs = append(s.Pairs, Pair{Stem: stem(name), Image: path, Subsets: subsets(stem(name), tags), mask: read})
	}
	slices.SortFunc(s.Pairs, func(a, b Pair) int { return strings.Compare(a.Stem, b.Stem) })
	slices.SortFunc(s.Problems, func(a, b Problem) int { return strings.Compare(a.File, b.File) })
	return nil
}

// drawParts draws polygons and run lengths over each other.
func drawParts(width, height int, parts []json.RawMessage) (pixel.Mask, error) {
	if width <= 0 || height <= 0 || width > maxMask/height {
		return pixel.Mask{}, fmt.Errorf("a picture of %d×%d", width, height)
	}
	m := pixel.Mask{Width: width, Height: height, Pix: make([]byte, width*height)}
	for _, part := range parts {
		var polygons [][]float64
		if json.Unmarshal(part, &polygons) == nil {
			for _, p := range polygons {
				fillPolygon(m, p)
			}
			continue
		}
		var runs struct {
			Counts []int
			Size   [2]int
		}
		if err := json.Unmarshal(part, &runs); err != nil {
			return m, fmt.Errorf("a segmentation that is neither polygons nor plain run lengths: %w", err)
		}
		if runs.Size != [2]int{height, width} {
			return m, fmt.Errorf("run lengths of %v for a picture of %d×%d", runs.Size, width, height)
		}
		if err := fillRuns(m, runs.Counts); err != nil {
			return m, err
		}
	}
	return m, nil
}

// fillRuns draws COCO's uncompressed run lengths: down the columns, background
// first.
func fillRuns(m pixel.Mask, counts []int) error {
	at := 0
	for i, n := range counts {
		if n < 0 || n > len(m.Pix)-at {
			return fmt.Errorf("run lengths reach beyond the picture")
		}
		for range n {
			if i%2 == 1 {
				m.Pix[at%m.Height*m.Width+at/m.Height] = 255
			}
			at++
		}
	}
	return nil
}

// fillPolygon draws x, y, x, y…: a pixel is inside if its centre is, by the
// even-odd rule.
func fillPolygon(m pixel.Mask, p []float64) {
	n := len(p) / 2
	for y := range m.Height {
		at := float64(y) + 0.5
		var cuts []float64
		for i := range n {
			j := (i + 1) % n
			x0, y0, x1, y1 := p[2*i], p[2*i+1], p[2*j], p[2*j+1]
			if (y0 <= at) != (y1 <= at) {
				cuts = append(cuts, x0+(at-y0)*(x1-x0)/(y1-y0))
			}
		}
		slices.Sort(cuts)
		for i := 0; i+1 < len(cuts); i += 2 {
			from, to := max(0, int(cuts[i]+0.5)), min(float64(m.Width), cuts[i+1]+0.5)
			for x := from; x < int(to); x++ {
				m.Pix[y*m.Width+x] = 255
			}
		}
	}
}
