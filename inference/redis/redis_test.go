package redis

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	goredis "github.com/redis/go-redis/v9"

	"focal/core/fault"
	"focal/core/pixel"
)

// patience is for failures only: nothing here takes so long.
const patience = 30 * time.Second

// server is a real Redis on a Unix socket.
type server struct {
	socket string
	cmd    *exec.Cmd
	client *goredis.Client
}

func (s *server) start(t *testing.T, args ...string) {
	t.Helper()
	args = append([]string{"--port", "0", "--unixsocket", s.socket, "--save", "", "--appendonly", "no", "--dir", filepath.Dir(s.socket)}, args...)
	s.cmd = exec.Command("redis-server", args...) // scripts/deps installs it
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "Redis answers", func() bool {
		err := s.client.Ping(t.Context()).Err()
		return err == nil || strings.Contains(err.Error(), "NOAUTH")
	})
}

func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = s.cmd.Wait() // says that it was killed
}

func redisServer(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{socket: filepath.Join(t.TempDir(), "redis.sock")}
	s.client = goredis.NewClient(&goredis.Options{Network: "unix", Addr: s.socket})
	s.start(t, args...)
	t.Cleanup(func() { s.kill(t); s.client.Close() })
	return s
}

// until waits for what another process does.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// diary is a log that tests read while it is written.
type diary struct {
	mu sync.Mutex // protects b
	b  bytes.Buffer
}

func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.b.Write(p)
}

func (d *diary) count(text string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Count(d.b.String(), text)
}

// results opens Results that wait for as long as the tests do.
func results(t *testing.T, url string, change func(*Config)) (*Results, *diary) {
	t.Helper()
	d := &diary{}
	c := DefaultConfig()
	c.URL, c.Wait, c.Rest, c.Log = url, patience, time.Hour, slog.New(slog.NewTextHandler(d, nil))
	if change != nil {
		change(&c)
	}
	r, err := New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return r, d
}

func key(n byte) pixel.Digest { return pixel.Digest{n} }

func TestResults_AreThereForAllWhoShareTheServer(t *testing.T) {
	s := redisServer(t)
	one, _ := results(t, "unix://"+s.socket, nil)
	other, _ := results(t, "unix://"+s.socket, nil)
	value := []byte("a value\x00 of any bytes \xff")
	if got := other.Get(t.Context(), key(1)); got != nil {
		t.Fatalf("%q before anything was put", got)
	}
	one.Put(key(1), value)
	until(t, "the value is there", func() bool { return bytes.Equal(other.Get(t.Context(), key(1)), value) })
	if got := other.Get(t.Context(), key(2)); got != nil {
		t.Errorf("%q under another key", got)
	}
	if st := other.Stats(); st.Hits != 1 || st.Misses < 2 {
		t.Errorf("stats %+v", st)
	}
}

func TestResults_ExpireUnlessTheyAreRead(t *testing.T) {
	s := redisServer(t)
	r, _ := results(t, "unix://"+s.socket, func(c *Config) { c.TTL = 100 * time.Second })
	r.Put(key(1), []byte("x"))
	name := "focal:1:" + key(1).String()
	ttl := func() time.Duration { return s.client.TTL(t.Context(), name).Val() }
	until(t, "the value is there", func() bool { return ttl() > 0 })
	if got := ttl(); got > 100*time.Second {
		t.Errorf("kept for %v", got)
	}
	s.client.Expire(t.Context(), name, 5*time.Second)
	if r.Get(t.Context(), key(1)) == nil || ttl() <= 5*time.Second {
		t.Errorf("read, and kept for %v more", ttl())
	}
}

func TestResults_LeaveAServerThatIsGoneAloneAndComeBack(t *testing.T) {
	s := redisServer(t)
	r, said := results(t, "unix://"+s.socket, func(c *Config) { c.Wait = time.Second })
	r.Put(key(1), []byte("x"))
	until(t, "the value is there", func() bool { return r.Get(t.Context(), key(1)) != nil })
	s.kill(t)
	for range 10 {
		if got := r.Get(t.Context(), key(1)); got != nil {
			t.Fatalf("%q from a dead server", got)
		}
		r.Put(key(2), []byte("y"))
	}
	// The pool may hold two connections that have to find out.
	if n := testutil.ToFloat64(r.failures); n < 1 || n > 2 || said.count("does not answer") != 1 {
		t.Errorf("%v failures, and %q", n, said.b.String())
	}
	s.start(t)
	r.resting.Store(1) // the rest is over
	r.Put(key(3), []byte("z"))
	until(t, "the new value is there", func() bool { return r.Get(t.Context(), key(3)) != nil })
	if said.count("answers again") != 1 {
		t.Errorf("the log says %q", said.b.String())
	}
}

func TestResults_DoNotWaitForAServerThatSaysNothing(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // whoever connects stands in the backlog
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	r, _ := results(t, "redis://"+silent.Addr().String(), func(c *Config) { c.Wait, c.Queue = 10*time.Millisecond, 4 })
	if got := r.Get(t.Context(), key(1)); got != nil {
		t.Errorf("%q from a silent server", got)
	}
	if n := testutil.ToFloat64(r.failures); n != 1 {
		t.Errorf("%v failures, want 1", n)
	}
}

// A caller who leaves early is no reason to think ill of the server.
func TestResults_LearnNothingFromACallerWhoLeaves(t *testing.T) {
	s := redisServer(t)
	r, said := results(t, "unix://"+s.socket, nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got := r.Get(gone, key(1)); got != nil {
		t.Errorf("got %q", got)
	}
	r.Put(key(1), []byte("x"))
	until(t, "the value is there", func() bool { return r.Get(t.Context(), key(1)) != nil })
	if said.count("does not answer") != 0 {
		t.Errorf("the log says %q", said.b.String())
	}
}

func TestResults_SayThatThePasswordIsWrongWithoutIt(t *testing.T) {
	s := redisServer(t, "--requirepass", "right")
	r, said := results(t, "unix://:wr0ng@"+s.socket, nil)
	if got := r.Get(t.Context(), key(1)); got != nil {
		t.Errorf("got %q", got)
	}
	if said.count("WRONGPASS") != 1 || said.count("wr0ng") != 0 {
		t.Errorf("the log says %q", said.b.String())
	}
	r, _ = results(t, "unix://:right@"+s.socket, nil)
	r.Put(key(1), []byte("x"))
	until(t, "the value is there", func() bool { return r.Get(t.Context(), key(1)) != nil })
}

// What cannot be written in time is dropped, not waited for.
func TestResults_DropWhatTheServerIsTooSlowFor(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	r, _ := results(t, "redis://"+silent.Addr().String(), func(c *Config) { c.Wait, c.Queue = time.Second, 4 })
	for n := range byte(100) {
		r.Put(key(n), []byte("x"))
	}
	if n := testutil.ToFloat64(r.dropped); n < 100-4-writers-1 {
		t.Errorf("%v of 100 dropped with a queue of 4", n)
	}
}

func TestResults_WriteWhatWaitsBeforeTheyClose(t *testing.T) {
	s := redisServer(t)
	r, _ := results(t, "unix://"+s.socket, nil)
	for n := range byte(100) {
		r.Put(key(n), []byte("x"))
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.client.DBSize(t.Context()).Val(); n != 100 {
		t.Errorf("%d of 100 values are there", n)
	}
	r.Put(key(1), []byte("x")) // nobody writes any more, and nothing breaks
}

func TestConfig_NamesWhatItCannotUseAndKeepsThePassword(t *testing.T) {
	for _, url := range []string{"", "redis", "http://h", "redis://:s3cret@h:port", "redis://:s3cret@h/one", "redis://:s3cret@h/%zz", "unix://"} {
		c := DefaultConfig()
		c.URL = url
		_, err := New(c, nil)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "--redis") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", url, err)
		}
	}
	c := DefaultConfig()
	c.URL, c.TTL = "redis://h", time.Millisecond
	if _, err := New(c, nil); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "--redis-ttl") {
		t.Errorf("%v", err)
	}
}
