package app

import (
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// redisServer starts a real Redis, which scripts/deps installs, and returns its
// URL.
func redisServer(t *testing.T) (url string, stop func()) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "redis.sock")
	cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", filepath.Dir(socket))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			_ = cmd.Wait() // says that it was killed
		}
	}
	t.Cleanup(stop)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); ; {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return "unix://" + socket, stop
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("Redis does not start")
		}
	}
}

// Two machines with one Redis: what one has found, the other knows. Without it
// both go on by themselves.
func TestHouse_SharesFindingsThroughRedis(t *testing.T) {
	c := modelsConfig(t, faceModel, foregroundModel)
	var stop func()
	c.Redis, stop = redisServer(t)
	const both = "gravity=face,zoom=0.5,segment=foreground,width=200,height=200,format=png"
	runs := func(h *house) float64 { return h.metric(t, "focal_inference_run_seconds") }

	var first answer
	t.Run("one", func(t *testing.T) { // its end is the house's
		one := open(t, c, nil)
		one.put(t, "photos/couple-beach.jpg")
		first, _ = one.picture(t, both, "couple-beach.jpg")
		if n := runs(one); n != 2 {
			t.Fatalf("%v runs, want 2", n)
		}
	})

	other := open(t, c, nil)
	other.put(t, "photos/couple-beach.jpg", "photos/portrait-smile.jpg")
	second, _ := other.picture(t, both, "couple-beach.jpg")
	if n := runs(other); n != 0 {
		t.Errorf("%v runs of what the first house found", n)
	}
	if string(first.body) != string(second.body) {
		t.Error("the picture differs from the first house's")
	}
	if n := other.metric(t, "focal_cache_hits_total", "tier=shared"); n != 2 {
		t.Errorf("%v hits of the shared tier, want 2", n)
	}

	stop()
	other.picture(t, both, "portrait-smile.jpg")
	if n := runs(other); n != 2 {
		t.Errorf("%v runs without Redis, want 2", n)
	}
}
