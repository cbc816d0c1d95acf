//go:build opencv

package vision

// The libraries are named here and not in the environment, so that whoever
// links this package links them. gocv itself gets its compiler flags from
// scripts/env.sh.

// #cgo LDFLAGS: -lopencv_core -lopencv_imgproc
import "C"

import (
	"fmt"
	"image"
	"runtime"
	"sync"
	"sync/atomic"

	"gocv.io/x/gocv"

	"focal/core/pixel"
)

// What OpenCV keeps for a whole process is kept here for a whole process.
var (
	// oneThread makes OpenCV stay on the calling thread: the callers hold
	// slots, and a pool of its own would go round them.
	oneThread = sync.OnceFunc(func() { gocv.SetNumThreads(1) })
	// live counts open Mats, so that tests can see that none is left.
	live atomic.Int64
)

// Backend names the library that resizes.
func Backend() string { return "opencv " + gocv.OpenCVVersion() }

// Live is the number of C objects that this package holds: zero whenever no
// call is under way.
func Live() int64 { return live.Load() }

// resize splits a stretch that shrinks one axis and enlarges the other in two
// for Area: OpenCV averages only where neither axis grows.
func resize(src []byte, channels int, from, to pixel.Size, k Kernel) ([]byte, error) {
	oneThread()
	shrunk := pixel.Size{Width: min(from.Width, to.Width), Height: min(from.Height, to.Height)}
	if k != Area || shrunk == to || shrunk == from {
		return resizeOnce(src, channels, from, to, flags(from, to, k))
	}
	half, err := resizeOnce(src, channels, from, shrunk, gocv.InterpolationArea)
	if err != nil {
		return nil, err
	}
	return resizeOnce(half, channels, shrunk, to, gocv.InterpolationLinear)
}

func flags(from, to pixel.Size, k Kernel) gocv.InterpolationFlags {
	switch {
	case k == Cubic:
		return gocv.InterpolationCubic
	case k == Area && to.Width <= from.Width && to.Height <= from.Height:
		return gocv.InterpolationArea
	default:
		return gocv.InterpolationLinear
	}
}

// resizeOnce has its sizes checked by the callers: gocv trusts them, and C++
// ends the process where they do not fit the slice.
func resizeOnce(src []byte, channels int, from, to pixel.Size, f gocv.InterpolationFlags) ([]byte, error) {
	kind := gocv.MatTypeCV8UC1
	if channels == 3 {
		kind = gocv.MatTypeCV8UC3
	}
	// The Mat keeps the address of Go memory for as long as it is open.
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&src[0])
	in, err := gocv.NewMatFromBytes(from.Height, from.Width, kind, src)
	if err != nil {
		return nil, fmt.Errorf("opencv: %w", err)
	}
	defer closeMat(&in)
	out := gocv.NewMat()
	defer closeMat(&out)
	live.Add(2)
	if err := gocv.Resize(in, &out, image.Pt(to.Width, to.Height), 0, 0, f); err != nil {
		return nil, fmt.Errorf("opencv: %w", err)
	}
	pix := out.ToBytes()
	if len(pix) != to.Width*to.Height*channels {
		return nil, fmt.Errorf("opencv made %d bytes for %d×%d×%d", len(pix), to.Width, to.Height, channels)
	}
	return pix, nil
}

func closeMat(m *gocv.Mat) {
	live.Add(-1)
	m.Close() // its error is always nil
}
