package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/clienttest"
	"focal/inference/sidecar"
)

// The tests start this test binary again as the child: it runs
// TestChildProcess alone, which plays the role that roleVariable names.
const (
	roleVariable = "FOCAL_TEST_ROLE"
	fileVariable = "FOCAL_TEST_FILE"
	inFlight     = "a question is in flight"
)

// TestChildProcess is no test: it is the child of the others.
func TestChildProcess(t *testing.T) {
	role := os.Getenv(roleVariable)
	if role == "" {
		return
	}
	if err := play(role, os.Getenv(fileVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func play(role, file string) error {
	switch role {
	case "serve":
		return serveStub(&clienttest.Stub{})
	case "mortal":
		return serveMortal()
	case "die-once":
		// The first child takes pictures and answers none.
		f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return serveStub(&clienttest.Stub{})
		} else if err != nil {
			return err
		}
		return errors.Join(f.Close(), serveStub(&clienttest.Stub{
			Before: func(ctx context.Context, s inference.Subject, _ inference.Class) error {
				if s.Look == nil {
					return nil
				}
				fmt.Fprintln(os.Stderr, inFlight)
				<-ctx.Done()
				return ctx.Err()
			},
		}))
	case "need-file":
		if _, err := os.Stat(file); err != nil {
			fmt.Fprintln(os.Stderr, "first words")
			return fmt.Errorf("last words: %w", err)
		}
		return serveStub(&clienttest.Stub{})
	case "panic":
		panic("out of luck")
	case "hang":
		i, err := Inherited()
		if err != nil {
			return err
		}
		<-i.Stay.Done()
		return nil
	case "stay":
		// Ready, and deaf to the life-line.
		i, err := Inherited()
		if err != nil {
			return err
		}
		if err := i.Ready(); err != nil {
			return err
		}
		select {}
	case "parent":
		return playParent(file)
	}
	return fmt.Errorf("no role %q", role)
}

// serveStub is a sidecar as `focal sidecar` will be.
func serveStub(client inference.Client) error {
	i, err := Inherited()
	if err != nil {
		return err
	}
	return serveAs(i, client)
}

func serveAs(i *Inheritance, client inference.Client) error {
	s, err := sidecar.New(sidecar.DefaultConfig(), client, nil)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(i.Listener) }()
	if err := i.Ready(); err != nil {
		return err
	}
	<-i.Stay.Done()
	return errors.Join(s.Close(context.Background()), <-served)
}

// playParent keeps a child at the socket file until it is killed itself.
func playParent(file string) error {
	cfg := childConfig("serve", "")
	cfg.Socket = file
	c, err := StartChild(cfg, nil)
	if err != nil {
		return err
	}
	if err := c.Await(context.Background(), inference.StateReady); err != nil {
		return err
	}
	fmt.Println("ready")
	select {}
}

func childConfig(role, file string) ChildConfig {
	cfg := DefaultChildConfig()
	cfg.Args = []string{"focal-test", "-test.run=^TestChildProcess$"}
	cfg.Env = append(cfg.Env, roleVariable+"="+role, fileVariable+"="+file)
	cfg.MinBackoff, cfg.MaxBackoff = time.Millisecond, 4*time.Millisecond
	return cfg
}

// start starts a child and closes it at the end of the test.
func start(t *testing.T, cfg ChildConfig, metrics prometheus.Registerer) *Child {
	t.Helper()
	c, err := StartChild(cfg, metrics)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

func await(t *testing.T, c *Child, want inference.State) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // only a failure takes so long
	defer cancel()
	if err := c.Await(ctx, want); err != nil {
		_, reason := c.State()
		t.Fatalf("%v (%s)", err, reason)
	}
}

func client(t *testing.T, c *Child) *sidecar.Client {
	t.Helper()
	cfg := sidecar.DefaultDialConfig()
	cfg.Address, cfg.Timeout = c.Address(), time.Minute
	client, err := sidecar.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func ask(ctx context.Context, c inference.Client, name string) (inference.Faces, error) {
	s := inference.Subject{Look: func(context.Context) (pixel.Buffer, error) {
		return pixel.Buffer{Width: 1, Height: 1, Channels: 3, Pix: make([]byte, 3)}, nil
	}}
	copy(s.Content[:], name)
	return c.Faces(ctx, inference.FacesRequest{Subject: s})
}

// reaped fails the test where pid still is a process, be it a zombie.
func reaped(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
}

// lines is a log handler that delivers the messages that contain word.
type lines struct {
	slog.Handler
	word string
	seen chan string
}

func (l lines) Enabled(context.Context, slog.Level) bool { return true }

func (l lines) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, l.word) {
		l.seen <- r.Message
	}
	return nil
}

func TestChild_AnswersBehindItsSocket(t *testing.T) {
	c := start(t, childConfig("serve", ""), nil)
	<-c.FirstStart()
	if state, reason := c.State(); state != inference.StateReady || reason != "" {
		t.Fatalf("state is %s (%s) after the first start", state, reason)
	}
	info, err := os.Stat(strings.TrimPrefix(c.Address(), "unix:"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
	if _, err := ask(t.Context(), client(t, c), "photo"); err != nil {
		t.Error(err)
	}
	if got := client(t, c).Status(t.Context()); got.State != inference.StateReady {
		t.Errorf("status is %+v", got)
	}
}

func TestChild_KillCostsNobodyAnAnswer(t *testing.T) {
	cfg := childConfig("die-once", filepath.Join(t.TempDir(), "first"))
	const callers = 20
	flying := lines{Handler: slog.DiscardHandler, word: inFlight, seen: make(chan string, 2*callers)}
	cfg.Log = slog.New(flying)
	metrics := prometheus.NewRegistry()
	c := start(t, cfg, metrics)
	await(t, c, inference.StateReady)
	pid := c.PID()
	asker := client(t, c)
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { _, errs[i] = ask(t.Context(), asker, fmt.Sprint("photo", i)) })
	}
	for range callers {
		<-flying.seen
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Errorf("a kill cost answers: %v", err)
	}
	reaped(t, pid)
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(`
# HELP focal_sidecar_restarts_total Starts of the inference sidecar after the first.
# TYPE focal_sidecar_restarts_total counter
focal_sidecar_restarts_total 1
`)); err != nil {
		t.Error(err)
	}
}

func TestChild_ThreeFailedStartsAreDownAndRecover(t *testing.T) {
	file := filepath.Join(t.TempDir(), "model")
	cfg := childConfig("need-file", file)
	metrics := prometheus.NewRegistry()
	c := start(t, cfg, metrics)
	<-c.FirstStart()
	await(t, c, inference.StateDown)
	if _, reason := c.State(); !strings.Contains(reason, "exit status 1") || !strings.Contains(reason, "first words\nlast words") {
		t.Errorf("reason is %q, want the exit status and the last words", reason)
	}
	// Who comes now is sent away at once rather than kept to a deadline.
	if _, err := ask(t.Context(), client(t, c), "photo"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("error is %v while down, want unavailable", err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, c, inference.StateReady)
	if _, err := ask(t.Context(), client(t, c), "photo"); err != nil {
		t.Errorf("after recovery: %v", err)
	}
	if n := testutil.ToFloat64(c.restarts); n < 3 {
		t.Errorf("%v restarts, want at least 3", n)
	}
}

func TestChild_SaysWhyItPanicked(t *testing.T) {
	c := start(t, childConfig("panic", ""), nil)
	await(t, c, inference.StateDown)
	if _, reason := c.State(); !strings.Contains(reason, "panic: out of luck") {
		t.Errorf("reason is %q, want the panic", reason)
	}
}

func TestChild_GivesUpOnAStartThatHangs(t *testing.T) {
	cfg := childConfig("hang", "")
	cfg.StartTimeout, cfg.FailedStarts = 10*time.Millisecond, 1
	c := start(t, cfg, nil)
	await(t, c, inference.StateDown)
	if _, reason := c.State(); !strings.Contains(reason, "not ready after 10ms") {
		t.Errorf("reason is %q", reason)
	}
}

func TestChild_FirstStartEndsThoughTheChildHangs(t *testing.T) {
	cfg := childConfig("hang", "")
	cfg.FirstStart = 10 * time.Millisecond
	c := start(t, cfg, nil)
	<-c.FirstStart()
	if state, _ := c.State(); state != inference.StateStarting {
		t.Errorf("state is %s, want starting", state)
	}
}

func TestChild_ThatCannotStartIsDown(t *testing.T) {
	cfg := childConfig("serve", "")
	cfg.Path = filepath.Join(t.TempDir(), "missing")
	c := start(t, cfg, nil)
	await(t, c, inference.StateDown)
	if _, reason := c.State(); !strings.Contains(reason, "cannot start") {
		t.Errorf("reason is %q", reason)
	}
}

func TestChild_CloseReapsAndCleansUp(t *testing.T) {
	c, err := StartChild(childConfig("serve", ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	await(t, c, inference.StateReady)
	pid := c.PID()
	for range 2 { // closing again is harmless
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	reaped(t, pid)
	if _, err := os.Stat(c.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket's directory is still there: %v", err)
	}
}

func TestChild_CloseKillsAChildThatStays(t *testing.T) {
	c, err := StartChild(childConfig("stay", ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	await(t, c, inference.StateReady)
	pid := c.PID()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Close(ctx); !fault.Is(err, fault.Timeout) {
		t.Errorf("close: %v, want timeout", err)
	}
	reaped(t, pid)
}

func TestChild_EndsWithItsParent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	parent := exec.Command(os.Args[0], "-test.run=^TestChildProcess$")
	parent.Env = append(os.Environ(), roleVariable+"=parent", fileVariable+"="+socket)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the parent says %q, %v", line, err)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// An answer proves that the child has taken this connection.
	answers := bufio.NewReader(conn)
	if _, err := fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the child answers %v, %v", resp, err)
	}
	if _, err := answers.Discard(int(resp.ContentLength)); err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The end of the connection is the end of the child: it closes at the end
	// of the life-line. The deadline is for a failure only.
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := answers.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the child outlives its parent: %v", err)
	}
	if err := parent.Wait(); err == nil {
		t.Error("the parent was not killed")
	}
	if _, err := net.Dial("unix", socket); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("somebody still listens: %v", err)
	}
	// The next server takes the socket that the dead one left behind.
	cfg := childConfig("serve", "")
	cfg.Socket = socket
	await(t, start(t, cfg, nil), inference.StateReady)
}

func TestStartChild_LeavesASocketInUseAlone(t *testing.T) {
	cfg := childConfig("serve", "")
	cfg.Socket = filepath.Join(t.TempDir(), "s")
	await(t, start(t, cfg, nil), inference.StateReady)
	if c, err := StartChild(cfg, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("two servers at one socket: %v, %v", c, err)
	}
	file := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Socket = file
	if c, err := StartChild(cfg, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("a file is no socket: %v, %v", c, err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "text" {
		t.Errorf("the file is now %q, %v", text, err)
	}
}

func TestInherited_RefusesAProcessWithoutParent(t *testing.T) {
	if _, err := Inherited(); !fault.Is(err, fault.Invalid) {
		t.Errorf("error is %v, want invalid", err)
	}
}

func TestOutput_KeepsTheLastLines(t *testing.T) {
	o := &output{tell: func(string) {}}
	for _, piece := range []string{"one\ntwo\nth", "ree\r\nfour\nfive\n", "six\nsev", "en"} {
		if n, err := o.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	if got, want := o.last(), "three\nfour\nfive\nsix\nseven"; got != want {
		t.Errorf("last lines are %q, want %q", got, want)
	}
	long := &output{tell: func(string) {}}
	if _, err := long.Write([]byte(strings.Repeat("x", 3*maxLineSize+5))); err != nil {
		t.Fatal(err)
	}
	if len(long.lines) != 3 || len(long.partial) != 5 {
		t.Errorf("a long line became %d and %d bytes", len(long.lines), len(long.partial))
	}
}
