package results

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"focal/core/fault"
	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/core/transform"
)

// maker makes pictures that say what they were made of, and counts them.
type maker struct {
	made     atomic.Int32
	model    atomic.Pointer[pixel.Digest] // of every task
	degraded bool
	fleeting bool
	panics   bool
	late     atomic.Bool   // the first making takes longer than it may
	enter    chan struct{} // if set, told of every making
	release  chan struct{} // if set, waited for by every making, whatever its context
	err      error
}

func newMaker() *maker {
	m := &maker{}
	m.replace("model 1")
	return m
}

func (m *maker) replace(model string) {
	d := digest(model)
	m.model.Store(&d)
}

func (m *maker) Make(ctx context.Context, r pipeline.Request) (pipeline.Result, error) {
	n := m.made.Add(1)
	if m.panics {
		panic("boom")
	}
	if m.enter != nil {
		m.enter <- struct{}{}
	}
	if m.release != nil {
		<-m.release
	}
	if m.late.Swap(false) {
		<-ctx.Done()
	}
	if err := errors.Join(m.err, ctx.Err()); err != nil {
		return pipeline.Result{}, err
	}
	res := pipeline.Result{
		Body: fmt.Appendf(nil, "%s by %s, no. %d", r.Source.Bytes, r.Options.Canonical(), n), ContentType: "image/webp",
		Size: pixel.Size{Width: 4, Height: 3}, Warnings: []string{"image too large for AVIF"},
		Timing: pipeline.Timing{Render: time.Second}, Fleeting: m.fleeting,
	}
	for _, t := range pipeline.Tasks(r.Options) {
		res.Facts = append(res.Facts, pipeline.Fact{Task: t, Model: "m", Digest: *m.model.Load(), Provider: "cpu", How: "run", Detail: "count=2"})
	}
	if m.degraded {
		res.Findings.Degraded = &pipeline.Degraded{From: "face", To: "auto", Reason: fault.Busy}
	}
	return res, nil
}

// Digest makes a maker know its models.
func (m *maker) Digest(context.Context, pipeline.Task) (pixel.Digest, bool) {
	return *m.model.Load(), true
}

func digest(s string) pixel.Digest { return sha256.Sum256([]byte(s)) }

func request(t testing.TB, content, options string) Request {
	t.Helper()
	o, warnings, err := transform.Parse(options)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%s: %v %v", options, warnings, err)
	}
	return Request{
		Request: pipeline.Request{Source: pipeline.Source{Bytes: []byte(content), Digest: digest(content)}, Options: o},
		Place:   digest("place of " + content),
	}
}

func keeper(t testing.TB, m *maker, change func(*Config)) *Keeper {
	t.Helper()
	c := DefaultConfig()
	c.Maker = "test"
	if change != nil {
		change(&c)
	}
	k, err := New(c, m, m)
	if err != nil {
		t.Fatal(err)
	}
	if c.Dir != "" {
		await(t, func() bool { return k.tiers[0].shelf.held() >= 0 }) // swept
	}
	return k
}

func shut(t testing.TB, k *Keeper) {
	t.Helper()
	if err := k.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// await waits until it is so.
func await(t testing.TB, ready func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for again := time.NewTicker(time.Millisecond); !ready(); {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal("it does not come to that")
		}
	}
}

func ask(t testing.TB, k *Keeper, r Request) Result {
	t.Helper()
	res, err := k.Make(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// What an answer depends on is in its key, and what it does not is not.
func TestMake_KeyHoldsWhatMatters(t *testing.T) {
	base := request(t, "photo", "format=auto,width=5")
	for name, c := range map[string]struct {
		first, then Request
		change      func(*maker)
		again       bool // made again
	}{
		"the same":              {first: base, then: base},
		"another place":         {first: base, then: with(base, func(r *Request) { r.Place = digest("elsewhere") })},
		"spelling of options":   {first: base, then: request(t, "photo", "w=5,f=auto,fit=scale-down")},
		"other options":         {first: base, then: request(t, "photo", "format=auto,width=6"), again: true},
		"replaced source":       {first: base, then: request(t, "photo 2", "format=auto,width=5"), again: true},
		"WebP is accepted":      {first: base, then: with(base, func(r *Request) { r.Accept.WebP = true }), again: true},
		"AVIF is accepted":      {first: base, then: with(base, func(r *Request) { r.Accept.AVIF = true }), again: true},
		"accepted for nothing":  {first: request(t, "photo", "format=png"), then: with(request(t, "photo", "format=png"), func(r *Request) { r.Accept = pipeline.Accept{AVIF: true, WebP: true} })},
		"model of another task": {first: base, then: base, change: func(m *maker) { m.replace("model 2") }},
		"replaced model":        {first: request(t, "photo", "segment=foreground"), then: request(t, "photo", "segment=foreground"), change: func(m *maker) { m.replace("model 2") }, again: true},
	} {
		m := newMaker()
		k := keeper(t, m, func(c *Config) { c.Memory = 1 << 20 })
		ask(t, k, c.first)
		if c.change != nil {
			c.change(m)
		}
		if r := ask(t, k, c.then); (r.Status == "fwd=miss") != c.again {
			t.Errorf("%s: %s", name, r.Status)
		}
		shut(t, k)
	}
}

func with(r Request, change func(*Request)) Request {
	change(&r)
	return r
}

// deaf is a maker of whose models nothing is heard before they answer.
type deaf struct{ *maker }

func (deaf) Digest(context.Context, pipeline.Task) (pixel.Digest, bool) { return pixel.Digest{}, false }

func TestMake_KeepsNothingItMustNot(t *testing.T) {
	photo := request(t, "photo", "gravity=face,zoom=1")
	for name, c := range map[string]struct {
		change func(*maker)
		r      Request
	}{
		"degraded":         {func(m *maker) { m.degraded = true }, photo},
		"fleeting":         {func(m *maker) { m.fleeting = true }, photo},
		"private":          {func(*maker) {}, with(photo, func(r *Request) { r.Private = true })},
		"model of no name": {func(m *maker) { m.model.Store(&pixel.Digest{}) }, photo},
	} {
		m := newMaker()
		c.change(m)
		dir := t.TempDir()
		for range 2 {
			k := keeper(t, m, func(c *Config) { c.Memory, c.Dir = 1<<20, dir })
			for range 2 {
				if r := ask(t, k, c.r); r.Status != "fwd=miss" {
					t.Errorf("%s: %s", name, r.Status)
				}
			}
			shut(t, k)
		}
		if m.made.Load() != 4 {
			t.Errorf("%s: %d made, want 4", name, m.made.Load())
		}
	}
}

// The model that has answered names a picture, not the one that was expected.
func TestMake_KeepsUnderTheModelThatAnswered(t *testing.T) {
	m := newMaker()
	c := DefaultConfig()
	c.Memory = 1 << 20
	k, err := New(c, m, deaf{m})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, k)
	r := request(t, "photo", "gravity=face,zoom=1")
	ask(t, k, r)
	k.models = m // now it is heard
	if got := ask(t, k, r); got.Status != "hit; detail=results-memory" || m.made.Load() != 1 {
		t.Errorf("%s, %d made", got.Status, m.made.Load())
	}
}

func TestMake_WhatIsKeptIsWhatWasMade(t *testing.T) {
	endpoint := s3(t)
	for name, change := range map[string]func(*Config){
		"results-memory": func(c *Config) { c.Memory = 1 << 20 },
		"results-dir":    func(c *Config) { c.Dir = t.TempDir() },
		"results-s3":     func(c *Config) { c.Bucket, c.S3 = "s3://pictures/some/where", endpoint },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMaker()
			var c Config
			k := keeper(t, m, func(cfg *Config) { change(cfg); c = *cfg })
			r := request(t, "photo", "gravity=face,zoom=0.5")
			made := ask(t, k, r)
			if name != "results-memory" { // stores outlive their server
				shut(t, k)
				k = keeper(t, m, func(cfg *Config) { *cfg = c })
			}
			defer shut(t, k)
			got := ask(t, k, r)
			if m.made.Load() != 1 || got.Status != Status("hit; detail="+name) {
				t.Fatalf("%s, %d made", got.Status, m.made.Load())
			}
			want := made.Result
			want.Facts = []pipeline.Fact{want.Facts[0]}
			want.Facts[0].How, want.Timing = "hit", pipeline.Timing{}
			if !reflect.DeepEqual(got.Result, want) {
				t.Errorf("got %+v\nwant %+v", got.Result, want)
			}
			if s := k.Stats(); len(s) != 1 || s[0].Tier != name || s[0].Hits != 1 || s[0].Failures != 0 || s[0].Dropped != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// What is found in a farther store moves to the nearer ones.
func TestMake_FillsTheNearerStores(t *testing.T) {
	endpoint, dir := s3(t), t.TempDir()
	m := newMaker()
	r := request(t, "photo", "width=5")
	far := func(c *Config) { c.Bucket, c.S3 = "s3://pictures", endpoint }
	near := func(c *Config) { c.Memory, c.Dir = 1<<20, dir }
	k := keeper(t, m, far)
	ask(t, k, r)
	shut(t, k)
	k = keeper(t, m, func(c *Config) { far(c); near(c) })
	for _, want := range []Status{"hit; detail=results-s3", "hit; detail=results-memory"} {
		if got := ask(t, k, r); got.Status != want {
			t.Errorf("got %s, want %s", got.Status, want)
		}
	}
	shut(t, k)
	k = keeper(t, m, near)
	if got := ask(t, k, r); got.Status != "hit; detail=results-dir" || m.made.Load() != 1 {
		t.Errorf("%s, %d made", got.Status, m.made.Load())
	}
	shut(t, k)
}
