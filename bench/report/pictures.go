package report

import (
	"encoding/csv"
	"fmt"
	"os"
	"strconv"
	"strings"

	"focal/bench/measure"
	"focal/core/fault"
)

// pictureColumns are those of pictures.csv: a line for each picture and model.
var pictureColumns = []string{
	"task", "dataset", "subsets", "model", "picture", "error", "iou", "dice", "accuracy", "mae", "f_adaptive", "weighted_f", "s_measure", "e_adaptive",
	"boundary_iou", "faces_marked", "faces_hit", "faces_false", "faces_missed", "decode_ms", "pre_ms", "queue_ms", "run_ms", "post_ms", "encode_ms",
	"infer_ms", "total_ms", "cached",
}

// WritePictures writes pictures.csv: every single picture, at the thresholds of
// the rows of r. What a line does not have is left empty.
func (r Results) WritePictures(path string, e Evidence) error {
	var b strings.Builder
	w := csv.NewWriter(&b)
	lines := [][]string{pictureColumns}
	for i := range e.Pictures {
		p := &e.Pictures[i]
		cells := p.Entry.cells("segment")
		if p.Error == "" {
			p.fill(cells, r.Segment[0].Threshold)
		}
		lines = append(lines, inOrder(cells))
	}
	scores := map[string]float64{}
	for _, f := range r.Faces {
		scores[f.Model.Model] = f.Threshold
	}
	for i := range e.Portraits {
		p := &e.Portraits[i]
		cells := p.Entry.cells("faces")
		if p.Error == "" {
			p.fill(cells, scores[p.Model])
		}
		lines = append(lines, inOrder(cells))
	}
	if err := w.WriteAll(lines); err != nil {
		return fault.New(fault.Internal, "report.WritePictures", "%w", err)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func (e *Entry) cells(task string) map[string]string {
	cells := map[string]string{
		"task": task, "dataset": e.Dataset, "subsets": strings.Join(e.Subsets, " "), "model": e.Model, "picture": e.Stem, "error": e.Error,
	}
	if e.Error != "" {
		return cells
	}
	cells["cached"] = strconv.FormatBool(e.Times.Cached)
	for name, v := range map[string]float64{
		"decode": e.Times.Decode, "pre": e.Times.Pre, "queue": e.Times.Queue, "run": e.Times.Run,
		"post": e.Times.Post, "encode": e.Times.Encode, "infer": e.Times.Infer, "total": e.Times.Total,
	} {
		cells[name+"_ms"] = plainNumber(v)
	}
	return cells
}

func (p *Picture) fill(cells map[string]string, threshold int) {
	c, adaptive := p.Counts(threshold), p.Levels.Adaptive()
	for name, v := range map[string]float64{
		"iou": c.IoU(), "dice": c.Dice(), "accuracy": c.Accuracy(), "mae": float64(p.AbsError) / 255 / float64(c.Pixels),
		"f_adaptive": adaptive.F(measure.Beta2), "e_adaptive": adaptive.E(),
		"weighted_f": p.WeightedF, "s_measure": p.S, "boundary_iou": p.Boundary,
	} {
		cells[name] = plainNumber(v)
	}
}

func (p *Portrait) fill(cells map[string]string, score float64) {
	v, marked := measure.Judge(p.boxes(), 0.5, measure.AllSizes)
	t := measure.At(v, marked, score)
	for name, n := range map[string]int{"marked": marked, "hit": t.Hits, "false": t.False, "missed": t.Missed} {
		cells["faces_"+name] = fmt.Sprint(n)
	}
}

func plainNumber(v float64) string { return strconv.FormatFloat(v, 'g', 7, 64) }

func inOrder(cells map[string]string) []string {
	out := make([]string, len(pictureColumns))
	for i, name := range pictureColumns {
		out[i] = cells[name]
	}
	return out
}
