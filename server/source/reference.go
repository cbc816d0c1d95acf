package source

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"focal/core/fault"
)

// ViaToken marks our fetches, as it marks Cloudflare's: an origin, or another
// server of this kind, sees by it that a transform is asking.
const ViaToken = "image-resizing"

// Looped reports whether a request that arrived with this Via header was sent
// by a transform, so that transforming its answer would go in circles.
func Looped(via string) bool { return strings.Contains(via, ViaToken) }

// reference is a parsed SOURCE: url, or path.
type reference struct {
	url *url.URL // absolute; nil for a path
	// path has no leading slash. It was percent-decoded once; raw was not.
	path, raw string
	query     string // as it came, without its question mark
}

// parseReference reads a SOURCE.
//
//  1. A fragment is cut off.
//  2. The query starts at the first "?", or, where there is none, at the first
//     %3F: clients that concatenate URLs write that.
//  3. "http:/" or "https:/", in any case and with any number of slashes (some
//     proxies collapse them), starts an absolute URL. Another scheme with a
//     slash behind it is refused.
//  4. Everything else is a path; its leading slashes are dropped.
func parseReference(ref string) (reference, error) {
	ref, _, _ = strings.Cut(ref, "#") // 1
	rest, query := cutQuery(ref)      // 2
	if err := checkQuery(query); err != nil {
		return reference{}, badURL(err)
	}
	scheme, authority, absolute := cutScheme(rest)
	if absolute { // 3
		u, err := url.Parse(scheme + "://" + authority)
		if err != nil {
			return reference{}, badURL(errors.New("source URL is malformed"))
		}
		u.RawQuery = query
		return reference{url: u}, checkURL(u)
	}
	raw := strings.TrimLeft(rest, "/") // 4
	path, err := checkPath(raw)
	if err != nil {
		return reference{}, err
	}
	if path = strings.TrimLeft(path, "/"); path == "" { // an escaped slash leads too
		return reference{}, badURL(errors.New("source is empty"))
	}
	return reference{path: path, raw: raw, query: query}, nil
}

func badURL(err error) error { return fault.New(fault.BadURL, "source.Fetch", "%w", err) }

func cutQuery(ref string) (rest, query string) {
	if rest, query, ok := strings.Cut(ref, "?"); ok {
		return rest, query
	}
	for i := range len(ref) - 2 {
		if ref[i] == '%' && ref[i+1] == '3' && ref[i+2]|0x20 == 'f' {
			return ref[:i], ref[i+3:]
		}
	}
	return ref, ""
}

// cutScheme splits "scheme:/…"; schemes we do not serve come back too, for
// checkURL to refuse.
func cutScheme(s string) (scheme, rest string, ok bool) {
	scheme, rest, ok = strings.Cut(s, ":")
	if !ok || scheme == "" || !strings.HasPrefix(rest, "/") {
		return "", "", false
	}
	for i, c := range []byte(scheme) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(c))) {
			return "", "", false
		}
	}
	return strings.ToLower(scheme), strings.TrimLeft(rest, "/"), true
}

// checkURL judges an absolute URL by its text alone: a source, or where a
// redirect leads.
func checkURL(u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" {
		return badURL(errors.New("source URL must be http or https"))
	}
	if u.User != nil {
		return badURL(errors.New("source URL must not hold credentials"))
	}
	if err := checkHost(u); err != nil {
		return badURL(err)
	}
	if err := checkQuery(u.RawQuery); err != nil {
		return badURL(err)
	}
	_, err := checkPath(u.EscapedPath())
	return err
}

// checkHost allows names of letters, digits, hyphens, dots and underscores,
// and IP literals without a zone. Other scripts come as punycode.
func checkHost(u *url.URL) error {
	host := u.Hostname()
	if host == "" || len(host) > 255 {
		return errors.New("source URL has no usable host")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return errors.New("source URL has an impossible port")
		}
	}
	if strings.Contains(host, ":") {
		if net.ParseIP(host) == nil {
			return errors.New("source URL has an invalid IP address")
		}
		return nil
	}
	for _, c := range []byte(host) {
		if c != '-' && c != '.' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return errors.New("source URL has a host with unusual characters")
		}
	}
	return nil
}

// checkPath decodes a path once and refuses what could mean another place to
// whoever reads it next: dot segments, backslashes, control characters.
func checkPath(raw string) (string, error) {
	path, err := url.PathUnescape(raw)
	if err != nil {
		return "", badURL(errors.New("source has an incomplete percent escape"))
	}
	if hasControl(path) || strings.Contains(path, `\`) {
		return "", badURL(errors.New("source has a control character or a backslash"))
	}
	var kept []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case ".", "..":
			return "", badURL(errors.New("source has a dot segment"))
		case "":
		default:
			kept = append(kept, segment)
		}
	}
	if len(kept) >= 2 && kept[0] == "cdn-cgi" && kept[1] == "image" {
		return "", fault.New(fault.Loop, "source.Fetch", "source is itself a transform URL")
	}
	return path, nil
}

func checkQuery(q string) error {
	if hasControl(q) || strings.Contains(q, " ") {
		return errors.New("source has a query with a space or a control character")
	}
	return nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// under returns the URL of a path reference below base.
func (r reference) under(base *url.URL) *url.URL {
	u := *base
	u.Path = strings.TrimRight(base.Path, "/") + "/" + r.path
	u.RawPath = strings.TrimRight(base.EscapedPath(), "/") + "/" + r.raw
	u.RawQuery = r.query
	return &u
}
