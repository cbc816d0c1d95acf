package bucket

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

// server starts an S3 server in memory that checks signatures, with one bucket.
func server(t *testing.T) Config {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	backend := s3mem.New()
	s := httptest.NewServer(gofakes3.New(backend, gofakes3.WithV4Auth(map[string]string{"key": "secret"})).Server())
	t.Cleanup(s.Close)
	if err := backend.CreateBucket(t.Context(), "pictures"); err != nil {
		t.Fatal(err)
	}
	return Config{Endpoint: s.URL, Region: "us-east-1"}
}

func open(t *testing.T, cfg Config, address string) *Bucket {
	t.Helper()
	b, err := Open(cfg, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestBucket_GivesBackWhatWasPut(t *testing.T) { putAndGet(t, server(t)) }

// putAndGet is what every server must do for us.
func putAndGet(t *testing.T, cfg Config) {
	ctx := t.Context()
	b := open(t, cfg, "s3://pictures/some/where")
	for _, name := range []string{"a.jpg", "deep/ä +&.jpg", "deep/b.jpg", "deeper/c.jpg"} {
		if err := b.Put(ctx, name, []byte("of "+name)); err != nil {
			t.Fatal(err)
		}
		o, err := b.Get(ctx, name, "")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(o.Body)
		if err != nil || string(got) != "of "+name || o.Size != int64(len(got)) {
			t.Errorf("%s: got %q of %d bytes, %v", name, got, o.Size, err)
		}
		if err := o.Body.Close(); err != nil {
			t.Error(err)
		}
		etag := o.Header.Get("ETag")
		if _, err := b.Get(ctx, name, etag); !errors.Is(err, ErrUnchanged) {
			t.Errorf("%s known as %s: %v, want unchanged", name, etag, err)
		}
	}
	if _, err := open(t, cfg, "s3://pictures").Get(ctx, "some/where/a.jpg", `"other"`); err != nil {
		t.Errorf("without the prefix: %v", err)
	}
	for _, where := range []*Bucket{b, open(t, cfg, "s3://no-such-bucket")} {
		if _, err := where.Get(ctx, "none.jpg", ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("missing object: %v", err)
		}
	}
}

func TestBucket_DeletesAFolderAndNothingBesides(t *testing.T) {
	backend := s3mem.New()
	fake := gofakes3.New(backend).Server()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The fake takes an empty delimiter for one. The query is
		// signed, so nobody checks signatures here.
		r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "delimiter=&", "", 1)
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	if err := backend.CreateBucket(t.Context(), "pictures"); err != nil {
		t.Fatal(err)
	}
	deleteBelow(t, Config{Endpoint: s.URL, Region: "us-east-1"})
}

func deleteBelow(t *testing.T, cfg Config) {
	ctx := t.Context()
	b := open(t, cfg, "s3://pictures/some/where")
	for _, name := range []string{"a.jpg", "deep/ä +&.jpg", "deep/b.jpg", "deeper/c.jpg"} {
		if err := b.Put(ctx, name, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	names, err := b.List(ctx, "deep")
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"b.jpg", "ä +&.jpg"}) {
		t.Errorf("below deep are %q, %v", names, err)
	}
	if err := b.DeleteBelow(ctx, "deep"); err != nil {
		t.Fatal(err)
	}
	if names, err := b.List(ctx, "deep"); err != nil || len(names) != 0 {
		t.Errorf("after the deletion %q are below deep, %v", names, err)
	}
	for name, want := range map[string]error{"deep/b.jpg": ErrNotFound, "deep/ä +&.jpg": ErrNotFound, "deeper/c.jpg": nil, "a.jpg": nil} {
		o, err := b.Get(ctx, name, "")
		if !errors.Is(err, want) {
			t.Errorf("%s after the deletion: %v, want %v", name, err, want)
		}
		if err == nil {
			_ = o.Body.Close()
		}
	}
}

func TestBucket_TellsARefusalFromAbsence(t *testing.T) {
	cfg := server(t)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	_, err := open(t, cfg, "s3://pictures").Get(t.Context(), "a.jpg", "")
	var denied *DeniedError
	if !errors.As(err, &denied) || denied.Status != 403 {
		t.Errorf("with a wrong key: %v, want denied with 403", err)
	}
}

func TestOpen_RefusesWhatIsNoBucket(t *testing.T) {
	for _, address := range []string{"", "s3://", "s3://a", "s3://Upper-Case", "s3://a_b_c", "s3://bucket/..", "s3://bucket/a//b", "https://bucket"} {
		if _, err := Open(DefaultConfig(), address); err == nil {
			t.Errorf("%q was opened", address)
		}
	}
	for _, endpoint := range []string{"", "s3.example", "ftp://s3.example", "https://", "https://u:p@s3.example", "https://s3.example/path"} {
		if _, err := Open(Config{Endpoint: endpoint}, "s3://bucket"); err == nil || !strings.Contains(err.Error(), "--s3-endpoint") {
			t.Errorf("endpoint %q: %v", endpoint, err)
		}
	}
}
