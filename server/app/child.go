package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"focal/core/fault"
	"focal/inference"
)

// ChildConfig says what the child process is and how patiently it is kept.
type ChildConfig struct {
	// Path is the program, Args its arguments with the name first.
	Path string
	Args []string
	// Env is added to the environment of this process. Variables that C reads
	// when a library loads must be set here: later is too late.
	Env []string
	// Socket is the path of the Unix socket; empty: in a private temporary
	// directory. Its mode is 0600.
	Socket string
	// StartTimeout is how long a start may take until it is ended and counts
	// as failed.
	StartTimeout time.Duration
	// FirstStart is the longest that FirstStart stays open.
	FirstStart time.Duration
	// MinBackoff is the wait before the first restart; each further one waits
	// twice as long, up to MaxBackoff, until a child has been ready for Stable.
	MinBackoff, MaxBackoff, Stable time.Duration
	// FailedStarts in a row are what makes the state down.
	FailedStarts int
	// Log takes the supervisor's words; nil: slog.Default.
	Log *slog.Logger
	// Output is told every line that the child writes; nil: Log takes it.
	Output func(line string)
}

// DefaultChildConfig returns everything but the arguments: this very program,
// even if its file has been replaced meanwhile.
func DefaultChildConfig() ChildConfig {
	return ChildConfig{
		Path:         "/proc/self/exe",
		Env:          []string{"OPENBLAS_NUM_THREADS=1", "ORT_DISABLE_TELEMETRY=1"},
		StartTimeout: 2 * time.Minute,
		FirstStart:   15 * time.Second,
		MinBackoff:   100 * time.Millisecond,
		MaxBackoff:   30 * time.Second,
		Stable:       time.Minute,
		FailedStarts: 3,
	}
}

// Validate reports the first field that cannot work.
func (c ChildConfig) Validate() error {
	const op = "app.ChildConfig"
	const maxSocket = 107 // sun_path holds 108 bytes with a final zero
	switch {
	case c.Path == "" || len(c.Args) == 0:
		return fault.New(fault.Invalid, op, "no program to start, or no arguments with its name first")
	case len(c.Socket) > maxSocket:
		return fault.New(fault.Invalid, op, "socket path %q is longer than %d bytes", c.Socket, maxSocket)
	case c.StartTimeout <= 0 || c.FirstStart <= 0 || c.Stable <= 0:
		return fault.New(fault.Invalid, op, "start timeout %v, first start %v, stable %v: want more than 0", c.StartTimeout, c.FirstStart, c.Stable)
	case c.MinBackoff <= 0 || c.MaxBackoff < c.MinBackoff:
		return fault.New(fault.Invalid, op, "backoff from %v to %v", c.MinBackoff, c.MaxBackoff)
	case c.FailedStarts <= 0:
		return fault.New(fault.Invalid, op, "failed starts %d: want more than 0", c.FailedStarts)
	}
	return nil
}

// Child keeps one child process running behind a Unix socket.
//
// The socket belongs to this process and outlives the child: while there is
// none, connections wait in its backlog. Each child inherits it, together with
// the read end of a pipe, the life-line, that ends when this process asks it
// to leave or dies, and the write end of one on which it says that it is
// ready; Inherited is the other half. The child stays in the process group.
//
// Child owns the run loop, the child and its pipes; Close ends them all.
type Child struct {
	cfg      ChildConfig
	log      *slog.Logger
	path     string // of the socket
	dir      string // the private directory of the socket; empty where the path was given
	listener *net.UnixListener
	restarts prometheus.Counter
	first    chan struct{}
	endFirst func() // closes first, once
	stop     chan struct{}
	kill     chan struct{}
	done     chan struct{}
	close    func() // closes stop, once
	giveUp   func() // closes kill, once

	mu      sync.Mutex // protects what follows
	state   inference.State
	reason  string
	pid     int           // of the running child, else 0
	changed chan struct{} // closed when state changes, and replaced
}

// StartChild opens the socket and starts the child. metrics, which may be nil,
// gets focal_sidecar_restarts_total.
func StartChild(cfg ChildConfig, metrics prometheus.Registerer) (*Child, error) {
	const op = "app.StartChild"
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Output == nil {
		cfg.Output = func(line string) { cfg.Log.Info(line, "process", "sidecar") }
	}
	c := &Child{
		cfg: cfg, log: cfg.Log, path: cfg.Socket,
		first: make(chan struct{}), stop: make(chan struct{}), kill: make(chan struct{}), done: make(chan struct{}),
		state: inference.StateStarting, changed: make(chan struct{}),
	}
	c.endFirst = sync.OnceFunc(func() { close(c.first) })
	c.close = sync.OnceFunc(func() { close(c.stop) })
	c.giveUp = sync.OnceFunc(func() { close(c.kill) })
	if c.path == "" {
		dir, err := os.MkdirTemp("", "focal-")
		if err != nil {
			return nil, fault.New(fault.Internal, op, "%w", err)
		}
		c.dir, c.path = dir, filepath.Join(dir, "sidecar.sock")
	}
	var err error
	if c.listener, err = listenPrivately(c.path); err != nil {
		return nil, errors.Join(fault.New(fault.Invalid, op, "%w", err), c.removeDir())
	}
	c.restarts = promauto.With(metrics).NewCounter(prometheus.CounterOpts{
		Name: "focal_sidecar_restarts_total", Help: "Starts of the inference sidecar after the first.",
	})
	go c.supervise()
	return c, nil
}

// listenPrivately opens a Unix socket that only this user may connect to. A
// socket left by a process that died is replaced.
func listenPrivately(path string) (*net.UnixListener, error) {
	addr := &net.UnixAddr{Name: path, Net: "unix"}
	if conn, err := net.DialUnix("unix", nil, addr); err == nil {
		return nil, errors.Join(fmt.Errorf("somebody already serves at %s", path), conn.Close())
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		// A regular file refuses too, and is none of ours.
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
			if err := os.Remove(path); err != nil {
				return nil, err
			}
		}
	}
	// Chmod afterwards would leave a moment in which others get in, and whoever
	// is in is trusted.
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	return net.ListenUnix("unix", addr)
}

// Address returns the socket in the form that sidecar.Dial takes.
func (c *Child) Address() string { return "unix:" + c.path }

// FirstStart is closed when the first start has ended, either way, or has
// taken longer than ChildConfig.FirstStart.
func (c *Child) FirstStart() <-chan struct{} { return c.first }

// State returns starting, ready or down, and how the last child ended where it
// is not ready.
func (c *Child) State() (inference.State, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.reason
}

// PID returns the process id of the running child, or 0.
func (c *Child) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid
}

// Await returns nil once the state is want, or the error of ctx.
func (c *Child) Await(ctx context.Context, want inference.State) error {
	for {
		c.mu.Lock()
		state, changed := c.state, c.changed
		c.mu.Unlock()
		if state == want {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fault.New(fault.KindOf(ctx.Err()), "app.Child.Await", "sidecar is %s, not %s: %w", state, want, ctx.Err())
		}
	}
}

// Close asks the child to leave, ends it when ctx does, reaps it, and closes
// the socket.
func (c *Child) Close(ctx context.Context) error {
	c.close()
	var err error
	select {
	case <-c.done:
	case <-ctx.Done():
		c.giveUp()
		<-c.done
		err = fault.New(fault.Timeout, "app.Child.Close", "the sidecar did not leave in time and was killed: %w", ctx.Err())
	}
	if closeErr := c.listener.Close(); !errors.Is(closeErr, net.ErrClosed) {
		err = errors.Join(err, closeErr)
	}
	return errors.Join(err, c.removeDir())
}

func (c *Child) removeDir() error {
	if c.dir == "" {
		return nil
	}
	return os.RemoveAll(c.dir)
}

// supervise is the run loop:
//
//  1. Start a child and stay with it until it has ended.
//  2. Close was called: leave.
//  3. It had been ready: failed starts are forgotten, and if it was ready for
//     long, the backoff too. It is starting again.
//  4. It had not, as often as FailedStarts in a row: down, at the slow rate.
//     Who waits in the backlog is sent away until a child is ready again.
//  5. Wait the backoff, which doubles.
func (c *Child) supervise() {
	defer close(c.done)
	late := time.AfterFunc(c.cfg.FirstStart, c.endFirst)
	defer late.Stop()
	defer c.endFirst()
	welcome := func() {} // ends the sending away, if any
	defer func() { welcome() }()
	failed, backoff := 0, c.cfg.MinBackoff
	for {
		end := c.runOnce(func() { welcome() }) // 1
		c.endFirst()
		select {
		case <-c.stop: // 2
			c.set(inference.StateDown, "closed", 0)
			return
		default:
		}
		state := inference.StateStarting
		if end.wasReady { // 3
			failed = 0
			if end.ready >= c.cfg.Stable {
				backoff = c.cfg.MinBackoff
			}
		} else if failed++; failed >= c.cfg.FailedStarts { // 4
			state, backoff = inference.StateDown, c.cfg.MaxBackoff
			if failed == c.cfg.FailedStarts {
				welcome = c.sendAway()
			}
		}
		c.set(state, end.reason, 0)
		c.log.Warn("sidecar ended", "reason", end.reason, "failed_starts", failed, "restart_in", backoff)
		select { // 5
		case <-time.After(backoff):
			backoff = min(2*backoff, c.cfg.MaxBackoff)
			c.restarts.Inc()
		case <-c.stop:
		}
	}
}

// ending is how one child ended.
type ending struct {
	wasReady bool
	ready    time.Duration // how long it was
	reason   string
}

// runOnce starts a child and returns when it has ended and is reaped: by
// itself, because a start took too long, or because Close was called. isReady
// is called when it says that it is ready.
func (c *Child) runOnce(isReady func()) ending {
	select {
	case <-c.stop:
		return ending{}
	default:
	}
	p, err := startProcess(c.cfg, c.listener, c.log)
	if err != nil {
		return ending{reason: "cannot start: " + err.Error()}
	}
	c.mu.Lock()
	c.pid = p.cmd.Process.Pid
	c.mu.Unlock()
	var end ending
	late := time.NewTimer(c.cfg.StartTimeout)
	defer late.Stop()
	select {
	case <-p.ready:
		isReady()
		end.wasReady = true
		since := time.Now()
		c.set(inference.StateReady, "", p.cmd.Process.Pid)
		c.endFirst()
		c.log.Info("sidecar ready", "pid", p.cmd.Process.Pid)
		select {
		case <-p.exited:
		case <-c.stop:
			p.leave(c.kill)
		}
		end.ready = time.Since(since)
	case <-p.exited:
	case <-late.C:
		p.leave(nil)
		end.reason = fmt.Sprintf("not ready after %v; ", c.cfg.StartTimeout)
	case <-c.stop:
		p.leave(c.kill)
	}
	end.reason += p.epitaph()
	p.hangUp()
	return end
}

func (c *Child) set(state inference.State, reason string, pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid, c.reason = pid, reason
	if c.state != state {
		c.state = state
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

// sendAway closes connections as they come, so that nobody waits out a
// deadline for a sidecar that is down, until the function that it returns is
// called, once or more often.
func (c *Child) sendAway() (welcome func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := c.listener.Accept()
			if err != nil {
				return // the deadline set below
			}
			if err := conn.Close(); err != nil {
				c.log.Debug("send away a caller of the sidecar", "error", err)
			}
		}
	}()
	return sync.OnceFunc(func() {
		// A deadline in the past ends the Accept; none lets the next one wait.
		err := c.listener.SetDeadline(time.Unix(1, 0))
		<-ended
		if err := errors.Join(err, c.listener.SetDeadline(time.Time{})); err != nil {
			c.log.Error("sidecar socket", "error", err)
		}
	})
}
