package api

import (
	"strconv"
	"strings"

	"focal/core/pipeline"
)

// acceptOf reads which of the formats that need asking for a client takes
// (RFC 9110 §12.5.1). Only a type that is named counts: browsers send */* as
// well, and it means nothing about AVIF.
func acceptOf(header string) pipeline.Accept {
	var a pipeline.Accept
	for item := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(item, ";")
		wanted := quality(params) > 0
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "image/avif":
			a.AVIF = wanted
		case "image/webp":
			a.WebP = wanted
		}
	}
	return a
}

// quality returns the weight among the parameters of a media range, 1 where
// there is none or it cannot be read.
func quality(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		if q, err := strconv.ParseFloat(value, 64); err == nil {
			return q
		}
	}
	return 1
}
