package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"image"
	"image/png"
	"path/filepath"
	"strings"
	"sync"

	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/core/transform"
	"focal/inference"
	"focal/inference/sidecar"
	"focal/models/vision"
)

// Once is everything that a one-off command needs, in one process: the same
// pipeline and the same models as the server's. Models are opened with the
// first question, so that a plain transform needs none.
type Once struct {
	pictures *pipeline.Pipeline
	open     func() (*Inference, error) // opens at most once

	mu   sync.Mutex // protects host
	host *Inference
}

// NewOnce builds the pipeline. libvips must be open.
func NewOnce(pictures pipeline.Config, models InferenceConfig) (*Once, error) {
	o := &Once{}
	o.open = sync.OnceValues(func() (*Inference, error) {
		h, err := OpenInference(models, nil)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.host = h
		return h, err
	})
	var err error
	o.pictures, err = pipeline.New(pictures, asker{client: lazy{o.open}})
	return o, err
}

// Transform makes one picture of a file by options as in a URL. Where they name
// no format, the ending of the file name out does. Warnings are what a server
// would send as such.
func (o *Once) Transform(ctx context.Context, file []byte, options, out string) (picture []byte, warnings []string, err error) {
	parsed, warnings, err := transform.Parse(options)
	if err != nil {
		return nil, nil, err
	}
	parsed, _ = parsed.Resolve(transform.Hints{}) // nobody is on a slow phone here
	if parsed.Format == transform.FormatDefault {
		parsed.Format, _ = formatOf(out)
	}
	r, err := o.pictures.Make(ctx, pipeline.Request{
		Source:  pipeline.Source{Bytes: file, Digest: sha256.Sum256(file)},
		Options: parsed,
		Accept:  pipeline.Accept{AVIF: true, WebP: true}, // whoever asks here can show everything
	})
	if err != nil {
		return nil, warnings, err
	}
	return r.Body, append(append(warnings, r.Warnings...), Misnamed(out, r.ContentType)...), nil
}

// formatOf returns the format that a file name asks for and the media type of
// what it should hold; nothing for an ending that is no format of ours.
func formatOf(name string) (transform.Format, string) {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpg", ".jpeg":
		return transform.FormatJPEG, "image/jpeg"
	case ".png":
		return transform.FormatPNG, "image/png"
	case ".webp":
		return transform.FormatWebP, "image/webp"
	case ".avif":
		return transform.FormatAVIF, "image/avif"
	case ".jxl":
		return transform.FormatJXL, "image/jxl"
	case ".gif":
		return transform.FormatGIF, "image/gif"
	case ".json":
		return transform.FormatJSON, "application/json"
	case ".svg":
		return transform.FormatDefault, "image/svg+xml"
	default:
		return transform.FormatDefault, ""
	}
}

// Misnamed warns that a file with that name and content would be taken for
// something else by its ending. A name without one says nothing.
func Misnamed(name, contentType string) []string {
	if _, want := formatOf(name); filepath.Ext(name) == "" || want == contentType {
		return nil
	}
	return []string{filepath.Base(name) + " is " + contentType + ", which its ending does not say"}
}

// Faces answers as POST /v1/faces does. A nil threshold is the model's.
func (o *Once) Faces(ctx context.Context, file []byte, threshold *float64) (body []byte, err error) {
	s, err := o.subject(ctx, file)
	if err != nil {
		return nil, err
	}
	found, err := lazy{o.open}.Faces(ctx, inference.FacesRequest{Subject: s, Threshold: threshold})
	if err != nil {
		return nil, err
	}
	return sidecar.PrintFaces(s.Content, s.Source, found)
}

// Cutout returns the foreground of a file as a PNG with alpha.
func (o *Once) Cutout(ctx context.Context, file []byte) (picture []byte, err error) {
	found, _, err := o.foreground(ctx, file)
	if err != nil {
		return nil, err
	}
	return o.pictures.Cutout(ctx, file, found.Mask)
}

// Mask returns the foreground mask of a file as an 8-bit grey PNG of the
// picture's size.
func (o *Once) Mask(ctx context.Context, file []byte) (picture []byte, err error) {
	found, size, err := o.foreground(ctx, file)
	if err != nil {
		return nil, err
	}
	return maskPNG(found.Mask, size)
}

func (o *Once) foreground(ctx context.Context, file []byte) (inference.Foreground, pixel.Size, error) {
	s, err := o.subject(ctx, file)
	if err != nil {
		return inference.Foreground{}, pixel.Size{}, err
	}
	found, err := lazy{o.open}.Foreground(ctx, inference.ForegroundRequest{Subject: s})
	return found, s.Source, err
}

// subject is a file as inference sees it. Its look is made at once: the size
// of the oriented picture comes with it.
func (o *Once) subject(ctx context.Context, file []byte) (inference.Subject, error) {
	look, size, err := o.pictures.Look(ctx, file)
	return inference.Subject{
		Content: sha256.Sum256(file), Source: size,
		Look: func(context.Context) (pixel.Buffer, error) { return look, nil },
	}, err
}

func maskPNG(mask pixel.Mask, size pixel.Size) ([]byte, error) {
	large, err := vision.FitMask(mask, size)
	if err != nil {
		return nil, err
	}
	grey := &image.Gray{Pix: large.Pix, Stride: large.Width, Rect: image.Rect(0, 0, large.Width, large.Height)}
	var b bytes.Buffer
	err = png.Encode(&b, grey)
	return b.Bytes(), err
}

// Close unloads the models.
func (o *Once) Close(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.host == nil {
		return nil
	}
	return o.host.Close(ctx)
}

// lazy is a client that opens the models with the first question.
type lazy struct {
	open func() (*Inference, error)
}

var _ inference.Client = lazy{}

func (l lazy) Faces(ctx context.Context, r inference.FacesRequest) (inference.Faces, error) {
	h, err := l.open()
	if err != nil {
		return inference.Faces{}, err
	}
	return h.Faces(ctx, r)
}

func (l lazy) Foreground(ctx context.Context, r inference.ForegroundRequest) (inference.Foreground, error) {
	h, err := l.open()
	if err != nil {
		return inference.Foreground{}, err
	}
	return h.Foreground(ctx, r)
}

func (l lazy) Status(ctx context.Context) inference.Status {
	h, err := l.open()
	if err != nil {
		return inference.Status{State: inference.StateDown, Reason: err.Error()}
	}
	return h.Status(ctx)
}
