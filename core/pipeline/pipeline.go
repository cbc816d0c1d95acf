// Package pipeline makes a picture: probe, look, render.
//
// It declares what it needs of vision and never knows who answers: findings
// are an argument of rendering, so that rendering is deterministic and no core
// waits for a card. It knows nothing of HTTP and of where sources come from.
// Pixels in C memory live inside one call and are freed there; the package
// owns no goroutine that outlives the request it serves.
package pipeline

import (
	"context"
	"fmt"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/core/transform"
	"focal/core/vips"
)

// Fallback says what happens to gravity=face when vision cannot answer.
type Fallback string

// The fallbacks.
const (
	// FallbackLadder takes the named ladder, face → saliency → centre, and
	// says so in the answer.
	FallbackLadder Fallback = "ladder"
	// FallbackFail refuses.
	FallbackFail Fallback = "fail"
)

// Config bounds the work.
type Config struct {
	MaxPixels int64 // largest source, in pixels (--max-pixels)
	MaxSide   int   // longest side of a source or a result (--max-side)
	MaxBytes  int64 // of an SVG, unpacked and cleaned (--max-source-bytes)
	Workers   int   // pictures worked on at once (--workers)
	// SlotMemory is the decode memory that one worker may count on. The slots
	// hold Workers × SlotMemory together: a picture that needs more takes the
	// room of several.
	SlotMemory int64
	Fallback   Fallback
	// RenderReserve is what is kept of a request's time for rendering: vision
	// must answer before.
	RenderReserve time.Duration
	// Observe is told how long each step took; nil for nobody.
	Observe func(step string, d time.Duration)
}

// DefaultConfig returns the limits of Cloudflare Images and one worker.
func DefaultConfig() Config {
	return Config{
		MaxPixels: 100e6, MaxSide: 12000, MaxBytes: 100e6, Workers: 1, SlotMemory: 64 << 20,
		Fallback: FallbackLadder, RenderReserve: 3 * time.Second,
	}
}

// Validate reports unusable values.
func (c Config) Validate() error {
	switch {
	case c.MaxPixels < 1:
		return fmt.Errorf("--max-pixels %d: want at least 1", c.MaxPixels)
	case c.MaxSide < 1:
		return fmt.Errorf("--max-side %d: want at least 1", c.MaxSide)
	case c.MaxBytes < 1:
		return fmt.Errorf("--max-source-bytes %d: want at least 1", c.MaxBytes)
	case c.Workers < 1:
		return fmt.Errorf("--workers %d: want at least 1", c.Workers)
	case c.SlotMemory < 1:
		return fmt.Errorf("slot memory %d: want at least 1 byte", c.SlotMemory)
	case c.Fallback != FallbackLadder && c.Fallback != FallbackFail:
		return fmt.Errorf("--inference-fallback %q: want fail or ladder", c.Fallback)
	}
	return nil
}

// Source is an original: its bytes as fetched, and their SHA-256.
type Source struct {
	Bytes  []byte
	Digest pixel.Digest
}

// Accept is what the client says it can show.
type Accept struct{ AVIF, WebP bool }

// For returns what of a can make a difference to the answer that o asks for.
func (a Accept) For(o transform.Options) Accept {
	switch o.Format {
	case transform.FormatAuto:
		return a
	case transform.FormatDefault, transform.FormatAVIF, transform.FormatJXL: // an animation, and what is too large, may be a WebP
		return Accept{WebP: a.WebP}
	default:
		return Accept{}
	}
}

// Request asks for one picture.
type Request struct {
	Source  Source
	Options transform.Options
	Accept  Accept
}

// Result is a finished picture, or the JSON about it.
type Result struct {
	Body        []byte
	ContentType string
	Size        pixel.Size // zero for an SVG, which has none in pixels
	Warnings    []string
	Findings    Findings
	Facts       []Fact // about the findings
	Fleeting    bool   // it differs from one call to the next: nobody may keep it
	Timing      Timing
}

// Timing is where the time went.
type Timing struct {
	Decode time.Duration // probing and making the look
	Infer  time.Duration // waiting for vision, the look included where one was made
	Render time.Duration
}

// Pipeline makes pictures. It is safe for concurrent use.
type Pipeline struct {
	config Config
	vision Vision
	slots  slots
}

// New builds a pipeline over v. libvips must be open.
func New(c Config, v Vision) (*Pipeline, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Observe == nil {
		c.Observe = func(string, time.Duration) {}
	}
	return &Pipeline{config: c, vision: v, slots: newSlots(c.Workers, c.SlotMemory)}, nil
}

// Make makes the picture that r asks for; an SVG is sanitised, and otherwise
// left as it is. Errors are of the kinds of core/fault: Unsupported for what is
// no picture, TooLarge beyond a limit, Corrupt for damage, Unavailable or Busy
// where vision is needed and missing.
func (p *Pipeline) Make(ctx context.Context, r Request) (Result, error) {
	if vips.Sniff(r.Source.Bytes) == vips.SVG {
		return p.drawing(ctx, r)
	}
	return p.raster(ctx, r)
}

// raster makes a picture of pixels.
func (p *Pipeline) raster(ctx context.Context, r Request) (Result, error) {
	start := time.Now()
	info, err := p.probe(ctx, r.Source.Bytes)
	if err != nil {
		return Result{}, err
	}
	probed := p.lap("probe", start)

	found, looked, err := p.find(ctx, r, info)
	if err != nil {
		return Result{}, err
	}
	inferred := p.lap("infer", start.Add(probed))

	begin := time.Now()
	res, err := p.render(ctx, r, info, found)
	if err != nil {
		return Result{}, err
	}
	res.Findings, res.Facts = found, found.facts()
	res.Timing = Timing{Decode: probed + looked, Infer: inferred, Render: p.lap("render", begin)}
	return res, nil
}

// lap reports the time since start under the name of a step, and returns it.
func (p *Pipeline) lap(step string, start time.Time) time.Duration {
	d := time.Since(start)
	p.config.Observe(step, d)
	return d
}

// probe reads the header under a slot and checks the limits.
func (p *Pipeline) probe(ctx context.Context, file []byte) (vips.Info, error) {
	release, err := p.slots.take(ctx, 0)
	if err != nil {
		return vips.Info{}, err
	}
	defer release()
	info, err := vips.Probe(file)
	if err != nil && !fault.Is(err, fault.TooLarge) {
		return vips.Info{}, err
	}
	if ours := p.checkSource(info.Oriented); ours != nil { // which an operator can raise
		return vips.Info{}, ours
	}
	return info, err
}

func (p *Pipeline) checkSource(s pixel.Size) error {
	const op = "pipeline.probe"
	if n := int64(s.Width) * int64(s.Height); n > p.config.MaxPixels {
		return fault.New(fault.TooLarge, op, "the source has %d×%d = %d pixels, more than --max-pixels %d", s.Width, s.Height, n, p.config.MaxPixels)
	}
	if s.Width > p.config.MaxSide || s.Height > p.config.MaxSide {
		return fault.New(fault.TooLarge, op, "the source is %d×%d, a side longer than --max-side %d", s.Width, s.Height, p.config.MaxSide)
	}
	return nil
}
