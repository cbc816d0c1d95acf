package svg

import "strings"

// The namespaces that matter; all others are alike.
const (
	namespaceSVG   = "http://www.w3.org/2000/svg"
	namespaceXLink = "http://www.w3.org/1999/xlink"
)

type space uint8

const (
	spaceOther space = iota
	spaceSVG
	spaceXLink
)

// spaces knows which prefix is bound to which namespace where the scanner is.
// A look-up is one map access, however many bindings a hostile file piles up.
type spaces struct {
	bound map[string]space // by prefix; "" is the default namespace
	undo  []binding        // what enter overwrote, innermost last
	marks []int            // len(undo) at each enter
}

type binding struct {
	prefix string
	space  space
}

// enter binds the declarations among the attributes of a start tag.
func (s *spaces) enter(attributes []attribute) {
	s.marks = append(s.marks, len(s.undo))
	for _, a := range attributes {
		prefix, name := split(a.name)
		switch {
		case a.name == "xmlns":
			name = ""
		case prefix != "xmlns":
			continue
		}
		s.undo = append(s.undo, binding{name, s.bound[name]})
		switch a.value {
		case namespaceSVG:
			s.bound[name] = spaceSVG
		case namespaceXLink:
			s.bound[name] = spaceXLink
		default:
			s.bound[name] = spaceOther
		}
	}
}

// leave undoes the last enter.
func (s *spaces) leave() {
	last := len(s.marks) - 1
	for i := len(s.undo) - 1; i >= s.marks[last]; i-- {
		s.bound[s.undo[i].prefix] = s.undo[i].space
	}
	s.undo, s.marks = s.undo[:s.marks[last]], s.marks[:last]
}

// of returns the namespace of a prefix; one that is not bound is of no use.
func (s *spaces) of(prefix string) space { return s.bound[prefix] }

// split cuts a name at its first colon; a name without one has no prefix.
func split(name string) (prefix, local string) {
	if before, after, ok := strings.Cut(name, ":"); ok {
		return before, after
	}
	return "", name
}
