package transform

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"focal/core/fault"
	"focal/core/geometry"
)

// Parse reads an option list: comma-separated key=value, in any order, as it
// stands in a URL. Commas inside parentheses belong to the value; values are
// percent-decoded once, after splitting.
//
// It is lenient, as Cloudflare was observed to be: an unknown option, or a
// value that is no value, is ignored with a warning. Two things are refused:
// a list without a single key=value (fault.Invalid), and a width or height
// that is a whole number but no possible size (fault.TooLarge). Of an option
// given several times the long name wins over the alias, else the last one.
//
// The warnings are texts for a Warning header: printable ASCII without quotes
// or backslashes, at most 8 of them, each at most 120 bytes.
func Parse(list string) (Options, []string, error) {
	var o Options
	var w warnings
	given, err := collect(list, &w)
	if err != nil {
		return Options{}, nil, err
	}
	for i, g := range given {
		if g.key == "" {
			continue
		}
		value, unescaped := url.PathUnescape(g.value)
		complaint, err := o.read(i, g, value, unescaped)
		if err != nil {
			return Options{}, nil, err
		}
		if complaint != "" {
			w.add("%s", complaint)
		}
	}
	if err := o.settle(&w); err != nil {
		return Options{}, nil, err
	}
	return o, w, nil
}

// read stores the value of the option at place i of the table, unless it is
// broken already. What is ignored, or taken with a change, comes back as a
// complaint; an error refuses the request.
func (o *Options) read(i int, g given, value string, broken error) (complaint string, err error) {
	if err = errUnfit; broken == nil {
		err = table[i].parse(o, value)
	}
	var note remark
	switch {
	case err == nil:
		return "", nil
	case errors.Is(err, errUnfit):
		return fmt.Sprintf("%s=%s is ignored: want %s", g.key, brief(g.value), table[i].want), nil
	case errors.As(err, &note):
		return string(note), nil
	default:
		return "", err
	}
}

// settle drops what has no meaning beside the rest, and refuses a size that no
// picture can have.
func (o *Options) settle(w *warnings) error {
	o.settleGravity(w)
	o.settleAuto(w)
	o.settleTrim(w)
	o.settleHiding(w)
	o.settleShadow(w)
	if t := o.Target(); t.Width > geometry.MaxSide || t.Height > geometry.MaxSide {
		return fault.New(fault.TooLarge, "transform.Parse", "%d×%d after dpr: a side is 1 to %d pixels", t.Width, t.Height, geometry.MaxSide)
	}
	return nil
}

// given is an option as it stands in the list; an empty key means that it does
// not.
type given struct{ key, value string }

// winners are the options that were given, by their places in the table.
type winners [len(table)]given

// take notes an option: the long name wins over the alias, else the last one.
func (w *winners) take(i int, g given) {
	if g.key == table[i].name || w[i].key != table[i].name {
		w[i] = g
	}
}

// collect splits a list and keeps of each option of the table the one that
// wins.
func collect(list string, w *warnings) (winners, error) {
	var winners winners
	pairs := 0
	for rest, more := list, true; more; {
		var item string
		item, rest, more = cutOutside(rest, ',')
		if item == "" {
			continue
		}
		key, value, ok := strings.Cut(item, "=")
		if !ok || key == "" {
			w.add("%s is ignored: an option is key=value", brief(item))
			continue
		}
		pairs++
		i := lookup(key)
		if i < 0 {
			w.add("option %s is unknown and ignored", brief(key))
			continue
		}
		old := winners[i].key
		if old != "" {
			w.add("%s is given more than once", table[i].name)
		}
		winners.take(i, given{key, value})
	}
	if pairs == 0 {
		return winners, fault.New(fault.Invalid, "transform.Parse", "no options: want key=value, separated by commas, before the source")
	}
	return winners, nil
}

// lookup returns the place in the table of a long name or an alias, or -1.
func lookup(key string) int {
	for i, opt := range table {
		if key == opt.name || key == opt.alias {
			return i
		}
	}
	return -1
}

// cutOutside cuts s at the first sep that does not stand in parentheses. They
// do not nest, as in CSS colours, and one that is never closed is an ordinary
// character.
func cutOutside(s string, sep byte) (before, after string, found bool) {
	unclosed := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == sep:
			return s[:i], s[i+1:], true
		case s[i] == '(' && !unclosed:
			n := strings.IndexByte(s[i:], ')')
			if n < 0 {
				unclosed = true
				continue
			}
			i += n
		}
	}
	return s, "", false
}

// The bounds of warnings: a client may write what it likes into a URL, but not
// into our headers.
const (
	maxWarnings     = 8
	maxWarningBytes = 120
	maxEchoBytes    = 32
)

// warnings are texts that are safe in a header.
type warnings []string

func (w *warnings) add(format string, args ...any) {
	switch n := len(*w); {
	case n < maxWarnings-1:
		*w = append(*w, cut(headerSafe(fmt.Sprintf(format, args...)), maxWarningBytes))
	case n == maxWarnings-1:
		*w = append(*w, "there is more to warn of")
	}
}

// headerSafe replaces every byte that does not belong into a quoted string of
// a header.
func headerSafe(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			b[i] = '?'
		}
	}
	return string(b)
}

// brief returns a client's words short enough to be quoted back, and safe.
func brief(s string) string { return headerSafe(cut(s, maxEchoBytes)) }

// cut shortens s to at most n bytes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n-3] + "..."
}
