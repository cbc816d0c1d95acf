package api

import (
	"strconv"
	"strings"
)

// floor is the least that a finished picture may be kept, in seconds: making
// it again costs more than serving it stale for that long. The figure, and the
// way out of it, are Cloudflare's.
const floor = 3600

// tooRestrictive is the Warning of a source whose lifetime was raised.
const tooRestrictive = "cache-control is too restrictive"

// fresh turns a source's Cache-Control (RFC 9111 §5.2) into the picture's:
//
//  1. The source says nothing: nor do we.
//  2. no-store, no-cache, private or must-revalidate: as it says.
//  3. A max-age or s-maxage under the floor is raised to it, with a warning.
//  4. Else as it says.
func fresh(source string) (header, warning string) {
	var out []string
	for item := range strings.SplitSeq(source, ",") {
		item = strings.TrimSpace(item)
		name, value, _ := strings.Cut(item, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "":
			continue
		case "no-store", "no-cache", "private", "must-revalidate", "proxy-revalidate": // 2
			return source, ""
		case "max-age", "s-maxage": // 3
			age, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err == nil && age < floor {
				item, warning = name+"="+strconv.Itoa(floor), tooRestrictive
			}
		}
		out = append(out, item)
	}
	return strings.Join(out, ", "), warning // 1, 3, 4
}
