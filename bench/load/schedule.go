package load

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"time"

	"focal/core/fault"
)

// Arrival is how requests follow each other at a rate.
type Arrival string

// The arrivals.
const (
	Poisson Arrival = "poisson" // independent of each other, as many users are
	Even    Arrival = "even"
)

// arrivals gives the intended send times from the start, one after the other.
// The rate goes in a straight line from the first to the last.
type arrivals struct {
	from, to float64 // requests a second
	duration float64 // seconds
	random   *rand.Rand
	mass     float64 // requests that should have been sent by now
}

// next returns the time of the next request; false after the end.
//
// By t the expected number of requests is R(t) = from·t + (to−from)·t²/2T. Even
// arrivals are where R passes a whole number, Poisson ones where it has grown by
// an exponential step.
func (a *arrivals) next() (time.Duration, bool) {
	step := 1.0
	if a.random != nil {
		step = a.random.ExpFloat64()
	}
	a.mass += step
	t := a.when(a.mass)
	if !(t < a.duration) {
		return 0, false
	}
	return time.Duration(t * float64(time.Second)), true
}

// when solves R(t) = mass.
func (a *arrivals) when(mass float64) float64 {
	slope := (a.to - a.from) / (2 * a.duration)
	if math.Abs(slope) < 1e-12 {
		return mass / a.from
	}
	inside := a.from*a.from + 4*slope*mass
	if inside < 0 {
		return math.Inf(1) // the rate has fallen to nothing before
	}
	return 2 * mass / (a.from + math.Sqrt(inside))
}

// Target is an address with its share of the requests.
type Target struct {
	URL    string
	Weight float64
}

// number stands for the request's number in an address, so that every request
// asks for something else.
const number = "{n}"

// ParseTargets reads lines of an address and, if it is not 1, a weight. Empty
// lines and lines that begin with # are left out.
func ParseTargets(text []byte) ([]Target, error) {
	const op = "load.ParseTargets"
	var all []Target
	for s, n := bufio.NewScanner(bytes.NewReader(text)), 1; s.Scan(); n++ {
		fields := strings.Fields(s.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		t := Target{fields[0], 1}
		if len(fields) > 2 {
			return nil, fault.New(fault.Invalid, op, "line %d: want an address and a weight", n)
		}
		if len(fields) == 2 {
			w, err := strconv.ParseFloat(fields[1], 64)
			if err != nil || !(w > 0) || w > 1e9 {
				return nil, fault.New(fault.Invalid, op, "line %d: weight %q: want a number above 0", n, fields[1])
			}
			t.Weight = w
		}
		if err := t.check(); err != nil {
			return nil, fault.New(fault.Invalid, op, "line %d: %w", n, err)
		}
		all = append(all, t)
	}
	return all, nil
}

func (t Target) check() error {
	u, err := url.Parse(strings.ReplaceAll(t.URL, number, "0"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is no http or https address", t.URL)
	}
	return nil
}

// mix draws addresses by weight.
type mix struct {
	targets []Target
	total   float64
	random  *rand.Rand
}

func newMix(targets []Target, random *rand.Rand) *mix {
	m := &mix{targets: targets, random: random}
	for _, t := range targets {
		m.total += t.Weight
	}
	return m
}

// pick returns the address of request n.
func (m *mix) pick(n int) string {
	at := m.random.Float64() * m.total
	for _, t := range m.targets {
		if at -= t.Weight; at < 0 {
			return strings.ReplaceAll(t.URL, number, strconv.Itoa(n))
		}
	}
	return strings.ReplaceAll(m.targets[len(m.targets)-1].URL, number, strconv.Itoa(n))
}
