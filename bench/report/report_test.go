package report_test

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"focal/bench/reference"
	"focal/bench/report"
	"focal/core/pixel"
)

func near(t *testing.T, what string, got, want, by float64) {
	t.Helper()
	if !(math.Abs(got-want) <= by) {
		t.Errorf("%s is %.5f, want %.5f", what, got, want)
	}
}

// binary makes a picture of which only what a binary mask tells is known.
func binary(set, stem string, both, predicted, truth, pixels int64, subsets ...string) report.Picture {
	p := report.Picture{Entry: report.Entry{Dataset: set, Model: "u2netp", Stem: stem, Subsets: subsets}}
	p.Levels.In[255], p.Levels.In[0] = both, truth-both
	p.Levels.Out[255], p.Levels.Out[0] = predicted-both, pixels-truth-(predicted-both)
	return p
}

// The per-picture counts of shared/data/reference come to the means and pooled
// figures of its README.
func TestSegments_ComeToTheReferenceTable(t *testing.T) {
	sets := map[string][]report.Picture{}
	for _, r := range reference.Rows(t, "foreground.csv") {
		if r["model"] != "u2netp" || r["recipe"] != "R" {
			continue
		}
		kind := "hard"
		if strings.HasPrefix(r["image"], "soft_") {
			kind = "soft"
		}
		p := binary(r["set"], r["image"], int64(reference.Number(t, r["intersection"])), int64(reference.Number(t, r["predicted"])), int64(reference.Number(t, r["truth"])), int64(reference.Number(t, r["pixels"])), "all", kind)
		p.AbsError = int64(reference.Number(t, r["abs_error_sum"])*255 + 0.5)
		sets[r["set"]] = append(sets[r["set"]], p)
	}
	want := map[string][8]float64{ // mean IoU, Dice, accuracy, MAE; pooled
		"humans/all": {.9183, .9542, .9585, .0465, .9060, .9507, .9624, .0418}, "humans/hard": {.9157, .9527, .9570, .0481, .8980, .9463, .9563, .0483},
		"humans/soft": {.9821, .9909, .9957, .0065, .9827, .9913, .9958, .0064}, "objects/all": {.8383, .8882, .9686, .0384, .9153, .9558, .9771, .0288},
		"objects/hard": {.8283, .8805, .9671, .0402, .8635, .9267, .9706, .0370}, "objects/soft": {.9520, .9751, .9859, .0178, .9555, .9772, .9850, .0188},
	}
	seen := 0
	for set, pictures := range sets {
		for _, s := range report.Segments(report.Model{Dataset: set, Model: "u2netp"}, pictures, 128, 1) {
			w, ok := want[set+"/"+s.Subset]
			if !ok {
				t.Errorf("a row for %s/%s", set, s.Subset)
			}
			seen++
			for i, got := range []float64{s.IoU.Mean, s.Dice.Mean, s.Accuracy.Mean, s.MAE, s.IoU.Pooled, s.Dice.Pooled, s.Accuracy.Pooled, s.MAEPooled} {
				near(t, set+"/"+s.Subset+" figure "+strconv.Itoa(i), got, w[i], 0.00006)
			}
			if s.IoU.CI95[0] >= s.IoU.Mean || s.IoU.CI95[1] <= s.IoU.Mean {
				t.Errorf("%s: interval %v", s.Subset, s.IoU.CI95)
			}
		}
	}
	if seen != len(want) {
		t.Errorf("%d rows, want %d", seen, len(want))
	}
}

func TestSegments_CountFailuresAndLeaveThemOut(t *testing.T) {
	failed := binary("set", "b", 0, 0, 0, 0, "all", "hard", "thin")
	failed.Error = "no mask"
	rows := report.Segments(report.Model{Dataset: "set"}, []report.Picture{binary("set", "a", 1, 2, 1, 4, "all", "hard"), failed}, 128, 1)
	if len(rows) != 2 || rows[0].Subset != "all" || rows[0].Images != 1 || rows[0].Failed != 1 || rows[0].IoU.Mean != 0.5 {
		t.Errorf("got %+v", rows)
	}
	if rows[1].Subset != "thin" || rows[1].Images != 0 || rows[1].Failed != 1 {
		t.Errorf("thin: %+v", rows[1])
	}
}

// A model that is better by 0.25 on every picture is so for sure, though the
// pictures differ among themselves by far more; one that is so by turns is not.
func TestDifferences_CompareThePicturesInPairs(t *testing.T) {
	var pictures []report.Picture
	add := func(model string, iou func(i int) int64) {
		for i := range 20 {
			p := binary("set", strconv.Itoa(i), iou(i), iou(i), 100, 1000, "all", "hard")
			p.Model = model
			pictures = append(pictures, p)
		}
	}
	add("a", func(i int) int64 { return int64(3*i) + 35 })
	add("b", func(i int) int64 { return int64(3*i) + 10 })
	add("c", func(i int) int64 { return int64(3*i) + 35 + int64(i%2*20-10) })
	got := report.Differences(pictures, 128, 1)
	if len(got) != 3 {
		t.Fatalf("%d differences", len(got))
	}
	near(t, "a and b", got[0].IoU, 0.25, 1e-9)
	near(t, "low", got[0].CI95[0], 0.25, 1e-9)
	if !got[0].Sure || got[1].Sure || !got[2].Sure || !strings.Contains(got[2].Text(), "c is better than b") {
		t.Errorf("got %+v", got)
	}
}

// The reference detections from a score of 0.5 on, at 0.6, come to the figures
// of the reference README; its AP counts lower scores too.
func TestFacesRows_ComeToTheReferenceTable(t *testing.T) {
	theirs := reference.Detections(t, "retinaface_mobilenet025", "1024")
	var pictures []report.Portrait
	for _, i := range reference.Portraits(t) {
		p := report.Portrait{
			Entry: report.Entry{Stem: i.File, Subsets: []string{"all"}}, Width: i.Size.Width, Height: i.Size.Height, Truth: corners(i.Truth), Ignored: corners(i.Ignore),
		}
		for _, d := range theirs[i.File] {
			p.Found = append(p.Found, [5]float64{d.Box.X, d.Box.Y, d.Box.W, d.Box.H, d.Score})
		}
		pictures = append(pictures, p)
	}
	rows := report.FacesRows(report.Model{Dataset: "faces"}, pictures, 0.6, 0.6, 1)
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	f := rows[0]
	if f.Marked != 480 || f.Hits != 392 || f.False != 38 || f.Missed != 88 || f.FalseAlarms != 4 || f.Alarmed != 3 || f.NoFace != 18 {
		t.Errorf("got %+v", f)
	}
	near(t, "precision", f.Precision, .9116, .00006)
	near(t, "recall", f.Recall, .8167, .00006)
	near(t, "F1", f.F1, .8615, .00006)
	near(t, "centres", f.Outer.Centres, .9256, .0005)
	near(t, "all inside", f.Outer.All, 112.0/132, .0001)
	if f.Outer.Missed != 3 || f.Outer.Images != 132 {
		t.Errorf("outer: %+v", f.Outer)
	}
	if small, all := f.Sizes[0].Marked+f.Sizes[1].Marked+f.Sizes[2].Marked, f.Marked; small < all {
		t.Errorf("sizes hold %d of %d faces", small, all)
	}
}

func corners(boxes []pixel.Box) [][4]float64 {
	var out [][4]float64
	for _, b := range boxes {
		out = append(out, [4]float64{b.X, b.Y, b.W, b.H})
	}
	return out
}

// results is a run of one row. Its yardstick before the run is another than that
// between the pictures, which counts.
func results(iou, time, yardstick float64, failed int) report.Results {
	r := report.Results{Schema: report.Schema, Label: "cpu", Machine: report.Machine{Yardstick: 3}}
	s := report.Segment{Model: report.Model{Dataset: "set", Model: "m", Yardstick: yardstick}, Subset: "all", Images: 3 - failed, Failed: failed}
	s.IoU.Mean, s.Dice.Mean, s.Accuracy.Mean, s.Timing.Infer.P50 = iou, 0.9, 0.95, time
	r.Segment = append(r.Segment, s)
	return r
}

func TestCompare_FailsWhatIsWorse(t *testing.T) {
	base, fewer := results(0.9, 100, 10, 0), results(0.9, 100, 10, 0)
	fewer.Segment[0].Images = 2
	for name, c := range map[string]struct {
		now  report.Results
		slow float64
		want int
	}{
		"same":                       {results(0.9, 100, 10, 0), 1.1, 0},
		"a little worse":             {results(0.891, 100, 10, 0), 1.1, 0},
		"worse":                      {results(0.889, 100, 10, 0), 1.1, 1},
		"a slower machine":           {results(0.9, 200, 20, 0), 1.1, 0},
		"slower":                     {results(0.9, 120, 10, 0), 1.1, 1},
		"slower, and nobody asks":    {results(0.9, 120, 10, 0), 0, 0},
		"a picture failed":           {results(0.9, 100, 10, 1), 1.1, 1},
		"other pictures":             {fewer, 1.1, 1},
		"the row is gone, and empty": {report.Results{}, 1.1, 2},
	} {
		v := report.Compare(base, c.now, 0.01, c.slow)
		if len(v.Failures) != c.want || (v.Err() == nil) != (c.want == 0) {
			t.Errorf("%s: %v", name, v.Failures)
		}
	}
}

// What other programs read is named as the contract names it.
func TestResults_HaveTheShapeOfTheContract(t *testing.T) {
	r := results(0.9, 100, 10, 0)
	r.Faces = append(r.Faces, report.Faces{Model: report.Model{Dataset: "faces", Model: "f"}, AP50: 0.5})
	path := filepath.Join(t.TempDir(), "results.json")
	if err := r.Write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Schema   int
		Machine  map[string]any
		Versions any
		Segment  []map[string]any
		Faces    []map[string]any
	}
	if err := json.Unmarshal(text, &got); err != nil || got.Schema != 1 || got.Machine == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, name := range []string{"dataset", "model", "recipe", "subset", "images", "iou", "dice", "accuracy", "mae", "time_ms"} {
		if _, ok := got.Segment[0][name]; !ok && name != "recipe" { // an empty recipe is left out
			t.Errorf("segment has no %q", name)
		}
	}
	for _, name := range []string{"mean", "pooled", "ci95"} {
		if _, ok := got.Segment[0]["iou"].(map[string]any)[name]; !ok {
			t.Errorf("iou has no %q", name)
		}
	}
	for _, name := range []string{"infer", "total"} {
		times, _ := got.Segment[0]["time_ms"].(map[string]any)[name].(map[string]any)
		for _, part := range []string{"p50", "p95", "mean"} {
			if _, ok := times[part]; !ok {
				t.Errorf("time_ms.%s has no %q", name, part)
			}
		}
	}
	for _, name := range []string{"dataset", "model", "ap50", "precision", "recall"} {
		if _, ok := got.Faces[0][name]; !ok {
			t.Errorf("faces has no %q", name)
		}
	}
	back, err := report.Read(path)
	if err != nil || back.Segment[0].IoU != r.Segment[0].IoU {
		t.Errorf("read back: %+v, %v", back, err)
	}
}

// Nothing is fetched to show a page, and names of files are text, not markup.
func TestPage_IsSelfContainedAndEscapes(t *testing.T) {
	a, b := results(0.9, 100, 10, 0), results(0.8, 200, 10, 1)
	a.Segment[0].Model.Model, b.Segment[0].Model.Model = "<script>x</script>", "<script>x</script>"
	a.Label, b.Label = "first", "second"
	a.Segment[0].Leak = []string{"SET"}
	page, err := report.NewPage([]report.Results{a, b}, report.Evidence{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.html")
	if err := page.Write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	html := string(text)
	if strings.Contains(html, "<script>x") {
		t.Error("a model's name became markup")
	}
	for _, m := range regexp.MustCompile(`(?i)(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)`).FindAllStringSubmatch(html, -1) {
		if !strings.HasPrefix(m[1], "#") && !strings.HasPrefix(m[1], "data:") && m[1] != "img.src" && m[1] != "img.src;" {
			t.Errorf("the page fetches %q", m[1])
		}
	}
	for _, want := range []string{"first", "second", "0.9000", "0.8000", "+1 failed", "prefers-color-scheme: dark", "width=device-width"} {
		if !strings.Contains(strings.ReplaceAll(html, "&#43;", "+"), want) {
			t.Errorf("the page does not hold %q", want)
		}
	}
}

func TestWriteCSV_HasALineForEveryRow(t *testing.T) {
	r := results(0.9, 100, 10, 0)
	r.Faces = append(r.Faces,
		report.Faces{Model: report.Model{Dataset: "faces", Model: "f"}, Images: 2, AP50: 0.5},
		report.Faces{Model: report.Model{Dataset: "faces", Model: "g"}, Failed: 2})
	path := filepath.Join(t.TempDir(), "results.csv")
	if err := r.WriteCSV(path); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 4 {
		t.Fatal(rows, err)
	}
	cell := func(row int, name string) string {
		for i, n := range rows[0] {
			if n == name {
				return rows[row][i]
			}
		}
		t.Fatalf("no column %q", name)
		return ""
	}
	if cell(1, "task") != "segment" || cell(1, "iou_mean") != "0.9" || cell(1, "ap50") != "" || cell(2, "ap50") != "0.5" || cell(2, "dataset") != "faces" || cell(3, "failed") != "2" || cell(3, "ap50") != "" {
		t.Errorf("got %v", rows)
	}
}
