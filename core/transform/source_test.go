package transform

import (
	"strings"
	"testing"

	"focal/core/fault"
)

func TestSplit_CutsOptionsFromSource(t *testing.T) {
	for _, c := range []struct{ path, options, source string }{
		{"width=80,quality=75/uploads/avatar1.jpg", "width=80,quality=75", "uploads/avatar1.jpg"},
		{"width=80/https://s3.example.com/bucket/image.png", "width=80", "https://s3.example.com/bucket/image.png"},
		{"width=80/http://o.example/a.jpg?x=1/2", "width=80", "http://o.example/a.jpg?x=1/2"},
		{"width=80/a.jpg?v=2&w=https://x/", "width=80", "a.jpg?v=2&w=https://x/"},

		// §8, recorded from unpic 4.2.2: the question mark is escaped.
		{"fit=cover/https://o.example/a%20b.jpg%3Fx=1,2", "fit=cover", "https://o.example/a%20b.jpg?x=1,2"},
		{"fit=cover/https://o.example/a.jpg%3fx=%3F", "fit=cover", "https://o.example/a.jpg?x=%3F"},
		{"fit=cover/https://o.example/what%3F.jpg?x=1", "fit=cover", "https://o.example/what%3F.jpg?x=1"},
		{"fit=cover/what%3F.jpg", "fit=cover", "what%3F.jpg"},

		// Slashes lost to, or won from, a proxy.
		{"width=80/https:/o.example/a.jpg", "width=80", "https://o.example/a.jpg"},
		{"width=80/HTTPS:///o.example/a.jpg", "width=80", "https://o.example/a.jpg"},
		{"width=80//media/x.jpg", "width=80", "media/x.jpg"},
		{"width=80///evil.example/x.jpg", "width=80", "evil.example/x.jpg"},

		// A source escaped as a whole.
		{"width=80/https%3A%2F%2Fo.example%2Fa%2520b.jpg%3Fx%3D1", "width=80", "https://o.example/a%20b.jpg?x=1"},
		{"width=80/https%3a//o.example/%C3%A9%0A.jpg", "width=80", "https://o.example/%C3%A9%0A.jpg"},

		// Slashes in parentheses belong to a colour.
		{"background=rgb(1%202%203%20/%2050%25),w=5/a.jpg", "background=rgb(1%202%203%20/%2050%25),w=5", "a.jpg"},
		{"background=rgb(1,2,3),w=5/a(1).jpg", "background=rgb(1,2,3),w=5", "a(1).jpg"},
		{"background=rgb(1/a(1.jpg", "background=rgb(1", "a(1.jpg"},
		{"background=rgb(1/a.jpg)", "background=rgb(1", "a.jpg)"},
		{"background=rgb(1/a?x=)/b", "background=rgb(1", "a?x=)/b"},

		// The options may be nonsense: Parse says so.
		{"photos/a.jpg", "photos", "a.jpg"},
		{"w=5/\xc3\xa9.jpg", "w=5", "\xc3\xa9.jpg"},
	} {
		options, source, err := Split(c.path)
		if err != nil || options != c.options || source != c.source {
			t.Errorf("Split(%q) = %q, %q, %v; want %q, %q", c.path, options, source, err, c.options, c.source)
		}
	}
}

func TestSplit_RefusesWhatIsNoSource(t *testing.T) {
	for path, want := range map[string]fault.Kind{
		"":                                fault.Invalid,
		"width=80":                        fault.Invalid,
		"/a.jpg":                          fault.Invalid,
		"a.jpg?x=/b":                      fault.Invalid,
		"width=80/":                       fault.BadURL,
		"width=80///":                     fault.BadURL,
		"width=80/https:":                 fault.BadURL,
		"width=80/https://":               fault.BadURL,
		"width=80/https:o.example/a.jpg":  fault.BadURL,
		"width=80/https://?x=1":           fault.BadURL,
		"width=80/https%3A%2F%2Fo.ex%2":   fault.BadURL,
		"width=80/ftp://o.example/a.jpg":  fault.BadURL,
		"width=80/file:///etc/passwd":     fault.BadURL,
		"width=80/a b.jpg":                fault.BadURL,
		"width=80/a\r\nb.jpg":             fault.BadURL,
		"width=80/a\x7f.jpg":              fault.BadURL,
		"width=80/cdn-cgi/image/w=5/a":    fault.Loop,
		"w=5//cdn-cgi/image/w=5/a":        fault.Loop,
		"w=5/https:/o.ex/cdn-cgi/image/a": fault.Loop,
	} {
		options, source, err := Split(path)
		if !fault.Is(err, want) || options != "" || source != "" {
			t.Errorf("Split(%q) = %q, %q, %v; want kind %v", path, options, source, err, want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, path := range []string{
		"width=80,quality=75/uploads/avatar1.jpg", "fit=cover/https://o.example/a%20b.jpg%3Fx=1,2",
		"w=1/https:/h/a", "w=1/https%3A%2F%2Fh%2Fa%3Fb", "background=rgb(1 2 3 / 4)/x", "a(/)/b", "//", "w=1///x", "w=1/HTTP:////",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		options, source, err := Split(path)
		if err != nil {
			switch fault.KindOf(err) {
			case fault.Invalid, fault.BadURL, fault.Loop:
			default:
				t.Fatalf("Split(%q): kind %v", path, fault.KindOf(err))
			}
			return
		}
		if !strings.HasPrefix(path, options+"/") || options == "" {
			t.Fatalf("Split(%q): options %q are not its beginning", path, options)
		}
		if source == "" || source[0] == '/' || strings.ContainsAny(source, " \r\n\t\x00\x7f") {
			t.Fatalf("Split(%q): source %q", path, source)
		}
		if strings.Contains(options, "(") {
			return // what follows need not hold where a source closes a parenthesis
		}
		if o, s, err := Split(options + "/" + source); err != nil || o != options || s != source {
			t.Fatalf("Split(%q) = %q, %q is not stable: %q, %q, %v", path, options, source, o, s, err)
		}
	})
}
