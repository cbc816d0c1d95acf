package profile

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// gains is how much faster an item of a batch has to be for the batch to be
// called a gain: the scheduler's own bar.
const gains = 1.05

// Print writes p for people: a line for each batch, how much faster an item of
// it is than one alone, and whether that is worth it.
func (p Profile) Print(out io.Writer) error {
	fmt.Fprintf(out, "# measured on %s, %s", p.Device, p.Runtime)
	if p.Session != "" {
		fmt.Fprintf(out, ", %s", p.Session)
	}
	fmt.Fprintf(out, "\n# load %s, at rest %s\n", round(p.LoadTime), mebibytes(p.Rest))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "# canvas\tbatch\ttime\teach\tmemory\truns\tbatching")
	single := map[string]time.Duration{}
	for _, r := range p.Runs {
		each := r.Time / time.Duration(r.Batch)
		if r.Batch == 1 {
			single[r.Canvas] = each
		}
		fmt.Fprintf(w, "# %s\t%d\t%s\t%s\t%s\t%d\t%s\n", r.Canvas, r.Batch, round(r.Time), round(each), mebibytes(r.Memory), r.Runs, verdict(r.Batch, each, single[r.Canvas]))
	}
	return w.Flush()
}

func verdict(batch int, each, single time.Duration) string {
	if batch == 1 || single == 0 || each == 0 {
		return ""
	}
	gain := float64(single) / float64(each)
	if gain < gains {
		return fmt.Sprintf("%.2f×: gains nothing", gain)
	}
	return fmt.Sprintf("%.2f× as fast an item", gain)
}

func round(d time.Duration) string {
	switch {
	case d == 0:
		return "unknown"
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	default:
		return d.Round(100 * time.Microsecond).String()
	}
}

func mebibytes(n int64) string {
	if n == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
