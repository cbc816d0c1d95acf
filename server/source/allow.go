package source

import (
	"fmt"
	"net/url"
	"strings"
)

// pattern is one entry of the allow-list.
type pattern struct {
	scheme string // empty: both
	host   string // lower case, without a final dot; empty: every host
	below  bool   // subdomains of host too
	port   string // empty: every port
	path   string // decoded prefix without slashes at its ends; empty: every path
}

type allowList []pattern

// parsePattern reads `[http[s]://]host[:port][/path]`. The host is a name or
// an IP and stands for itself alone; `*.example.com` is example.com and
// everything below it; `*` is every host. A path allows what is at it and
// below it: `example.com/img` has /img and /img/a.jpg, not /imgs.
func parsePattern(s string) (pattern, error) {
	refuse := func(why string) (pattern, error) { return pattern{}, fmt.Errorf("%q: %s", s, why) }
	var p pattern
	rest := s
	if scheme, after, ok := strings.Cut(s, "://"); ok {
		if p.scheme = strings.ToLower(scheme); p.scheme != "http" && p.scheme != "https" {
			return refuse("want http or https")
		}
		rest = after
	}
	if after, ok := strings.CutPrefix(rest, "*."); ok {
		p.below, rest = true, after
	} else if after, ok := strings.CutPrefix(rest, "*"); ok {
		if after != "" && after[0] != '/' && after[0] != ':' {
			return refuse("a star stands alone or before a dot")
		}
		rest = "any" + after // a stand-in, so that the rest can be parsed
		p.host = "*"
	}
	u, err := url.Parse("http://" + rest)
	if err != nil || u.RawQuery != "" || u.Fragment != "" {
		return refuse("want host[:port][/path]")
	}
	if err := checkURL(u); err != nil {
		return refuse(err.Error())
	}
	p.port = u.Port()
	p.path = strings.Trim(u.Path, "/")
	if p.host == "*" {
		p.host = ""
	} else if p.host = canonicalHost(u); p.host == "" {
		return refuse("no host")
	}
	return p, nil
}

func parseAllowList(patterns []string) (allowList, error) {
	list := make(allowList, 0, len(patterns))
	for _, s := range patterns {
		p, err := parsePattern(s)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// has reports whether u, which checkURL has passed, is allowed.
func (l allowList) has(u *url.URL) bool {
	for _, p := range l {
		if p.matches(u) {
			return true
		}
	}
	return false
}

func (p pattern) matches(u *url.URL) bool {
	host := canonicalHost(u)
	switch {
	case p.scheme != "" && p.scheme != u.Scheme,
		p.port != "" && p.port != portOf(u):
		return false
	case p.host != "" && p.host != host && (!p.below || !strings.HasSuffix(host, "."+p.host)):
		return false
	}
	after, ok := strings.CutPrefix(strings.TrimLeft(u.Path, "/"), p.path)
	return ok && (p.path == "" || after == "" || after[0] == '/')
}

func canonicalHost(u *url.URL) string {
	return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

// sameSite reports whether two URLs name the operator's same server: the host
// and the port, where the usual ports of http and https count as one, so that
// an origin may redirect to its own https.
func sameSite(a, b *url.URL) bool {
	if canonicalHost(a) != canonicalHost(b) {
		return false
	}
	usual := func(u *url.URL) bool {
		return u.Scheme == "http" && portOf(u) == "80" || u.Scheme == "https" && portOf(u) == "443"
	}
	return portOf(a) == portOf(b) || usual(a) && usual(b)
}
