package svg

import (
	"errors"
	"io"
	"unicode/utf8"
)

// spaces passes over space and says whether there was any.
func (s *scanner) spaces() (found bool, err error) {
	for {
		c, err := s.must()
		if err != nil {
			return false, err
		}
		if !isSpace(c) {
			s.back = c
			return found, nil
		}
		found = true
	}
}

func (s *scanner) expect(want string) error {
	for _, w := range want {
		c, err := s.must()
		if err != nil {
			return err
		}
		if c != w {
			return corrupt("%q where %q should stand", c, want)
		}
	}
	return nil
}

// skipTo passes over everything up to and with end, which is ASCII.
func (s *scanner) skipTo(end string) error {
	for {
		c, err := s.must()
		if err != nil {
			return err
		}
		if c == rune(end[0]) && s.follows(end[1:]) {
			return nil
		}
	}
}

// follows passes over rest if it comes next; it may be asked only when no rune
// was read too far. A read error shows at the next read.
func (s *scanner) follows(rest string) bool {
	if next, _ := s.r.Peek(len(rest)); string(next) != rest {
		return false
	}
	_, err := s.r.Discard(len(rest))
	return err == nil
}

// must is read where the file may not end.
func (s *scanner) must() (rune, error) {
	c, err := s.read()
	if errors.Is(err, io.EOF) {
		return 0, corrupt("it ends too early")
	}
	return c, err
}

// read returns the next character, with line ends made one (XML 1.0, 2.11).
func (s *scanner) read() (rune, error) {
	if c := s.back; c != 0 {
		s.back = 0
		return c, nil
	}
	c, size, err := s.r.ReadRune()
	switch {
	case errors.Is(err, io.EOF):
		return 0, io.EOF
	case err != nil:
		return 0, readError(err)
	case c == utf8.RuneError && size == 1:
		return 0, corrupt("a byte that is no UTF-8")
	case !isCharacter(c):
		return 0, corrupt("character %U", c)
	case c == '\r':
		if next, err := s.r.Peek(1); err == nil && next[0] == '\n' {
			return s.read()
		}
		return '\n', nil
	}
	return c, nil
}

func isSpace(c rune) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// isCharacter is XML 1.0, production 2.
func isCharacter(c rune) bool {
	return c >= ' ' && c != 0xfffe && c != 0xffff && (c < 0xd800 || c > 0xdfff) && c <= utf8.MaxRune || isSpace(c)
}
