package source

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"focal/core/fault"
)

// The figures follow RFC 9111 §4.2 and §5.2 by hand: a request at noon.
func TestFreshUntil_FollowsTheRFC(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return noon.Add(d).Format(http.TimeFormat) }
	for name, c := range map[string]struct {
		header  []string
		seconds int
		kept    bool
	}{
		"nothing said":          {nil, 0, true},
		"max-age":               {[]string{"Cache-Control", "public, max-age=60"}, 60, true},
		"quoted":                {[]string{"Cache-Control", `Max-Age="60"`}, 60, true},
		"s-maxage wins":         {[]string{"Cache-Control", "max-age=60, s-maxage=10"}, 10, true},
		"two lines":             {[]string{"Cache-Control", "public", "Cache-Control", "max-age=60"}, 60, true},
		"less Age":              {[]string{"Cache-Control", "max-age=60", "Age", "20"}, 40, true},
		"less its date":         {[]string{"Cache-Control", "max-age=60", "Age", "20", "Date", at(-30 * time.Second)}, 30, true},
		"a date to come":        {[]string{"Cache-Control", "max-age=60", "Date", at(time.Hour)}, 60, true},
		"Expires":               {[]string{"Expires", at(90 * time.Second), "Date", at(0)}, 90, true},
		"Expires without Date":  {[]string{"Expires", at(90 * time.Second)}, 90, true},
		"max-age over Expires":  {[]string{"Cache-Control", "max-age=5", "Expires", at(time.Hour)}, 5, true},
		"Expires: 0":            {[]string{"Expires", "0"}, 0, true},
		"max-age that is none":  {[]string{"Cache-Control", "max-age=soon"}, 0, true},
		"negative":              {[]string{"Cache-Control", "max-age=-5"}, 0, true},
		"more than a number":    {[]string{"Cache-Control", "max-age=99999999999999999999"}, 1 << 31, true},
		"twice: the first":      {[]string{"Cache-Control", "max-age=7, max-age=9"}, 7, true},
		"no-store":              {[]string{"Cache-Control", "max-age=60, No-Store"}, 0, false},
		"private":               {[]string{"Cache-Control", "private, max-age=60"}, 0, false},
		"private of a field":    {[]string{"Cache-Control", `private="Set-Cookie"`}, 0, false},
		"no-cache: asked again": {[]string{"Cache-Control", "no-cache, max-age=60"}, 0, true},
	} {
		h := http.Header{}
		for i := 0; i < len(c.header); i += 2 {
			h.Add(c.header[i], c.header[i+1])
		}
		until, kept := freshUntil(h, noon)
		lifetime := max(until.Sub(noon), 0)
		if kept != c.kept || kept && lifetime != time.Duration(c.seconds)*time.Second {
			t.Errorf("%s: %v, kept %v; want %d s, kept %v", name, lifetime, kept, c.seconds, c.kept)
		}
	}
}

func FuzzFreshUntil(f *testing.F) {
	f.Add("public, max-age=60", "5", "Sun, 01 Mar 2026 12:00:00 GMT", "")
	f.Add(`private="a,b", s-maxage=1`, "x", "0", "Sun, 01 Mar 2026 12:00:00 GMT")
	f.Fuzz(func(t *testing.T, control, age, date, expires string) {
		h := http.Header{"Cache-Control": {control}, "Age": {age}, "Date": {date}, "Expires": {expires}}
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		if _, kept := freshUntil(h, now); kept && strings.EqualFold(strings.TrimSpace(control), "no-store") {
			t.Error("no-store is kept")
		}
	})
}

// cachingOrigin counts whole answers and 304s; its handler is told how often
// it was asked before.
type cachingOrigin struct {
	url           string
	whole, same   atomic.Int32
	body, control atomic.Pointer[string]
}

func newCachingOrigin(t *testing.T, control string, more ...string) *cachingOrigin {
	o := &cachingOrigin{}
	o.say("one", control)
	o.url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		body := *o.body.Load()
		etag := fmt.Sprintf("%q", body)
		for i := 0; i < len(more); i += 2 {
			w.Header().Set(more[i], more[i+1])
		}
		w.Header()["Date"] = nil // the test's clock is not the server's
		w.Header().Set("Cache-Control", *o.control.Load())
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			o.same.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		o.whole.Add(1)
		_, _ = w.Write([]byte(body))
	})
	return o
}

func (o *cachingOrigin) say(body, control string) {
	o.body.Store(&body)
	o.control.Store(&control)
}

func (o *cachingOrigin) want(t *testing.T, whole, same int32) {
	t.Helper()
	if o.whole.Load() != whole || o.same.Load() != same {
		t.Errorf("the origin sent %d pictures and %d times 304, want %d and %d", o.whole.Load(), o.same.Load(), whole, same)
	}
}

func TestCache_IsFreshThenAskedAgain(t *testing.T) {
	o := newCachingOrigin(t, "max-age=60", "Vary", "Accept")
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f := newFetcher(t, func(c *Config) { c.Origins = []string{o.url} })
	f.now = func() time.Time { return now }
	expect := func(want string, whole, same int32) {
		t.Helper()
		if got := get(t, f, "a.jpg"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		o.want(t, whole, same)
	}
	expect("one", 1, 0)
	o.say("two", "max-age=60")
	now = now.Add(59 * time.Second)
	expect("one", 1, 0)
	o.say("one", "max-age=10")
	now = now.Add(time.Second)
	expect("one", 1, 1) // the 304 says: ten seconds more
	now = now.Add(9 * time.Second)
	expect("one", 1, 1)
	now = now.Add(time.Second)
	o.say("two", "max-age=60")
	expect("two", 2, 1)
	expect("two", 2, 1)
	// Another query is another source.
	if got := get(t, f, "a.jpg?v=2"); got != "two" {
		t.Errorf("got %q", got)
	}
	o.want(t, 3, 1)
	if place, gone, err := f.Purge("/a.jpg"); len(gone) != 1 || gone[0] != sha256.Sum256([]byte("two")) || err != nil {
		t.Errorf("purge: %v, %v, %v", place, gone, err)
	}
	expect("two", 4, 1)
	if _, gone, _ := f.Purge("/never.jpg"); len(gone) != 0 {
		t.Error("what was never fetched was purged")
	}
	if _, _, err := f.Purge("/../a.jpg"); !fault.Is(err, fault.BadURL) {
		t.Errorf("purging a bad address: %v", err)
	}
}

func TestCache_KeepsNothingItMustNot(t *testing.T) {
	for name, c := range map[string]struct {
		origin *cachingOrigin
		bytes  int64
	}{
		"no-store":         {newCachingOrigin(t, "no-store"), 1000},
		"private":          {newCachingOrigin(t, "private, max-age=60"), 1000},
		"Vary: *":          {newCachingOrigin(t, "max-age=60", "Vary", "Accept, *"), 1000},
		"switched off":     {newCachingOrigin(t, "max-age=60"), 0},
		"larger than room": {newCachingOrigin(t, "max-age=60"), 64},
	} {
		f := newFetcher(t, func(cfg *Config) { cfg.Origins, cfg.Cache = []string{c.origin.url}, c.bytes })
		for range 2 {
			get(t, f, "a.jpg")
		}
		if s := f.Stats(); s.Entries != 0 || s.Bytes != 0 {
			t.Errorf("%s: %d entries of %d bytes are kept", name, s.Entries, s.Bytes)
		}
		c.origin.want(t, 2, 0)
	}
}

// RFC 9111 §4.1: a kept answer is for requests with the same values of what
// Vary names. All of ours have, whatever the client of the transform accepts;
// so an origin that chooses by Accept always chooses the same for us.
func TestCache_ObeysVaryByAskingAlwaysInTheSameWords(t *testing.T) {
	var accepted []string
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) {
		accept := r.Header.Get("Accept")
		accepted = append(accepted, accept)
		w.Header().Set("Vary", "Accept, User-Agent, Accept-Encoding, Cookie")
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = w.Write([]byte("for " + accept + r.Header.Get("Cookie")))
	})
	f := newFetcher(t, func(c *Config) { c.Origins = []string{origin} })
	for _, ref := range []string{"a.jpg", "a.jpg", "b.jpg"} {
		if got := get(t, f, ref); got != "for image/*" {
			t.Errorf("%s: %q", ref, got)
		}
	}
	if len(accepted) != 2 || accepted[0] != accepted[1] {
		t.Errorf("the origin was asked for %q", accepted)
	}
}

func TestCache_KeepsNothingBehindARedirect(t *testing.T) {
	var asked atomic.Int32
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("ETag", `"x"`)
		if r.URL.Path == "/a.jpg" {
			asked.Add(1)
			http.Redirect(w, r, "/b.jpg", http.StatusFound)
			return
		}
		_, _ = w.Write([]byte("body"))
	})
	f := newFetcher(t, func(c *Config) { c.Origins = []string{origin} })
	for range 2 {
		if got := get(t, f, "a.jpg"); got != "body" {
			t.Errorf("got %q", got)
		}
	}
	if asked.Load() != 2 || f.Stats().Entries != 0 {
		t.Errorf("asked %d times, %d entries", asked.Load(), f.Stats().Entries)
	}
}

func TestCache_ForgetsWhatTheOriginHasLost(t *testing.T) {
	var gone atomic.Bool
	origin := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if gone.Load() {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", `"x"`)
		_, _ = w.Write([]byte("body"))
	})
	f := newFetcher(t, func(c *Config) { c.Origins = []string{origin} })
	get(t, f, "a.jpg")
	gone.Store(true)
	refused(t, f, "a.jpg", fault.NotFound)
	if n := f.Stats().Entries; n != 0 {
		t.Errorf("%d entries are kept", n)
	}
}

// Kept bytes that are out are booked like fetched ones: what leaves the cache
// while it is used still counts.
func TestCache_LoansCountAsSourceMemory(t *testing.T) {
	o := newCachingOrigin(t, "max-age=60")
	f := newFetcher(t, func(c *Config) { c.Origins = []string{o.url} })
	get(t, f, "a.jpg")
	lent, err := f.Fetch(t.Context(), "a.jpg")
	if err != nil {
		t.Fatal(Detail(err))
	}
	if taken, _ := f.Reserved(); taken < 3 {
		t.Errorf("%d bytes are booked while 3 are lent", taken)
	}
	if _, gone, _ := f.Purge("a.jpg"); len(gone) != 1 || string(lent.Bytes) != "one" {
		t.Errorf("after the purge the loan is %q", lent.Bytes)
	}
	lent.Release()
	o.want(t, 1, 0)
}
