package ort

// #include <errno.h>
// #include <malloc.h>
// #include <stdlib.h>
//
// static int disable_telemetry(void) {
//   return setenv("ORT_DISABLE_TELEMETRY", "1", 1) == 0 ? 0 : errno;
// }
//
// static long long heap_in_use(void) {
// #if defined(__GLIBC__) && (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 33))
//   struct mallinfo2 m = mallinfo2();
//   return (long long)(m.uordblks + m.hblkhd);
// #else
//   return -1;
// #endif
// }
//
// static void give_back_pages(void) {
// #ifdef __GLIBC__
//   malloc_trim(0);
// #endif
// }
import "C"

import (
	"fmt"
	"syscall"
	"unsafe"

	"focal/core/fault"
)

// disableTelemetry sets the variable that ONNX Runtime reads when its library
// is loaded. The parent process sets it for its children; here it is set for
// whoever starts this program some other way. C's setenv is enough, because
// the library is loaded after it, by Open.
func disableTelemetry() error {
	if e := C.disable_telemetry(); e != 0 {
		return fmt.Errorf("setenv ORT_DISABLE_TELEMETRY: %w", syscall.Errno(e))
	}
	return nil
}

// heapInUse is the number of bytes that the C heap of this process has handed
// out, mapped blocks included, or -1 where the C library does not say.
func heapInUse() int64 { return int64(C.heap_in_use()) }

// giveBackPages returns to the system the pages of the C heap that hold nothing. A
// session is thousands of small blocks: what it frees lies between those of others,
// and only the heap's end would go back by itself.
func giveBackPages() { C.give_back_pages() }

// Lend takes room from the C heap, or where a card runs from the memory that it
// fetches by itself: what is written there is copied no more.
func (e *Engine) Lend(n int) (room []float32, back func(), err error) {
	switch {
	case n < 1:
		return nil, func() {}, nil
	case e.card != nil:
		if room, back = e.card.pins.take(n); room == nil {
			return make([]float32, n), func() {}, nil
		}
		return room, back, nil
	}
	p := C.malloc(C.size_t(n) * C.size_t(unsafe.Sizeof(room[0])))
	if p == nil {
		return nil, nil, fault.New(fault.Busy, "ort.Lend", "the system has no memory for %d numbers", n)
	}
	e.live.Add(1)
	e.activity.disturb()
	return unsafe.Slice((*float32)(p), n), func() {
		C.free(p)
		e.live.Add(-1)
		e.activity.disturb()
	}, nil
}
