package load_test

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"focal/bench/load"
)

func TestHistogram_IsExactToAThousandth(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var h load.Histogram
	var all []float64
	for range 20000 {
		d := time.Duration(math.Exp(r.Float64()*16) * 1000) // 1 µs to 9 s
		h.Add(d)
		all = append(all, float64(d))
	}
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(0, int(math.Ceil(q*20000))-1)]
		if got := float64(h.Quantile(q)); math.Abs(got-want) > want/1000+1000 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	var twice load.Histogram
	twice.Merge(&h)
	twice.Merge(&h)
	if twice.Count() != 40000 || twice.Quantile(0.9) != h.Quantile(0.9) {
		t.Errorf("merged: %d, %v", twice.Count(), twice.Quantile(0.9))
	}
}

// The lines of HdrHistogram's text: value, share, count, 1/(1-share); the last
// line holds all, and the share only grows.
func TestHistogram_WritesWhatThePlotterReads(t *testing.T) {
	var h load.Histogram
	for i := range 1000 {
		h.Add(time.Duration(i+1) * time.Millisecond)
	}
	var b strings.Builder
	if _, err := h.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if f := strings.Fields(lines[0]); !slices.Equal(f, []string{"Value", "Percentile", "TotalCount", "1/(1-Percentile)"}) || len(lines) < 20 {
		t.Fatalf("got %q", b.String())
	}
	before := 0.0
	for _, line := range lines[2 : len(lines)-2] {
		var value, share float64
		var count int64
		var rest string
		if n, err := fmt.Sscan(line, &value, &share, &count, &rest); n != 4 || err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if share <= before || math.Abs(share-float64(count)/1000) > 1e-9 || math.Abs(value-float64(count)) > value/1000+0.001 {
			t.Errorf("%q after a share of %v", line, before)
		}
		before = share
	}
	if before != 1 || !strings.Contains(lines[len(lines)-1], "Total count    =         1000") {
		t.Errorf("it ends with %v, %q", before, lines[len(lines)-1])
	}
}

// stalled answers nothing before a time, and everything after it at once.
type stalled struct{ until time.Time }

func (s stalled) Do(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(time.Until(s.until)):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("body"))}, nil
}

// A server that stands still for a second is charged for the ten requests that
// should have been sent meanwhile: at 0.1 s … 1.0 s, so 0.9 s … 0 s late. A
// program that waits for an answer before it sends again would see one slow one.
func TestRun_ChargesAStallToEveryoneWhoWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := load.DefaultConfig()
		c.Targets, c.Arrival, c.Rate, c.Duration = []load.Target{{URL: "http://a/", Weight: 1}}, load.Even, 10, 2050*time.Millisecond
		c.Deadline = 500 * time.Millisecond
		r, err := load.Run(t.Context(), c, stalled{time.Now().Add(time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		// Requests of the first half of the time met the stall.
		if w := r.Windows[0].Histogram.Latency(); w.Max < 899 || w.Max > 901 || r.Windows[9].Histogram.Latency().Max > 1 {
			t.Errorf("the first window waited %v, the last %v", w.Max, r.Windows[9].Histogram.Latency().Max)
		}
		if r.Intended != 20 || r.Answered != 20 || r.Late != 4 || r.Good != 16 || r.Distinct != 1 || r.Bytes != 80 {
			t.Errorf("got %+v", r)
		}
		// The ninth slowest of twenty waited 0.1 s, the slowest 0.9 s.
		if got := r.Histogram.Quantile(0.6); got < 99*time.Millisecond || got > 101*time.Millisecond {
			t.Errorf("60 %% waited %v", got)
		}
		if l := r.Histogram.Latency(); l.Max < 899 || l.Max > 901 {
			t.Errorf("max %v", l.Max)
		}
	})
}

func TestRun_CountsWhatCouldNotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := load.DefaultConfig()
		c.Targets, c.Arrival, c.Rate, c.Duration, c.InFlight = []load.Target{{URL: "http://a/{n}", Weight: 1}}, load.Even, 10, 950*time.Millisecond, 3
		c.Timeout = 5 * time.Second
		r, err := load.Run(t.Context(), c, stalled{time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if r.Intended != 9 || r.Unsent != 6 || r.Outcomes["timeout"] != 3 || r.Distinct != 9 {
			t.Errorf("got %+v", r)
		}
	})
}

// From 10 to 30 requests a second in ten seconds are 200; half of the time
// brings 10·5 + 25 = 75 of them.
func TestRun_RampsAndDrawsByWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		early, rare, start := 0, 0, time.Now()
		count := doer(func(r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if time.Since(start) <= 5*time.Second {
				early++
			}
			if r.URL.Host == "rare" {
				rare++
			}
		})
		c := load.DefaultConfig()
		c.Targets = []load.Target{{URL: "http://rare/", Weight: 1}, {URL: "http://often/", Weight: 3}}
		c.Arrival, c.Rate, c.RampTo, c.Duration = load.Even, 10, 30, 10001*time.Millisecond
		r, err := load.Run(t.Context(), c, count)
		if err != nil || r.Intended != 200 || early < 74 || early > 75 || rare < 30 || rare > 70 {
			t.Errorf("%d sent, %d early, %d rare, %v", r.Intended, early, rare, err)
		}
		// The first tenth offers 10·1 + 1 = 11 requests, the last 29.
		if first, last := r.Windows[0].Intended, r.Windows[9].Intended; first < 10 || first > 11 || last < 28 || last > 30 || r.Windows[9].Good != last {
			t.Errorf("windows of %d and %d", first, last)
		}
		c.Arrival, c.RampTo = load.Poisson, 10
		// 100 are expected, with a deviation of 10.
		if r, err = load.Run(t.Context(), c, count); err != nil || r.Intended < 60 || r.Intended > 140 {
			t.Errorf("poisson: %d sent, %v", r.Intended, err)
		}
	})
}

type doer func(*http.Request)

func (d doer) Do(r *http.Request) (*http.Response, error) {
	d(r)
	return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
}

// A real server over a real socket, with clients that wait for it.
func TestRun_KeepsClientsBusy(t *testing.T) {
	var mu sync.Mutex
	now, most := 0, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusTeapot)
		}
		mu.Lock()
		now--
		mu.Unlock()
	}))
	defer server.Close()
	c := load.DefaultConfig()
	c.Targets = []load.Target{{URL: server.URL + "/good", Weight: 1}, {URL: server.URL + "/bad", Weight: 1}}
	c.Clients, c.Duration = 3, 200*time.Millisecond
	r, err := load.Run(t.Context(), c, server.Client())
	if err != nil || r.Good == 0 || r.Outcomes["418"] == 0 || r.Good+r.Outcomes["418"] != r.Intended || most > 3 {
		t.Errorf("got %+v, %v, %d at once", r, err, most)
	}
}

// Files of a folder by name, hidden ones and folders left out; requests take them
// in turn, as POST, and what is refused is counted apart.
func TestRun_SendsBodiesInTurnAndCountsRefusalsApart(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{"b": "two", "a": "one", ".hidden": "no"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(folder, "c"), 0o700); err != nil {
		t.Fatal(err)
	}
	bodies, err := load.Bodies([]string{folder, filepath.Join(folder, "b")})
	if err != nil {
		t.Fatal(err)
	}
	var got sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got.Store(r.Method+" "+string(body), true)
		if string(body) == "two" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	c := load.DefaultConfig()
	c.Targets, c.Bodies, c.Clients, c.Duration = []load.Target{{URL: server.URL, Weight: 1}}, bodies, 2, 100*time.Millisecond
	r, err := load.Run(t.Context(), c, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"POST one", "POST two"} {
		if _, sent := got.Load(want); !sent {
			t.Errorf("%q was not sent", want)
		}
	}
	// Of three bodies in turn one is answered and two are refused.
	if r.Distinct != 3 || r.Refusals.Count() != r.Outcomes["503"] || r.Histogram.Count() != r.Good || r.Good == 0 || r.Refusals.Count() < r.Good {
		t.Errorf("got %+v: %d refused", r, r.Refusals.Count())
	}
	if _, err := load.Bodies([]string{filepath.Join(folder, "c")}); err == nil || !strings.Contains(err.Error(), "no file in it") {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestParseTargets_NamesTheBadLine(t *testing.T) {
	got, err := load.ParseTargets([]byte("# comment\nhttp://a/x 3\n\nhttps://b/{n}\n"))
	if want := []load.Target{{URL: "http://a/x", Weight: 3}, {URL: "https://b/{n}", Weight: 1}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"http://a/ 0", "http://a/ x", "ftp://a/", "a", "http://a/ 1 2"} {
		if _, err := load.ParseTargets([]byte("http://ok/\n" + text)); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseTargets(f *testing.F) {
	f.Add([]byte("http://a/ 2\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := load.ParseTargets(text)
		for _, target := range all {
			if err == nil && (target.URL == "" || !(target.Weight > 0)) {
				t.Errorf("%+v", target)
			}
		}
	})
}
