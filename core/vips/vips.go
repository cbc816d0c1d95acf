// Package vips is the image engine: it opens picture files, turns their pixels
// and writes new files, on libvips.
//
// It knows nothing of URLs, options or findings. libvips, its memory and its
// types stay inside: an Image is closed by whoever made it, a pixel.Buffer and
// encoded bytes are plain Go memory. Every call that decodes or draws blocks
// its OS thread for as long as C works, so callers take a slot first.
package vips

/*
#cgo pkg-config: vips
#include <vips/vips.h>
#include <malloc.h>

// glibc keeps a heap per thread and returns little of it. Two arenas, and
// large blocks by mmap, cost no throughput here and halve what stays resident
// after a burst of large pictures. It must happen before Go starts threads,
// hence a constructor.
__attribute__((constructor)) static void focal_tune_malloc(void) {
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 131072);
	mallopt(M_TRIM_THRESHOLD, 131072);
#endif
}

// libvips calls its JPEG XL code untrusted, for files of strangers: what it
// writes is of our own pixels.
static void focal_block_untrusted(void) {
	vips_block_untrusted_set(TRUE);
	vips_operation_block_set("VipsForeignSaveJxl", FALSE);
}

static int focal_writes_jxl(void) { return vips_type_find("VipsOperation", "jxlsave_buffer") != 0; }
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"

	"focal/core/fault"

	govips "github.com/davidbyttow/govips/v2/vips"
)

// Config says how libvips runs.
type Config struct {
	// Threads is how many threads one picture may use. One is best for a
	// server: many pictures run side by side.
	Threads int
	// Log receives warnings of libvips; nil discards them.
	Log func(message string)
}

// DefaultConfig returns one thread a picture and no log.
func DefaultConfig() Config { return Config{Threads: 1} }

// Validate reports unusable values.
func (c Config) Validate() error {
	if c.Threads < 1 {
		return fmt.Errorf("vips: %d threads: want at least 1", c.Threads)
	}
	return nil
}

// Open starts libvips, once per process: it cannot be stopped and started
// again, so main or TestMain calls it and nobody closes it. Its operation
// cache is off, because every picture here is new, and loaders that libvips
// calls untrusted are blocked.
func Open(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	govips.LoggingSettings(func(_ string, _ govips.LogLevel, message string) {
		if c.Log != nil {
			c.Log(message)
		}
	}, govips.LogLevelWarning)
	if err := govips.Startup(&govips.Config{ConcurrencyLevel: c.Threads}); err != nil {
		return fault.New(fault.Internal, "vips.Open", "libvips: %w", err)
	}
	C.focal_block_untrusted()
	return nil
}

// Writes says whether Encode can write f: JPEG XL is not in every libvips.
func Writes(f Format) bool {
	switch f {
	case JPEG, PNG, GIF, WebP, AVIF:
		return true
	case JXL:
		return C.focal_writes_jxl() != 0
	default:
		return false
	}
}

// Version returns the version of libvips.
func Version() string { return govips.Version }

// Live counts the images that are open: zero when nothing is under way.
func Live() int64 { return govips.OpenImageRefs() }

// Memory returns the bytes that libvips holds in pixel buffers of its own, now
// and at most. Decoders' memory is not in it.
func Memory() (now, peak int64) {
	var s govips.MemoryStats
	govips.ReadVipsMemStats(&s)
	return s.Mem, s.MemHigh
}

// lastError takes what libvips says of its last failure, where the binding
// leaves it lying, or else returns err. Left there, it would stand before the
// next picture's error.
func lastError(err error) error {
	text := C.vips_error_buffer_copy() // copies and clears
	defer C.g_free(C.gpointer(text))
	if s := C.GoString(text); s != "" {
		return errors.New(s)
	}
	return err
}

// wrap gives an error of libvips a kind and cuts the Go stack trace that the
// binding appends to its text.
func wrap(k fault.Kind, op string, err error) error {
	text := strings.TrimSpace(err.Error())
	if i := strings.Index(text, "\nStack:"); i >= 0 {
		text = text[:i]
	}
	// The last line is this failure's. Those before it say the same of other rows,
	// or were left by a call that went well all the same: libvips has one buffer
	// for the whole process, and adds to its end.
	text = strings.TrimSpace(text)
	return fault.New(k, op, "%s", text[strings.LastIndex(text, "\n")+1:])
}
