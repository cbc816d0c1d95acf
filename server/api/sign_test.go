package api

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"focal/core/fault"
)

// The vector of research on Cloudflare's signed URLs, computed with openssl:
// printf %s /hello/world | openssl dgst -sha256 -hmac 'this is a secret'
func TestSign_AgreesWithOpenSSL(t *testing.T) {
	const want = "6293f9144b4e9adc83416d1b059abcac750bf05b2c5c99ea72fd47cc9c2ace34"
	for _, address := range []string{"/hello/world", "https://h.example/hello/world"} {
		got, err := Sign("this is a secret", address, time.Time{})
		if err != nil || got != address+"?sig="+want {
			t.Errorf("%s: got %q, %v", address, got, err)
		}
	}
}

func TestVerify_TakesWhatSignGives(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, c := range []struct{ path, query, rest string }{
		{"/cdn-cgi/image/w=1/a.jpg", "", ""},
		{"/cdn-cgi/image/w=1/a%20b.jpg", "x=1&y=2", "x=1&y=2"},
	} {
		address := c.path
		if c.query != "" {
			address += "?" + c.query
		}
		signed, err := Sign("k", address, now.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		_, query, _ := strings.Cut(signed, "?")
		for name, keys := range map[string][]string{"the key": {"k"}, "one of two": {"old", "k"}} {
			if rest, err := verify(keys, c.path, query, now); err != nil || rest != c.rest {
				t.Errorf("%s with %s: got %q, %v", signed, name, rest, err)
			}
		}
		refused := map[string]error{}
		_, refused["another key"] = verify([]string{"other"}, c.path, query, now)
		_, refused["too late"] = verify([]string{"k"}, c.path, query, now.Add(2*time.Minute))
		_, refused["another path"] = verify([]string{"k"}, c.path+"x", query, now)
		_, refused["more query"] = verify([]string{"k"}, c.path, query+"&z=1", now)
		_, refused["later expiry"] = verify([]string{"k"}, c.path, strings.Replace(query, "exp="+strconv.FormatInt(now.Unix()+60, 10), "exp=9999999999", 1), now)
		_, refused["no signature"] = verify([]string{"k"}, c.path, c.query, now)
		for name, err := range refused {
			if !fault.Is(err, fault.Forbidden) {
				t.Errorf("%s: got %v, want forbidden", name, err)
			}
		}
	}
}

func TestSign_RefusesWhatIsNoAddress(t *testing.T) {
	for _, address := range []string{"", "hello", "https://h.example"} {
		if _, err := Sign("k", address, time.Time{}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %v", address, err)
		}
	}
	if _, err := Sign("", "/a", time.Time{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("empty key: got %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("/a", "exp=1&sig=00")
	f.Add("/a", "sig=&sig=&exp=")
	f.Fuzz(func(t *testing.T, path, query string) {
		if _, err := verify([]string{"a key nobody guesses"}, path, query, time.Unix(0, 0)); err == nil {
			t.Fatalf("%q?%q passed", path, query)
		}
	})
}
