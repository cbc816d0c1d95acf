package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"focal/core/fault"
)

// newTransport makes a transport that asks control before every connection.
// It follows no proxy of the environment: a proxy would connect in the guard's
// place.
func newTransport(control func(network, address string, c syscall.RawConn) error) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: control}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// fetchURL follows u to an answer, or to unchanged where that is still the
// known version. base is the operator's origin that u is a path under; nil for
// an absolute URL.
func (f *Fetcher) fetchURL(ctx context.Context, u, base *url.URL, known version) (*Original, error) {
	for hop := 0; ; hop++ {
		transport, err := f.admit(u, base)
		if err != nil {
			return nil, err
		}
		resp, err := transport.RoundTrip(f.request(ctx, u, known))
		if err != nil {
			return nil, f.failure(ctx, err)
		}
		next, err := redirect(resp, u)
		if err == nil && next == nil {
			o, err := f.accept(ctx, resp, known)
			resp.Body.Close()
			if err == nil && hop > 0 {
				o.header = nil // how long the way here stays valid nobody has said: not kept
			}
			return o, err
		}
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		if hop == f.cfg.MaxRedirects {
			return nil, fault.New(fault.Upstream, "source.Fetch", "%w", &failure{fmt.Sprintf("more than %d redirects", f.cfg.MaxRedirects), ErrManyRedirects})
		}
		// Who has left the operator's origin comes back as a stranger.
		if base != nil && !sameSite(next, base) {
			base = nil
		}
		u, known = next, version{} // which was of another address
	}
}

// admit decides about one hop, the first like every other:
//
//  1. A path source may go where the operator's origin is.
//  2. The allow-list has it: the guard watches where it connects.
//  3. Anything else is refused.
func (f *Fetcher) admit(u, base *url.URL) (*http.Transport, error) {
	switch {
	case base != nil && sameSite(u, base): // 1
		return f.own, nil
	case f.allow.has(u): // 2
		return f.guarded, nil
	default: // 3
		return nil, fault.New(fault.Forbidden, "source.Fetch", "%w",
			&failure{"source host is not in the list of allowed origins (--allow-origin)", errors.New(u.Host)})
	}
}

// request is anonymous: what the transform's caller sent does not come along.
func (f *Fetcher) request(ctx context.Context, u *url.URL, known version) *http.Request {
	r := &http.Request{
		Method: http.MethodGet, URL: u, Host: u.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Accept":          {"image/*"},
			"Accept-Encoding": {"identity"}, // the digest is that of the bytes as fetched
			"User-Agent":      {f.cfg.UserAgent},
			"Via":             {ViaToken},
		},
	}
	if known.etag != "" {
		r.Header.Set("If-None-Match", known.etag)
	}
	if known.modified != "" {
		r.Header.Set("If-Modified-Since", known.modified)
	}
	return r.WithContext(ctx)
}

// redirect returns where resp leads, or nil if it is an answer.
func redirect(resp *http.Response, from *url.URL) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	location := resp.Header.Get("Location")
	next, err := from.Parse(location)
	if location == "" || err != nil {
		return nil, fault.New(fault.Upstream, "source.Fetch", "%w", &failure{"the origin redirects to nowhere", errors.Join(ErrNoRedirect, err)})
	}
	next.Fragment, next.RawFragment = "", ""
	if err := checkURL(next); err != nil {
		if fault.Is(err, fault.Loop) {
			return nil, err
		}
		return nil, fault.New(fault.Forbidden, "source.Fetch", "%w",
			&failure{"the origin redirects to an address that is not allowed", err})
	}
	return next, nil
}

// accept turns an answer that is no redirect into an original.
func (f *Fetcher) accept(ctx context.Context, resp *http.Response, known version) (*Original, error) {
	if resp.StatusCode == http.StatusNotModified && known != (version{}) {
		return nil, &unchanged{resp.Header}
	}
	if err := judge(resp); err != nil {
		return nil, err
	}
	o, err := f.read(ctx, resp.Body, resp.ContentLength)
	if err != nil {
		return nil, f.failure(ctx, err)
	}
	o.describe(resp.Header)
	return o, nil
}

// judge reads the status and headers of an answer that is no redirect.
func judge(resp *http.Response) error {
	refuse := func(k fault.Kind, format string, args ...any) error {
		return fault.New(k, "source.Fetch", format, args...)
	}
	code := resp.StatusCode
	switch {
	case code == http.StatusNotFound:
		return refuse(fault.NotFound, "source does not exist")
	case code >= 400 && code < 500:
		return refuse(fault.Denied, "the origin denied the source with status %d", code)
	case code >= 500:
		return refuse(fault.Upstream, "%w", &failure{fmt.Sprintf("the origin answered with status %d", code), ErrOrigin})
	case code != http.StatusOK && code != http.StatusNonAuthoritativeInfo:
		return refuse(fault.Upstream, "the origin answered with status %d", code)
	}
	return checkEncoding(resp.Header)
}

// checkEncoding refuses bytes that are not those of the picture.
func checkEncoding(h http.Header) error {
	encoding := h.Get("Content-Encoding")
	if encoding != "" && !strings.EqualFold(encoding, "identity") {
		return fault.New(fault.Upstream, "source.Fetch", "the origin compressed its answer although it was asked not to")
	}
	return nil
}

// What more is known of some failures than their kind, which is
// fault.Upstream.
var (
	ErrNoHost        = errors.New("the origin's name has no address")
	ErrManyRedirects = errors.New("too many redirects")
	ErrNoRedirect    = errors.New("a redirect without an address")
	ErrOrigin        = errors.New("the origin failed by itself (5xx)")
	ErrLength        = errors.New("another length than announced")
)

// failure is an error in words that a stranger may read; its cause may name
// addresses of the operator's network.
type failure struct {
	public string
	cause  error
}

func (e *failure) Error() string { return e.public }
func (e *failure) Unwrap() error { return e.cause }

// Detail returns the text of err for the log: with the causes that its own
// text keeps back.
func Detail(err error) string {
	var e *failure
	if errors.As(err, &e) && e.cause != nil {
		return err.Error() + ": " + e.cause.Error()
	}
	return err.Error()
}

// failure sorts what went wrong between sending a request and the last byte:
//
//  1. It has a kind already.
//  2. The guard refused the IP.
//  3. The caller left.
//  4. Time ran out: the caller's, ours, or one of the transport's steps.
//  5. The body and its announced length differ.
//  6. The origin's name has no address.
//  7. The origin is not there, or broke off.
func (f *Fetcher) failure(ctx context.Context, err error) error {
	k, public := fault.Upstream, "the origin could not be reached" // 7
	var known *fault.Error
	var timeout net.Error
	var name *net.DNSError
	switch {
	case errors.As(err, &known): // 1
		return err
	case errors.Is(err, errNotPublic): // 2
		k, public = fault.Forbidden, "source address is not public (--allow-private)"
	case errors.Is(ctx.Err(), context.Canceled): // 3
		k, public = fault.Canceled, "the caller left while the source was fetched"
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout(): // 4
		k, public = fault.Timeout, "the origin did not deliver the source in time (--timeout)"
	case errors.Is(err, errCut), errors.Is(err, errTooLong), errors.Is(err, io.ErrUnexpectedEOF): // 5
		public, err = "the origin's answer is not as long as it said", fmt.Errorf("%w: %w", ErrLength, err)
	case errors.As(err, &name): // 6
		err = fmt.Errorf("%w: %w", ErrNoHost, err)
	}
	return fault.New(k, "source.Fetch", "%w", &failure{public, err})
}
