//go:build real

package bucket

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// versity is a real S3 server over a directory, built from its own module so
// that its dependencies are not ours.
const versity = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// await asks until the server answers: it announces itself a moment too early.
func await(t *testing.T, health string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		resp, err := http.Get(health)
		if err == nil {
			_ = resp.Body.Close()
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal("the server did not start: ", err)
		}
	}
}

func TestReal_VersityGateway(t *testing.T) {
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "install", versity)
	build.Dir, build.Env = dir, append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(filepath.Join(data, "pictures"), 0o755); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(t.Context(), filepath.Join(dir, "versitygw"),
		"--port", address, "--access", "key", "--secret", "secret", "--health", "/health", "posix", data)
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	server.Stderr = server.Stdout
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	go func() {
		_, _ = io.Copy(io.Discard, out) // an unread pipe would stop it
	}()
	await(t, "http://"+address+"/health")
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	cfg := Config{Endpoint: "http://" + address, Region: "us-east-1"}
	t.Run("put and get", func(t *testing.T) { putAndGet(t, cfg) })
	t.Run("delete", func(t *testing.T) { deleteBelow(t, cfg) })
	t.Run("region asked for", func(t *testing.T) {
		cfg.Region = ""
		putAndGet(t, cfg)
	})
}
