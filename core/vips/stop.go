package vips

import (
	"context"

	"focal/core/fault"

	govips "github.com/davidbyttow/govips/v2/vips"
)

// Until has libvips stop working on the picture, and on what is made of it from now
// on, where ctx ends: nobody waits for it any more, and others wait for the slot. It
// stops between two pieces; what an encoder does once it has all pixels (WebP, AVIF)
// ends by itself. A picture that was stopped is good for nothing but Close.
func (i *Image) Until(ctx context.Context) { i.until = ctx }

// with returns the picture of ref, which is worked on as long as i is.
func (i *Image) with(ref *govips.ImageRef) *Image { return &Image{ref, i.until} }

// evaluate runs call, which has libvips work through the picture. Errors are
// fault.Timeout or fault.Canceled where it was stopped, else fault.Corrupt.
func (i *Image) evaluate(op string, call func() error) error {
	if i.until == nil {
		i.until = context.Background()
	}
	killed := make(chan struct{})
	stop := context.AfterFunc(i.until, func() {
		defer close(killed)
		i.ref.SetKill(true)
	})
	err := call()
	ended := !stop()
	if ended {
		<-killed // it uses the picture, which the caller may close
	}
	switch {
	case err != nil && ended:
		return fault.New(fault.KindOf(i.until.Err()), op, "stopped: %w", i.until.Err())
	case err != nil:
		return wrap(fault.Corrupt, op, err)
	}
	return nil
}

// bytes works through the picture and returns its pixels.
func (i *Image) bytes(op string) (pix []byte, err error) {
	err = i.evaluate(op, func() error {
		if pix, err = i.ref.ToBytes(); err != nil {
			return lastError(err)
		}
		return nil
	})
	return pix, err
}
