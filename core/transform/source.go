package transform

import (
	"net/url"
	"strconv"
	"strings"

	"focal/core/fault"
)

// mark is what a transform's path begins with.
const mark = "cdn-cgi/image/"

// Split cuts what follows /cdn-cgi/image/ in a URL into the option list and the
// source. path is raw, neither decoded nor cleaned, and holds the query string
// too, which belongs to the source; a signature's exp and sig have been taken
// off before.
//
// The options end at the first slash outside parentheses. The source comes back
// in one of two forms: an absolute http:// or https:// URL, or a path without
// its leading slash. These repairs are made, because proxies and clients in the
// wild need them:
//
//   - https:/host, a slash lost to a proxy, becomes https://host;
//   - https%3A%2F%2Fhost…, a source escaped as a whole, is decoded once;
//   - an escaped question mark in an absolute URL without a real one becomes
//     real: unpic escapes it;
//   - leading slashes of a path go, so that none can name a host.
//
// The options may be anything: Parse judges them. No slash or no options is
// fault.Invalid, a source that is empty or malformed, or of another scheme, is
// fault.BadURL, and a transform as a source is fault.Loop.
func Split(path string) (options, source string, err error) {
	const op = "transform.Split"
	options, source, found := cutOutside(path, '/')
	// A question mark begins the query: there was no slash before it. And a
	// parenthesis that is closed only in the source was none.
	if strings.ContainsAny(options, "?") || !found {
		options, source, found = strings.Cut(path, "/")
	}
	if !found || options == "" || strings.Contains(options, "?") {
		return "", "", fault.New(fault.Invalid, op, "want options/source: options are key=value, separated by commas")
	}
	source = strings.TrimLeft(source, "/")
	if source, err = absolute(source); err != nil {
		return "", "", err
	}
	if source == "" {
		return "", "", fault.New(fault.BadURL, op, "no source after the options")
	}
	if i := strings.IndexFunc(source, func(r rune) bool { return r <= ' ' || r == 0x7f }); i >= 0 {
		return "", "", fault.New(fault.BadURL, op, "the source holds a space or control character at byte %d", i)
	}
	if isTransform(source) {
		return "", "", fault.New(fault.Loop, op, "the source is itself a transform")
	}
	return options, source, nil
}

// absolute repairs a source that names a host; a path comes back as it is.
func absolute(source string) (string, error) {
	const op = "transform.Split"
	scheme, rest := "", ""
	for _, s := range []string{"https", "http"} {
		if after, ok := cutFold(source, s+":"); ok {
			scheme, rest = s, after
			break
		}
		if _, ok := cutFold(source, s+"%3A"); ok {
			decoded, err := url.PathUnescape(source)
			if err != nil {
				return "", fault.New(fault.BadURL, op, "the source is badly escaped")
			}
			scheme, rest = s, escapeUnsafe(decoded[len(s)+1:])
			break
		}
	}
	if scheme == "" {
		if before, _, ok := strings.Cut(source, "://"); ok && !strings.ContainsAny(before, "/?") {
			return "", fault.New(fault.BadURL, op, "the source has a scheme that is not served: want http or https")
		}
		return source, nil
	}
	host := strings.TrimLeft(rest, "/")
	if host == rest || host == "" || strings.ContainsRune("?#@:", rune(host[0])) {
		return "", fault.New(fault.BadURL, op, "the source has a scheme and no host")
	}
	if !strings.Contains(host, "?") {
		host = unescapeFirst(host, '?')
	}
	return scheme + "://" + host, nil
}

// cutFold is strings.CutPrefix for ASCII of any case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// unescapeFirst makes the first escaped c in s real.
func unescapeFirst(s string, c byte) string {
	for i := 0; i+3 <= len(s); i++ {
		if s[i] != '%' {
			continue
		}
		if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil && byte(v) == c {
			return s[:i] + string(rune(c)) + s[i+3:]
		}
	}
	return s
}

// escapeUnsafe escapes what decoding set free and no URL may hold bare.
func escapeUnsafe(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f {
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// isTransform says whether a source is plainly a transform's URL. It spares a
// round trip; the guard that cannot be fooled is the Via header of a fetch.
func isTransform(source string) bool {
	if _, after, ok := strings.Cut(source, "://"); ok {
		_, source, _ = strings.Cut(after, "/")
	}
	return strings.HasPrefix(source, mark)
}
