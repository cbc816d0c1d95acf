package sidecar

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"focal/core/pixel"
	"focal/inference"
)

// Header names and media types that both ends use.
const (
	headerContent    = "Focal-Content"     // sha256:<hex>: whose look the body is; on an answer, the key of the result
	headerSize       = "Focal-Size"        // WxH of the raw pixels in the body
	headerSourceSize = "Focal-Source-Size" // WxH of the oriented source
	headerTimeout    = "Focal-Timeout"     // milliseconds that the caller still has
	headerInference  = "Focal-Inference"   // the facts of an answer
	headerTiming     = "Server-Timing"
	headerDigest     = "Content-Digest"                  // RFC 9530
	headerLengthName = "Inference-Header-Content-Length" // of the JSON before binary tensors

	typeRGB8  = "application/vnd.focal.rgb8"
	typeGray8 = "application/vnd.focal.gray8"
	typePNG   = "image/png"
	typeJSON  = "application/json"
)

// maxSide bounds a side that is spelled in a header, so that products of two
// sides fit an int64; pixel.Buffer has the same bound.
const maxSide = 1 << 20

// formatSize writes WxH.
func formatSize(s pixel.Size) string { return fmt.Sprintf("%dx%d", s.Width, s.Height) }

// parseSize reads WxH: two decimal numbers from 1 to maxSide.
func parseSize(s string) (pixel.Size, error) {
	w, h, ok := strings.Cut(s, "x")
	if !ok {
		return pixel.Size{}, fmt.Errorf("size %q: want WxH, as 640x480", s)
	}
	width, err := parseSide(w)
	if err != nil {
		return pixel.Size{}, fmt.Errorf("size %q: %w", s, err)
	}
	height, err := parseSide(h)
	if err != nil {
		return pixel.Size{}, fmt.Errorf("size %q: %w", s, err)
	}
	return pixel.Size{Width: width, Height: height}, nil
}

func parseSide(s string) (int, error) {
	// ParseUint takes no sign, so that one size has one spelling but for
	// leading zeros.
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || n > maxSide {
		return 0, fmt.Errorf("side %q: want a number from 1 to %d", s, maxSide)
	}
	return int(n), nil
}

// formatContent writes sha256:<hex>.
func formatContent(d pixel.Digest) string { return "sha256:" + d.String() }

// parseContent reads sha256:<hex>.
func parseContent(s string) (pixel.Digest, error) {
	hex, ok := strings.CutPrefix(s, "sha256:")
	if !ok {
		return pixel.Digest{}, fmt.Errorf("%s %q: want sha256:<64 hex digits>", headerContent, s)
	}
	return pixel.ParseDigest(hex)
}

// parseTimeout reads milliseconds, at least 0.
func parseTimeout(s string) (time.Duration, error) {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms < 0 {
		return 0, fmt.Errorf("%s %q: want the milliseconds left, a whole number", headerTimeout, s)
	}
	return time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond, nil
}

// parseContentDigest reads the sha-256 member of a Content-Digest field (RFC
// 9530 §2, a dictionary of byte sequences); present is false where only other
// algorithms are named, which a receiver may ignore.
func parseContentDigest(s string) (d pixel.Digest, present bool, err error) {
	for member := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(member), "=")
		if !ok || key == "" {
			return pixel.Digest{}, false, fmt.Errorf("%s %q: want the form sha-256=:<base64>: of RFC 9530", headerDigest, s)
		}
		if key != "sha-256" {
			continue
		}
		value, _, _ = strings.Cut(value, ";") // parameters, of which none are defined
		inner, found := strings.CutPrefix(strings.TrimSpace(value), ":")
		inner, closed := strings.CutSuffix(inner, ":")
		raw, decodeErr := base64.StdEncoding.DecodeString(inner)
		if !found || !closed || decodeErr != nil || len(raw) != len(d) || strings.ContainsAny(inner, "\r\n") {
			return pixel.Digest{}, false, fmt.Errorf("%s %q: want sha-256=:<base64>: with 32 bytes", headerDigest, s)
		}
		d, present = pixel.Digest(raw), true // RFC 8941: the last of equal keys counts
	}
	return d, present, nil
}

// verifyContentDigest compares body with the Content-Digest of header, if any.
func verifyContentDigest(header http.Header, body []byte) error {
	values := header.Values(headerDigest)
	if len(values) == 0 {
		return nil
	}
	want, present, err := parseContentDigest(strings.Join(values, ", "))
	if err != nil || !present {
		return err
	}
	if got := sha256.Sum256(body); !bytes.Equal(got[:], want[:]) {
		return fmt.Errorf("%s does not match the body, whose digest is sha-256=:%s: instead", headerDigest, base64.StdEncoding.EncodeToString(got[:]))
	}
	return nil
}

// wantsGray8 reads an Accept field: raw masks go to those who name them and
// do not like PNG better; everybody else gets PNG.
func wantsGray8(accept string) bool {
	var gray, png float64
	for item := range strings.SplitSeq(accept, ",") {
		media, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		q := 1.0
		if given, err := strconv.ParseFloat(params["q"], 64); err == nil {
			q = given
		}
		switch media {
		case typeGray8:
			gray = q
		case typePNG:
			png = q
		}
	}
	return gray > 0 && gray >= png
}

// formatFacts writes what is known about an answer:
//
//	face; model=…; provider=…; result=run; file=<hex>; recipe=<hex>; batch=3
//
// Values are query-escaped, so that a model's folder name cannot break out.
func formatFacts(task string, f inference.Facts) string {
	var b strings.Builder
	b.WriteString(task)
	add := func(key, value string) { fmt.Fprintf(&b, "; %s=%s", key, url.QueryEscape(value)) }
	add("model", f.Model)
	add("provider", f.Provider)
	add("result", string(f.How))
	add("file", f.File.String())
	add("recipe", f.Recipe.String())
	if f.Batch > 0 {
		add("batch", strconv.Itoa(f.Batch))
	}
	if f.Threshold > 0 {
		add("threshold", strconv.FormatFloat(f.Threshold, 'g', -1, 64))
	}
	return b.String()
}

// parseFacts is the inverse of formatFacts; unknown parameters are skipped, so
// that a newer sidecar may say more.
func parseFacts(s string) (inference.Facts, error) {
	var f inference.Facts
	params := strings.Split(s, ";")
	for _, param := range params[1:] {
		key, escaped, _ := strings.Cut(strings.TrimSpace(param), "=")
		value, err := url.QueryUnescape(escaped)
		if err != nil {
			return f, fmt.Errorf("%s: %s: %w", headerInference, key, err)
		}
		switch key {
		case "model":
			f.Model = value
		case "provider":
			f.Provider = value
		case "result":
			f.How = inference.How(value)
		case "file":
			f.File, err = pixel.ParseDigest(value)
		case "recipe":
			f.Recipe, err = pixel.ParseDigest(value)
		case "batch":
			f.Batch, err = strconv.Atoi(value)
		case "threshold":
			f.Threshold, err = parseThreshold(value)
		}
		if err != nil {
			return f, fmt.Errorf("%s: %s: %w", headerInference, key, err)
		}
	}
	if f.Model == "" || f.How == "" {
		return f, fmt.Errorf("%s %q names no model or no result", headerInference, s)
	}
	return f, nil
}

// parseThreshold reads a score, 0 to 1.
func parseThreshold(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, fmt.Errorf("%q: want a score from 0 to 1", s)
	}
	return v, nil
}

// formatTiming writes Server-Timing in milliseconds, shortest exact digits.
func formatTiming(f inference.Facts) string {
	return "queue;dur=" + formatMillis(f.Queue) + ", run;dur=" + formatMillis(f.Run)
}

func formatMillis(d time.Duration) string { return strconv.FormatFloat(millis(d), 'f', -1, 64) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// parseTiming is the inverse of formatTiming. Times are for people and
// metrics: what it cannot read stays zero.
func parseTiming(s string) (queue, run time.Duration) {
	for item := range strings.SplitSeq(s, ",") {
		name, dur, ok := strings.Cut(strings.TrimSpace(item), ";dur=")
		ms, err := strconv.ParseFloat(dur, 64)
		if !ok || err != nil || !(ms >= 0 && ms < 1e9) {
			continue
		}
		d := time.Duration(math.Round(ms * float64(time.Millisecond)))
		switch name {
		case "queue":
			queue = d
		case "run":
			run = d
		}
	}
	return queue, run
}
