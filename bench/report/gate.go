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
//  2. More pictures that failed fail.
//  3. Mean IoU, Dice and accuracy, or AP50, may drop by maxDrop.
//  4. The median time from pixels to result, in multiples of the run's own
//     yardstick, may grow by the factor maxSlowdown; 0 does not look.
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
		if is.failed > was.failed { // 2
			v.Failures = append(v.Failures, fmt.Sprintf("%s: %d pictures failed, %d in the baseline", was.name, is.failed, was.failed))
		}
		for i, f := range was.figures { // 3
			v.Lines = append(v.Lines, fmt.Sprintf("%s: %s %.4f, was %.4f", was.name, f.name, is.figures[i].value, f.value))
			if f.value-is.figures[i].value > maxDrop {
				v.Failures = append(v.Failures, fmt.Sprintf("%s: %s fell from %.4f to %.4f, by more than --max-drop %v", was.name, f.name, f.value, is.figures[i].value, maxDrop))
			}
		}
		if ratio := slower(was.time, old.Machine.Yardstick, is.time, now.Machine.Yardstick); maxSlowdown > 0 && ratio > maxSlowdown { // 4
			v.Failures = append(v.Failures, fmt.Sprintf("%s: %.2f times as slow as the baseline, in yardsticks, more than --max-slowdown %v", was.name, ratio, maxSlowdown))
		}
	}
	if v.Compared == 0 {
		v.Failures = append(v.Failures, "no row is in both runs")
	}
	return v
}

// judged is what counts of a row.
type judged struct {
	name    string
	failed  int
	figures []named
	time    float64
}

type named struct {
	name  string
	value float64
}

func (r Results) judged() []judged {
	var all []judged
	for _, s := range r.Segment {
		all = append(all, judged{s.Dataset + "/" + s.Subset + "/" + s.Model.Model, s.Failed,
			[]named{{"IoU", s.IoU.Mean}, {"Dice", s.Dice.Mean}, {"accuracy", s.Accuracy.Mean}}, s.Timing.Infer.P50})
	}
	for _, f := range r.Faces {
		all = append(all, judged{f.Dataset + "/" + f.Subset + "/" + f.Model.Model, f.Failed, []named{{"AP50", f.AP50}}, f.Timing.Infer.P50})
	}
	return all
}

func slower(was, wasYard, is, isYard float64) float64 {
	if was <= 0 || wasYard <= 0 || isYard <= 0 {
		return 0
	}
	return (is / isYard) / (was / wasYard)
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
