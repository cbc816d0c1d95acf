package report

import (
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strings"

	"focal/core/fault"
)

// columns are those of results.csv: one line for each row of results.json.
var columns = []string{
	"task", "dataset", "subset", "model", "engine", "provider", "leak", "images", "failed", "threshold",
	"iou_mean", "iou_low", "iou_high", "iou_pooled", "dice_mean", "dice_low", "dice_high", "dice_pooled",
	"accuracy_mean", "accuracy_low", "accuracy_high", "accuracy_pooled", "mae", "f_max", "f_mean", "f_adaptive", "weighted_f",
	"s_measure", "e_max", "e_mean", "e_adaptive", "boundary_iou",
	"ap50", "ap50_low", "ap50_high", "ap50_coco", "ap", "precision", "recall", "f1", "marked", "false_alarms", "no_face_images",
	"outer_centres_inside", "outer_faces_share", "zoom0_centres_inside", "zoom0_faces_share", "zoom05_centres_inside", "zoom05_faces_share", "zoom1_centres_inside", "zoom1_faces_share",
	"decode_mean_ms", "pre_mean_ms", "queue_mean_ms", "run_mean_ms", "post_mean_ms", "encode_mean_ms",
	"infer_p50_ms", "infer_p95_ms", "infer_mean_ms", "total_p50_ms", "total_p95_ms", "total_mean_ms", "cold_ms", "images_per_second",
	"peak_rss_bytes", "peak_device_bytes", "model_bytes", "file_bytes", "bytes_per_image",
}

// WriteCSV writes results.csv. What a row does not have is left empty.
func (r Results) WriteCSV(path string) error {
	var b strings.Builder
	w := csv.NewWriter(&b)
	rows := [][]string{columns}
	for _, s := range r.Segment {
		rows = append(rows, line(s.cells(), s.Images))
	}
	for _, f := range r.Faces {
		rows = append(rows, line(f.cells(), f.Images))
	}
	if err := w.WriteAll(rows); err != nil {
		return fault.New(fault.Internal, "report.WriteCSV", "%w", err)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// line writes a row. Where no picture was measured there are no figures, and
// not figures of zero.
func line(cells map[string]any, images int) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		if images == 0 && i > slices.Index(columns, "threshold") {
			break
		}
		switch v := cells[c].(type) {
		case float64:
			out[i] = plainNumber(v)
		case nil:
		default:
			out[i] = fmt.Sprint(v)
		}
	}
	return out
}

func (m Model) cells(t Timing, rate float64) map[string]any {
	c := map[string]any{
		"dataset": m.Dataset, "model": m.Model, "engine": m.Engine, "provider": m.Provider, "leak": strings.Join(m.Leak, "; "),
		"cold_ms": m.Cold, "peak_rss_bytes": m.PeakRSS, "peak_device_bytes": m.PeakDevice, "model_bytes": m.ModelBytes, "file_bytes": m.FileBytes,
	}
	if t.Count == 0 {
		return c
	}
	for name, v := range map[string]float64{
		"decode_mean_ms": t.Decode.Mean, "pre_mean_ms": t.Pre.Mean, "queue_mean_ms": t.Queue.Mean, "run_mean_ms": t.Run.Mean,
		"post_mean_ms": t.Post.Mean, "encode_mean_ms": t.Encode.Mean,
		"infer_p50_ms": t.Infer.P50, "infer_p95_ms": t.Infer.P95, "infer_mean_ms": t.Infer.Mean,
		"total_p50_ms": t.Total.P50, "total_p95_ms": t.Total.P95, "total_mean_ms": t.Total.Mean, "images_per_second": rate,
	} {
		c[name] = v
	}
	return c
}

func (s Segment) cells() map[string]any {
	c := s.Model.cells(s.Timing, s.Rate)
	for name, f := range map[string]Figure{"iou": s.IoU, "dice": s.Dice, "accuracy": s.Accuracy} {
		c[name+"_mean"], c[name+"_low"], c[name+"_high"], c[name+"_pooled"] = f.Mean, f.CI95[0], f.CI95[1], f.Pooled
	}
	for name, v := range map[string]any{
		"task": "segment", "subset": s.Subset, "images": s.Images, "failed": s.Failed, "threshold": s.Threshold,
		"mae": s.MAE, "f_max": s.FMax, "f_mean": s.FMean, "f_adaptive": s.FAdaptive, "weighted_f": s.WeightedF, "s_measure": s.S,
		"e_max": s.EMax, "e_mean": s.EMean, "e_adaptive": s.EAdaptive, "boundary_iou": s.BoundaryIoU,
	} {
		c[name] = v
	}
	return c
}

func (f Faces) cells() map[string]any {
	c := f.Model.cells(f.Timing, f.Rate)
	for name, v := range map[string]any{
		"task": "faces", "subset": f.Subset, "images": f.Images, "failed": f.Failed, "threshold": f.Threshold,
		"ap50": f.AP50, "ap50_low": f.AP50CI[0], "ap50_high": f.AP50CI[1], "ap50_coco": f.AP50COCO, "ap": f.AP,
		"precision": f.Precision, "recall": f.Recall, "f1": f.F1, "marked": f.Marked, "false_alarms": f.FalseAlarms,
		"no_face_images": f.NoFace, "bytes_per_image": f.Bytes,
	} {
		c[name] = v
	}
	for i, name := range []string{"outer", "zoom0", "zoom05", "zoom1"} {
		if crops := append([]Crop{f.Outer}, f.Crops...); i < len(crops) {
			c[name+"_centres_inside"], c[name+"_faces_share"] = crops[i].Centres, crops[i].Filled
		}
	}
	return c
}
