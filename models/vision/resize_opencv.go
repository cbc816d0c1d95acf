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

// interpolate is Linear or Cubic. Its sizes are checked by the callers: gocv trusts
// them, and C++ ends the process where they do not fit the slice.
func interpolate(src []byte, channels int, from, to pixel.Size, k Kernel) ([]byte, error) {
	oneThread()
	flag := gocv.InterpolationLinear
	if k == Cubic {
		flag = gocv.InterpolationCubic
	}
	kind := gocv.MatTypeCV8UC1
	if channels == 3 {
		kind = gocv.MatTypeCV8UC3
	}
	// The Mats keep addresses of Go memory for as long as they are open.
	dst := make([]byte, to.Width*to.Height*channels)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&src[0])
	pin.Pin(&dst[0])
	in, err := gocv.NewMatFromBytes(from.Height, from.Width, kind, src)
	if err != nil {
		return nil, fmt.Errorf("opencv: %w", err)
	}
	live.Add(1)
	defer closeMat(&in)
	out, err := gocv.NewMatFromBytes(to.Height, to.Width, kind, dst)
	if err != nil {
		return nil, fmt.Errorf("opencv: %w", err)
	}
	live.Add(1)
	defer closeMat(&out)
	if err := gocv.Resize(in, &out, image.Pt(to.Width, to.Height), 0, 0, flag); err != nil {
		return nil, fmt.Errorf("opencv: %w", err)
	}
	if made, err := out.DataPtrUint8(); err != nil || len(made) != len(dst) || &made[0] != &dst[0] {
		return nil, fmt.Errorf("opencv made something else than %d×%d×%d", to.Width, to.Height, channels)
	}
	return dst, nil
}

func closeMat(m *gocv.Mat) {
	live.Add(-1)
	m.Close() // its error is always nil
}
