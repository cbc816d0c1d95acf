package sched

import (
	"slices"
	"time"

	"focal/inference"
)

// guest is a request that was let in and has not arrived: its picture is being
// sent or decoded.
type guest struct {
	key   Key
	model *model
	class inference.Class
	since time.Time
}

// A guest who has taken so many times as long as others will not come, and is not
// waited for any more; later he is forgotten.
const (
	notWaitedFor = 4
	forgotten    = 16
)

// took is how long g has taken, in multiples of what guests of his model do.
func (g guest) took(now time.Time) float64 { return now.Sub(g.since).Seconds() / g.model.coming.mean() }

// OnAsk is WouldRefuse for one who means to come when his input is ready. Where
// he may, he is a guest: he counts in the line of those who ask after him, so that
// they are refused now and not when they have been decoded in vain. He is one until
// he arrives, is refused because he asks again, or is known not to come (OnAway).
func (s *Scheduler) OnAsk(now time.Time, r Request) (Reason, error) {
	s.guests = slices.DeleteFunc(s.guests, func(g guest) bool { return g.took(now) > forgotten })
	why, err := s.WouldRefuse(now, r)
	m := s.byID[r.Model]
	switch {
	case err != nil:
		s.arrived(now, r.Key)
	case s.guest(r.Key) < 0 && m != nil && r.Key != Key{}:
		s.guests = append(s.guests, guest{r.Key, m, r.Class, now})
	}
	return why, err
}

// guest returns the place of key among the guests, or -1.
func (s *Scheduler) guest(key Key) int {
	return slices.IndexFunc(s.guests, func(g guest) bool { return g.key == key })
}

// ahead are the guests who were let in before the one with key, or all, but for
// those who will not come.
func (s *Scheduler) ahead(now time.Time, key Key) []guest {
	var ahead []guest
	for _, g := range s.guests {
		if g.key == key {
			break
		}
		if g.took(now) <= notWaitedFor {
			ahead = append(ahead, g)
		}
	}
	return ahead
}

// grace is by how much the answer to r may be predicted to be late. A guest's has been
// predicted before: that moves, and his picture is decoded by now.
func (s *Scheduler) grace(now time.Time, r Request) time.Duration {
	if s.guest(r.Key) < 0 {
		return 0
	}
	return max(0, r.Deadline.Sub(now)/4)
}

// arrived hears that the guest with key, if he is one, is there, and learns how
// long that took.
func (s *Scheduler) arrived(now time.Time, key Key) {
	if at := s.guest(key); at >= 0 {
		g := s.guests[at]
		g.model.coming.add(0, max(now.Sub(g.since), time.Millisecond).Seconds())
		s.guests = slices.Delete(s.guests, at, at+1)
	}
}

// OnAway hears that the guest with key, if he is one, does not come: his picture
// cannot be read, or his caller has left. How long that took says nothing of others.
func (s *Scheduler) OnAway(key Key) {
	s.guests = slices.DeleteFunc(s.guests, func(g guest) bool { return g.key == key })
}

// expected counts those of guests who come for m in a class.
func expected(guests []guest, m *model, class inference.Class) int {
	n := 0
	for _, g := range guests {
		if g.model == m && g.class == class {
			n++
		}
	}
	return n
}
