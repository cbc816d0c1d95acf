package source

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLocation_NamesOnlyWhatMayBeNamed(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "here.jpg"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, root, origin, ref string
		want                    string // "" means that there is none
	}{
		{"a file", root, "", "here.jpg", "/here.jpg"},
		{"a file that is not there", root, "", "a%20b/gone.jpg", "/a%20b/gone.jpg"},
		{"a file before the origin", root, "https://o.example/base", "here.jpg", "/here.jpg"},
		{"the origin behind the root", root, "https://o.example/base", "gone.jpg?v=1", "https://o.example/base/gone.jpg?v=1"},
		{"the origin", "", "https://o.example/base/", "a%2Fb.jpg", "https://o.example/base/a%2Fb.jpg"},
		{"an allowed URL", "", "", "https://cdn.example/a.jpg?x=1,2", "https://cdn.example/a.jpg?x=1,2"},
		{"another URL", root, "https://o.example", "https://evil.example/a.jpg", ""},
		{"an object", "", "s3://bucket", "a.jpg", ""},
		{"a prefix", "", "/shop=https://o.example/base", "/shop/a%2Fb.jpg?x", "https://o.example/base/a%2Fb.jpg?x"},
		{"no place at all", "", "", "a.jpg", ""},
		// A path must not become a host of its own.
		{"slashes", root, "", "///evil.example/a.jpg", "/evil.example/a.jpg"},
		{"escaped slashes", root, "", "%2F%2Fevil.example/a.jpg", "/evil.example/a.jpg"},
		{"a backslash", root, "", "%5Cevil.example", ""},
		{"a new line", root, "", "a%0d%0aX:y", ""},
		{"climbing", root, "", "../etc/passwd", ""},
	} {
		cfg := DefaultConfig()
		cfg.Root, cfg.AllowOrigins = c.root, []string{"cdn.example"}
		if c.origin != "" {
			cfg.Origins = []string{c.origin}
		}
		f, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := f.Location(c.ref)
		if !ok {
			got = ""
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
