package transform

import "focal/core/fault"

// Output is how a program's picture is returned.
type Output struct {
	// Options are those that say so: format, quality, background and frames.
	Options Options
	// Channels is 3 or 4 for bare pixels, 8 bits a channel in the order RGB or
	// RGBA, rows from the top without gaps; 0 for a file.
	Channels int
}

// outputs are the formats of the Workers Images binding, by its names.
var outputs = []choice[Output]{
	{"image/jpeg", Output{Options: Options{Format: FormatJPEG}}},
	{"image/png", Output{Options: Options{Format: FormatPNG}}},
	{"image/gif", Output{Options: Options{Format: FormatGIF}}},
	{"image/webp", Output{Options: Options{Format: FormatWebP}}},
	{"image/avif", Output{Options: Options{Format: FormatAVIF}}},
	{"rgb", Output{Channels: 3}},
	{"rgba", Output{Channels: 4}},
}

// ParseOutput reads the output fields of the Workers Images binding. All but the
// format may be empty: not given. A bad value is fault.Invalid.
func ParseOutput(format, quality, background, anim string) (Output, error) {
	const op = "transform.ParseOutput"
	var o Output
	if pick(&o, outputs, format) != nil {
		return o, fault.New(fault.Invalid, op, "output_format=%s: want image/jpeg, image/png, image/gif, image/webp, image/avif, rgb or rgba", brief(format))
	}
	for _, g := range []given{{"quality", quality}, {"background", background}, {"anim", anim}} {
		if g.value == "" {
			continue
		}
		i := lookup(g.key)
		if complaint, err := o.Options.read(i, g, g.value, nil); err != nil || complaint != "" {
			return o, fault.New(fault.Invalid, op, "output %s=%s: want %s", g.key, brief(g.value), table[i].want)
		}
	}
	return o, nil
}
