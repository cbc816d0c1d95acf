package sidecar

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"focal/core/fault"
)

// statusClientGone is what nginx logs for a caller who left; nobody reads it.
const statusClientGone = 499

// statusOf is the one place where kinds become HTTP numbers in this room.
func statusOf(k fault.Kind) int {
	switch k {
	case fault.Invalid, fault.BadURL, fault.Loop:
		return http.StatusBadRequest
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.Unsupported:
		return http.StatusUnsupportedMediaType
	case fault.Corrupt:
		return http.StatusUnprocessableEntity
	case fault.Denied, fault.Upstream:
		return http.StatusBadGateway
	case fault.Busy, fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.Timeout:
		return http.StatusGatewayTimeout
	case fault.Canceled:
		return statusClientGone
	default:
		return http.StatusInternalServerError
	}
}

// kindOf reads a status back where the body names no kind: something that is
// no sidecar, a proxy perhaps, has answered.
func kindOf(status int) fault.Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fault.Forbidden
	case http.StatusTooManyRequests:
		return fault.Busy
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return fault.Unavailable
	case http.StatusGatewayTimeout:
		return fault.Timeout
	default:
		// Also 404: "unknown content" is only believed from a sidecar, which
		// names its kind.
		return fault.Internal
	}
}

// problem is an error as it travels.
type problem struct {
	Error string `json:"error"`
	Kind  string `json:"kind"`
}

// problemAnswer makes the answer for err. The text of an error that nobody
// classified was not written for strangers: it goes to the log only.
func problemAnswer(err error) answer {
	kind, text := fault.KindOf(err), err.Error()
	if kind == fault.Internal {
		text = "internal error; the inference sidecar's log says more"
	}
	a := jsonAnswer(statusOf(kind), problem{Error: text, Kind: kind.String()})
	if wait := fault.RetryAfter(err); wait > 0 || kind == fault.Busy {
		a.header.Set("Retry-After", retryAfter(wait))
	}
	return a
}

// methodAnswer refuses a method: the one status that no kind has.
func methodAnswer(method, allowed string) answer {
	a := jsonAnswer(http.StatusMethodNotAllowed, problem{
		Error: "method " + method + " is not served here; allowed: " + allowed,
		Kind:  fault.Invalid.String(),
	})
	a.header.Set("Allow", allowed)
	return a
}

// retryAfter writes a wait in whole seconds, at least one, rounded up: coming
// back too early is refused again.
func retryAfter(wait time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(wait.Seconds()))))
}

// parseProblem is the inverse of problemAnswer.
func parseProblem(op string, status int, header http.Header, body []byte) *fault.Error {
	var p problem
	kind := kindOf(status)
	if err := json.Unmarshal(body, &p); err == nil && p.Kind != "" {
		kind = fault.ParseKind(p.Kind)
	}
	if p.Error == "" {
		p.Error = "the inference endpoint answered " + strconv.Itoa(status)
	}
	e := &fault.Error{Kind: kind, Op: op, Err: errors.New(p.Error)}
	if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}
