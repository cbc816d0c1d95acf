package source

import (
	"net/url"
	"os"
)

// Location returns the address at which a client can get the original that ref
// names by itself, for a redirect; false means that there is none that we may
// name. It looks for no more than whether a file exists, and fetches nothing.
//
//  1. An absolute URL that the allow-list has: that URL.
//  2. A path that Root has, or that nobody else could have: the same path of
//     the host that the client asked.
//  3. A path in a bucket, which may not be open to everybody: none.
//  4. Else the path under its origin.
func (f *Fetcher) Location(ref string) (string, bool) {
	r, err := parseReference(ref)
	if err != nil {
		return "", false
	}
	if r.url != nil { // 1
		return r.url.String(), f.allow.has(r.url)
	}
	from, below := f.originOf(r)
	switch {
	case from == nil && f.cfg.Root == "":
		return "", false
	case from == nil || f.hasFile(r.path): // 2
		return (&url.URL{Path: "/" + r.path, RawPath: "/" + r.raw, RawQuery: r.query}).String(), true
	case from.bucket != nil: // 3
		return "", false
	default: // 4
		return below.under(from.base).String(), true
	}
}

// hasFile says whether Root has something at path.
func (f *Fetcher) hasFile(path string) bool {
	if f.cfg.Root == "" {
		return false
	}
	root, err := os.OpenRoot(f.cfg.Root)
	if err != nil {
		return false
	}
	defer root.Close()
	_, err = root.Stat(path)
	return err == nil
}
