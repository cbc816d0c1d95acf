package simulate

import (
	"container/list"
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"
)

// overload is how far beyond the mean of requests in flight a copy may be and
// still take one: bounded load after Mirrokni, Thorup, Zadimoghaddam (2018).
const overload = 1.25

// FleetResult is what several copies made of the trace under one way of sharing
// it out.
type FleetResult struct {
	Result
	Copies int     `json:"copies"`
	Hits   float64 `json:"hit_rate"` // share answered from a copy's results
	// Balance is the largest share of runs of a copy over the mean: 1 is even.
	Balance float64 `json:"balance"`
	// First is the share of requests that went to the first copy of their order.
	First float64 `json:"first_choice"`
}

// The rules by which requests are shared out.
const (
	bounded = "rendezvous-1.25"       // the first in order that is below the bound
	floored = "rendezvous-1.25-slots" // the same, but nobody is passed over who has work for two rounds or less
	free    = "rendezvous"            // the first in order
	random  = "random"
)

// Fleet runs a trace of Copies times the load on as many copies, under each rule.
func Fleet(c Config) ([]FleetResult, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var results []FleetResult
	for _, rule := range []string{bounded, floored, free, random} {
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
			m.results.add(subject(r))
		}
		members[i] = m
	}
	rng := rand.New(rand.NewPCG(c.Seed, 3))
	hits, first := 0, 0
	w.play(func(now time.Time, r *request) {
		order := rendezvous(subject(r), len(members))
		total := 0
		for _, m := range members {
			total += m.inFlight
		}
		at := pick(w, rule, order, members, total, rng)
		if at == order[0] {
			first++
		}
		m := members[at]
		if m.results.has(subject(r)) {
			hits++
			sum.ask(r)
			sum.answer(now, r)
			return
		}
		m.inFlight++
		m.taken++
		m.arrive(now, r)
	})
	result := FleetResult{
		Result: sum.result(rule, w), Copies: c.Copies,
		Hits: ratio(float64(hits), float64(c.Requests)), First: ratio(float64(first), float64(c.Requests)),
	}
	most, all := 0, 0
	for _, m := range members {
		most, all = max(most, m.taken), all+m.taken
	}
	result.Balance = ratio(float64(most*len(members)), float64(all))
	result.Busy /= float64(len(members))
	return result, nil
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

// subject is what a result is of.
func subject(r *request) uint64 { return uint64(r.picture)<<16 | uint64(r.model) }

// rendezvous orders n copies for a subject: the highest hash first.
func rendezvous(subject uint64, n int) []int {
	hashes, order := make([]uint64, n), make([]int, n)
	for i := range n {
		var key [16]byte
		binary.BigEndian.PutUint64(key[:], subject)
		binary.BigEndian.PutUint64(key[8:], uint64(i))
		h := fnv.New64a()
		h.Write(key[:]) // never fails
		hashes[i], order[i] = mix(h.Sum64()), i
	}
	slices.SortFunc(order, func(a, b int) int {
		if hashes[a] > hashes[b] {
			return -1
		}
		return 1
	})
	return order
}

// mix spreads the last bytes of an FNV hash over all bits (the finaliser of
// MurmurHash3).
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// pick names the copy that takes a request while total are in flight.
func pick(w *world, rule string, order []int, members []*member, total int, rng *rand.Rand) int {
	switch rule {
	case random:
		return rng.IntN(len(members))
	case free:
		return order[0]
	}
	bound := overload * float64(total+1) / float64(len(members))
	if rule == floored {
		bound = max(bound, float64(2*w.Slots))
	}
	for _, i := range order {
		if float64(members[i].inFlight+1) <= max(bound, 1) {
			return i
		}
	}
	return order[0] // nobody is below the mean: cannot be
}
