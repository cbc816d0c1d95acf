package app

import (
	"context"
	"net"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"focal/core/fault"
)

// Inheritance is what a child process gets from its supervisor.
type Inheritance struct {
	// Listener is the supervisor's socket. Closing it leaves the socket where
	// it is, for the next child.
	Listener net.Listener
	// Stay ends when the child is to leave: the supervisor asks so, or is dead.
	Stay context.Context

	ready *os.File
}

// Inherited returns what a Child passed to this process; fault.Invalid if it
// was started by somebody else. It is called once, by a process whose arguments
// say that it is such a child: the files 3 to 5 are taken for what they are
// then.
//
// A process with a supervisor ignores interrupts: a Ctrl-C reaches the whole
// process group, and the supervisor still needs its child to finish what it
// has accepted. The life-line alone says when to leave.
//
// One goroutine waits on the life-line, to the end of the process.
func Inherited() (*Inheritance, error) {
	const op = "app.Inherited"
	// Asked of the bare number: a file of somebody else must not be taken over.
	if listening, err := unix.GetsockoptInt(fdListener, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listening != 1 {
		return nil, fault.New(fault.Invalid, op, "this process was not started as the child of a server: file %d is no listening socket", fdListener)
	}
	for _, fd := range []int{fdListener, fdLifeLine, fdReady} {
		syscall.CloseOnExec(fd)
	}
	socket := os.NewFile(fdListener, "listener")
	listener, err := net.FileListener(socket)
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "file %d: %w", fdListener, err)
	}
	if err := socket.Close(); err != nil { // the listener has a copy
		return nil, fault.New(fault.Internal, op, "%w", err)
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
	stay, leave := context.WithCancel(context.Background())
	lifeLine := os.NewFile(fdLifeLine, "life-line")
	go func() {
		defer leave()
		// Nothing is ever written: a read returns at the end, or fails, and
		// without a life-line nobody would end this process.
		_, _ = lifeLine.Read(make([]byte, 1))
	}()
	return &Inheritance{Listener: listener, Stay: stay, ready: os.NewFile(fdReady, "ready")}, nil
}

// Ready tells the supervisor that questions are answered from now on. It is
// called once.
func (i *Inheritance) Ready() error {
	if _, err := i.ready.Write([]byte{1}); err != nil {
		return fault.New(fault.Internal, "app.Inheritance.Ready", "%w", err)
	}
	return i.ready.Close()
}
