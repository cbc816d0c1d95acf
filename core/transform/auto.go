package transform

import (
	"slices"
	"strconv"
	"strings"
)

// MaxBreakpoints is how many widths wbreakpoints may list.
const MaxBreakpoints = 16

// Auto is a width that the client's screen decides.
type Auto struct {
	Width bool // width=auto; the rest is for it alone
	// Breakpoints are the widths that are made, rising; the rest is 0. None:
	// the documented default.
	Breakpoints [MaxBreakpoints]int
	// Mobile and Desktop are the widths for clients that say nothing of their
	// screen; 0: the documented default.
	Mobile, Desktop int
}

// The documented defaults of Auto.
const (
	defaultMobile  = 768
	defaultDesktop = 1200
)

var defaultBreakpoints = [MaxBreakpoints]int{320, 768, 960, 1200}

// Hints is what a client says of itself. The zero value is one that says
// nothing.
type Hints struct {
	Viewport int     // width of its window in CSS pixels; 0: not said
	DPR      float64 // its device pixels for a CSS pixel; 0: not said
	Mobile   bool    // it is a phone
	Slow     bool    // its connection is slow, or it wishes to save data
}

// Asked is which hints an answer depends on, whether the client gave them or
// not: what a cache must tell answers apart by.
type Asked struct {
	Viewport   bool // Viewport and DPR
	Device     bool // Mobile
	Connection bool // Slow
}

// Resolve returns what o asks for in the hands of a client that says h: the
// same options without width=auto and slow-connection-quality.
//
//  1. The viewport is known: viewport × DPR, rounded up to the next breakpoint,
//     or the largest. A dpr among the options multiplies the breakpoint, as it
//     does any width, and the client's is then not counted.
//  2. It is not: the width for phones or for the rest.
//  3. The connection is slow: the quality for that.
func (o Options) Resolve(h Hints) (Options, Asked) {
	var asked Asked
	if o.Auto.Width {
		asked.Viewport = true
		if h.Viewport > 0 { // 1
			o.Width = o.Auto.pick(float64(h.Viewport) * o.ratio(h))
		} else { // 2
			asked.Device = true
			o.Width = o.Auto.byDevice(h.Mobile)
		}
		o.Auto = Auto{}
	}
	if o.SlowQuality > 0 {
		asked.Connection = true
		if h.Slow { // 3
			o.Quality = o.SlowQuality
		}
		o.SlowQuality = 0
	}
	return o, asked
}

// ratio is what a viewport is multiplied by.
func (o Options) ratio(h Hints) float64 {
	if o.DPR != 0 || h.DPR <= 0 {
		return 1
	}
	return h.DPR
}

// pick rounds a width up to the next breakpoint.
func (a Auto) pick(width float64) int {
	points := a.Breakpoints
	if points[0] == 0 {
		points = defaultBreakpoints
	}
	largest := 0
	for _, p := range points {
		if p > 0 && float64(p) >= width {
			return p
		}
		largest = max(largest, p)
	}
	return largest
}

func (a Auto) byDevice(mobile bool) int {
	switch {
	case mobile && a.Mobile > 0:
		return a.Mobile
	case mobile:
		return defaultMobile
	case a.Desktop > 0:
		return a.Desktop
	default:
		return defaultDesktop
	}
}

// parseWidth reads a width, or auto.
func parseWidth(o *Options, v string) error {
	if v == "auto" {
		o.Auto.Width = true
		return nil
	}
	return parseSide(&o.Width, "width", v)
}

func writeWidth(o Options) string {
	if o.Auto.Width {
		return "auto"
	}
	return writeInt(o.Width)
}

// parseBreakpoints reads widths, separated by semicolons, in any order.
func parseBreakpoints(o *Options, v string) error {
	var points []int
	for item := range strings.SplitSeq(v, ";") {
		var p int
		if err := parseLength(&p, item); err != nil || p == 0 {
			return errUnfit
		}
		points = append(points, p)
	}
	slices.Sort(points)
	points = slices.Compact(points)
	if len(points) > MaxBreakpoints {
		return errUnfit
	}
	o.Auto.Breakpoints = [MaxBreakpoints]int{}
	copy(o.Auto.Breakpoints[:], points)
	return nil
}

func writeBreakpoints(o Options) string {
	var items []string
	for _, p := range o.Auto.Breakpoints {
		if p > 0 {
			items = append(items, strconv.Itoa(p))
		}
	}
	return strings.Join(items, ";")
}

// parseFallback reads the width for a kind of device.
func parseFallback(to *int, v string) error {
	var n int
	if err := parseLength(&n, v); err != nil || n == 0 {
		return errUnfit
	}
	*to = n
	return nil
}

// settleAuto drops what only width=auto gives a meaning.
func (o *Options) settleAuto(w *warnings) {
	if !o.Auto.Width && o.Auto != (Auto{}) {
		o.Auto = Auto{}
		w.add("wbreakpoints, wmobile and wdesktop are ignored: they need width=auto")
	}
}
