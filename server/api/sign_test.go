package api

import (
	"net/http"
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

// What a client sends must be what was signed, though it escapes names. The wanted
// escapes are those of the URL standard.
func TestSign_OutlivesTheEscapesOfAClient(t *testing.T) {
	for address, want := range map[string]string{
		"/w=1/a b.jpg":          "/w=1/a%20b.jpg",
		"/w=1/a%20b.jpg":        "/w=1/a%20b.jpg",
		"/w=1/é☃.jpg?q=a b":     "/w=1/%C3%A9%E2%98%83.jpg?q=a%20b",
		"/w=1/{a}^`<\">.jpg":    "/w=1/%7Ba%7D%5E%60%3C%22%3E.jpg",
		"/t=1;2,b=rgb(1,2,3)/a": "/t=1;2,b=rgb(1,2,3)/a",
	} {
		signed, err := Sign("k", "https://h.example"+address, time.Time{})
		if err != nil || !strings.HasPrefix(signed, "https://h.example"+want) {
			t.Errorf("%s: %s, %v", address, signed, err)
			continue
		}
		request, err := http.NewRequest(http.MethodGet, signed, nil)
		if err != nil {
			t.Fatal(err)
		}
		sent := request.URL.RequestURI()
		path, query, _ := strings.Cut(sent, "?")
		if _, err := verify([]string{"k"}, path, query, time.Now()); err != nil {
			t.Errorf("%s was sent as %s: %v", signed, sent, err)
		}
	}
}

func TestSign_RefusesWhatIsNoAddress(t *testing.T) {
	for _, address := range []string{
		"", "hello", "https://h.example",
		"/cdn-cgi/image/background=#f00/a.png", "https://h.example/a.jpg?x=1#top", // no client sends what is behind a #
		"/a.jpg?sig=00", "/a.jpg?x=1&exp=9", // they would be taken for the signature's own
	} {
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
