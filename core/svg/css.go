package svg

import (
	"strings"
)

// css returns CSS, or the value of an attribute that may name a paint or a
// filter, in which every url() has become harmless.
//
// It does not parse: it cuts the text into chunks, each up to and with the next
// of ; { } ( , and looks at each alone, whatever comment or string it stands in.
// Nothing that is cut out can therefore make something of its neighbours, and
// text in which a browser sees other boundaries is no less safe.
//
//  1. A chunk with a backslash or @import goes, and so does one that ends by
//     calling a function that loads what a bare string names; if it ends by
//     calling url, with its argument.
//  2. After a chunk that calls url, in any letter case, the argument up to the
//     next ")" is replaced by what address makes of it; what is not closed
//     becomes closed.
//  3. Any other chunk stays.
func (s *sanitiser) css(text string) string {
	if !strings.ContainsAny(text, `\@(`) {
		return trimSpace(text)
	}
	var b strings.Builder
	for rest := text; rest != ""; {
		end := strings.IndexAny(rest, ";{}(") + 1
		if end == 0 {
			end = len(rest)
		}
		chunk := rest[:end]
		rest = rest[end:]
		calls := endsWith(chunk, "url(")
		var argument string
		if calls {
			argument, rest, _ = strings.Cut(rest, ")")
		}
		switch {
		case loads(chunk): // 1
		case calls: // 2
			b.WriteString(chunk)
			b.WriteString(s.address(argument))
			b.WriteByte(')')
		default: // 3
			b.WriteString(chunk)
		}
	}
	return trimSpace(b.String())
}

// loads tells rule 1 of css.
func loads(chunk string) bool {
	if strings.Contains(chunk, `\`) {
		return true
	}
	if i := strings.IndexByte(chunk, '@'); i >= 0 && strings.Contains(strings.ToLower(chunk[i:]), "@import") {
		return true
	}
	return endsWith(chunk, "image-set(") || endsWith(chunk, "image(") || endsWith(chunk, "src(") ||
		endsWith(chunk, "expression(")
}

// endsWith compares ASCII letters in any case.
func endsWith(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// address returns what may stand between the parentheses of url(): a relative
// address without quotes, a picture, nothing where nothing or half a string
// stood, and "#" for all else.
func (s *sanitiser) address(argument string) string {
	argument = trimSpace(argument)
	if argument == "" {
		return ""
	}
	if strings.Contains(argument, `\`) {
		return "#"
	}
	if q := argument[0]; q == '"' || q == '\'' {
		if len(argument) < 2 || argument[len(argument)-1] != q {
			return ""
		}
		if argument = trimSpace(argument[1 : len(argument)-1]); argument == "" {
			return ""
		}
	}
	if v, ok := s.picture(argument); ok {
		return v
	}
	// With its line ends gone an address can spell what rule 1 looks for.
	if v, ok := relative(argument); ok && !loads(v) {
		return v
	}
	return "#"
}

func trimSpace(s string) string { return strings.Trim(s, " \t\r\n") }
