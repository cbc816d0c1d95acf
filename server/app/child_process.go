package app

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The files that a child finds open, as os/exec numbers them.
const (
	fdListener = 3 // the Unix socket
	fdLifeLine = 4 // read end: ends when the child is to leave
	fdReady    = 5 // write end: one byte when the child is ready
)

// process is one running child. Its two goroutines end with it.
type process struct {
	cmd      *exec.Cmd
	lifeLine *os.File // write end
	output   *output
	ready    chan struct{} // closed when it says so
	exited   chan struct{} // closed when it has been reaped; err and output are settled then
	err      error
}

// startProcess starts one child with the listener and two fresh pipes.
func startProcess(cfg ChildConfig, listener *net.UnixListener, log *slog.Logger) (p *process, err error) {
	var given []*os.File // the child's copies, closed here whatever happens
	defer func() {
		for _, f := range given {
			err = errors.Join(err, f.Close())
		}
	}()
	socket, err := copyOf(listener)
	if err != nil {
		return nil, err
	}
	given = append(given, socket)
	lifeRead, lifeWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	given = append(given, lifeRead)
	readyRead, readyWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, lifeWrite.Close())
	}
	given = append(given, readyWrite)
	p = &process{
		cmd: exec.Command(cfg.Path), lifeLine: lifeWrite, output: &output{log: log, tell: cfg.Output},
		ready: make(chan struct{}), exited: make(chan struct{}),
	}
	p.cmd.Args = cfg.Args
	p.cmd.Env = append(os.Environ(), cfg.Env...)
	p.cmd.ExtraFiles = []*os.File{fdListener - 3: socket, fdLifeLine - 3: lifeRead, fdReady - 3: readyWrite}
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	// A grandchild that keeps the output open must not keep us waiting.
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, lifeWrite.Close(), readyRead.Close())
	}
	go p.awaitReady(readyRead)
	go p.awaitExit(readyRead)
	return p, nil
}

// copyOf returns a second descriptor of l's socket. UnixListener.File would do
// the same and then, when os/exec asks for the number, make the socket
// blocking, for l too: its Accept could not be interrupted any more.
func copyOf(l *net.UnixListener) (*os.File, error) {
	conn, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dupErr error
	err = conn.Control(func(own uintptr) { fd, dupErr = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, dupErr); err != nil {
		return nil, fmt.Errorf("copy the socket: %w", err)
	}
	return os.NewFile(uintptr(fd), l.Addr().String()), nil
}

// awaitReady reads the one byte, or the end of the pipe.
func (p *process) awaitReady(pipe *os.File) {
	if n, _ := pipe.Read(make([]byte, 1)); n == 1 {
		close(p.ready)
	}
}

func (p *process) awaitExit(readyPipe *os.File) {
	p.err = p.cmd.Wait()
	// Only now: closing ends awaitReady even if a grandchild holds the pipe.
	p.err = errors.Join(p.err, readyPipe.Close())
	close(p.exited)
}

// leave asks p to leave, kills it when kill is closed (at once if kill is nil),
// and returns when it has been reaped.
func (p *process) leave(kill <-chan struct{}) {
	p.hangUp()
	if kill != nil {
		select {
		case <-p.exited:
			return
		case <-kill:
		}
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.output.log.Error("kill sidecar", "error", err)
	}
	<-p.exited
}

// hangUp ends the life-line: of a process that was reaped, it is only closed.
func (p *process) hangUp() {
	if err := p.lifeLine.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		p.output.log.Error("life-line of sidecar", "error", err)
	}
}

// epitaph says how a process that was reaped has ended, and its last words.
func (p *process) epitaph() string {
	text := "exit status 0"
	if p.err != nil {
		text = p.err.Error()
	}
	if words := p.output.last(); words != "" {
		text += ": " + words
	}
	return text
}

// output passes on what a child writes, line by line, and remembers
// its last lines, and the first line of a Go panic, which is far from the
// last. Write is called from one goroutine; last only after that has ended.
type output struct {
	log     *slog.Logger
	tell    func(line string)
	partial []byte
	lines   []string
	panics  string
}

const (
	keptLines   = 5
	maxLineSize = 4 << 10 // longer lines are cut into several
)

// Write takes a piece of the output.
func (o *output) Write(piece []byte) (int, error) {
	o.partial = append(o.partial, piece...)
	for {
		end := bytes.IndexByte(o.partial, '\n')
		if end < 0 && len(o.partial) < maxLineSize {
			return len(piece), nil
		}
		rest := end + 1
		if end < 0 || end > maxLineSize {
			end, rest = maxLineSize, maxLineSize
		}
		o.line(string(o.partial[:end]))
		o.partial = append(o.partial[:0], o.partial[rest:]...)
	}
}

func (o *output) line(text string) {
	text = strings.TrimRight(text, "\r")
	o.tell(text)
	if o.panics == "" && (strings.HasPrefix(text, "panic: ") || strings.HasPrefix(text, "fatal error: ")) {
		o.panics = text
	}
	if len(o.lines) == keptLines {
		o.lines = append(o.lines[:0], o.lines[1:]...)
	}
	o.lines = append(o.lines, text)
}

// last returns the last words.
func (o *output) last() string {
	if len(o.partial) > 0 {
		o.line(string(o.partial))
		o.partial = nil
	}
	if o.panics != "" {
		return o.panics
	}
	return strings.Join(o.lines, "\n")
}
