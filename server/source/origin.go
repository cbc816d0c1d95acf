package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"focal/core/fault"
	"focal/server/bucket"
)

// origin is where the paths at and below a prefix come from: base or bucket.
type origin struct {
	prefix string         // without slashes at its ends; empty: every path
	base   *url.URL       // http(s)
	bucket *bucket.Bucket // S3
}

// parseOrigin reads one value of --origin, `[/prefix=]base`. The base is an
// http(s) URL, which comes back, or s3://bucket[/prefix].
func parseOrigin(s string) (prefix string, base *url.URL, err error) {
	refuse := func(why any) (string, *url.URL, error) { return "", nil, fmt.Errorf("%s: %v", s, why) }
	address := s
	if strings.HasPrefix(s, "/") {
		var ok bool
		if prefix, address, ok = strings.Cut(s, "="); !ok {
			return refuse("want /prefix=https://host[/path]")
		}
		if prefix = strings.Trim(prefix, "/"); !plainPath(prefix) {
			return refuse("a prefix is segments of letters, digits, -, ., _ and ~")
		}
	}
	if strings.HasPrefix(address, bucket.Scheme) {
		_, _, err := bucket.Parse(address)
		return prefix, nil, err
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", nil, err
	}
	if u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return refuse("want a plain base URL, such as http://images.internal/photos, or s3://bucket/prefix")
	}
	if err := checkURL(u); err != nil {
		return refuse(err)
	}
	return prefix, u, nil
}

// plainPath wants unreserved characters (RFC 3986 §2.3), which have one
// spelling only: a prefix is compared with paths as they were sent.
func plainPath(p string) bool {
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." || segment == "" && p != "" {
			return false
		}
		for _, c := range []byte(segment) {
			if !strings.ContainsRune("-._~0123456789", rune(c)) && (c|0x20 < 'a' || c|0x20 > 'z') {
				return false
			}
		}
	}
	return true
}

// checkOrigins validates a list of --origin without opening anything.
func checkOrigins(list []string) error {
	seen := map[string]bool{}
	for _, s := range list {
		prefix, _, err := parseOrigin(s)
		if err != nil {
			return err
		}
		if seen[prefix] {
			return fmt.Errorf("two origins for the paths below /%s", prefix)
		}
		seen[prefix] = true
	}
	return nil
}

// openOrigins returns the origins, those with longer prefixes first, so that
// the first that fits is the most exact.
func openOrigins(list []string, s3 bucket.Config) ([]*origin, error) {
	var origins []*origin
	for _, s := range list {
		prefix, base, err := parseOrigin(s)
		if err != nil {
			return nil, err
		}
		o := &origin{prefix: prefix, base: base}
		if base == nil {
			if o.bucket, err = bucket.Open(s3, s[strings.Index(s, bucket.Scheme):]); err != nil {
				return nil, err
			}
		}
		origins = append(origins, o)
	}
	slices.SortStableFunc(origins, func(a, b *origin) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
	return origins, nil
}

// originOf returns the origin of a path and what of the path is below its
// prefix; nil if no origin has it.
func (f *Fetcher) originOf(r reference) (*origin, reference) {
	for _, o := range f.origins {
		if o.prefix == "" {
			return o, r
		}
		rest, ok := strings.CutPrefix(r.raw, o.prefix+"/")
		if rest = strings.TrimLeft(rest, "/"); !ok || rest == "" {
			continue
		}
		// What was cut off is plain, so it is as long decoded as it was raw.
		r.path, r.raw = r.path[len(r.raw)-len(rest):], rest
		return o, r
	}
	return nil, reference{}
}

// fetchObject reads an object. The query of a path means nothing to a bucket,
// as it means nothing to a directory.
func (f *Fetcher) fetchObject(ctx context.Context, b *bucket.Bucket, path string, known version) (*Original, error) {
	object, err := b.Get(ctx, path, known.etag)
	if err != nil {
		return nil, f.objectFailure(ctx, err)
	}
	defer object.Body.Close()
	if err := checkEncoding(object.Header); err != nil {
		return nil, err
	}
	o, err := f.read(ctx, object.Body, object.Size)
	if err != nil {
		return nil, f.failure(ctx, err)
	}
	o.describe(object.Header)
	return o, nil
}

func (f *Fetcher) objectFailure(ctx context.Context, err error) error {
	var denied *bucket.DeniedError
	switch {
	case errors.Is(err, bucket.ErrUnchanged):
		return &unchanged{} // the library does not hand out the headers of a 304
	case errors.Is(err, bucket.ErrNotFound):
		return fault.New(fault.NotFound, "source.Fetch", "source does not exist")
	case errors.As(err, &denied):
		return fault.New(fault.Denied, "source.Fetch", "%w",
			&failure{fmt.Sprintf("the origin denied the source with status %d", denied.Status), err})
	default:
		return f.failure(ctx, err)
	}
}
