package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"focal/bench/measure"
)

// Chart is a drawing with a heading.
type Chart struct {
	Title, Note string
	SVG         template.HTML
	Legend      []Label
}

// Label names a colour of a chart.
type Label struct {
	Name  string
	Class string // s0, s1 …
}

// The inner part of every drawing; axes are outside of it.
const (
	width, height            = 560, 300
	left, top, right, bottom = 64, 14, 34, 44
)

// series is how many colours there are before they repeat.
const series = 8

// drawing collects SVG. Everything in it is a number or a constant of this
// file, or goes through escape.
type drawing struct {
	b              strings.Builder
	x0, x1, y0, y1 float64
	step           float64 // between the lines of the y axis; 0 is a quarter
	log            bool    // the x axis
}

func (d *drawing) x(v float64) float64 {
	a, b := d.x0, d.x1
	if d.log {
		v, a, b = math.Log(v), math.Log(a), math.Log(b)
	}
	return left + (v-a)/(b-a)*(width-left-right)
}

func (d *drawing) y(v float64) float64 {
	return top + (d.y1-v)/(d.y1-d.y0)*(height-top-bottom)
}

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(&d.b, format, args...) }

func escape(s string) string { return template.HTMLEscapeString(s) }

// axes draws the frame, the lines of the y axis and the labels.
func (d *drawing) axes(xName, yName string, xTicks []float64) {
	step := d.step
	if step == 0 {
		step = (d.y1 - d.y0) / 4
	}
	for v := d.y0; v < d.y1+step/2; v += step {
		d.printf(`<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text x="%d" y="%.1f" text-anchor="end">%.2f</text>`,
			left, width-right, d.y(v), d.y(v), left-6, d.y(v)+4, v)
	}
	for _, v := range xTicks {
		d.printf(`<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text x="%.1f" y="%d" text-anchor="middle">%g</text>`,
			d.x(v), d.x(v), top, height-bottom, d.x(v), height-bottom+18, v)
	}
	d.printf(`<text x="%d" y="%d" text-anchor="middle">%s</text><text transform="translate(14 %d) rotate(-90)" text-anchor="middle">%s</text>`,
		(left+width-right)/2, height-6, escape(xName), (top+height-bottom)/2, escape(yName))
}

func (d *drawing) svg(label string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-label="%s">%s</svg>`, width, height, escape(label), d.b.String()))
}

// charts draws what can be drawn of runs.
func charts(runs []Results, e Evidence) []Chart {
	var all []Chart
	if c, ok := scatter(runs); ok {
		all = append(all, c)
	}
	if c, ok := faceScatter(runs); ok {
		all = append(all, c)
	}
	for _, r := range runs {
		all = append(all, thresholds(r)...)
	}
	return append(append(all, distributions(e)...), recalls(e)...)
}

type dot struct {
	name  string
	x, y  float64
	ci    [2]float64
	class int
}

// scatter is speed against accuracy: a dot for every model, set and run.
func scatter(runs []Results) (Chart, bool) {
	var dots []dot
	classes := map[string]int{}
	for _, r := range runs {
		for _, s := range r.Segment {
			if s.Subset != "all" || s.Images == 0 {
				continue
			}
			name := s.Dataset + " · " + s.Model.Model
			if len(runs) > 1 {
				name += " · " + r.Label
			}
			if _, ok := classes[s.Model.Model]; !ok {
				classes[s.Model.Model] = len(classes)
			}
			dots = append(dots, dot{name, s.Timing.Infer.P50, s.IoU.Mean, s.IoU.CI95, classes[s.Model.Model] % series})
		}
	}
	return scattered("Speed against accuracy", "mean IoU", "Right is slower, up is better; bars are 95 % confidence intervals over the pictures.", dots)
}

func faceScatter(runs []Results) (Chart, bool) {
	var dots []dot
	for _, r := range runs {
		for _, f := range r.Faces {
			if f.Subset == "all" && f.Images > 0 {
				dots = append(dots, dot{f.Dataset + " · " + f.Model.Model, f.Timing.Infer.P50, f.AP50, f.AP50CI, len(dots) % series})
			}
		}
	}
	return scattered("Faces: speed against average precision", "AP at IoU 0.5", "Right is slower, up is better; bars are 95 % confidence intervals over the pictures.", dots)
}

func scattered(title, yName, note string, dots []dot) (Chart, bool) {
	if len(dots) == 0 {
		return Chart{}, false
	}
	low, high, first, last := 1.0, 0.0, math.Inf(1), 0.0
	for i := range dots {
		dots[i].x = math.Max(dots[i].x, 0.01)
		low, high = math.Min(low, dots[i].ci[0]), math.Max(high, dots[i].ci[1])
		first, last = math.Min(first, dots[i].x), math.Max(last, dots[i].x)
	}
	d := &drawing{x0: decade(first, math.Floor), x1: decade(last*1.01, math.Ceil), step: stepFor(high - low), log: true}
	d.y0, d.y1 = math.Floor(low/d.step)*d.step, math.Ceil(high/d.step)*d.step
	if d.y1 <= d.y0 {
		d.y1 = d.y0 + d.step
	}
	var ticks []float64
	for t := d.x0; t <= d.x1*1.001; t *= 10 {
		ticks = append(ticks, t)
	}
	d.axes("ms from pixels to result, median", yName, ticks)
	c := Chart{Title: title, Note: note}
	for i, p := range dots {
		d.printf(`<line class="bar s%d" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><circle class="dot s%d" cx="%.1f" cy="%.1f" r="6"><title>%s: %.4f, %.1f ms</title></circle><text class="tag" x="%.1f" y="%.1f" text-anchor="middle">%d</text>`,
			p.class, d.x(p.x), d.x(p.x), d.y(p.ci[0]), d.y(p.ci[1]), p.class, d.x(p.x), d.y(p.y), escape(p.name), p.y, p.x, d.x(p.x), d.y(p.y)+3.5, i+1)
		c.Legend = append(c.Legend, Label{fmt.Sprintf("%d %s", i+1, p.name), fmt.Sprintf("s%d", p.class)})
	}
	c.SVG = d.svg(title)
	return c, true
}

// stepFor is a round step that makes at most five of a range within 0 to 1.
func stepFor(span float64) float64 {
	for _, s := range []float64{0.01, 0.02, 0.05, 0.1} {
		if span <= 5*s {
			return s
		}
	}
	return 0.2
}

func decade(v float64, round func(float64) float64) float64 {
	return math.Pow(10, round(math.Log10(v)))
}

// thresholds draws mean IoU over the threshold, one drawing a set.
func thresholds(r Results) []Chart {
	var all []Chart
	for _, set := range r.Datasets {
		d := &drawing{x0: 0, x1: 255, y0: 0, y1: 1}
		c := Chart{Title: "Threshold: " + set.Name, Note: "Mean IoU at each threshold. A wide plateau means that the choice matters little; a threshold chosen on the same pictures is too good."}
		for _, s := range r.Segment {
			if s.Dataset != set.Name || s.Subset != "all" || s.Images == 0 {
				continue
			}
			class := len(c.Legend) % series
			d.printf(`<polyline class="line s%d" points="%s"/>`, class, points(d, s.Curve.Threshold, s.Curve.IoU))
			c.Legend = append(c.Legend, Label{fmt.Sprintf("%s, best at %d", s.Model.Model, s.Best.Threshold), fmt.Sprintf("s%d", class)})
		}
		if len(c.Legend) == 0 {
			continue
		}
		d.axes("grey value from which a pixel is foreground", "mean IoU", []float64{0, 64, 128, 192, 255})
		c.SVG = d.svg(c.Title)
		all = append(all, c)
	}
	return all
}

func points(d *drawing, xs []int, ys []float64) string {
	var b strings.Builder
	for i, x := range xs {
		fmt.Fprintf(&b, "%.1f,%.1f ", d.x(float64(x)), d.y(ys[i]))
	}
	return b.String()
}

// distributions draws, for each set, how many pictures reach which IoU.
func distributions(e Evidence) []Chart {
	var all []Chart
	var sets, models []string
	values := map[[2]string][]float64{}
	for i := range e.Pictures {
		p := &e.Pictures[i]
		if p.Error != "" {
			continue
		}
		sets, models = once(sets, p.Dataset), once(models, p.Model)
		k := [2]string{p.Dataset, p.Model}
		values[k] = append(values[k], p.Counts(measure.Threshold).IoU())
	}
	for _, set := range sets {
		d := &drawing{x0: 0, x1: 1, y0: 0, y1: 1}
		c := Chart{Title: "Pictures: " + set, Note: "The share of pictures that reach at least an IoU. The right end of a line is what every model finds; the left is where it fails."}
		d.axes("IoU", "share of pictures", []float64{0, 0.2, 0.4, 0.6, 0.8, 1})
		for _, m := range models {
			v := values[[2]string{set, m}]
			if len(v) == 0 {
				continue
			}
			class := len(c.Legend) % series
			d.printf(`<polyline class="line s%d" points="%s"/>`, class, survival(d, v))
			c.Legend = append(c.Legend, Label{fmt.Sprintf("%s, median %.3f", m, measure.Summarise(v).P50), fmt.Sprintf("s%d", class)})
		}
		c.SVG = d.svg(c.Title)
		all = append(all, c)
	}
	return all
}

// recalls draws, for each set, the precision of face models over their recall.
func recalls(e Evidence) []Chart {
	var all []Chart
	var sets, models []string
	of := map[[2]string][]Portrait{}
	for _, p := range e.Portraits {
		if p.Error == "" {
			sets, models = once(sets, p.Dataset), once(models, p.Model)
			k := [2]string{p.Dataset, p.Model}
			of[k] = append(of[k], p)
		}
	}
	for _, set := range sets {
		d := &drawing{x0: 0, x1: 1, y0: 0, y1: 1}
		c := Chart{Title: "Precision and recall: " + set, Note: "At every score, overlap 0.5. A line that ends early has found all that it finds; the area under it is the average precision."}
		d.axes("recall", "precision", []float64{0, 0.2, 0.4, 0.6, 0.8, 1})
		for _, m := range models {
			v, marked := judge(of[[2]string{set, m}], 0.5, measure.AllSizes)
			if marked == 0 {
				continue
			}
			class := len(c.Legend) % series
			d.printf(`<polyline class="line s%d" points="`, class)
			for i, p := range measure.Envelope(v) {
				d.printf("%.1f,%.1f ", d.x(float64(i+1)/float64(marked)), d.y(p))
			}
			d.printf(`"/>`)
			c.Legend = append(c.Legend, Label{fmt.Sprintf("%s, AP %.4f", m, measure.AveragePrecision(v, marked)), fmt.Sprintf("s%d", class)})
		}
		c.SVG = d.svg(c.Title)
		all = append(all, c)
	}
	return all
}

func once(list []string, s string) []string {
	for _, l := range list {
		if l == s {
			return list
		}
	}
	return append(list, s)
}

// survival is the share of values of at least x, at steps of a hundredth.
func survival(d *drawing, values []float64) string {
	var b strings.Builder
	for i := range 101 {
		x, n := float64(i)/100, 0
		for _, v := range values {
			if v >= x {
				n++
			}
		}
		fmt.Fprintf(&b, "%.1f,%.1f ", d.x(x), d.y(float64(n)/float64(len(values))))
	}
	return b.String()
}
