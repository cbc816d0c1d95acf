package api

import (
	"errors"

	"focal/core/fault"
	"focal/server/source"
)

// numbers are what an error becomes on the wire: an HTTP status and
// Cloudflare's error code.
type numbers struct{ status, code int }

// table is the only place where a kind becomes a number. The codes are
// Cloudflare's published ones.
var table = map[fault.Kind]numbers{
	fault.Internal:    {500, 9523},
	fault.Invalid:     {400, 9401},
	fault.BadURL:      {403, 9406},
	fault.Forbidden:   {403, 9401},
	fault.Loop:        {508, 9403},
	fault.NotFound:    {404, 9404},
	fault.Denied:      {408, 9408},
	fault.TooLarge:    {403, 9413},
	fault.Unsupported: {415, 9412},
	fault.Corrupt:     {422, 9516},
	fault.Upstream:    {502, 9402},
	fault.Busy:        {503, 9522},
	fault.Unavailable: {503, 9522},
	fault.Timeout:     {504, 9529},
	fault.Canceled:    {499, 9528},
}

// fetching holds the kinds that have other numbers while a source is fetched.
var fetching = map[fault.Kind]numbers{
	fault.TooLarge: {413, 9402},
	fault.Timeout:  {522, 9504},
}

// causes holds what has numbers of its own besides.
var causes = []struct {
	cause   error
	numbers numbers
}{
	{source.ErrNoHost, numbers{523, 9407}},
	{source.ErrManyRedirects, numbers{400, 9421}},
	{source.ErrNoRedirect, numbers{400, 9420}},
	{source.ErrOrigin, numbers{502, 9509}},
	{source.ErrLength, numbers{422, 9416}},
}

// numbersOf returns the numbers of err.
func numbersOf(err error) numbers {
	kind := fault.KindOf(err)
	var f fetchError
	if errors.As(err, &f) {
		for _, c := range causes {
			if errors.Is(err, c.cause) {
				return c.numbers
			}
		}
		if n, ok := fetching[kind]; ok {
			return n
		}
	}
	return table[kind]
}
