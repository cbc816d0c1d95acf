package source

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"focal/core/cache"
	"focal/core/fault"
	"focal/core/pixel"
)

// kept is an answer of an origin in the source cache. Every request of ours
// has the same headers, so the answers to two of them for one address are
// interchangeable whatever Vary names, but for a star.
type kept struct {
	bytes  []byte
	digest pixel.Digest
	header http.Header // those of remembered
	until  time.Time   // fresh before
}

// remembered are the headers that an answer is kept with.
var remembered = []string{"Age", "Cache-Control", "Content-Type", "Date", "Etag", "Expires", "Last-Modified"}

// version is what a conditional request names; empty where nothing is known.
type version struct{ etag, modified string }

// unchanged is the answer to a conditional request that there is nothing new.
type unchanged struct{ header http.Header }

func (*unchanged) Error() string { return "source is unchanged" }

func newKept(budget int64) (*cache.Cache[*kept], error) {
	return cache.New(cache.Config{Bytes: budget}, func(k *kept) int64 {
		n := int64(cap(k.bytes))
		for _, v := range k.header {
			n += int64(len(v[0]))
		}
		return n
	})
}

// remember answers for a place from the source cache, or by fetch.
//
//  1. A fresh answer is kept: that.
//  2. A stale one with an ETag or a Last-Modified: the origin is asked whether
//     it still holds, and it is fresh again if so.
//  3. Else the source is fetched, and kept if its headers allow that.
//
// Neither waiting for memory nor asking the origin holds on to kept bytes, so
// whatever leaves the cache meanwhile is really gone, and is fetched again.
func (f *Fetcher) remember(ctx context.Context, place pixel.Digest, fetch func(context.Context, version) (*Original, error)) (*Original, error) {
	purges := f.purges.Load()
	known, fresh := f.look(place)
	if fresh { // 1
		if o, err := f.lend(ctx, place); o != nil || err != nil {
			f.counts.fresh.Add(1)
			return o, err
		}
		known = version{}
	}
	asked := f.now()
	o, err := fetch(ctx, known)
	var same *unchanged
	if errors.As(err, &same) { // 2
		f.renew(place, same.header, asked)
		if o, err := f.lend(ctx, place); o != nil || err != nil {
			f.counts.renewed.Add(1)
			return o, err
		}
		o, err = fetch(ctx, version{})
	}
	if err != nil {
		if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
			f.kept.Remove(place) // the origin took it back
		}
		return nil, err
	}
	f.counts.fetched.Add(1)
	if k := o.keep(asked); k != nil { // 3
		f.kept.Put(place, k)
	} else {
		f.kept.Remove(place)
	}
	if f.purges.Load() != purges {
		f.kept.Remove(place) // it may be what was to be forgotten
	}
	return o, nil
}

// look says what is kept under key without holding on to it.
func (f *Fetcher) look(key pixel.Digest) (known version, fresh bool) {
	k, ok := f.kept.Get(key)
	if !ok {
		return version{}, false
	}
	return version{k.header.Get("ETag"), k.header.Get("Last-Modified")}, f.now().Before(k.until)
}

// lend returns a kept answer as an original whose bytes are booked like those
// of any other, or nil if it is gone.
func (f *Fetcher) lend(ctx context.Context, key pixel.Digest) (*Original, error) {
	k, ok := f.kept.Get(key)
	if !ok {
		return nil, nil
	}
	size, digest := int64(cap(k.bytes)), k.digest
	k = nil // not held while waiting
	if err := f.memory.reserve(ctx, size); err != nil {
		return nil, err
	}
	if k, ok = f.kept.Get(key); !ok || k.digest != digest || int64(cap(k.bytes)) != size {
		f.memory.release(size)
		return nil, nil
	}
	o := f.memory.hold(k.bytes, k.digest)
	o.describe(k.header)
	return o, nil
}

// renew takes the headers of a 304 (RFC 9111 §4.3.4).
func (f *Fetcher) renew(key pixel.Digest, header http.Header, asked time.Time) {
	k, ok := f.kept.Get(key)
	if !ok {
		return
	}
	again := *k
	again.header = maps.Clone(k.header)
	again.header.Del("Age")
	if header.Get("Date") == "" {
		again.header.Del("Date")
	}
	maps.Copy(again.header, pick(header))
	until, ok := freshUntil(again.header, asked)
	if !ok {
		f.kept.Remove(key) // for whoever comes next; this caller may still have it
		return
	}
	again.until = until
	f.kept.Put(key, &again)
}

// keep returns what o leaves in the cache, or nil if it must not.
func (o *Original) keep(asked time.Time) *kept {
	if o.header == nil || strings.Contains(o.header.Get("Vary"), "*") {
		return nil
	}
	until, ok := freshUntil(o.header, asked)
	if !ok || !asked.Before(until) && o.ETag == "" && o.LastModified.IsZero() {
		return nil // never usable, so not worth its room
	}
	return &kept{bytes: o.Bytes, digest: o.Digest, header: pick(o.header), until: until}
}

// pick returns those headers that are remembered, each as one line.
func pick(h http.Header) http.Header {
	out := http.Header{}
	for _, name := range remembered {
		if v := h.Values(name); len(v) > 0 {
			out.Set(name, strings.Join(v, ", "))
		}
	}
	return out
}

// freshUntil says how long an answer to a request sent at asked may be used
// without asking again (RFC 9111 §4.2; we are a shared cache, and guess no
// lifetime that is not given); false: it must not be kept.
//
//  1. no-store or private: not kept.
//  2. no-cache: kept, and never fresh.
//  3. s-maxage, else max-age, else Expires less Date, else nothing.
//  4. Less its age when it came: Age, or by its Date if that is more.
func freshUntil(h http.Header, asked time.Time) (time.Time, bool) {
	control := directives(strings.Join(h.Values("Cache-Control"), ","))
	_, noStore := control["no-store"]
	_, private := control["private"]
	if noStore || private { // 1
		return time.Time{}, false
	}
	if _, ok := control["no-cache"]; ok { // 2
		return time.Time{}, true
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		date = asked
	}
	var lifetime time.Duration // 3
	if v, ok := control["s-maxage"]; ok {
		lifetime = seconds(v)
	} else if v, ok := control["max-age"]; ok {
		lifetime = seconds(v)
	} else if expires, err := http.ParseTime(h.Get("Expires")); err == nil {
		lifetime = expires.Sub(date)
	}
	age := max(seconds(h.Get("Age")), asked.Sub(date), 0) // 4
	return asked.Add(lifetime - age), true
}

// directives splits a Cache-Control into lower-case names and values. Of a
// name that is there twice the first counts.
func directives(s string) map[string]string {
	m := map[string]string{}
	for item := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, again := m[name]; name != "" && !again {
			m[name] = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return m
}

// seconds reads a delta-seconds, bounded as RFC 9111 §1.2.2 allows; what is
// none is 0, which means stale.
func seconds(s string) time.Duration {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return time.Duration(min(n, 1<<31)) * time.Second
}
