package sidecar

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
)

// picture is what a POST brought: a file, or raw pixels.
type picture struct {
	content pixel.Digest
	named   bool         // content was named by a trusted caller, not hashed here
	source  pixel.Size   // of the oriented source; zero for a file not yet looked at
	file    []byte       // nil for raw pixels
	pixels  pixel.Buffer // raw pixels; without Pix once they are handed over
	drawn   bool         // the answer is drawn on it: it is kept until then
}

// raw reports whether the picture came as pixels.
func (p picture) raw() bool { return p.file == nil }

// readPicture reads the body of r. release gives its memory back: it must be
// called once when the request no longer needs the picture, and is never nil.
func (s *Server) readPicture(ctx context.Context, r *request) (p picture, release func(), err error) {
	const op = "sidecar.readPicture"
	release = func() {}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	raw := media == typeRGB8
	switch {
	case media == "multipart/form-data":
		return p, release, fault.New(fault.Unsupported, op, "forms are not served: send the picture itself as the body (curl --data-binary @photo.jpg)")
	case !raw && s.looker == nil:
		return p, release, fault.New(fault.Unsupported, op, "picture files are not served here: send raw pixels as %s with %s: WxH", typeRGB8, headerSize)
	case raw:
		p.pixels, err = rawPixels(r.Header)
		if err != nil {
			return p, release, fault.New(fault.Invalid, op, "%w", err)
		}
	}
	holds := itself
	if !raw {
		holds = withLook
	}
	body, release, err := s.readBody(ctx, r, rawBytes(p.pixels), holds)
	if err != nil {
		return p, release, err
	}
	if len(body) == 0 {
		return p, release, fault.New(fault.Invalid, op, "the body is empty: send a picture")
	}
	if raw {
		p.pixels.Pix, p.source = body, p.pixels.Size()
	} else {
		p.file = body
	}
	p, err = identify(p, r)
	return p, release, err
}

// rawPixels reads the size of raw pixels; Pix is still nil.
func rawPixels(h http.Header) (pixel.Buffer, error) {
	value := h.Get(headerSize)
	if value == "" {
		return pixel.Buffer{}, fmt.Errorf("%s needs %s: WxH", typeRGB8, headerSize)
	}
	size, err := parseSize(value)
	if err != nil {
		return pixel.Buffer{}, fmt.Errorf("%s: %w", headerSize, err)
	}
	return pixel.Buffer{Width: size.Width, Height: size.Height, Channels: 3}, nil
}

// rawBytes returns how many bytes b will hold.
func rawBytes(b pixel.Buffer) int64 { return int64(b.Width) * int64(b.Height) * int64(b.Channels) }

// identify settles which content the answer will be about:
//
//  1. A trusted caller names it: the body is a look of that source.
//  2. Raw pixels: the hash of their size and themselves. The size is part of
//     it, since the same bytes are another picture at another width, and so
//     that nobody can pass off chosen pixels as what a file of those bytes
//     shows.
//  3. A file: the hash of its bytes.
func identify(p picture, r *request) (picture, error) {
	const op = "sidecar.identify"
	named := r.Header.Get(headerContent)
	switch {
	case r.trusted && named != "": // 1
		content, err := parseContent(named)
		if err != nil {
			return p, fault.New(fault.Invalid, op, "%w", err)
		}
		p.content, p.named = content, true
		if size := r.Header.Get(headerSourceSize); size != "" && p.raw() {
			if p.source, err = parseSize(size); err != nil {
				return p, fault.New(fault.Invalid, op, "%s: %w", headerSourceSize, err)
			}
		}
	case p.raw(): // 2
		p.content = rawContent(p.pixels)
	default: // 3
		p.content = sha256.Sum256(p.file)
	}
	return p, nil
}

// rawContent is the content of pixels that belong to no named source: the
// SHA-256 of the line "focal.rgb8 WxH" and the pixels.
func rawContent(b pixel.Buffer) pixel.Digest {
	h := sha256.New()
	fmt.Fprintf(h, "focal.rgb8 %s\n", formatSize(b.Size()))
	h.Write(b.Pix)
	return pixel.Digest(h.Sum(nil))
}

// itself and withLook are what a body of n bytes holds with all that is made of it.
func itself(n int64) int64   { return n }
func withLook(n int64) int64 { return n + 3*pixel.LookSide*pixel.LookSide }

// readBody reads the body of r within the limits: exactly want bytes, or as
// many as come where want is 0. With what is made of it it holds so many.
//
//  1. A packed body is refused, and what is announced as too large before
//     memory is taken.
//  2. Callers that are not trusted wait for a share of the memory.
//  3. The body must be there by the request's deadline.
func (s *Server) readBody(ctx context.Context, r *request, want int64, holds func(body int64) int64) (body []byte, release func(), err error) {
	const op = "sidecar.readBody"
	release = func() {}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, release, fault.New(fault.Unsupported, op, "Content-Encoding %q is not served: send the body as it is", encoding)
	}
	if max(want, r.ContentLength) > s.cfg.MaxBody { // 1
		return nil, release, s.tooLarge(op)
	}
	if want > 0 && r.ContentLength >= 0 && r.ContentLength != want {
		return nil, release, fault.New(fault.Invalid, op, "body of %d bytes: %s asks for %d", r.ContentLength, headerSize, want)
	}
	if !r.trusted { // 2
		share := r.ContentLength
		if want > 0 {
			share = want
		}
		if share < 0 { // nothing is announced
			share = s.cfg.MaxBody
		}
		share = min(holds(share), s.cfg.Memory)
		if err := s.memory.Acquire(ctx, share); err != nil {
			return nil, release, fault.New(fault.KindOf(err), op, "waited for memory for the body (raised by --source-memory): %w", err)
		}
		release = func() { s.memory.Release(share) }
	}
	body, err = s.readAll(ctx, r, want) // 3
	if err != nil {
		return nil, release, err
	}
	if want > 0 && int64(len(body)) != want {
		return nil, release, fault.New(fault.Invalid, op, "body of %d bytes: %s asks for %d", len(body), headerSize, want)
	}
	if err := verifyContentDigest(r.Header, body); err != nil {
		return nil, release, fault.New(fault.Invalid, op, "%w", err)
	}
	return body, release, nil
}

func (s *Server) readAll(ctx context.Context, r *request, want int64) ([]byte, error) {
	const op = "sidecar.readAll"
	control := http.NewResponseController(r.w)
	if deadline, ok := ctx.Deadline(); ok {
		if err := control.SetReadDeadline(deadline); err != nil {
			return nil, fault.New(fault.Internal, op, "set read deadline: %w", err)
		}
	}
	// Capacity one beyond what is announced, so that the read that finds the
	// end does not grow the slice.
	body := make([]byte, 0, max(want, r.ContentLength, 511)+1)
	limited := http.MaxBytesReader(r.w, r.Body, s.cfg.MaxBody)
	for {
		n, err := limited.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		var tooLarge *http.MaxBytesError
		var network net.Error
		switch {
		case err == io.EOF:
			// From here on reading only notices a caller who leaves.
			return body, control.SetReadDeadline(time.Time{})
		case errors.As(err, &tooLarge):
			return nil, s.tooLarge(op)
		case errors.As(err, &network) && network.Timeout():
			return nil, fault.New(fault.Timeout, op, "the body did not arrive in time: %w", err)
		case err != nil:
			return nil, fault.New(fault.Canceled, op, "the body ended early: %w", err)
		case want > 0 && int64(len(body)) > want:
			return nil, fault.New(fault.Invalid, op, "the body is longer than the %d bytes that %s asks for", want, headerSize)
		case len(body) == cap(body):
			body = append(body, 0)[:len(body)]
		}
	}
}

func (s *Server) tooLarge(op string) error {
	return fault.New(fault.TooLarge, op, "the body is larger than %d bytes (raised by --max-source-bytes)", s.cfg.MaxBody)
}
