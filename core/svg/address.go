package svg

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
)

// href returns what may stay of a link of element: a relative address, or on
// the elements that draw it, a picture.
func (s *sanitiser) href(element, value string) (string, bool) {
	if !linking[element] {
		return "", false
	}
	if element == "image" || element == "feImage" {
		if v, ok := s.picture(value); ok {
			return v, true
		}
	}
	return relative(value)
}

// maxAddressBytes is more than any server takes and little to cut into segments.
const maxAddressBytes = 64 << 10

// relative makes an address that can only lead to the host that the file itself
// comes from: of http, https and ftp addresses and of those without a scheme it
// keeps path, query and fragment, with dot segments resolved. It reads an
// address as browsers do (WHATWG URL, 4.4), who strip space and line ends and
// take "\" for "/". ok is false for another scheme, for what is left of no
// path, for a bare "/", for a path that would be read as a host, and for more
// than maxAddressBytes.
func relative(address string) (string, bool) {
	address = strip(address)
	if address == "" || len(address) > maxAddressBytes || strings.ContainsFunc(address, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
		return "", false
	}
	if address[0] == '#' {
		address = "#" + escape(address[1:], false)
		return address, len(address) <= maxAddressBytes
	}
	if scheme, rest, ok := cutScheme(address); ok {
		if !slices.Contains([]string{"http", "https", "ftp"}, scheme) || !strings.HasPrefix(rest, "//") {
			return "", false
		}
		address = rest
	}
	if after, ok := strings.CutPrefix(address, "//"); ok {
		i := strings.IndexAny(after, "/?#")
		if i < 0 {
			return "", false
		}
		if address = after[i:]; address[0] != '/' {
			address = "/" + address
		}
	}
	path, suffix := address, ""
	if i := strings.IndexAny(address, "?#"); i >= 0 {
		path, suffix = address[:i], address[i:]
	}
	clean := escape(withoutDots(path), true)
	switch {
	case strings.HasPrefix(clean, "//"),
		strings.HasPrefix(clean, "/") && !strings.HasPrefix(path, "/"), // "a/..//host"
		suffix == "" && (clean == "" || clean == "/"):
		return "", false
	}
	address = clean + escape(suffix, false)
	return address, len(address) <= maxAddressBytes
}

// strip removes what browsers remove before they read an address.
func strip(address string) string {
	address = strings.TrimFunc(address, func(r rune) bool { return r <= ' ' })
	if !strings.ContainsAny(address, "\t\n\r") {
		return address
	}
	return strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(address)
}

// cutScheme cuts "scheme:" off, in lower case (RFC 3986, 3.1).
func cutScheme(address string) (scheme, rest string, ok bool) {
	scheme, rest, ok = strings.Cut(address, ":")
	if !ok || scheme == "" || strings.ContainsFunc(scheme, func(r rune) bool {
		return !(r|0x20 >= 'a' && r|0x20 <= 'z' || r >= '0' && r <= '9' || r == '+' || r == '-' || r == '.')
	}) {
		return "", address, false
	}
	return strings.ToLower(scheme), rest, true
}

// withoutDots resolves "." and ".." (RFC 3986, 5.2.4); a relative path keeps the
// ".." that lead out of it.
func withoutDots(path string) string {
	rest, rooted := strings.CutPrefix(path, "/")
	segments := strings.Split(rest, "/")
	var kept []string
	for i, segment := range segments {
		switch {
		case segment == "..":
			if n := len(kept); n > 0 && kept[n-1] != ".." {
				kept = kept[:n-1]
			} else if !rooted {
				kept = append(kept, "..")
				continue
			}
		case segment != ".":
			kept = append(kept, segment)
			continue
		}
		if i == len(segments)-1 {
			kept = append(kept, "")
		}
	}
	clean := strings.Join(kept, "/")
	if rooted {
		return "/" + clean
	}
	return clean
}

// escape makes an address safe inside url() without quotes; in a path a colon
// is escaped too, so that nothing before it can be a scheme.
func escape(address string, path bool) string {
	const unsafe = "\"'()<> "
	if !strings.ContainsAny(address, unsafe+":") {
		return address
	}
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i := range len(address) {
		c := address[i]
		if strings.IndexByte(unsafe, c) >= 0 || path && c == ':' {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// pictures are the types that a data: URL may have, by the name in it.
func pictures(mime string) string {
	switch mime = strings.ToLower(mime); mime {
	case "image/jpeg", "image/png", "image/gif":
		return mime
	case "image/jpg": // common, though registered nowhere
		return "image/jpeg"
	}
	return ""
}

// picture gives the picture in a data: URL (RFC 2397) to Options.Embedded and
// returns the URL of what came back, always in base64.
func (s *sanitiser) picture(address string) (string, bool) {
	if s.options.Embedded == nil {
		return "", false
	}
	scheme, rest, ok := cutScheme(strip(address))
	if !ok || scheme != "data" {
		return "", false
	}
	head, body, ok := strings.Cut(rest, ",")
	if !ok {
		return "", false
	}
	mime, parameters, _ := strings.Cut(head, ";")
	mime = pictures(strings.TrimSpace(mime))
	if mime == "" {
		return "", false
	}
	text, err := url.PathUnescape(body)
	if err != nil {
		return "", false
	}
	data := []byte(text)
	if endsWith(";"+strings.TrimSpace(parameters), ";base64") {
		text = strings.TrimRight(strings.ReplaceAll(text, " ", ""), "=")
		if data, err = base64.RawStdEncoding.DecodeString(text); err != nil {
			return "", false
		}
	}
	if len(data) == 0 {
		return "", false
	}
	data, mime, err = s.options.Embedded(mime, data)
	if err != nil || len(data) == 0 || pictures(mime) == "" {
		return "", false
	}
	return "data:" + pictures(mime) + ";base64," + base64.StdEncoding.EncodeToString(data), true
}
