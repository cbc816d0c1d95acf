package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"focal/core/fault"
)

// Sign signs a URL, or a path with its query, as Cloudflare Images does: the
// message is the path, and the query with exp in it if there is any; sig is
// its HMAC-SHA256 in lower-case hex. A zero expires never expires.
//
// What a browser would escape on the way is escaped in what is returned, before it
// is signed: the server checks what arrives.
func Sign(key, address string, expires time.Time) (string, error) {
	const op = "api.Sign"
	if key == "" {
		return "", fault.New(fault.Invalid, op, "the key is empty")
	}
	at := 0 // where the path begins
	if i := strings.Index(address, "://"); i >= 0 && !strings.HasPrefix(address, "/") {
		if _, err := url.Parse(address); err != nil {
			return "", fault.New(fault.Invalid, op, "%w", err)
		}
		slash := strings.IndexByte(address[i+3:], '/')
		if slash < 0 {
			return "", fault.New(fault.Invalid, op, "%q has no path", address)
		}
		at = i + 3 + slash
	}
	if !strings.HasPrefix(address[at:], "/") {
		return "", fault.New(fault.Invalid, op, "%q is neither a URL nor a path", address)
	}
	_, query, _ := strings.Cut(address[at:], "?")
	if strings.Contains(address, "#") {
		return "", fault.New(fault.Invalid, op, "%q has a #, which no client sends: write %%23", address)
	}
	for item := range strings.SplitSeq(query, "&") {
		if name, _, _ := strings.Cut(item, "="); name == "exp" || name == "sig" {
			return "", fault.New(fault.Invalid, op, "%q has %s in its query already", address, name)
		}
	}
	address = address[:at] + escapeAsBrowsers(address[at:])
	join := func(s string) string {
		if strings.Contains(address[at:], "?") {
			return "&" + s
		}
		return "?" + s
	}
	if !expires.IsZero() {
		address += join("exp=" + strconv.FormatInt(expires.Unix(), 10))
	}
	return address + join("sig="+mac(key, address[at:])), nil
}

// escapeAsBrowsers escapes what is not ASCII and what a browser escapes in a path
// or a query (the percent-encode sets of the URL standard).
func escapeAsBrowsers(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || strings.IndexByte("\"'<>^`{}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func mac(key, message string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(message))
	return hex.EncodeToString(h.Sum(nil))
}

// verify checks the signature of a request, and returns the query without exp
// and sig, which belong to neither the source nor a key. Any of the keys may
// have signed, so that keys can be changed without a gap.
func verify(keys []string, path, query string, now time.Time) (rest string, err error) {
	const op = "api.verify"
	var kept, signed []string
	var sig, exp string
	for item := range strings.SplitSeq(query, "&") {
		switch name, value, _ := strings.Cut(item, "="); {
		case query == "":
		case name == "sig":
			sig = value
		case name == "exp":
			exp = value
			signed = append(signed, item)
		default:
			kept = append(kept, item)
			signed = append(signed, item)
		}
	}
	message := path
	if len(signed) > 0 {
		message += "?" + strings.Join(signed, "&")
	}
	good := false
	for _, key := range keys {
		good = hmac.Equal([]byte(mac(key, message)), []byte(sig)) || good
	}
	if !good {
		return "", fault.New(fault.Forbidden, op, "the URL is not signed, or by another key")
	}
	if exp != "" {
		until, err := strconv.ParseInt(exp, 10, 64)
		if err != nil || now.Unix() > until {
			return "", fault.New(fault.Forbidden, op, "the URL has expired")
		}
	}
	return strings.Join(kept, "&"), nil
}
