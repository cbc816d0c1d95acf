package source

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"focal/core/fault"
)

// s3Server is an S3 server in memory that checks signatures, and its owner's
// client.
func s3Server(t *testing.T) (endpoint string, owner *minio.Client, gets *atomic.Int32) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	gets = new(atomic.Int32)
	fake := gofakes3.New(s3mem.New(), gofakes3.WithV4Auth(map[string]string{"key": "secret"})).Server()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			gets.Add(1)
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	owner, err := minio.New(strings.TrimPrefix(s.URL, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4("key", "secret", ""), Region: "us-east-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.MakeBucket(t.Context(), "pictures", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return s.URL, owner, gets
}

func put(t *testing.T, owner *minio.Client, key, body string) {
	t.Helper()
	_, err := owner.PutObject(t.Context(), "pictures", key, bytes.NewReader([]byte(body)), int64(len(body)),
		minio.PutObjectOptions{ContentType: "image/jpeg"})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFetch_ReadsObjectsOfABucket(t *testing.T) {
	endpoint, owner, _ := s3Server(t)
	put(t, owner, "base/a b/c.jpg", "object")
	put(t, owner, "secret.jpg", "secret")
	f := newFetcher(t, func(c *Config) {
		c.Origins, c.S3.Endpoint, c.S3.Region = []string{"s3://pictures/base"}, endpoint, "us-east-1"
	})
	o, err := f.Fetch(t.Context(), "/a%20b/c.jpg?ignored=1")
	if err != nil {
		t.Fatal(Detail(err))
	}
	if string(o.Bytes) != "object" || o.ContentType != "image/jpeg" || o.ETag == "" || o.LastModified.IsZero() {
		t.Errorf("got %q, %+v", o.Bytes, o)
	}
	o.Release()
	refused(t, f, "none.jpg", fault.NotFound)
	refused(t, f, "../secret.jpg", fault.BadURL)
	refused(t, f, "%2e%2e/secret.jpg", fault.BadURL)
	// An address of the server itself is a stranger's like any other.
	refused(t, f, endpoint+"/pictures/secret.jpg", fault.Forbidden)

	small := newFetcher(t, func(c *Config) {
		c.Origins, c.S3.Endpoint, c.S3.Region, c.MaxBytes = []string{"s3://pictures/base"}, endpoint, "us-east-1", 5
	})
	refused(t, small, "/a%20b/c.jpg", fault.TooLarge)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	other := newFetcher(t, func(c *Config) {
		c.Origins, c.S3.Endpoint, c.S3.Region = []string{"s3://pictures/base"}, endpoint, "us-east-1"
	})
	refused(t, other, "/a%20b/c.jpg", fault.Denied)
	gone := newFetcher(t, func(c *Config) {
		c.Origins, c.S3.Endpoint, c.S3.Region = []string{"s3://pictures"}, "http://127.0.0.1:1", "us-east-1"
	})
	refused(t, gone, "a.jpg", fault.Upstream)
}

func TestFetch_AsksABucketAgainByETag(t *testing.T) {
	endpoint, owner, gets := s3Server(t)
	put(t, owner, "a.jpg", "one")
	f := newFetcher(t, func(c *Config) {
		c.Origins, c.S3.Endpoint, c.S3.Region = []string{"s3://pictures"}, endpoint, "us-east-1"
	})
	for _, want := range []string{"one", "one"} {
		if got := get(t, f, "a.jpg"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if s := f.Stats(); gets.Load() != 2 || s.Entries != 1 {
		t.Errorf("%d requests and %d entries, want 2 and 1", gets.Load(), s.Entries)
	}
	put(t, owner, "a.jpg", "two")
	if got := get(t, f, "a.jpg"); got != "two" {
		t.Errorf("after the change: %q", got)
	}
}

// A signature is over the whole query, so nothing of it may change on the way.
func TestFetch_PresignedURLIsASource(t *testing.T) {
	endpoint, owner, _ := s3Server(t)
	put(t, owner, "a b+c.jpg", "signed")
	u, err := owner.PresignedGetObject(context.Background(), "pictures", "a b+c.jpg", time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := newFetcher(t, func(c *Config) { c.AllowOrigins, c.AllowPrivate = []string{u.Host}, true })
	if got := get(t, f, u.String()); got != "signed" {
		t.Errorf("got %q", got)
	}
	// As clients write it that concatenate URLs.
	if got := get(t, f, strings.Replace(u.String(), "?", "%3F", 1)); got != "signed" {
		t.Errorf("escaped: got %q", got)
	}
	refused(t, f, strings.Replace(u.String(), "X-Amz-Date=2", "X-Amz-Date=1", 1), fault.Denied)
	if !strings.HasPrefix(u.String(), endpoint) {
		t.Errorf("signed for %s, not %s", u, endpoint)
	}
}

func TestFetch_LongestPrefixWins(t *testing.T) {
	echo := func(name string) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(name + " " + r.URL.RequestURI())) })
	}
	all, shop, sale := echo("all"), echo("shop"), echo("sale")
	f := newFetcher(t, func(c *Config) {
		c.Origins = []string{"/shop=" + shop + "/s", all + "/base", "/shop/sale/=" + sale}
	})
	for ref, want := range map[string]string{
		"/a.jpg":                "all /base/a.jpg",
		"/shop/a%2Fb.jpg?x=1":   "shop /s/a%2Fb.jpg?x=1",
		"shop/a.jpg":            "shop /s/a.jpg",
		"/shop/sale/a.jpg":      "sale /a.jpg",
		"/shop/sale//a.jpg":     "sale /a.jpg",
		"/shop/sales/a.jpg":     "shop /s/sales/a.jpg",
		"/shopping/a.jpg":       "all /base/shopping/a.jpg",
		"/shop":                 "all /base/shop",
		"/shop/":                "all /base/shop/",
		"/x/shop/sale/a.jpg":    "all /base/x/shop/sale/a.jpg",
		"/%73hop/a.jpg":         "all /base/%73hop/a.jpg",
		"/shop%2Fsale%2Fa.jpg":  "all /base/shop%2Fsale%2Fa.jpg",
		"/shop/%2Fsale/a.jpg":   "shop /s/%2Fsale/a.jpg",
		"/shop/sale/%2Fa.jpg?y": "sale /%2Fa.jpg?y",
	} {
		if got := get(t, f, ref); got != want {
			t.Errorf("%s: got %q, want %q", ref, got, want)
		}
	}
	refused(t, f, "/shop/../a.jpg", fault.BadURL)
	only := newFetcher(t, func(c *Config) { c.Origins = []string{"/shop=" + shop} })
	refused(t, only, "/a.jpg", fault.NotFound)
	if err := checkOrigins([]string{"/shop=" + shop, "/shop/=" + all}); err == nil {
		t.Error("two origins for one prefix were accepted")
	}
}
