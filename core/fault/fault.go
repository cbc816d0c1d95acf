// Package fault is the one error vocabulary of focal: what went wrong, in
// words that every room understands and that survive the inference socket.
//
// It knows nothing of HTTP: the numbers that a kind becomes on the wire stand
// in one file of server/api, and in one of inference/sidecar. It owns no
// goroutine and no memory.
package fault

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Kind says what a caller can do about an error. The zero value is Internal,
// so that an error nobody classified is never mistaken for a user's mistake.
type Kind uint8

// The kinds. Their names travel in JSON answers ("kind":"too_large"), so a
// name, once given, stays.
const (
	// Internal is a defect of ours.
	Internal Kind = iota
	// Invalid is a request that can never succeed as written.
	Invalid
	// BadURL is a source address that is malformed or of a scheme not served.
	BadURL
	// Forbidden is a source, signature or token that is not allowed.
	Forbidden
	// Loop is a transform whose source is itself a transform.
	Loop
	// NotFound is a source, result or model that does not exist.
	NotFound
	// Denied is an origin that answered with a 4xx other than 404.
	Denied
	// TooLarge is input or output beyond a limit; the text names the flag.
	TooLarge
	// Unsupported is a body that is no picture, or of a format not served.
	Unsupported
	// Corrupt is a picture that starts well and cannot be decoded.
	Corrupt
	// Upstream is an origin that could not be reached or answered 5xx.
	Upstream
	// Busy is a refusal before work: a queue is full or the deadline could
	// not be met. RetryAfter says when to come back.
	Busy
	// Unavailable is a part that is down, starting or switched off.
	Unavailable
	// Timeout is a deadline that passed while working.
	Timeout
	// Canceled is a caller who left.
	Canceled
)

var names = [...]string{
	Internal: "internal", Invalid: "invalid", BadURL: "bad_url", Forbidden: "forbidden", Loop: "loop",
	NotFound: "not_found", Denied: "denied", TooLarge: "too_large", Unsupported: "unsupported",
	Corrupt: "corrupt", Upstream: "upstream", Busy: "busy", Unavailable: "unavailable",
	Timeout: "timeout", Canceled: "canceled",
}

// String returns the name of k as it travels.
func (k Kind) String() string {
	if int(k) < len(names) {
		return names[k]
	}
	return names[Internal]
}

// ParseKind is the inverse of String; an unknown name is Internal.
func ParseKind(name string) Kind {
	for k, n := range names {
		if n == name {
			return Kind(k)
		}
	}
	return Internal
}

// Error is an error with a kind. Op names the operation in the form
// "package.Verb"; it is for logs and never shown to a client.
type Error struct {
	Kind Kind
	Op   string
	Err  error
	// RetryAfter is how long a Busy or Unavailable caller should wait; zero
	// means that nobody knows.
	RetryAfter time.Duration
}

// New makes an error of kind k with a formatted text; %w keeps a cause.
func New(k Kind, op, format string, args ...any) *Error {
	return &Error{Kind: k, Op: op, Err: fmt.Errorf(format, args...)}
}

// Error returns the text without the operation: it may be shown to a client.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Kind.String()
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// After returns a copy of e that tells the caller when to come back.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// KindOf returns the kind of err: that of the outermost *Error in its chain,
// else Timeout or Canceled for the context errors, else Internal.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, context.Canceled):
		return Canceled
	default:
		return Internal
	}
}

// Is reports whether err is of kind k; a nil error is of no kind.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }

// RetryAfter returns how long the outermost *Error asks its caller to wait.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
