package sidecar

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"net/http"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/models/vision"
)

// foregroundParams are the parameters of both foreground routes.
var foregroundParams = [...]string{"model", "frame", "priority", "output"}

// form is how a foreground is answered.
type form int

const (
	formPNG    form = iota // grey mask of the picture's size
	formGray8              // raw mask of the model's size
	formCutout             // the picture with the mask as its alpha
)

// parseForeground reads what a foreground request asks, and how it wants the
// answer: output=cutout says so in the URL, everything else is Accept.
func parseForeground(r *request) (question, form, error) {
	q, values, err := parseQuestion(r.URL.RawQuery, foregroundParams[:]...)
	if err != nil {
		return q, formPNG, err
	}
	switch output := values.Get("output"); output {
	case "cutout":
		return q, formCutout, nil
	case "", "mask":
	default:
		return q, formPNG, fault.New(fault.Invalid, "sidecar.parseForeground", "output %q: want mask or cutout", output)
	}
	if wantsGray8(r.Header.Get("Accept")) {
		return q, formGray8, nil
	}
	return q, formPNG, nil
}

// getForeground answers what is known about a content; nothing is computed.
func (s *Server) getForeground(ctx context.Context, r *request) (answer, error) {
	q, form, err := parseForeground(r)
	if err != nil {
		return answer{}, err
	}
	if form == formCutout {
		return answer{}, fault.New(fault.Invalid, "sidecar.getForeground", "a cut-out needs the picture: POST it to /v1/foreground?output=cutout")
	}
	subject, err := known(r, q)
	if err != nil {
		return answer{}, err
	}
	found, err := s.client.Foreground(ctx, foregroundRequest(r, q, subject))
	if err != nil {
		return answer{}, err
	}
	return s.maskAnswer(ctx, form, subject.Content, found.Source, found)
}

// postForeground finds the foreground of the picture in the body.
func (s *Server) postForeground(ctx context.Context, r *request) (answer, error) {
	q, form, err := parseForeground(r)
	if err != nil {
		return answer{}, err
	}
	p, release, err := s.readPicture(ctx, r)
	defer release()
	if err != nil {
		return answer{}, err
	}
	p.drawn = form == formCutout
	found, err := ask(ctx, s.looker, &p, q.frame, func(ctx context.Context, subject inference.Subject) (inference.Foreground, error) {
		return s.client.Foreground(ctx, foregroundRequest(r, q, subject))
	})
	if err != nil {
		return answer{}, err
	}
	shown := sentSize(p, found.Facts)
	if form != formCutout {
		return s.maskAnswer(ctx, form, p.content, shown, found)
	}
	body, err := s.cutout(ctx, p, found.Mask)
	if err != nil {
		return answer{}, err
	}
	a := newAnswer(http.StatusOK, typePNG, body)
	a.state("foreground", p.content, shown, found.Facts)
	return a, nil
}

func foregroundRequest(r *request, q question, subject inference.Subject) inference.ForegroundRequest {
	return inference.ForegroundRequest{Subject: subject, Model: q.model, Class: r.class(), Priority: q.priority}
}

// maskAnswer answers the mask itself: raw as it is, or as a PNG of size shown.
func (s *Server) maskAnswer(ctx context.Context, form form, content pixel.Digest, shown pixel.Size, found inference.Foreground) (answer, error) {
	if form == formGray8 {
		a := newAnswer(http.StatusOK, typeGray8, found.Mask.Pix)
		a.state("foreground", content, found.Mask.Size(), found.Facts)
		a.header.Set("Vary", "Accept")
		return a, nil
	}
	body, err := s.drawn(ctx, found.Mask, shown, func(mask pixel.Mask) image.Image {
		return &image.Gray{Pix: mask.Pix, Stride: mask.Width, Rect: image.Rect(0, 0, mask.Width, mask.Height)}
	})
	if err != nil {
		return answer{}, err
	}
	a := newAnswer(http.StatusOK, typePNG, body)
	a.state("foreground", content, shown, found.Facts)
	a.header.Set("Vary", "Accept")
	return a, nil
}

// cutout draws the picture with mask as its alpha. Files are drawn by the
// looker, under its slots; raw pixels here.
func (s *Server) cutout(ctx context.Context, p picture, mask pixel.Mask) ([]byte, error) {
	if !p.raw() {
		return s.looker.Cutout(ctx, p.file, mask)
	}
	return s.drawn(ctx, mask, p.pixels.Size(), func(mask pixel.Mask) image.Image {
		return withAlpha(p.pixels, mask)
	})
}

// withAlpha joins RGB pixels and a mask of the same size.
func withAlpha(b pixel.Buffer, mask pixel.Mask) *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, b.Width, b.Height))
	for i, alpha := range mask.Pix {
		copy(out.Pix[4*i:], b.Pix[3*i:3*i+3])
		out.Pix[4*i+3] = alpha
	}
	return out
}

// drawn enlarges mask to size and encodes what draw makes of it, with a slot:
// a direct caller may ask for a mask as large as any picture.
func (s *Server) drawn(ctx context.Context, mask pixel.Mask, size pixel.Size, draw func(pixel.Mask) image.Image) ([]byte, error) {
	const op = "sidecar.drawn"
	if int64(size.Width)*int64(size.Height) > int64(s.cfg.MaxPixels) {
		return nil, fault.New(fault.TooLarge, op, "a mask of %d×%d is larger than %d pixels (raised by --max-pixels); Accept: %s gives it at the model's size",
			size.Width, size.Height, s.cfg.MaxPixels, typeGray8)
	}
	if err := s.draw.Acquire(ctx, 1); err != nil {
		return nil, fault.New(fault.KindOf(err), op, "waited for a worker (raised by --workers): %w", err)
	}
	defer s.draw.Release(1)
	mask, err := vision.FitMask(mask, size)
	if err != nil {
		return nil, fault.New(fault.Internal, op, "mask for a picture of %d×%d: %w", size.Width, size.Height, err)
	}
	var out bytes.Buffer
	// Masks are smooth: the fast level is a third of the time and little larger.
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(&out, draw(mask)); err != nil {
		return nil, fault.New(fault.Internal, op, "encode: %w", err)
	}
	return out.Bytes(), nil
}
