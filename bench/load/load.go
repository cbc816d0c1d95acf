// Package load sends requests to a server at a rate that does not depend on its
// answers, and measures how long each took from when it should have been sent:
// a server that stalls is charged for every request that a user would have made
// meanwhile (no coordinated omission). It can also keep a number of requests in
// flight, which measures throughput and no latency of users.
//
// It knows addresses, never what answers there. Goroutines: one for every
// request in flight; all have ended when Run returns. Addresses, arrivals and
// weights come from one seed.
package load

import (
	"bytes"
	"context"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"focal/core/fault"
)

// Config says what is sent.
type Config struct {
	Targets  []Target
	Method   string   // empty: GET, or with bodies POST
	Bodies   [][]byte // that requests take in turn; none: no body
	Arrival  Arrival
	Rate     float64       // requests a second at the start
	RampTo   float64       // and at the end; 0 means Rate
	Clients  int           // above 0: that many requests are kept in flight instead
	Duration time.Duration // of sending; answers are waited for
	Deadline time.Duration // a later answer is no good one; 0 means Timeout
	Timeout  time.Duration // of one request
	InFlight int           // most requests in flight; what is beyond is counted as not sent
	Seed     uint64
	First    int // the number of the first request, where addresses hold one
	Header   http.Header
	// Observe is told of the state once a second; nil for nobody.
	Observe func(Result)
}

// DefaultConfig sends ten requests a second for ten seconds.
func DefaultConfig() Config {
	return Config{Arrival: Poisson, Rate: 10, Duration: 10 * time.Second, Timeout: 30 * time.Second, InFlight: 4096, Seed: 1}
}

// Validate reports unusable values.
func (c Config) Validate() error {
	const op = "load.Config"
	switch {
	case len(c.Targets) == 0:
		return fault.New(fault.Invalid, op, "no address to send to")
	case c.Arrival != Poisson && c.Arrival != Even:
		return fault.New(fault.Invalid, op, "--arrival %q: want poisson or even", c.Arrival)
	case c.Clients < 0 || c.InFlight < 1:
		return fault.New(fault.Invalid, op, "--clients %d, --in-flight %d: want 0 or more, and 1 or more", c.Clients, c.InFlight)
	case c.Clients == 0 && (!(c.Rate > 0) || c.RampTo < 0 || max(c.Rate, c.RampTo) > 1e6):
		return fault.New(fault.Invalid, op, "--rate %v, --ramp-to %v: want more than 0, at most a million", c.Rate, c.RampTo)
	case c.Duration <= 0 || c.Timeout <= 0 || c.Deadline < 0:
		return fault.New(fault.Invalid, op, "--duration %s, --timeout %s, --deadline %s: want more than 0", c.Duration, c.Timeout, c.Deadline)
	}
	for _, t := range c.Targets {
		if err := t.check(); err != nil || !(t.Weight > 0) {
			return fault.New(fault.Invalid, op, "%q with weight %v: want an address and a weight above 0", t.URL, t.Weight)
		}
	}
	return nil
}

// Result is what came of a load.
type Result struct {
	Intended int64         `json:"intended"` // requests that should have been sent
	Unsent   int64         `json:"unsent"`   // because too many were in flight
	Answered int64         `json:"answered"` // with any status
	Good     int64         `json:"good"`     // with 2xx or 3xx, within the deadline
	Late     int64         `json:"late"`     // with 2xx or 3xx, after it
	Bytes    int64         `json:"bytes"`
	Distinct int           `json:"distinct"`   // of address and body
	Elapsed  time.Duration `json:"elapsed_ns"` // of sending and waiting
	Sending  time.Duration `json:"sending_ns"`
	// Outcomes counts answers by status, and failures by kind.
	Outcomes  map[string]int64 `json:"outcomes"`
	Histogram Histogram        `json:"-"` // of all that were not refused
	Refusals  Histogram        `json:"-"` // of those that were: 429 and 503
	// Windows are equal parts of the time of sending, by the intended send time:
	// along a ramp they show where a server gives up.
	Windows []Window `json:"-"`

	seen map[what]struct{}
}

// windows is how many a Result has.
const windows = 10

// Window is what came of the requests of one part of the time.
type Window struct {
	Intended  int64     `json:"intended"`
	Good      int64     `json:"good"`
	Histogram Histogram `json:"-"`
}

// Goodput is good answers a second.
func (r *Result) Goodput() float64 { return perSecond(r.Good, max(r.Elapsed, r.Sending)) }

// Offered is intended requests a second.
func (r *Result) Offered() float64 { return perSecond(r.Intended, r.Sending) }

func perSecond(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// Merge adds another slice of the same load.
func (r *Result) Merge(o Result) {
	r.Intended, r.Unsent, r.Answered, r.Good, r.Late = r.Intended+o.Intended, r.Unsent+o.Unsent, r.Answered+o.Answered, r.Good+o.Good, r.Late+o.Late
	r.Bytes, r.Elapsed, r.Sending = r.Bytes+o.Bytes, r.Elapsed+o.Elapsed, r.Sending+o.Sending
	if r.Outcomes == nil {
		r.Outcomes, r.seen = map[string]int64{}, map[what]struct{}{}
	}
	for k, n := range o.Outcomes {
		r.Outcomes[k] += n
	}
	maps.Copy(r.seen, o.seen)
	r.Distinct = len(r.seen)
	r.Histogram.Merge(&o.Histogram)
	r.Refusals.Merge(&o.Refusals)
	if r.Windows == nil {
		r.Windows = make([]Window, windows)
	}
	for i := range o.Windows {
		w := &r.Windows[i]
		w.Intended, w.Good = w.Intended+o.Windows[i].Intended, w.Good+o.Windows[i].Good
		w.Histogram.Merge(&o.Windows[i].Histogram)
	}
}

// Doer sends a request.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// loader is one Run.
type loader struct {
	config Config
	doer   Doer
	start  time.Time

	mu     sync.Mutex // protects the rest
	result Result
}

// Run sends what c says through d. When ctx ends, no more is sent, and what is
// in flight is broken off; the result is of what was.
func Run(ctx context.Context, c Config, d Doer) (Result, error) {
	if err := c.Validate(); err != nil {
		return Result{}, err
	}
	if c.Deadline == 0 {
		c.Deadline = c.Timeout
	}
	if c.RampTo == 0 {
		c.RampTo = c.Rate
	}
	if c.Method == "" {
		c.Method = http.MethodGet
		if len(c.Bodies) > 0 {
			c.Method = http.MethodPost
		}
	}
	l := &loader{config: c, doer: d, start: time.Now(), result: Result{Outcomes: map[string]int64{}, seen: map[what]struct{}{}, Windows: make([]Window, windows)}}
	watching, stop := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	if c.Observe != nil {
		watcher.Go(func() { l.watch(watching) })
	}
	if c.Clients > 0 {
		l.closed(ctx)
	} else {
		l.open(ctx)
	}
	stop()
	watcher.Wait()
	return l.snapshot(), nil
}

// open sends by the clock.
func (l *loader) open(ctx context.Context) {
	c := l.config
	a := &arrivals{from: c.Rate, to: c.RampTo, duration: c.Duration.Seconds()}
	if c.Arrival == Poisson {
		a.random = rand.New(rand.NewPCG(c.Seed, 1))
	}
	m := newMix(c.Targets, rand.New(rand.NewPCG(c.Seed, 2)))
	room := make(chan struct{}, c.InFlight)
	var flying sync.WaitGroup
	defer flying.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for n := c.First; ; n++ {
		at, more := a.next()
		if !more {
			break
		}
		intended := l.start.Add(at)
		timer.Reset(time.Until(intended))
		select {
		case <-timer.C:
		case <-ctx.Done():
			l.sent(time.Since(l.start))
			return
		}
		w := l.what(m, n)
		select {
		case room <- struct{}{}:
			l.intend(w, intended, false)
			flying.Go(func() {
				l.send(ctx, w, intended)
				<-room
			})
		default:
			l.intend(w, intended, true)
		}
	}
	l.sent(c.Duration)
}

// closed keeps a number of requests in flight. Latency is from the sending: no
// user stands behind it.
func (l *loader) closed(ctx context.Context) {
	c := l.config
	end := l.start.Add(c.Duration)
	m := newMix(c.Targets, rand.New(rand.NewPCG(c.Seed, 2)))
	n := c.First
	var workers sync.WaitGroup
	for range c.Clients {
		workers.Go(func() {
			for time.Now().Before(end) && ctx.Err() == nil {
				l.mu.Lock()
				w := l.what(m, n)
				n++
				l.mu.Unlock()
				now := time.Now()
				l.intend(w, now, false)
				l.send(ctx, w, now)
			}
		})
	}
	workers.Wait()
	l.sent(c.Duration)
}

func (l *loader) sent(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.result.Sending = d
}

// window is that of a request that should be sent at a time; mu is held.
func (l *loader) window(intended time.Time) *Window {
	i := int(windows * intended.Sub(l.start) / l.config.Duration)
	return &l.result.Windows[max(0, min(i, windows-1))]
}

// what is what one request sends.
type what struct {
	address string
	body    int // of Config.Bodies
}

func (l *loader) what(m *mix, n int) what {
	return what{m.pick(n), n % max(1, len(l.config.Bodies))}
}

func (l *loader) intend(w what, intended time.Time, unsent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.result.Intended++
	l.window(intended).Intended++
	l.result.seen[w] = struct{}{}
	if unsent {
		l.result.Unsent++
		l.result.Outcomes["not sent"]++
	}
}

// send sends one request and counts what comes of it.
func (l *loader) send(ctx context.Context, sent what, intended time.Time) {
	status, size, err := l.exchange(ctx, sent)
	took := time.Since(intended)
	l.mu.Lock()
	defer l.mu.Unlock()
	r, w := &l.result, l.window(intended)
	r.Bytes += size
	switch {
	case ctx.Err() != nil:
		r.Outcomes["broken off"]++
		return
	case err != nil:
		r.Outcomes[fault.KindOf(err).String()]++
		// It took its user this long to learn so.
		r.Histogram.Add(took)
		w.Histogram.Add(took)
		return
	}
	r.Answered++
	r.Outcomes[strconv.Itoa(status)]++
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		r.Refusals.Add(took)
		return
	}
	r.Histogram.Add(took)
	w.Histogram.Add(took)
	if status >= 200 && status < 400 {
		if took <= l.config.Deadline {
			r.Good++
			w.Good++
		} else {
			r.Late++
		}
	}
}

func (l *loader) exchange(ctx context.Context, w what) (status int, size int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.config.Timeout)
	defer cancel()
	var body io.Reader
	if len(l.config.Bodies) > 0 {
		body = bytes.NewReader(l.config.Bodies[w.body])
	}
	r, err := http.NewRequestWithContext(ctx, l.config.Method, w.address, body)
	if err != nil {
		return 0, 0, fault.New(fault.Invalid, "load.exchange", "%w", err)
	}
	if l.config.Header != nil {
		r.Header = l.config.Header.Clone()
	}
	answer, err := l.doer.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return 0, 0, fault.New(fault.Timeout, "load.exchange", "%w", err)
		}
		return 0, 0, fault.New(fault.Unavailable, "load.exchange", "%w", err)
	}
	defer answer.Body.Close()
	size, err = io.Copy(io.Discard, answer.Body)
	if err != nil {
		return 0, size, fault.New(fault.Unavailable, "load.exchange", "%w", err)
	}
	return answer.StatusCode, size, nil
}

// watch tells the observer of the state once a second.
func (l *loader) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.config.Observe(l.snapshot())
		}
	}
}

// snapshot is the result up to now, with nothing shared.
func (l *loader) snapshot() Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Result{}
	r.Merge(l.result)
	r.Elapsed = time.Since(l.start)
	if r.Sending == 0 {
		r.Sending = r.Elapsed
	}
	return r
}
