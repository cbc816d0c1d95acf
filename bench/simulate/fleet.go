package simulate

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"focal/core/pixel"
	"focal/inference/route"
)

// FleetResult is what several copies made of the trace under one way of sharing
// it out.
type FleetResult struct {
	Result
	Copies int     `json:"copies"`
	Hits   float64 `json:"hit_rate"` // share answered from a copy's results
	// Balance is the largest share of runs of a copy over the mean: 1 is even.
	Balance float64 `json:"balance"`
	// First is the share of requests that the first copy of their order answered,
	// or knew the answer to.
	First float64 `json:"first_choice"`
}

// The rules by which requests are shared out.
const (
	bounded = "focal"      // as inference/sidecar: by content, with bounded load
	free    = "rendezvous" // by content alone
	random  = "random"
)

// Fleet runs a trace of Copies times the load on as many copies, under each rule.
func Fleet(c Config) ([]FleetResult, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var results []FleetResult
	for _, rule := range []string{bounded, free, random} {
		r, err := runFleet(c, rule)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}

// member is a copy: its scheduler, the results that it keeps, and what is in flight.
type member struct {
	*focal
	results  *recent
	inFlight int
	taken    int
}

func runFleet(c Config, rule string) (FleetResult, error) {
	one := newWorld(c)
	c.Load *= float64(c.Copies)
	w := newWorld(c)
	w.budget = one.budget
	sum := newTally(w)
	members := make([]*member, c.Copies)
	for i := range members {
		f, err := newFocal(w)
		if err != nil {
			return FleetResult{}, err
		}
		f.t = sum
		m := &member{focal: f, results: newRecent(c.Cache)}
		f.answer = func(_ time.Time, r *request) {
			m.inFlight--
			m.results.add(result(r))
		}
		members[i] = m
	}
	names := make([]string, len(members))
	for i := range names {
		names[i] = fmt.Sprintf("http://copy-%d:8081", i)
	}
	rng := rand.New(rand.NewPCG(c.Seed, 3))
	hits, first := 0, 0
	w.play(func(now time.Time, r *request) {
		order := route.Order(content(r), names)
		at := order[0] // is asked whether it knows the answer
		if rule == random {
			at = rng.IntN(len(members))
		}
		if members[at].results.has(result(r)) {
			hits++
			first++
			sum.ask(r)
			sum.answer(now, r)
			return
		}
		if rule == bounded {
			at = route.Taker(order, func(i int) int { return members[i].inFlight })
		}
		if at == order[0] {
			first++
		}
		m := members[at]
		m.inFlight++
		m.taken++
		m.arrive(now, r)
	})
	all := FleetResult{
		Result: sum.result(rule, w), Copies: c.Copies,
		Hits: ratio(float64(hits), float64(c.Requests)), First: ratio(float64(first), float64(c.Requests)),
	}
	most, taken := 0, 0
	for _, m := range members {
		most, taken = max(most, m.taken), taken+m.taken
	}
	all.Balance = ratio(float64(most*len(members)), float64(taken))
	all.Busy /= float64(len(members))
	return all, nil
}

// recent is a set that keeps what was used last.
type recent struct {
	most  int
	order *list.List // of uint64, the last used in front
	at    map[uint64]*list.Element
}

func newRecent(most int) *recent {
	return &recent{most: most, order: list.New(), at: map[uint64]*list.Element{}}
}

func (c *recent) has(x uint64) bool {
	e := c.at[x]
	if e == nil {
		return false
	}
	c.order.MoveToFront(e)
	return true
}

func (c *recent) add(x uint64) {
	if c.has(x) || c.most == 0 {
		return
	}
	if c.order.Len() >= c.most {
		last := c.order.Back()
		delete(c.at, last.Value.(uint64))
		c.order.Remove(last)
	}
	c.at[x] = c.order.PushFront(x)
}

// result names what is kept of a request.
func result(r *request) uint64 { return uint64(r.picture)<<16 | uint64(r.model) }

// content is the digest of a picture.
func content(r *request) (d pixel.Digest) {
	binary.BigEndian.PutUint64(d[:], uint64(r.picture))
	return sha256.Sum256(d[:])
}
