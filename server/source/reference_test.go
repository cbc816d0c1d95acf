package source

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"focal/core/fault"
)

func TestParseReference_ReadsWhatClientsSend(t *testing.T) {
	for _, tt := range []struct{ ref, want string }{
		{"photo.jpg", "path photo.jpg ?"},
		{"/photos/a%20b.jpg", "path photos/a b.jpg ?"},
		{"//media/x.png", "path media/x.png ?"},
		{"%2Fmedia/x.png", "path media/x.png ?"},
		{"a.jpg?v=2", "path a.jpg ?v=2"},
		{"a.jpg%3Fv=2", "path a.jpg ?v=2"},
		{"a%3Fb.jpg?", "path a?b.jpg ?"},
		{"a.jpg#top", "path a.jpg ?"},
		{"%252e%252e/a.jpg", "path %2e%2e/a.jpg ?"}, // decoded once: a folder of that odd name
		{"über.jpg", "path über.jpg ?"},
		{"12:30/a.jpg", "path 12:30/a.jpg ?"},
		{"https://o.example/a.jpg", "url https://o.example/a.jpg"},
		{"https:/o.example/a.jpg", "url https://o.example/a.jpg"},
		{"HTTP:///o.example:8080/a.jpg", "url http://o.example:8080/a.jpg"},
		{"https://o.example/a%20b.jpg%3Fx=1,2", "url https://o.example/a%20b.jpg?x=1,2"}, // unpic 4.2.2
		{"https://o.example/a%2Fb.jpg?x=%3F", "url https://o.example/a%2Fb.jpg?x=%3F"},
		{"http://[2001:4860:4860::8888]/a.jpg", "url http://[2001:4860:4860::8888]/a.jpg"},
	} {
		r, err := parseReference(tt.ref)
		if err != nil {
			t.Errorf("%q: %v", tt.ref, err)
			continue
		}
		got := "path " + r.path + " ?" + r.query
		if r.url != nil {
			got = "url " + r.url.String()
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.ref, got, tt.want)
		}
	}
}

func TestParseReference_Refuses(t *testing.T) {
	for ref, kind := range map[string]fault.Kind{
		"":                                     fault.BadURL,
		"/":                                    fault.BadURL,
		"?a=b":                                 fault.BadURL,
		"%2f":                                  fault.BadURL,
		"../a.jpg":                             fault.BadURL,
		"a/../b.jpg":                           fault.BadURL,
		"..%2fa.jpg":                           fault.BadURL,
		"..%2Fa.jpg":                           fault.BadURL,
		"%2e%2e/a.jpg":                         fault.BadURL,
		"%2E%2e%2fa.jpg":                       fault.BadURL,
		"a/./b.jpg":                            fault.BadURL,
		"a/..":                                 fault.BadURL,
		`..\a.jpg`:                             fault.BadURL,
		"..%5ca.jpg":                           fault.BadURL,
		"a%00.jpg":                             fault.BadURL,
		"a\x00.jpg":                            fault.BadURL,
		"a%0d%0aHost:x":                        fault.BadURL,
		"100%.jpg":                             fault.BadURL,
		"a.jpg?x y":                            fault.BadURL,
		"a.jpg?x\r\nHost: y":                   fault.BadURL,
		"file:///etc/passwd":                   fault.BadURL,
		"ftp://o.example/a.jpg":                fault.BadURL,
		"gopher:/o.example/a.jpg":              fault.BadURL,
		"https://":                             fault.BadURL,
		"https://:80/a.jpg":                    fault.BadURL,
		"https://user:secret@o.example/a":      fault.BadURL,
		"https://user@o.example/a":             fault.BadURL,
		"https://o.example:0/a":                fault.BadURL,
		"https://o.example:99999/a":            fault.BadURL,
		"https://o.example:x/a":                fault.BadURL,
		"https://ö.example/a":                  fault.BadURL,
		"https://o.example%00.evil/a":          fault.BadURL,
		`https://o.example\@evil.example/a`:    fault.BadURL,
		"https://[fe80::1%25eth0]/a":           fault.BadURL,
		"https://[::1/a":                       fault.BadURL,
		"https://o.example/a/../b":             fault.BadURL,
		"https://o.example/a/%2e%2e%2fb":       fault.BadURL,
		"cdn-cgi/image/width=1/a.jpg":          fault.Loop,
		"//cdn-cgi//image/width=1/a.jpg":       fault.Loop,
		"/cdn-cgi%2fimage/w=1/a.jpg":           fault.Loop,
		"https://o.example/cdn-cgi/image/w=1/": fault.Loop,
	} {
		if r, err := parseReference(ref); !fault.Is(err, kind) {
			t.Errorf("%q: %+v, %v: want %v", ref, r, err, kind)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, seed := range []string{
		"photo.jpg", "/a%20b.jpg?x=1", "https:/o.example/a%3Fb", "..%2f", "%252e%252e/", `\\h\s`, "http://[::1]:80/",
		"https://u@h/", "a\x00b", "cdn-cgi/image/x/y", "http://h:80:80/", "http://h/%", "http://a b/", "http:////h//..//x",
		"%2f", "\x95%3F", "\x95%3f",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		r, err := parseReference(ref)
		if err != nil {
			if k := fault.KindOf(err); k != fault.BadURL && k != fault.Loop {
				t.Fatalf("%q: kind %v", ref, k)
			}
			return
		}
		if r.url == nil {
			base, _ := url.Parse("http://origin.example/base")
			u := r.under(base)
			if !strings.HasPrefix(u.EscapedPath(), "/base/") || u.Host != "origin.example" || checkURL(u) != nil {
				t.Fatalf("%q: leaves its base: %v", ref, u)
			}
			if strings.HasPrefix(r.path, "/") || strings.ContainsAny(r.path, "\x00\\") {
				t.Fatalf("%q: path %q", ref, r.path)
			}
			return
		}
		// What was checked must be what a reader of the text would see.
		again, err := url.Parse(r.url.String())
		if err != nil || again.Host != r.url.Host || again.Scheme != r.url.Scheme || again.User != nil || checkURL(again) != nil {
			t.Fatalf("%q: %v reads back as %v, %v", ref, r.url, again, err)
		}
	})
}

func TestAllowList_Matches(t *testing.T) {
	for _, tt := range []struct {
		pattern, url string
		want         bool
	}{
		{"example.com", "https://example.com/a.jpg", true},
		{"Example.COM", "http://EXAMPLE.com:8080/a.jpg", true},
		{"example.com", "https://example.com./a.jpg", true},
		{"example.com", "https://www.example.com/a.jpg", false},
		{"example.com", "https://notexample.com/a.jpg", false},
		{"example.com", "https://example.com.evil.net/a.jpg", false},
		{"*.example.com", "https://example.com/a.jpg", true},
		{"*.example.com", "https://a.b.example.com/a.jpg", true},
		{"*.example.com", "https://badexample.com/a.jpg", false},
		{"example.com/img", "https://example.com/img/a.jpg", true},
		{"example.com/img/", "https://example.com/img/a.jpg", true},
		{"example.com/img", "https://example.com/img", true},
		{"example.com/img", "https://example.com/imgs/a.jpg", false},
		{"example.com/img", "https://example.com/a.jpg", false},
		{"example.com:8080", "http://example.com:8080/a.jpg", true},
		{"example.com:8080", "http://example.com/a.jpg", false},
		{"example.com:443", "https://example.com/a.jpg", true},
		{"https://example.com", "https://example.com/a.jpg", true},
		{"https://example.com", "http://example.com/a.jpg", false},
		{"*", "http://anything.example/a.jpg", true},
		{"*/img", "http://anything.example/a.jpg", false},
		{"[2001:4860:4860::8888]", "http://[2001:4860:4860::8888]/a.jpg", true},
		{"203.0.113.9", "http://203.0.113.9/a.jpg", true},
	} {
		list, err := parseAllowList([]string{tt.pattern})
		if err != nil {
			t.Errorf("%q: %v", tt.pattern, err)
			continue
		}
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := list.has(u); got != tt.want {
			t.Errorf("%q allows %s: %v, want %v", tt.pattern, tt.url, got, tt.want)
		}
	}
	for _, p := range []string{"", "*.", "ftp://a.example", "a.*.example", "*a.example", "a.example?x", "a b", "u@a.example", "a.example/../b", "/img"} {
		if got, err := parsePattern(p); err == nil {
			t.Errorf("%q: accepted as %+v", p, got)
		}
	}
}

func FuzzParsePattern(f *testing.F) {
	for _, seed := range []string{"example.com", "*.example.com", "*", "*/x", "https://a.example:8080/img/", "[::1]", "*.*.x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePattern(s)
		if err == nil && p.host == "" && !strings.Contains(s, "*") {
			t.Fatalf("%q allows every host", s)
		}
	})
}

// The addresses are those that RFC 1122, 1918, 3927, 4193, 4291, 5737, 6598,
// 3056, 4380 and 6052 name, and public resolvers as counter-examples.
func TestGuard_RefusesWhatIsNotPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "93.184.216.34": true, "172.15.255.255": true, "172.32.0.0": true, "100.63.255.255": true,
		"100.128.0.0": true, "2001:4860:4860::8888": true, "2606:4700:4700::1111": true, "2a00:1450:4001:81b::200e": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "100.127.255.255": false, "127.0.0.1": false,
		"127.255.0.9": false, "169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.8": false,
		"192.0.2.1": false, "192.88.99.1": false, "192.168.1.1": false, "198.18.0.1": false, "198.51.100.1": false,
		"203.0.113.1": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::7f00:1": false, "::ffff:127.0.0.1": false, "::ffff:8.8.8.8": false, "64:ff9b::7f00:1": false,
		"64:ff9b::808:808": false, "64:ff9b:1::1": false, "100::1": false, "2001::1": false, "2001:0:53aa:64c::1": false,
		"2001:db8::1": false, "2002:7f00:1::1": false, "2002:808:808::1": false, "3fff::1": false, "fc00::1": false,
		"fd12:3456::1": false, "fe80::1": false, "fe80::1%lo": false, "fec0::1": false, "ff02::1": false, "5f00::1": false,
		"2001:4860:4860::8888%lo": false,
	} {
		if got := public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s public: %v, want %v", addr, got, want)
		}
	}
	for _, address := range []string{"", "8.8.8.8", "name.example:80", "127.0.0.1:80", "[::1]:80"} {
		if refuseNonPublic("tcp", address, nil) == nil {
			t.Errorf("%q: connected", address)
		}
	}
	if err := refuseNonPublic("tcp4", "8.8.8.8:443", nil); err != nil {
		t.Error(err)
	}
}
