package api

import "testing"

func TestFresh_RaisesShortLifetimesOnly(t *testing.T) {
	for _, c := range []struct {
		source, want string
		warns        bool
	}{
		{"", "", false},
		{"public, max-age=86400", "public, max-age=86400", false},
		{"public, max-age=60", "public, max-age=3600", true},
		{"max-age=0, s-maxage=7200", "max-age=3600, s-maxage=7200", true},
		{"max-age=60, must-revalidate", "max-age=60, must-revalidate", false},
		{"no-store", "no-store", false},
		{"private, max-age=10", "private, max-age=10", false},
		{"Max-Age=3600", "Max-Age=3600", false},
		{"max-age=nonsense", "max-age=nonsense", false},
		{"max-age=99999999999999999999", "max-age=99999999999999999999", false},
		{" , ,public", "public", false},
	} {
		got, warning := fresh(c.source)
		if got != c.want || (warning != "") != c.warns {
			t.Errorf("%q: got %q, warning %q; want %q", c.source, got, warning, c.want)
		}
	}
}

func FuzzFresh(f *testing.F) {
	f.Add("public, max-age=60")
	f.Add(`max-age="60",,=,s-maxage`)
	f.Fuzz(func(t *testing.T, source string) {
		once, _ := fresh(source)
		if twice, warning := fresh(once); twice != once || warning != "" {
			t.Fatalf("%q gives %q, and that %q", source, once, twice)
		}
	})
}
