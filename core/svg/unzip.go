package svg

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"

	"focal/core/fault"
)

// Unzip returns the SVG inside an .svgz file, and any other file as it is. More
// than maxBytes of output is fault.TooLarge, and a damaged or cut file is
// fault.Corrupt, at the read that finds it. What follows the first gzip member
// is not read.
func Unzip(r io.Reader, maxBytes int64) (io.Reader, error) {
	in := bufio.NewReader(r)
	if head, err := in.Peek(2); err != nil && !errors.Is(err, io.EOF) {
		return nil, readError(err)
	} else if string(head) != "\x1f\x8b" {
		return in, nil
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, damaged(err)
	}
	z.Multistream(false)
	return &limited{r: unzipper{z}, left: maxBytes, limit: maxBytes}, nil
}

type unzipper struct{ r io.Reader }

func (u unzipper) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = damaged(err)
	}
	return n, err
}

func damaged(err error) error {
	return fault.New(fault.Corrupt, "svg.Unzip", "the SVGZ is damaged: %w", err)
}
