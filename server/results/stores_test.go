package results

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"focal/core/pixel"
	"focal/server/bucket"
)

// s3 starts an S3 server in memory with a bucket called pictures.
func s3(t *testing.T) bucket.Config {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	backend := s3mem.New()
	fake := gofakes3.New(backend).Server()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The fake takes an empty delimiter for one.
		r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "delimiter=&", "", 1)
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	if err := backend.CreateBucket(t.Context(), "pictures"); err != nil {
		t.Fatal(err)
	}
	return bucket.Config{Endpoint: s.URL, Region: "us-east-1"}
}

// files are the paths of all files below a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			list = append(list, path)
		}
		return ignoreGone(err) // the sweeper's doing
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// picturesIn are the kept pictures of a directory.
func picturesIn(t *testing.T, dir string) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, pictures)); os.IsNotExist(err) {
		return nil
	}
	return files(t, filepath.Join(dir, pictures))
}

// lies is where a directory keeps the picture of r.
func lies(t *testing.T, k *Keeper, r Request) string {
	t.Helper()
	q := k.question(t.Context(), r)
	return k.tiers[0].shelf.(*directory).path(q.folder() + "/" + q.file())
}

func TestStore_WhatIsDamagedIsMadeAnew(t *testing.T) {
	r, other := request(t, "photo", "width=5"), request(t, "photo", "width=6")
	for name, damage := range map[string]func(good, foreign []byte) []byte{
		"cut short":       func(good, _ []byte) []byte { return good[:len(good)-1] },
		"cut to nothing":  func(_, _ []byte) []byte { return nil },
		"a bit flipped":   func(good, _ []byte) []byte { good[len(good)/2] ^= 1; return good },
		"its mark":        func(good, _ []byte) []byte { good[0]++; return good },
		"longer":          func(good, _ []byte) []byte { return append(good, 0) },
		"another's place": func(_, foreign []byte) []byte { return foreign },
		"something else":  func(_, _ []byte) []byte { return []byte("<html>404</html>") },
	} {
		t.Run(name, func(t *testing.T) {
			m, dir := newMaker(), t.TempDir()
			in := func(c *Config) { c.Dir = dir }
			k := keeper(t, m, in)
			want := string(ask(t, k, r).Body)
			ask(t, k, other)
			shut(t, k)
			path := lies(t, k, r)
			if err := os.WriteFile(path, damage(read(t, path), read(t, lies(t, k, other))), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, status := range []Status{"fwd=miss", "hit; detail=results-dir"} {
				k = keeper(t, m, in)
				got := ask(t, k, r)
				if got.Status != status || strings.Split(string(got.Body), ",")[0] != strings.Split(want, ",")[0] {
					t.Errorf("%s: %q", got.Status, got.Body)
				}
				if f := k.Stats()[0].Failures; (f == 1) != (status == "fwd=miss") {
					t.Errorf("%s: %d failures", status, f)
				}
				shut(t, k)
			}
		})
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A store that fails is left alone: it costs one wait and no answer.
func TestStore_OneThatIsDeadCostsNoAnswer(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusForbidden) // which the library does not try again
	}))
	t.Cleanup(s.Close)
	for name, endpoint := range map[string]string{"refuses": s.URL, "is not there": "http://127.0.0.1:1"} {
		m := newMaker()
		k := keeper(t, m, func(c *Config) {
			c.Bucket, c.S3 = "s3://pictures", bucket.Config{Endpoint: endpoint, Region: "us-east-1"}
		})
		for n := range 20 {
			if r := ask(t, k, request(t, "photo", "width=5")); r.Status != "fwd=miss" || m.made.Load() != int32(n+1) {
				t.Errorf("%s: %s", name, r.Status)
			}
		}
		if got := k.Stats()[0]; got.Failures == 0 || got.Failures > 3*writers || got.Hits != 0 {
			t.Errorf("%s: %+v", name, got)
		}
		shut(t, k)
	}
	if n := asked.Load(); n == 0 || n > 3*writers {
		t.Errorf("the store that refuses was asked %d times", n)
	}
}

func TestStore_ADirectoryThatCannotBeWrittenCostsNoAnswer(t *testing.T) {
	m, dir := newMaker(), t.TempDir()
	k := keeper(t, m, func(c *Config) { c.Dir = dir })
	defer shut(t, k)
	// As a full disk does, this fails every write.
	if err := os.Remove(filepath.Join(dir, temporary)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, temporary), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ask(t, k, request(t, "photo", "width=5"))
	await(t, func() bool { return k.Stats()[0].Failures > 0 })
	for range 5 {
		ask(t, k, request(t, "photo", "width=5"))
	}
	if got := k.Stats()[0]; got.Failures > writers || got.Dropped == 0 || len(picturesIn(t, dir)) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestDirectory_IsRefusedWhereItCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"--results dir":     func(c *Config) { c.Dir = file },
		"--results-limit":   func(c *Config) { c.Dir, c.DirLimit = t.TempDir(), 1 },
		"--results memory":  func(c *Config) { c.Memory = -1 },
		"want s3://bucket":  func(c *Config) { c.Bucket = "s3://" },
		"--s3-endpoint":     func(c *Config) { c.Bucket, c.S3.Endpoint = "s3://pictures", "nowhere" },
		"Log must be set":   func(c *Config) { c.Log = nil },
		"--results dir: mk": func(c *Config) { c.Dir = filepath.Join(file, "below") },
	} {
		c := DefaultConfig()
		change(&c)
		if _, err := New(c, newMaker(), newMaker()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The limit holds at every moment, and what was used last stays.
func TestDirectory_KeepsItsLimitAndWhatIsUsed(t *testing.T) {
	m, dir := newMaker(), t.TempDir()
	const limit = 1 << 20
	k := keeper(t, m, func(c *Config) { c.Dir, c.DirLimit = dir, limit })
	defer shut(t, k)
	used := request(t, "used", "width=5")
	ask(t, k, used)
	await(t, func() bool { return len(picturesIn(t, dir)) == 1 })
	now := time.Now()
	age := func(path string, by time.Duration) {
		if err := ignoreGone(os.Chtimes(path, now.Add(-by), now.Add(-by))); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 300 {
		ask(t, k, request(t, "photo", fmt.Sprintf("width=%d", n+1)))
		await(t, func() bool { return len(k.tiers[0].jobs) == 0 }) // a full line would be passed over
		if n%10 == 0 {
			// The sweeper may look at any moment: what is used is never the oldest.
			for _, other := range picturesIn(t, dir) {
				if other != lies(t, k, used) {
					age(other, 2*time.Hour)
				}
			}
			age(lies(t, k, used), time.Hour)
			if r := ask(t, k, used); r.Status != "hit; detail=results-dir" {
				t.Fatalf("after %d others: %s", n, r.Status)
			}
		}
		if n%7 != 0 {
			continue
		}
		var sum int64
		for _, f := range files(t, dir) {
			if info, err := os.Stat(f); err == nil {
				sum += cost(info.Size())
			}
		}
		if sum > limit {
			t.Fatalf("%d bytes are there, more than %d", sum, limit)
		}
	}
	if got := k.Stats()[0]; got.Bytes > limit || got.Dropped == 0 {
		t.Errorf("%+v: the limit was never reached", got)
	}
	if n := len(picturesIn(t, dir)); n < 50 || n > limit/block {
		t.Errorf("%d pictures are kept", n)
	}
}

func TestDirectory_LeavesNothingHalfWritten(t *testing.T) {
	m, dir := newMaker(), t.TempDir()
	old := filepath.Join(dir, temporary, "left by a process that died")
	if err := os.MkdirAll(filepath.Dir(old), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	k := keeper(t, m, func(c *Config) { c.Dir = dir })
	for range 20 {
		ask(t, k, request(t, "photo", "width=5"))
	}
	shut(t, k)
	if left := files(t, filepath.Join(dir, temporary)); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
}

func TestPurge_DeletesASourceInEveryStoreAndNothingElse(t *testing.T) {
	endpoint, dir := s3(t), t.TempDir()
	m := newMaker()
	all := func(c *Config) { c.Memory, c.Dir, c.Bucket, c.S3 = 1<<20, dir, "s3://pictures/p", endpoint }
	k := keeper(t, m, all)
	place := digest("the place")
	at := func(content, options string) Request {
		return with(request(t, content, options), func(r *Request) { r.Place = place })
	}
	before := []Request{at("old", "width=5"), at("old", "width=6"), at("new", "width=5")}
	other := request(t, "other", "width=5")
	elsewhere := request(t, "old", "width=5") // the same bytes, found elsewhere: they go too
	for _, r := range append(before, other, elsewhere) {
		ask(t, k, r)
	}
	shut(t, k)
	// Another server, which has made none of them.
	k = keeper(t, m, all)
	got, err := k.Purge(t.Context(), place, nil)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	made := m.made.Load()
	for _, r := range append(before, elsewhere) {
		ask(t, k, r)
	}
	if n := m.made.Load() - made; n != 3 {
		t.Errorf("after the purge %d were made, want 3", n)
	}
	if r := ask(t, k, other); r.Status != "hit; detail=results-dir" {
		t.Errorf("another source: %s", r.Status)
	}
	// By content, of a source whose place is not known here.
	if got, err := k.Purge(t.Context(), digest("nowhere"), []pixel.Digest{digest("other")}); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if r := ask(t, k, other); r.Status != "fwd=miss" {
		t.Errorf("purged by content: %s", r.Status)
	}
	shut(t, k)
}

func TestPurge_OfWhatIsBeingMadeKeepsNone(t *testing.T) {
	m, dir := newMaker(), t.TempDir()
	m.enter, m.release = make(chan struct{}, 1), make(chan struct{})
	k := keeper(t, m, func(c *Config) { c.Memory, c.Dir = 1<<20, dir })
	r := request(t, "photo", "width=5")
	done := make(chan Result, 1)
	go func() { done <- ask(t, k, r) }()
	<-m.enter
	if _, err := k.Purge(t.Context(), r.Place, nil); err != nil {
		t.Fatal(err)
	}
	close(m.release)
	<-done
	shut(t, k)
	if s := k.memory.Stats(); s.Entries != 0 || len(picturesIn(t, dir)) != 0 {
		t.Errorf("%d pictures in memory, %d in the directory", s.Entries, len(picturesIn(t, dir)))
	}
}

func TestPurge_SaysWhichStoreItCouldNotReach(t *testing.T) {
	m := newMaker()
	k := keeper(t, m, func(c *Config) {
		c.Memory, c.Bucket, c.S3 = 1<<20, "s3://pictures", bucket.Config{Endpoint: "http://127.0.0.1:1", Region: "us-east-1"}
	})
	defer shut(t, k)
	r := request(t, "photo", "width=5")
	ask(t, k, r)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if got, err := k.Purge(ctx, r.Place, nil); err == nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if s := k.memory.Stats(); s.Entries != 0 {
		t.Error("memory was not purged")
	}
}

func FuzzUnseal(f *testing.F) {
	m := newMaker()
	res, err := m.Make(f.Context(), request(f, "photo", "gravity=face,zoom=1").Request)
	if err != nil {
		f.Fatal(err)
	}
	key := digest("key")
	f.Add(seal(key, res), false)
	f.Add([]byte(mark+"\x00\x00\x00\x02{}body"), true)
	f.Add([]byte(mark+"\xff\xff\xff\xff{}body"), true)
	f.Add([]byte(mark+"\x00\x00\x00\x20"+`{"facts":[{"digest":"not hex"}]}`), true)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed { // so that what is behind the seal is reached
			sum := sealOf(key, b)
			b = append(b, sum[:]...)
		}
		r, err := unseal(key, b)
		if err != nil {
			return
		}
		again, err := unseal(key, seal(key, r))
		if err != nil || string(again.Body) != string(r.Body) || again.ContentType != r.ContentType || len(again.Facts) != len(r.Facts) {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
		if _, err := unseal(digest("another key"), b); err == nil {
			t.Error("it passes under another key too")
		}
	})
}
