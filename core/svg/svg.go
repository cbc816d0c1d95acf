// Package svg makes an SVG file safe to hand out: what is known to be harmless
// is kept, all else goes. It reads and writes as a stream and never rasterises.
//
// It must not know the network, the image engine or HTTP: a picture inside a
// file leaves through Options.Embedded and comes back through it. It is pure,
// owns no goroutine, and holds no more than one start tag, one style sheet and
// the entities of one document, each within the limits of Options.
package svg

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"

	"focal/core/fault"
)

// Options are the limits of one run and what becomes of pictures inside. A file
// past a limit is fault.TooLarge, and the error names the field.
type Options struct {
	MaxBytes       int64 // of input, before it is decoded to UTF-8
	MaxDepth       int   // elements inside one another
	MaxAttributes  int   // on one element, namespace declarations included
	MaxNameBytes   int   // of an element's, attribute's or entity's name
	MaxValueBytes  int   // of one attribute's value or one style element
	MaxEntityDepth int   // entities inside one another
	MaxEntityBytes int   // of text that entities of the document expand to, altogether

	// Embedded is given each picture that stands in a data: URL, of type
	// image/jpeg, image/png or image/gif, and returns what to put in its place,
	// of one of these types too. Where it is nil, returns an error or another
	// type, the picture is dropped; that is no error of the file.
	//
	// It is handed bytes that it may keep. Sanitise is idempotent if Embedded is.
	Embedded func(mime string, data []byte) ([]byte, string, error)
}

// DefaultOptions has the limits of Cloudflare's svg-hush where those are known
// (attributes, names, entity depth), libxml2's depth, and drops pictures.
func DefaultOptions() Options {
	return Options{
		MaxBytes:       100 << 20,
		MaxDepth:       256,
		MaxAttributes:  200,
		MaxNameBytes:   1000,
		MaxValueBytes:  16 << 20,
		MaxEntityDepth: 3,
		MaxEntityBytes: 1 << 20,
	}
}

// Validate reports a limit that is not positive, as fault.Invalid.
func (o Options) Validate() error {
	for _, l := range []struct {
		name  string
		value int64
	}{
		{"MaxBytes", o.MaxBytes}, {"MaxDepth", int64(o.MaxDepth)}, {"MaxAttributes", int64(o.MaxAttributes)},
		{"MaxNameBytes", int64(o.MaxNameBytes)}, {"MaxValueBytes", int64(o.MaxValueBytes)},
		{"MaxEntityDepth", int64(o.MaxEntityDepth)}, {"MaxEntityBytes", int64(o.MaxEntityBytes)},
	} {
		if l.value <= 0 {
			return fault.New(fault.Invalid, "svg.Options", "%s is %d: want more than 0", l.name, l.value)
		}
	}
	return nil
}

// Sanitise copies the SVG file r to w without what could run, load or
// impersonate anything; docs/svg.md lists the rules. Sanitising twice gives the
// same bytes as once (where escapes make a file longer, it may pass a limit).
//
// A file that is no XML is fault.Corrupt, one whose root is not svg of the SVG
// namespace or whose encoding is not known is fault.Unsupported, one past a
// limit is fault.TooLarge; an error of w is returned as it is. After an error,
// what w has received must be thrown away.
func Sanitise(w io.Writer, r io.Reader, options Options) error {
	if err := options.Validate(); err != nil {
		return err
	}
	text, err := decode(&limited{r: r, left: options.MaxBytes, limit: options.MaxBytes})
	if err != nil {
		return err
	}
	s := sanitiser{
		options: &options,
		in:      scanner{r: text, limits: &options},
		spaces:  spaces{bound: map[string]space{}},
		out:     writer{w: bufio.NewWriter(w)},
	}
	for {
		t, err := s.in.next()
		switch {
		case errors.Is(err, io.EOF):
			return s.out.flush()
		case err != nil:
			return err
		case t.kind == startTag:
			err = s.start(t)
		case t.kind == endTag:
			s.end()
		case t.kind == charData:
			err = s.text(t.text)
		}
		if err == nil {
			err = s.out.err
		}
		if err != nil {
			return err
		}
	}
}

type sanitiser struct {
	options *Options
	in      scanner
	spaces  spaces
	out     writer
	open    []string         // names of the kept elements that are open
	dropped int              // how deep inside a dropped element; 0: not inside one
	sheet   *strings.Builder // the style element that is open
}

func (s *sanitiser) start(t token) error {
	s.spaces.enter(t.attributes)
	if s.dropped > 0 || s.sheet != nil {
		s.dropped++
		return nil
	}
	prefix, name := split(t.name)
	accepted := s.spaces.of(prefix) == spaceSVG && elements[name]
	if len(s.open) == 0 {
		if !accepted || name != "svg" {
			return fault.New(fault.Unsupported, op, "the root is %.40q: want svg of namespace %s", t.name, namespaceSVG)
		}
		s.out.declaration()
	}
	if !accepted {
		s.dropped = 1
		return nil
	}
	kept := s.attributes(name, t.attributes)
	if len(s.open) == 0 {
		kept = slices.Insert(kept, 0, attribute{"xmlns", namespaceSVG})
	}
	s.out.start(name, kept)
	s.open = append(s.open, name)
	if name == "style" {
		s.sheet = &strings.Builder{}
	}
	return nil
}

func (s *sanitiser) end() {
	s.spaces.leave()
	if s.dropped > 0 {
		s.dropped--
		return
	}
	if s.sheet != nil {
		s.out.text(s.css(s.sheet.String()))
		s.sheet = nil
	}
	last := len(s.open) - 1
	s.out.end(s.open[last])
	s.open = s.open[:last]
}

func (s *sanitiser) text(text string) error {
	switch {
	case s.dropped > 0:
	case s.sheet == nil:
		s.out.text(text)
	case s.sheet.Len()+len(text) > s.options.MaxValueBytes:
		return tooLarge("a style element of more than %d bytes", s.options.MaxValueBytes, "MaxValueBytes")
	default:
		s.sheet.WriteString(text)
	}
	return nil
}

// attributes returns what may stay of the attributes of a kept element, sorted.
func (s *sanitiser) attributes(element string, all []attribute) []attribute {
	var kept []attribute
	linked := false
	for _, a := range all {
		prefix, name := split(a.name)
		switch {
		case prefix == "":
		case name == "href" && s.spaces.of(prefix) == spaceXLink:
			a.name = name
		default:
			continue
		}
		if a.name == "href" && linked {
			continue // the first that may stay wins
		}
		value, ok := s.value(element, a)
		if !ok {
			continue
		}
		linked = linked || a.name == "href"
		kept = append(kept, attribute{a.name, value})
	}
	slices.SortFunc(kept, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
	return kept
}

// value returns what may stay of the value of an unprefixed attribute.
func (s *sanitiser) value(element string, a attribute) (string, bool) {
	switch sortOf(a.name) {
	case plain:
		return a.value, true
	case styled:
		v := s.css(a.value)
		return v, v != ""
	case link:
		return s.href(element, a.value)
	case animated:
		target := strings.TrimSpace(a.value)
		k := sortOf(target)
		return target, (k == plain || k == styled && target != "style") && target != "id"
	case animation:
		// An address belongs to an attribute that may not be animated, as
		// attributeName is told already.
		v := s.css(a.value)
		return v, v != "" && !strings.Contains(v, ":") && !strings.Contains(v, "//")
	default:
		return "", false
	}
}

const op = "svg.Sanitise"

func tooLarge(what string, limit int, field string) error {
	return fault.New(fault.TooLarge, op, "the SVG has "+what+" (limit %s)", limit, field)
}

func corrupt(format string, args ...any) error {
	return fault.New(fault.Corrupt, op, "the SVG is no well-formed XML: "+format, args...)
}
