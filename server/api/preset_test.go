package api

import (
	"strings"
	"testing"

	"focal/core/fault"
)

func TestPresets_AreNamedOptionLists(t *testing.T) {
	lists := map[string]string{"thumb": "width=200,height=100,fit=cover", "Big_2-x": "w=2000"}
	open, err := newPresets(lists, false)
	if err != nil {
		t.Fatal(err)
	}
	only, err := newPresets(lists, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		list  string
		width int // 0: refused
		open  fault.Kind
		only  fault.Kind
	}{
		{"thumb", 200, 0, 0},
		{"preset=thumb", 200, 0, 0},
		{"Big_2-x", 2000, 0, 0},
		{"preset=none", 0, fault.Invalid, fault.Invalid},
		{"none", 0, fault.Invalid, fault.Forbidden},
		{"THUMB", 0, fault.Invalid, fault.Forbidden},
	} {
		for p, kind := range map[*presets]fault.Kind{&open: c.open, &only: c.only} {
			o, _, err := p.parse(c.list)
			if c.width > 0 && (err != nil || o.Width != c.width) {
				t.Errorf("%s: width %d, %v; want %d", c.list, o.Width, err, c.width)
			}
			if c.width == 0 && !fault.Is(err, kind) {
				t.Errorf("%s: %v, want %v", c.list, err, kind)
			}
		}
	}
	if _, _, err := open.parse("thum"); err == nil || !strings.Contains(err.Error(), "no preset has the name thum") {
		t.Errorf("a slip in a name: %v", err)
	}
	if o, _, err := open.parse("width=300"); err != nil || o.Width != 300 {
		t.Errorf("a plain list beside presets: %+v, %v", o, err)
	}
	for _, list := range []string{"width=300", "preset=thumb,width=300", "thumb,width=300", "preset=thumb%2Cwidth=3"} {
		_, _, err := only.parse(list)
		if n := numbersOf(err); !fault.Is(err, fault.Forbidden) || n.status != 403 || n.code != 9401 {
			t.Errorf("%s where only presets are served: %v, %+v", list, err, n)
		}
	}
}

func TestPresets_AreCheckedAtStart(t *testing.T) {
	for name, lists := range map[string]map[string]string{
		"a warning":     {"thumb": "width=200,hieght=100"},
		"no value":      {"thumb": "width=wide"},
		"nothing":       {"thumb": ""},
		"too large":     {"thumb": "width=99999999"},
		"an odd name":   {"a b": "width=200"},
		"no name":       {"": "width=200"},
		"an equal sign": {"a=b": "width=200"},
	} {
		if _, err := newPresets(lists, false); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "--presets") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := newPresets(nil, true); err == nil || !strings.Contains(err.Error(), "--only-presets") {
		t.Errorf("only presets, and none: %v", err)
	}
}
