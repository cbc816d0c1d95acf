package source

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"focal/core/fault"
	"focal/core/pixel"
)

func newFetcher(t *testing.T, change func(*Config)) *Fetcher {
	t.Helper()
	cfg := DefaultConfig()
	change(&cfg)
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if taken, _ := f.Reserved(); taken != 0 && !t.Failed() {
			t.Errorf("%d bytes of the budget were never given back", taken)
		}
	})
	return f
}

// get fetches ref and returns its bytes.
func get(t *testing.T, f *Fetcher, ref string) string {
	t.Helper()
	o, err := f.Fetch(t.Context(), ref)
	if err != nil {
		t.Fatalf("%s: %v", ref, Detail(err))
	}
	defer o.Release()
	if o.Digest != pixel.Digest(sha256.Sum256(o.Bytes)) {
		t.Errorf("%s: digest is not that of the bytes", ref)
	}
	return string(o.Bytes)
}

// refused fetches ref and wants an error of kind k that names nothing of ours.
func refused(t *testing.T, f *Fetcher, ref string, k fault.Kind) error {
	t.Helper()
	o, err := f.Fetch(t.Context(), ref)
	if err == nil {
		o.Release()
		t.Errorf("%s: fetched, want %v", ref, k)
		return nil
	}
	if !fault.Is(err, k) {
		t.Errorf("%s: %v (%v), want %v", ref, Detail(err), fault.KindOf(err), k)
	}
	for _, secret := range []string{"127.0.0.1", "localhost", "[::1]", "/tmp/", f.cfg.Root} {
		if secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the text %q names %q", ref, err, secret)
		}
	}
	return err
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFetch_ReadsRealPhotographs(t *testing.T) {
	const samples = "../../../shared/data/samples"
	if _, err := os.Stat(samples); err != nil {
		t.Skip("needs ../shared: data/samples")
	}
	f := newFetcher(t, func(c *Config) { c.Root = samples })
	photos, err := filepath.Glob(samples + "/photos/*.jpg")
	if err != nil || len(photos) == 0 {
		t.Fatal("no photographs", err)
	}
	for _, path := range photos {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := get(t, f, "/photos/"+filepath.Base(path)+"?v=1"); got != string(want) {
			t.Errorf("%s: other bytes", path)
		}
	}
}

func TestFetch_StaysInsideRoot(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	write(t, filepath.Join(dir, "secret.jpg"), "secret")
	write(t, filepath.Join(dir, "root2", "secret.jpg"), "secret")
	write(t, filepath.Join(root, "a b.jpg"), "space")
	write(t, filepath.Join(root, "sub", "in.jpg"), "inside")
	write(t, filepath.Join(root, "%2e%2e", "odd.jpg"), "odd")
	write(t, filepath.Join(root, "q?.jpg"), "question")
	for name, target := range map[string]string{
		"out.jpg": "../secret.jpg", "outdir": "..", "abs.jpg": filepath.Join(dir, "secret.jpg"),
		"absin.jpg": filepath.Join(root, "sub", "in.jpg"), "in.jpg": "sub/in.jpg", "round.jpg": "sub/../sub/in.jpg",
		"loop.jpg": "loop.jpg", "dangling.jpg": "nothing.jpg",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "fifo.jpg"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := newFetcher(t, func(c *Config) { c.Root = root })
	for ref, want := range map[string]string{
		"a%20b.jpg": "space", "/sub/in.jpg": "inside", "//sub//in.jpg?x": "inside", "sub%2Fin.jpg": "inside",
		"in.jpg": "inside", "round.jpg": "inside", "%252e%252e/odd.jpg": "odd", "q%3F.jpg?": "question",
	} {
		if got := get(t, f, ref); got != want {
			t.Errorf("%s: %q, want %q", ref, got, want)
		}
	}
	for ref, k := range map[string]fault.Kind{
		"../secret.jpg": fault.BadURL, "..%2fsecret.jpg": fault.BadURL, "%2e%2e/secret.jpg": fault.BadURL,
		"sub/..%2f../secret.jpg": fault.BadURL, `..%5csecret.jpg`: fault.BadURL, "../root2/secret.jpg": fault.BadURL,
		"a%20b.jpg%00.png": fault.BadURL, "file:///etc/passwd": fault.BadURL,
		"%252e%252e/secret.jpg": fault.NotFound, "/etc/passwd": fault.NotFound, filepath.Join(dir, "secret.jpg"): fault.NotFound,
		"out.jpg": fault.NotFound, "outdir/secret.jpg": fault.NotFound, "abs.jpg": fault.NotFound, "absin.jpg": fault.NotFound,
		"loop.jpg": fault.NotFound, "dangling.jpg": fault.NotFound, "none.jpg": fault.NotFound, "sub": fault.NotFound,
		"sub/": fault.NotFound, "sub/in.jpg/": fault.NotFound, "sub/in.jpg/x": fault.NotFound, "fifo.jpg": fault.NotFound,
		strings.Repeat("n", 300): fault.NotFound,
	} {
		refused(t, f, ref, k)
	}
}

func TestFetch_NamesFileVersionByETag(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "a.jpg"), "one")
	f := newFetcher(t, func(c *Config) { c.Root = root })
	first, err := f.Fetch(t.Context(), "a.jpg")
	if err != nil {
		t.Fatal(err)
	}
	first.Release()
	write(t, filepath.Join(root, "a.jpg"), "three")
	second, err := f.Fetch(t.Context(), "a.jpg")
	if err != nil {
		t.Fatal(err)
	}
	second.Release()
	if first.ETag == second.ETag || len(first.ETag) < 3 || first.LastModified.IsZero() {
		t.Fatalf("tags %s, %s", first.ETag, second.ETag)
	}
}

func TestFetch_FallsFromRootToOrigin(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("origin " + r.URL.RequestURI()))
	}))
	t.Cleanup(origin.Close)
	root := t.TempDir()
	write(t, filepath.Join(root, "a.jpg"), "file")
	f := newFetcher(t, func(c *Config) { c.Root, c.Origins = root, []string{origin.URL + "/base/"} })
	if got := get(t, f, "a.jpg"); got != "file" {
		t.Errorf("got %q", got)
	}
	if got := get(t, f, "b%2Fc%20d.jpg%3Fx=1"); got != "origin /base/b%2Fc%20d.jpg?x=1" {
		t.Errorf("got %q", got)
	}
	refused(t, f, "..%2fb.jpg", fault.BadURL)
}

func TestFetch_WithoutAnySourceSaysWhichFlags(t *testing.T) {
	err := refused(t, newFetcher(t, func(*Config) {}), "a.jpg", fault.NotFound)
	if err != nil && !strings.Contains(err.Error(), "--root") {
		t.Errorf("got %q", err)
	}
}

func TestFetch_LimitsNameTheirFlags(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "a.jpg"), "0123456789")
	small := newFetcher(t, func(c *Config) { c.Root, c.MaxBytes = root, 9 })
	if err := refused(t, small, "a.jpg", fault.TooLarge); err != nil && !strings.Contains(err.Error(), "--max-source-bytes") {
		t.Errorf("got %q", err)
	}
	narrow := newFetcher(t, func(c *Config) { c.Root, c.Memory = root, 9 })
	if err := refused(t, narrow, "a.jpg", fault.TooLarge); err != nil && !strings.Contains(err.Error(), "--source-memory") {
		t.Errorf("got %q", err)
	}
	exact := newFetcher(t, func(c *Config) { c.Root, c.MaxBytes, c.Memory = root, 10, 10 })
	if got := get(t, exact, "a.jpg"); got != "0123456789" {
		t.Errorf("got %q", got)
	}
}

func TestConfig_NamesTheWrongFlag(t *testing.T) {
	for flag, change := range map[string]func(*Config){
		"--root":             func(c *Config) { c.Root = "/nonexistent/folder" },
		"--origin":           func(c *Config) { c.Origins = []string{"images.internal"} },
		"--allow-origin":     func(c *Config) { c.AllowOrigins = []string{"a", "*b"} },
		"--max-source-bytes": func(c *Config) { c.MaxBytes = 0 },
		"--source-memory":    func(c *Config) { c.Memory = -1 },
		"--source-cache":     func(c *Config) { c.Cache = -1 },
		"--s3-endpoint":      func(c *Config) { c.S3.Endpoint = "s3.example" },
		"--timeout":          func(c *Config) { c.Timeout = 0 },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if _, err := New(cfg); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
	for _, origin := range []string{"ftp://a", "http://u:p@a", "http://a?x=1", "http://a/../b", "://", "", "/shop", "/shop=",
		"/../x=http://a", "/a%20b=http://a", "/a//b=http://a", "shop=http://a", "/s=/t=http://a", "s3://", "s3://UPPER", "s3://b/../c", "s3://bucket/a?b",
	} {
		if _, _, err := parseOrigin(origin); err == nil {
			t.Errorf("origin %q accepted", origin)
		}
	}
}
