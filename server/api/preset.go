package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"focal/core/fault"
	"focal/core/transform"
)

// presets are option lists by name, as Cloudflare's variants.
type presets struct {
	named map[string]transform.Options
	only  bool // nothing else is served
}

// newPresets parses the lists (--presets). What is merely a warning in a URL is
// an error here: the operator can mend it before anybody sees it.
func newPresets(lists map[string]string, only bool) (presets, error) {
	const op = "api.Config"
	p := presets{named: map[string]transform.Options{}, only: only}
	if only && len(lists) == 0 {
		return p, fault.New(fault.Invalid, op, "--only-presets without any --presets would serve nothing")
	}
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		if !plainName(name) {
			return p, fault.New(fault.Invalid, op, "--presets: the name %q: want letters, digits, - and _", name)
		}
		options, warnings, err := transform.Parse(lists[name])
		if err == nil && len(warnings) > 0 {
			err = fmt.Errorf("%s", strings.Join(warnings, "; "))
		}
		if err != nil {
			return p, fault.New(fault.Invalid, op, "--presets %s: %w", name, err)
		}
		p.named[name] = options
	}
	return p, nil
}

func plainName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
	})
}

// parse reads the options of a URL:
//
//  1. preset=NAME, or NAME alone: that preset, where there is one.
//  2. preset=NAME of none: refused.
//  3. Anything else is an option list, where such are served. A word alone is
//     none, and was rather meant to be a preset where there are any.
func (p presets) parse(list string) (transform.Options, []string, error) {
	const op = "api.presets"
	name, explicit := strings.CutPrefix(list, "preset=")
	if options, ok := p.named[name]; ok { // 1
		return options, nil, nil
	}
	switch {
	case explicit && plainName(name): // 2
		return transform.Options{}, nil, fault.New(fault.Invalid, op, "no preset has the name %s", name)
	case p.only:
		return transform.Options{}, nil, fault.New(fault.Forbidden, op, "only presets are served here (--only-presets)")
	default: // 3
		options, warnings, err := transform.Parse(list)
		if err != nil && len(p.named) > 0 && plainName(list) {
			err = fault.New(fault.Invalid, op, "no preset has the name %s, and an option is key=value", list)
		}
		return options, warnings, err
	}
}
