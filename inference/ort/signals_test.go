//go:build linux && amd64

package ort

import (
	"syscall"
	"testing"
	"unsafe"
)

// action is the kernel's sigaction.
type action struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

func sigaction(t *testing.T, s syscall.Signal, fresh *action) (old action) {
	t.Helper()
	if _, _, e := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(fresh)), uintptr(unsafe.Pointer(&old)), 8, 0, 0); e != 0 {
		t.Fatal(e)
	}
	return old
}

// A handler without SA_ONSTACK is what ends a Go program; the default one here
// stands for it, and is in place for a moment only.
func TestSignals_GoesHandlersComeBack(t *testing.T) {
	const s = syscall.SIGUSR2
	before := sigaction(t, s, nil)
	const onStack = 0x08000000
	if before.handler == 0 || before.flags&onStack == 0 {
		t.Fatalf("Go has no handler for %v: %+v", s, before)
	}
	var k signals
	outer := k.keep()
	sigaction(t, s, &action{})
	inner := k.keep() // begins while the other's handler is in place
	inner()
	if now := sigaction(t, s, nil); now.handler != 0 {
		t.Error("put back before the last has ended")
	}
	outer()
	if after := sigaction(t, s, nil); after.handler != before.handler || after.flags&onStack == 0 {
		t.Errorf("handler %+v before, %+v after", before, after)
	}
}
