package sched

import (
	"cmp"
	"slices"
	"time"
)

// reach is how far an eviction may go.
type reach uint8

const (
	theIdle reach = iota
	theBusy
	anybody
)

// victims picks the models that leave so that m gets short bytes more, least
// worth keeping first (worth: reload time × request rate, per byte), and none
// that turns out not to be needed. Nil means that they would not be enough.
//
//  1. Never: the pinned, m itself, what is loading or already leaving.
//  2. Idle ones may go once they have been resident for their residence.
//  3. Busy ones, with work waiting or running, may go only for the impatient,
//     once they have had their turn.
//  4. For whom has waited MaxWait neither counts, except to keep their turn for
//     others who have waited as long: they would drain each other for ever.
func (s *Scheduler) victims(now time.Time, m *model, short int64, who reach) []*model {
	var picked []*model
	for _, v := range s.models {
		if v == m || v.Pinned || v.state != resident || s.claim.takes(v) { // 1
			continue
		}
		if !v.idle() && who < theBusy {
			continue
		}
		if stays := s.stays(v); (who < anybody || s.overdueFor(now, v)) && now.Before(stays) { // 2, 3, 4
			s.wakeAt(stays)
			continue
		}
		picked = append(picked, v)
	}
	slices.SortStableFunc(picked, func(a, b *model) int {
		if a.idle() != b.idle() {
			if a.idle() {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.worth(now), b.worth(now))
	})
	sum, n := int64(0), 0
	for ; n < len(picked) && sum < short; n++ {
		sum += picked[n].booked
	}
	if sum < short {
		return nil
	}
	picked = picked[:n]
	for i := n - 1; i >= 0; i-- { // the dearest first
		if sum-picked[i].booked >= short {
			sum -= picked[i].booked
			picked = slices.Delete(picked, i, i+1)
		}
	}
	return picked
}

// evictSome sends idle models away until they make up for over bytes, or all
// that may go.
func (s *Scheduler) evictSome(now time.Time, over int64) {
	victims := s.victims(now, nil, over, theIdle)
	if victims == nil {
		victims = s.victims(now, nil, s.idleBytes(now), theIdle)
	}
	for _, v := range victims {
		s.unload(now, v, EvictedOver)
	}
}

// idleBytes is what would come back if all left that may go when they are idle.
func (s *Scheduler) idleBytes(now time.Time) int64 {
	sum := int64(0)
	for _, v := range s.models {
		if !v.Pinned && v.state == resident && v.idle() && v.running == 0 && !s.claim.takes(v) && !now.Before(s.stays(v)) {
			sum += v.booked
		}
	}
	return sum
}

// overdueFor reports whether somebody has waited MaxWait for v.
func (s *Scheduler) overdueFor(now time.Time, v *model) bool {
	return slices.ContainsFunc(v.order, func(q *queue) bool {
		_, yes := s.overdue(now, q)
		return yes
	})
}

// stays is until when v keeps its place against others.
func (s *Scheduler) stays(v *model) time.Time {
	if !v.idle() {
		return v.since.Add(s.cfg.Turn)
	}
	residence := s.cfg.MinResidence
	if known := v.expectedLoad(); known > 0 {
		residence = min(residence, 2*known)
	}
	return v.since.Add(residence)
}

func (s *Scheduler) keepAlive(m *model) time.Duration {
	if m.KeepAlive > 0 {
		return m.KeepAlive
	}
	return s.cfg.KeepAlive
}

// evictUnused sends off what nobody has used for KeepAlive, what is retired,
// and everything that is idle if the service is closing.
func (s *Scheduler) evictUnused(now time.Time) {
	for _, m := range s.models {
		switch {
		case m.state != resident || !m.idle() || m.running > 0:
		case s.closing:
			s.unload(now, m, EvictedClosing)
		case m.Retired:
			s.unload(now, m, cmp.Or(m.leaves, EvictedRetired))
		case s.keepAlive(m) <= 0 || m.Pinned:
		case now.Before(m.lastUsed.Add(s.keepAlive(m))):
			s.wakeAt(m.lastUsed.Add(s.keepAlive(m)))
		default:
			s.unload(now, m, EvictedUnused)
		}
	}
}
