package transform

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Colour is a colour in sRGB with straight alpha. Set tells black without
// alpha from no colour at all.
type Colour struct {
	R, G, B, A uint8
	Set        bool
}

// canonical returns the colour as hex digits behind an escaped #, or "".
func (c Colour) canonical() string {
	switch {
	case !c.Set:
		return ""
	case c.A == 255:
		return fmt.Sprintf("%%23%02x%02x%02x", c.R, c.G, c.B)
	default:
		return fmt.Sprintf("%%23%02x%02x%02x%02x", c.R, c.G, c.B, c.A)
	}
}

// parseColour reads the forms of CSS Color 4 that name sRGB: #rgb, #rgba,
// #rrggbb, #rrggbbaa, names, rgb(), rgba(), hsl() and hsla(), the functions
// with commas or with spaces. As in CSS, rgb and rgba are one function, numbers
// out of range are brought into it, and case does not matter.
func parseColour(s string) (Colour, bool) {
	s = strings.ToLower(s)
	if hex, ok := strings.CutPrefix(s, "#"); ok {
		return parseHex(hex)
	}
	if function, args, ok := strings.Cut(s, "("); ok {
		args, closed := strings.CutSuffix(args, ")")
		if !closed {
			return Colour{}, false
		}
		return parseFunction(function, args)
	}
	if s == "transparent" {
		return Colour{Set: true}, true
	}
	rgb, ok := colourNames[s]
	if !ok {
		return Colour{}, false
	}
	return Colour{uint8(rgb >> 16), uint8(rgb >> 8), uint8(rgb), 255, true}, true
}

// parseHex reads 3, 4, 6 or 8 hex digits; a single digit stands for two.
func parseHex(digits string) (Colour, bool) {
	if len(digits) == 3 || len(digits) == 4 {
		var wide strings.Builder
		for _, d := range []byte(digits) {
			wide.Write([]byte{d, d})
		}
		digits = wide.String()
	}
	if len(digits) == 6 {
		digits += "ff"
	}
	// ParseUint takes no sign and, with an explicit base, no underscores.
	v, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || len(digits) != 8 {
		return Colour{}, false
	}
	return Colour{uint8(v >> 24), uint8(v >> 16), uint8(v >> 8), uint8(v), true}, true
}

// parseFunction reads the arguments of rgb, rgba, hsl or hsla.
func parseFunction(function, args string) (Colour, bool) {
	parts, ok := arguments(args)
	if !ok {
		return Colour{}, false
	}
	alpha, ok := parseUnit(parts[3], 1)
	if !ok {
		return Colour{}, false
	}
	c := Colour{A: channel(alpha), Set: true}
	switch function {
	case "rgb", "rgba":
		r, okR := parseUnit(parts[0], 255)
		g, okG := parseUnit(parts[1], 255)
		b, okB := parseUnit(parts[2], 255)
		c.R, c.G, c.B = channel(r), channel(g), channel(b)
		return c, okR && okG && okB
	case "hsl", "hsla":
		h, okH := parseHue(parts[0])
		s, okS := parseUnit(parts[1], 100)
		l, okL := parseUnit(parts[2], 100)
		c.R, c.G, c.B = fromHSL(h, s, l)
		return c, okH && okS && okL
	}
	return Colour{}, false
}

// arguments splits "a, b, c[, alpha]" or "a b c[ / alpha]" into four parts; an
// alpha that is not there is 1.
func arguments(args string) ([4]string, bool) {
	var list []string
	if strings.Contains(args, ",") {
		for part := range strings.SplitSeq(args, ",") {
			list = append(list, strings.TrimSpace(part))
		}
	} else {
		colour, alpha, slash := strings.Cut(args, "/")
		list = strings.Fields(colour)
		if len(list) != 3 {
			return [4]string{}, false
		}
		if slash {
			list = append(list, strings.TrimSpace(alpha))
		}
	}
	if len(list) == 3 {
		list = append(list, "1")
	}
	if len(list) != 4 {
		return [4]string{}, false
	}
	return [4]string(list), true
}

// parseUnit reads a number of 0 to full, or a percentage of it, as 0 to 1.
// "none" is a missing component, which counts as 0.
func parseUnit(s string, full float64) (float64, bool) {
	if s == "none" {
		return 0, true
	}
	if p, ok := strings.CutSuffix(s, "%"); ok {
		s, full = p, 100
	}
	v, ok := parseDecimal(s)
	return math.Max(0, math.Min(1, v/full)), ok
}

// parseHue reads an angle as degrees.
func parseHue(s string) (float64, bool) {
	if s == "none" {
		return 0, true
	}
	for _, unit := range []struct {
		suffix  string
		degrees float64
	}{{"deg", 1}, {"grad", 0.9}, {"rad", 180 / math.Pi}, {"turn", 360}} {
		if number, ok := strings.CutSuffix(s, unit.suffix); ok {
			v, ok := parseDecimal(number)
			return v * unit.degrees, ok
		}
	}
	return parseDecimal(s)
}

// fromHSL is the conversion of CSS Color 4, §7.1: hue in degrees, saturation
// and lightness 0 to 1.
func fromHSL(hue, s, l float64) (r, g, b uint8) {
	hue = math.Mod(hue, 360)
	if hue < 0 {
		hue += 360
	}
	a := s * math.Min(l, 1-l)
	f := func(n float64) uint8 {
		k := math.Mod(n+hue/30, 12)
		return channel(l - a*math.Max(-1, math.Min(math.Min(k-3, 9-k), 1)))
	}
	return f(0), f(8), f(4)
}

// channel turns 0 to 1 into a byte.
func channel(v float64) uint8 { return uint8(math.Round(math.Max(0, math.Min(1, v)) * 255)) }
