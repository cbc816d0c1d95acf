package transform

import (
	"fmt"
	"strconv"
	"strings"
)

// Number is a number that 0 is a value of: Set tells 0 from nothing.
type Number struct {
	Value float64
	Set   bool
}

// write returns the number for a URL, "" where there is none.
func (n Number) write() string {
	if !n.Set {
		return ""
	}
	return decimal(n.Value)
}

// bounded reads a number of 0 to most. What is beyond is brought to it, with a
// remark.
func bounded(key, v string, most float64) (float64, error) {
	n, ok := parseDecimal(v)
	switch {
	case !ok || n < 0:
		return 0, errUnfit
	case n > most:
		return most, remark(fmt.Sprintf("%s is at most %v", key, most))
	}
	return n, nil
}

// store reads a number of least to most. What is beyond either is brought to it,
// with a remark.
func store(to *float64, key, v string, least, most float64) error {
	n, ok := parseDecimal(v)
	switch {
	case !ok:
		return errUnfit
	case n < least:
		*to = least
		return remark(fmt.Sprintf("%s is at least %v", key, least))
	case n > most:
		*to = most
		return remark(fmt.Sprintf("%s is at most %v", key, most))
	}
	*to = n
	return nil
}

// parseDecimal reads digits with at most one point and perhaps a minus: no
// exponents, no names, no separators.
func parseDecimal(s string) (float64, bool) {
	const longest = 32 // characters; a float64 needs no more to be exact here
	digits := strings.TrimPrefix(s, "-")
	if len(s) > longest || digits == "" || strings.Trim(digits, "0123456789.") != "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, false
	}
	return v + 0, true // -0 becomes 0
}

// decimal is the inverse of parseDecimal.
func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func writeFloat(v float64) string {
	if v == 0 {
		return ""
	}
	return decimal(v)
}

func writeInt(v int) string {
	if v == 0 {
		return ""
	}
	return strconv.Itoa(v)
}
