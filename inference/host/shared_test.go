package host

import (
	"context"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"focal/core/cache"
	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
)

// drawer is a Shared in memory.
type drawer struct {
	mu     sync.Mutex // protects what follows
	values map[pixel.Digest][]byte
	stats  cache.Stats
}

func newDrawer() *drawer { return &drawer{values: map[pixel.Digest][]byte{}} }

func (d *drawer) Get(_ context.Context, k pixel.Digest) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.values[k]
	if v == nil {
		d.stats.Misses++
	} else {
		d.stats.Hits++
	}
	return v
}

func (d *drawer) Put(k pixel.Digest, v []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.values[k] = v
}

func (d *drawer) Stats() cache.Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// spoil writes over every value.
func (d *drawer) spoil(with string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := range d.values {
		d.values[k] = []byte(with)
	}
}

func with(d *drawer) func(*Config) { return func(c *Config) { c.Shared = d } }

func TestHost_TakesFromTheSecondTierWhatAnotherFound(t *testing.T) {
	d, subject := newDrawer(), photo(1, 80)
	subject.Source = pixel.Size{Width: 400, Height: 200}
	var found inference.Faces
	open(t, with(d), func(t *testing.T, h *house) { found = h.faces(subject) })
	if found.How != inference.Run || len(d.values) != 1 {
		t.Fatalf("the first answer is a %s, and %d are shared", found.How, len(d.values))
	}
	open(t, with(d), func(t *testing.T, h *house) {
		got := h.faces(inference.Subject{Content: subject.Content}) // by content alone
		if got.How != inference.Hit || !reflect.DeepEqual(got.Faces, found.Faces) || got.Source != subject.Source || got.Provider != "cpu" {
			t.Errorf("got %+v, want %+v", got, found)
		}
		if d.spoil(""); h.faces(subject).How != inference.Hit { // from memory now
			t.Error("what the second tier said is not kept in memory")
		}
		if h.runs() != 0 {
			t.Errorf("%d runs for what was known", h.runs())
		}
	})
}

func TestHost_LooksInTheSecondTierBeforeItLooksAtThePicture(t *testing.T) {
	d := newDrawer()
	open(t, with(d), func(t *testing.T, h *house) { h.faces(photo(1, 80)) })
	open(t, with(d), func(t *testing.T, h *house) {
		subject := photo(1, 80)
		subject.Look = func(context.Context) (pixel.Buffer, error) {
			t.Error("the picture was decoded")
			return pixel.Buffer{}, fault.New(fault.Internal, "test", "decoded")
		}
		if got := h.faces(subject); got.How != inference.Hit || got.Queue != 0 || got.Batch != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestHost_KeepsMasksInTheSecondTier(t *testing.T) {
	d := newDrawer()
	ask := func(t *testing.T, h *house) inference.Foreground {
		f, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(2, 99)})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	open(t, with(d), func(t *testing.T, h *house) { ask(t, h) })
	open(t, with(d), func(t *testing.T, h *house) {
		if f := ask(t, h); f.How != inference.Hit || !reflect.DeepEqual(f.Mask, pixel.Mask{Width: 1, Height: 1, Pix: []byte{99}}) {
			t.Errorf("got %+v", f)
		}
	})
}

// Whoever may write to the server may write anything.
func TestHost_DoesNotBelieveNonsenseInTheSecondTier(t *testing.T) {
	grey, err := pack(answer{mask: pixel.Mask{Width: 1, Height: 1, Pix: []byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, nonsense := range []string{
		"", "nonsense", "{}", "[]", "null", `{"provider":"cpu"}`, `{"provider":"cpu","source":[-1,2]}`, string(grey),
		`{"provider":"cpu","source":[4,2],"faces":[{"box":[0,0,1,1],"score":0.2},{"box":[0,0,1,1],"score":0.3}]}`,
		`{"provider":"cpu","source":[4,2],"faces":[{"box":[0,0,-1,1],"score":0.2}]}`,
		`{"provider":"cpu","source":[4,2],"mask":"iVBORw0KGgo="}`, `{"provider":"cpu","source":[4,2],"mask":"?"}`,
	} {
		d := newDrawer()
		open(t, with(d), func(t *testing.T, h *house) { h.faces(photo(1, 80)) })
		d.spoil(nonsense)
		open(t, with(d), func(t *testing.T, h *house) {
			if got := h.faces(photo(1, 80)); got.How != inference.Run || len(got.Faces) != 2 {
				t.Errorf("%q: %s of %d faces", nonsense, got.How, len(got.Faces))
			}
		})
	}
}

func TestMetrics_CountTheSecondTier(t *testing.T) {
	d := newDrawer()
	open(t, with(d), func(t *testing.T, h *house) {
		h.faces(photo(1, 80))
		families, err := h.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != "focal_cache_misses_total" {
				continue
			}
			for _, m := range f.GetMetric() {
				if m.GetLabel()[0].GetValue() == "shared" && m.GetCounter().GetValue() == 1 {
					return
				}
			}
		}
		t.Error("the miss of the second tier is not counted")
	})
}

func TestFinding_IsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Float64Range(0, 1)
		var a answer
		a.facts.Provider, a.facts.Source = "cuda", pixel.Size{Width: rapid.IntRange(1, 9000).Draw(t, "width"), Height: 7}
		scores := rapid.SliceOfN(number, 0, 5).Draw(t, "scores")
		slices.Sort(scores)
		slices.Reverse(scores)
		for _, s := range scores {
			a.faces = append(a.faces, pixel.Face{
				Box:   pixel.Box{X: -number.Draw(t, "x"), Y: number.Draw(t, "y"), W: number.Draw(t, "w"), H: number.Draw(t, "h")},
				Score: s, Landmarks: []pixel.Point{{X: number.Draw(t, "lx"), Y: math.Pi}},
			})
		}
		if rapid.Bool().Draw(t, "masked") {
			w, h := rapid.IntRange(1, 9).Draw(t, "w"), rapid.IntRange(1, 9).Draw(t, "h")
			a.mask = pixel.Mask{Width: w, Height: h, Pix: rapid.SliceOfN(rapid.Byte(), w*h, w*h).Draw(t, "pix")}
		}
		b, err := pack(a)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := unpack(b); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("%s\nis read as %+v, %v\nwant       %+v", b, got, err, a)
		}
	})
}

func FuzzFinding(f *testing.F) {
	f.Add([]byte(`{"provider":"cpu","source":[4,2],"faces":[{"box":[0,0,1,1],"score":0.3,"landmarks":[[0,1]]}]}`))
	f.Add([]byte(`{"provider":"cpu","source":[4,2],"mask":"iVBORw0KGgo="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := unpack(b)
		if err != nil {
			return
		}
		if a.mask.Pix != nil {
			if err := a.mask.Validate(); err != nil {
				t.Error(err)
			}
		}
		again, err := pack(a)
		if err != nil || !json.Valid(again) {
			t.Errorf("cannot be written again: %v", err)
		}
	})
}
