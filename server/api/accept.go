package api

import (
	"math"
	"strconv"
	"strings"

	"focal/core/pipeline"
)

// acceptOf reads which of the formats that need asking for a client takes
// (RFC 9110 §12.5.1). Only a type that is named counts: browsers send */* as
// well, and it means nothing about AVIF. Nor does one count that the client
// wants less than what it would get instead: AVIF less than WebP, or either less
// than JPEG, which stands for all that needs no asking.
func acceptOf(header string) pipeline.Accept {
	weights := map[string]float64{}
	for item := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(item, ";")
		weights[strings.ToLower(strings.TrimSpace(name))] = quality(params)
	}
	var standard float64
	for _, name := range []string{"image/jpeg", "image/*", "*/*"} { // the most exact first
		if w, ok := weights[name]; ok {
			standard = w
			break
		}
	}
	avif, webp := weights["image/avif"], weights["image/webp"]
	return pipeline.Accept{
		AVIF: avif > 0 && avif >= max(webp, standard),
		WebP: webp > 0 && webp >= standard,
	}
}

// quality returns the weight among the parameters of a media range, from 0 to
// 1, and 1 where there is none or it cannot be read.
func quality(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		if q, err := strconv.ParseFloat(value, 64); err == nil && !math.IsNaN(q) {
			return max(0, min(1, q))
		}
	}
	return 1
}
