package sched

import (
	"cmp"
	"slices"
	"time"
)

// victims picks the models that leave so that m gets short bytes more, least
// worth keeping first (worth: reload time × request rate, per byte), and none
// that turns out not to be needed. Nil means that they would not be enough.
//
//  1. Never: the pinned, m itself, what is loading or already leaving.
//  2. Idle ones may go once they have been resident for their residence.
//  3. Busy ones, with work waiting or running, may go only for the impatient,
//     once they have had their turn.
func (s *Scheduler) victims(now time.Time, m *model, short int64, busyToo bool) []*model {
	var picked []*model
	for _, v := range s.models {
		if v == m || v.Pinned || v.state != resident || s.claim.takes(v) { // 1
			continue
		}
		if !v.idle() && !busyToo {
			continue
		}
		if stays := s.stays(v); now.Before(stays) { // 2, 3
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

// evictUnused sends off what nobody has used for KeepAlive, and everything
// that is idle if the service is closing.
func (s *Scheduler) evictUnused(now time.Time) {
	for _, m := range s.models {
		switch {
		case m.state != resident || !m.idle():
		case s.closing:
			s.unload(now, m, EvictedClosing)
		case s.cfg.KeepAlive <= 0 || m.Pinned:
		case now.Before(m.lastUsed.Add(s.cfg.KeepAlive)):
			s.wakeAt(m.lastUsed.Add(s.cfg.KeepAlive))
		default:
			s.unload(now, m, EvictedUnused)
		}
	}
}
