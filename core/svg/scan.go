package svg

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	startTag tokenKind = iota
	endTag
	charData // one text may come in several pieces
)

type token struct {
	kind       tokenKind
	name       string // with its prefix
	attributes []attribute
	text       string
}

// attribute is a name, with its prefix, and a value.
type attribute struct{ name, value string }

// scanner cuts XML 1.0 into tokens and checks that it is well formed. It exists
// because encoding/xml reads a whole start tag and expands entities before
// anybody can count: here every limit holds while reading. Comments, processing
// instructions and the document type are passed over; of the last, entities
// with a literal value are kept, and expand to text only, never to markup.
type scanner struct {
	r        *bufio.Reader // UTF-8
	limits   *Options
	back     rune // a rune that was read too far; 0: none
	open     []string
	rooted   bool // the root has been seen
	typed    bool // the document type has been seen
	closing  bool // an empty-element tag owes its end
	cdata    bool // inside a CDATA section
	entities map[string]string
	expanded int // bytes that entities have expanded to so far
}

// pieceBytes is how much text one token holds, about.
const pieceBytes = 32 << 10

// next returns the next token, and io.EOF after the root's end.
func (s *scanner) next() (token, error) {
	for {
		switch {
		case s.closing:
			s.closing = false
			return s.pop(s.open[len(s.open)-1])
		case s.cdata:
			return s.section()
		}
		c, err := s.read()
		if errors.Is(err, io.EOF) {
			if len(s.open) > 0 || !s.rooted {
				return token{}, corrupt("it ends too early")
			}
			return token{}, io.EOF
		}
		if err != nil {
			return token{}, err
		}
		if c != '<' {
			s.back = c
			if t, err := s.text(); err != nil || t.text != "" {
				return t, err
			}
			continue
		}
		t, ok, err := s.markup()
		if ok || err != nil {
			return t, err
		}
	}
}

// markup reads what a "<" begins; ok is false for what is passed over.
func (s *scanner) markup() (t token, ok bool, err error) {
	c, err := s.must()
	if err != nil {
		return t, false, err
	}
	switch c {
	case '?':
		return t, false, s.skipTo("?>")
	case '/':
		t, err = s.endTag()
		return t, true, err
	case '!':
		return t, false, s.declaration()
	default:
		s.back = c
		t, err = s.startTag()
		return t, true, err
	}
}

// declaration reads what "<!" begins.
func (s *scanner) declaration() error {
	c, err := s.must()
	switch {
	case err != nil:
		return err
	case c == '-':
		if err := s.expect("-"); err != nil {
			return err
		}
		return s.skipTo("-->")
	case c == '[' && len(s.open) > 0:
		s.cdata = true
		return s.expect("CDATA[")
	case c == 'D' && !s.rooted && !s.typed:
		s.typed = true
		if err := s.expect("OCTYPE"); err != nil {
			return err
		}
		return s.documentType()
	default:
		return corrupt("<!%c is out of place", c)
	}
}

// text reads character data up to the next "<". Outside the root only space is
// allowed, and comes back as no text.
func (s *scanner) text() (token, error) {
	var b strings.Builder
	for b.Len() < pieceBytes {
		c, err := s.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return token{}, err
		}
		if c == '<' {
			s.back = c
			break
		}
		switch {
		case len(s.open) == 0 && !isSpace(c):
			return token{}, corrupt("text outside the root")
		case len(s.open) == 0:
		case c == '&':
			if err := s.reference(&b, false); err != nil {
				return token{}, err
			}
		default:
			b.WriteRune(c)
		}
	}
	return token{kind: charData, text: b.String()}, nil
}

// section reads a piece of a CDATA section.
func (s *scanner) section() (token, error) {
	var b strings.Builder
	for b.Len() < pieceBytes {
		c, err := s.must()
		if err != nil {
			return token{}, err
		}
		if c == ']' && s.follows("]>") {
			s.cdata = false
			break
		}
		b.WriteRune(c)
	}
	return token{kind: charData, text: b.String()}, nil
}

func (s *scanner) startTag() (token, error) {
	name, err := s.name()
	if err != nil {
		return token{}, err
	}
	switch {
	case len(s.open) == 0 && s.rooted:
		return token{}, corrupt("a second root")
	case len(s.open) == s.limits.MaxDepth:
		return token{}, tooLarge("elements more than %d deep", s.limits.MaxDepth, "MaxDepth")
	}
	s.rooted = true
	s.open = append(s.open, name)
	t := token{kind: startTag, name: name}
	for {
		spaced, err := s.spaces()
		if err != nil {
			return token{}, err
		}
		c, err := s.must()
		switch {
		case err != nil:
			return token{}, err
		case c == '/':
			s.closing = true
			err := s.expect(">")
			return t, err
		case c == '>':
			return t, nil
		case !spaced:
			return token{}, corrupt("no space before an attribute")
		case len(t.attributes) == s.limits.MaxAttributes:
			return token{}, tooLarge("an element of more than %d attributes", s.limits.MaxAttributes, "MaxAttributes")
		}
		s.back = c
		a, err := s.attribute()
		if err != nil {
			return token{}, err
		}
		// At most MaxAttributes of them, so that a plain search will do.
		if slices.ContainsFunc(t.attributes, func(b attribute) bool { return a.name == b.name }) {
			return token{}, corrupt("attribute %.40q stands twice", a.name)
		}
		t.attributes = append(t.attributes, a)
	}
}

func (s *scanner) attribute() (attribute, error) {
	name, err := s.name()
	if err != nil {
		return attribute{}, err
	}
	if _, err := s.spaces(); err != nil {
		return attribute{}, err
	}
	if err := s.expect("="); err != nil {
		return attribute{}, err
	}
	if _, err := s.spaces(); err != nil {
		return attribute{}, err
	}
	quote, err := s.must()
	if err != nil {
		return attribute{}, err
	}
	if quote != '"' && quote != '\'' {
		return attribute{}, corrupt("attribute %.40q has no quotes", name)
	}
	value, err := s.value(quote)
	return attribute{name, value}, err
}

// value reads an attribute's value; literal space of any kind becomes a blank
// (XML 1.0, 3.3.3).
func (s *scanner) value(quote rune) (string, error) {
	var b strings.Builder
	for {
		c, err := s.must()
		switch {
		case err != nil:
			return "", err
		case c == quote:
			return b.String(), nil
		case c == '<':
			return "", corrupt("< in an attribute's value")
		case c == '&':
			err = s.reference(&b, true)
		case isSpace(c):
			b.WriteByte(' ')
		default:
			b.WriteRune(c)
		}
		if err != nil {
			return "", err
		}
		if b.Len() > s.limits.MaxValueBytes {
			return "", tooLarge("an attribute of more than %d bytes", s.limits.MaxValueBytes, "MaxValueBytes")
		}
	}
}

func (s *scanner) endTag() (token, error) {
	name, err := s.name()
	if err != nil {
		return token{}, err
	}
	if _, err := s.spaces(); err != nil {
		return token{}, err
	}
	if err := s.expect(">"); err != nil {
		return token{}, err
	}
	return s.pop(name)
}

func (s *scanner) pop(name string) (token, error) {
	last := len(s.open) - 1
	if last < 0 || s.open[last] != name {
		return token{}, corrupt("</%.40s> closes nothing", name)
	}
	s.open = s.open[:last]
	return token{kind: endTag, name: name}, nil
}

func (s *scanner) name() (string, error) {
	var b strings.Builder
	for {
		c, err := s.must()
		if err != nil {
			return "", err
		}
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == ':' || c >= utf8.RuneSelf
		if !letter && (b.Len() == 0 || !(c >= '0' && c <= '9' || c == '-' || c == '.')) {
			s.back = c
			break
		}
		b.WriteRune(c)
		if b.Len() > s.limits.MaxNameBytes {
			return "", tooLarge("a name of more than %d bytes", s.limits.MaxNameBytes, "MaxNameBytes")
		}
	}
	if b.Len() == 0 {
		return "", corrupt("%q where a name should begin", s.back)
	}
	return b.String(), nil
}
