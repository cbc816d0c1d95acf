package api

import (
	"strconv"
	"strings"

	"focal/core/transform"
)

// The client hints that answers may depend on, and the headers that stand in
// for them in browsers without.
var (
	viewportHeaders   = []string{"Sec-CH-Viewport-Width", "Viewport-Width", "Sec-CH-DPR", "DPR"}
	deviceHeaders     = []string{"Sec-CH-UA-Mobile", "User-Agent"}
	connectionHeaders = []string{"RTT", "Save-Data", "ECT", "Downlink"}
)

// The connection that counts as slow, as Cloudflare documents it: any of these.
const (
	slowRTT      = 150 // milliseconds; slow above
	fastDownlink = 5   // megabits a second; slow below
)

// hintsOf reads what a client says of itself; header returns a header's value,
// "" where there is none. What cannot be read counts as not said.
func hintsOf(header func(name string) string) transform.Hints {
	var h transform.Hints
	for _, name := range viewportHeaders[:2] {
		if v, ok := number(header(name)); ok && h.Viewport == 0 {
			h.Viewport = int(v)
		}
	}
	for _, name := range viewportHeaders[2:] {
		if v, ok := number(header(name)); ok && h.DPR == 0 {
			h.DPR = v
		}
	}
	switch strings.TrimSpace(header("Sec-CH-UA-Mobile")) {
	case "?1":
		h.Mobile = true
	case "?0":
	default: // "Mobi" is what browsers of phones agree to have in their names
		h.Mobile = strings.Contains(header("User-Agent"), "Mobi")
	}
	h.Slow = slow(header)
	return h
}

func slow(header func(string) string) bool {
	if v, ok := number(header("RTT")); ok && v > slowRTT {
		return true
	}
	if v, ok := number(header("Downlink")); ok && v < fastDownlink {
		return true
	}
	switch strings.Trim(strings.ToLower(strings.TrimSpace(header("ECT"))), `"`) {
	case "slow-2g", "2g", "3g":
		return true
	}
	return strings.EqualFold(strings.TrimSpace(header("Save-Data")), "on")
}

// largestNumber bounds what a hint may say: no screen and no delay is larger.
const largestNumber = 1 << 20

// number reads a number of RFC 9651 (§3.3.1 and §3.3.2) that is not negative.
func number(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > 16 || strings.Trim(s, "0123456789.") != "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil && v <= largestNumber
}

// varyOf names the headers that an answer depends on.
func varyOf(a transform.Asked) string {
	names := []string{"Accept"}
	if a.Viewport {
		names = append(names, viewportHeaders...)
	}
	if a.Device {
		names = append(names, deviceHeaders...)
	}
	if a.Connection {
		names = append(names, connectionHeaders...)
	}
	return strings.Join(names, ", ")
}
