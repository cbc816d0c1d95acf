package report

import (
	"fmt"
	"strings"
)

// Verdict is a run held against an earlier one.
type Verdict struct {
	Compared int
	Lines    []string // what was compared, worst last
	Failures []string
}

// Compare holds every row of now to the row of the same set, subset and model
// in old:
//
//  1. A row that is gone fails: what is not measured cannot pass.
//  2. Other numbers of pictures fail: means of other pictures say nothing.
//  3. More pictures that failed fail.
//  4. Mean IoU, Dice and accuracy, or AP50, may drop by maxDrop.
//  5. The median time from pixels to result, in multiples of a yardstick that
//     was measured in the same run between the same pictures, may grow by the
//     factor maxSlowdown; 0 does not look. Where only the yardsticks from before
//     the runs are known, those count.
func Compare(old, now Results, maxDrop, maxSlowdown float64) Verdict {
	var v Verdict
	current := map[string]judged{}
	for _, j := range now.judged() {
		current[j.name] = j
	}
	for _, was := range old.judged() {
		is, ok := current[was.name]
		if !ok { // 1
			v.Failures = append(v.Failures, was.name+" is in the baseline but was not measured")
			continue
		}
		v.Compared++
		if is.images+is.failed != was.images+was.failed { // 2
			v.Failures = append(v.Failures, fmt.Sprintf("%s: %d pictures, %d in the baseline", was.name, is.images+is.failed, was.images+was.failed))
			continue
		}
		if is.failed > was.failed { // 3
			v.Failures = append(v.Failures, fmt.Sprintf("%s: %d pictures failed, %d in the baseline", was.name, is.failed, was.failed))
		}
		for i, f := range was.figures { // 4
			v.Lines = append(v.Lines, fmt.Sprintf("%s: %s %.4f, was %.4f", was.name, f.name, is.figures[i].value, f.value))
			if f.value-is.figures[i].value > maxDrop {
				v.Failures = append(v.Failures, fmt.Sprintf("%s: %s fell from %.4f to %.4f, by more than --max-drop %v", was.name, f.name, f.value, is.figures[i].value, maxDrop))
			}
		}
		v.slowdown(was, is, maxSlowdown) // 5
	}
	if v.Compared == 0 {
		v.Failures = append(v.Failures, "no row is in both runs")
	}
	return v
}

// judged is what counts of a row.
type judged struct {
	name      string
	images    int
	failed    int
	figures   []named
	time      float64 // ms
	yardstick float64 // of the model's own run
	machine   float64 // from before the run
}

type named struct {
	name  string
	value float64
}

func (r Results) judged() []judged {
	var all []judged
	add := func(m Model, subset string, images, failed int, t Timing, figures ...named) {
		name := m.Dataset + "/" + subset + "/" + m.Model
		all = append(all, judged{name, images, failed, figures, t.Infer.P50, m.Yardstick, r.Machine.Yardstick})
	}
	for _, s := range r.Segment {
		add(s.Model, s.Subset, s.Images, s.Failed, s.Timing, named{"IoU", s.IoU.Mean}, named{"Dice", s.Dice.Mean}, named{"accuracy", s.Accuracy.Mean})
	}
	for _, f := range r.Faces {
		add(f.Model, f.Subset, f.Images, f.Failed, f.Timing, named{"AP50", f.AP50})
	}
	return all
}

func (v *Verdict) slowdown(was, is judged, most float64) {
	if was.yardstick <= 0 || is.yardstick <= 0 {
		was.yardstick, is.yardstick = was.machine, is.machine
	}
	if was.time <= 0 || was.yardstick <= 0 || is.yardstick <= 0 {
		return
	}
	before, now := was.time/was.yardstick, is.time/is.yardstick
	v.Lines = append(v.Lines, fmt.Sprintf("%s: %.2f yardsticks, was %.2f", is.name, now, before))
	if most > 0 && now/before > most {
		v.Failures = append(v.Failures, fmt.Sprintf("%s: %.2f times as slow as the baseline, in yardsticks, more than --max-slowdown %v", is.name, now/before, most))
	}
}

// Text says what was compared.
func (v Verdict) Text() string {
	var b strings.Builder
	for _, l := range v.Lines {
		fmt.Fprintln(&b, l)
	}
	for _, f := range v.Failures {
		fmt.Fprintln(&b, "WORSE:", f)
	}
	fmt.Fprintf(&b, "%d rows compared with the baseline, %d worse\n", v.Compared, len(v.Failures))
	return b.String()
}

// Err is an error unless the run passed.
func (v Verdict) Err() error {
	if len(v.Failures) == 0 {
		return nil
	}
	return fmt.Errorf("worse than the baseline in %d points", len(v.Failures))
}
