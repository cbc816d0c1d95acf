package svg

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// reference reads what follows "&" and appends what it stands for. In a value,
// space that an entity brings becomes blanks; that of &#10; stays.
func (s *scanner) reference(b *strings.Builder, inValue bool) error {
	c, err := s.must()
	if err != nil {
		return err
	}
	if c == '#' {
		digits, err := s.until(';', len("x10FFFF"))
		if err != nil {
			return err
		}
		r, err := character(digits)
		b.WriteRune(r)
		return err
	}
	s.back = c
	name, err := s.name()
	if err != nil {
		return err
	}
	if err := s.expect(";"); err != nil {
		return err
	}
	if r := predefined(name); r != 0 {
		b.WriteRune(r)
		return nil
	}
	var text strings.Builder
	if err := s.expand(&text, name, 1); err != nil {
		return err
	}
	if inValue {
		b.WriteString(strings.Map(func(c rune) rune {
			if isSpace(c) {
				return ' '
			}
			return c
		}, text.String()))
		return nil
	}
	b.WriteString(text.String())
	return nil
}

// expand appends the text of a declared entity. Each expansion counts, even an
// empty one, so that the work is bounded with the text.
func (s *scanner) expand(b *strings.Builder, name string, depth int) error {
	value, ok := s.entities[name]
	if !ok {
		return corrupt("entity %.40q is not declared", name)
	}
	if depth > s.limits.MaxEntityDepth {
		return tooLarge("entities more than %d deep", s.limits.MaxEntityDepth, "MaxEntityDepth")
	}
	if s.expanded += len(value) + 1; s.expanded > s.limits.MaxEntityBytes {
		return tooLarge("entities that expand to more than %d bytes", s.limits.MaxEntityBytes, "MaxEntityBytes")
	}
	for {
		before, rest, found := strings.Cut(value, "&")
		b.WriteString(before)
		if !found {
			return nil
		}
		inner, after, closed := strings.Cut(rest, ";")
		if !closed {
			return corrupt("a bare & in entity %.40q", name)
		}
		value = after
		if digits, numeric := strings.CutPrefix(inner, "#"); numeric {
			r, err := character(digits)
			if err != nil {
				return err
			}
			b.WriteRune(r)
			continue
		}
		if r := predefined(inner); r != 0 {
			b.WriteRune(r)
			continue
		}
		if err := s.expand(b, inner, depth+1); err != nil {
			return err
		}
	}
}

// character is what "&#digits;" stands for.
func character(digits string) (rune, error) {
	base := 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n > utf8.MaxRune || !isCharacter(rune(n)) {
		return 0, corrupt("&#%.10s; is no character", digits)
	}
	return rune(n), nil
}

// predefined are the five entities of XML 1.0, 4.6.
func predefined(name string) rune {
	switch name {
	case "amp":
		return '&'
	case "lt":
		return '<'
	case "gt":
		return '>'
	case "quot":
		return '"'
	case "apos":
		return '\''
	}
	return 0
}

// until reads up to and without end, most bytes of it.
func (s *scanner) until(end rune, most int) (string, error) {
	var b strings.Builder
	for {
		c, err := s.must()
		if err != nil {
			return "", err
		}
		if c == end {
			return b.String(), nil
		}
		if b.WriteRune(c); b.Len() > most {
			return "", corrupt("%q is missing", end)
		}
	}
}

// documentType passes over what follows "<!DOCTYPE", up to its ">", and keeps
// the entities that it declares (XML 1.0, 2.8): drawing programs keep colours
// and namespaces in them. Nothing that it points to is ever fetched.
func (s *scanner) documentType() error {
	for {
		c, err := s.must()
		if err != nil {
			return err
		}
		switch c {
		case '>':
			return nil
		case '"', '\'':
			err = s.skipTo(string(c))
		case '[':
			err = s.internalSubset()
		}
		if err != nil {
			return err
		}
	}
}

func (s *scanner) internalSubset() error {
	for {
		c, err := s.must()
		switch {
		case err != nil:
			return err
		case c == ']':
			return nil
		case c == '%':
			err = s.skipTo(";")
		case c == '<' && s.follows("!--"):
			err = s.skipTo("-->")
		case c == '<' && s.follows("?"):
			err = s.skipTo("?>")
		case c == '<' && s.follows("!"):
			err = s.markupDeclaration()
		case !isSpace(c):
			return corrupt("%q in the document type", c)
		}
		if err != nil {
			return err
		}
	}
}

// markupDeclaration reads a declaration up to its ">" and keeps it if it is
// <!ENTITY name "value">; parameter and external entities are not, and neither
// is a second declaration of a name (XML 1.0, 4.2).
func (s *scanner) markupDeclaration() error {
	const parts = 3 // that matter: ENTITY, name, value
	var words []string
	quoted := false
	for {
		c, err := s.must()
		if err != nil {
			return err
		}
		var word string
		switch {
		case isSpace(c):
			continue
		case c == '>':
			if len(words) == parts && quoted && words[0] == "ENTITY" && words[1] != "%" {
				s.declare(words[1], words[2])
			}
			return nil
		case c == '"' || c == '\'':
			word, err = s.literal(c)
			quoted = quoted || len(words) == parts-1
		default:
			s.back = c
			word, err = s.word()
		}
		if err != nil {
			return err
		}
		if len(words) <= parts {
			words = append(words, word)
		}
	}
}

func (s *scanner) declare(name, value string) {
	if _, again := s.entities[name]; again {
		return
	}
	if s.entities == nil {
		s.entities = map[string]string{}
	}
	s.entities[name] = value
}

func (s *scanner) literal(quote rune) (string, error) {
	var b strings.Builder
	for {
		c, err := s.must()
		if err != nil {
			return "", err
		}
		if c == quote {
			return b.String(), nil
		}
		if b.WriteRune(c); b.Len() > s.limits.MaxValueBytes {
			return "", tooLarge("a literal of more than %d bytes", s.limits.MaxValueBytes, "MaxValueBytes")
		}
	}
}

// word reads up to space, a quote or ">".
func (s *scanner) word() (string, error) {
	var b strings.Builder
	for {
		c, err := s.must()
		if err != nil {
			return "", err
		}
		if isSpace(c) || c == '>' || c == '"' || c == '\'' {
			s.back = c
			return b.String(), nil
		}
		if b.WriteRune(c); b.Len() > s.limits.MaxNameBytes {
			return "", tooLarge("a name of more than %d bytes", s.limits.MaxNameBytes, "MaxNameBytes")
		}
	}
}
