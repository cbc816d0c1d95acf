package sidecar

import (
	"errors"
	"time"

	"focal/core/fault"
	"focal/inference"
)

// mind draws conclusions from how a sidecar answered:
//
//  1. Nobody is there, or the connection broke: it is left out, and asked
//     whether it is ready until it is.
//  2. It did not answer in time, or in a way in which no sidecar should: it is
//     asked whether it is ready, and left out only if it does not say so.
//  3. Anything else shows that it is there.
func (p *Pool) mind(at int, err error) {
	switch {
	case errors.Is(err, errNobody) || errors.Is(err, errBroken): // 1
		p.suspect(at, err.Error())
	case fault.Is(err, fault.Timeout) || fault.Is(err, fault.Internal) || fault.Is(err, fault.Unavailable): // 2
		p.suspect(at, "")
	}
}

// suspect has a sidecar watched until it is ready; a reason leaves it out from
// now on.
func (p *Pool) suspect(at int, away string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaveOut(at, away)
	if m := p.members[at]; !m.watched && p.open.Err() == nil {
		m.watched = true
		p.watches.Go(func() { p.watch(at) })
	}
}

// leaveOut is called with mu held.
func (p *Pool) leaveOut(at int, away string) {
	m := p.members[at]
	if m.away == "" && away != "" {
		m.client.http.CloseIdleConnections() // they lead to the one that is away
		p.cfg.Log.Warn("sidecar is left out", "address", p.cfg.Addresses[at], "reason", away)
	}
	if away != "" {
		m.away = away
	}
}

// watch asks one sidecar whether it is ready, until it is.
func (p *Pool) watch(at int) {
	for wait := p.cfg.MinProbe; !p.settled(at); wait = min(2*wait, p.cfg.MaxProbe) {
		select {
		case <-p.open.Done():
			return
		case <-time.After(wait):
		}
	}
}

// settled asks one sidecar whether it is ready. If so it is asked again from
// now on, and need not be watched.
func (p *Pool) settled(at int) bool {
	s := p.members[at].client.Status(p.open)
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.members[at]
	if p.open.Err() != nil { // and so ended the question
		return true
	}
	if s.State != inference.StateReady {
		p.leaveOut(at, notReady(s))
		return false
	}
	if m.away != "" {
		p.cfg.Log.Info("sidecar answers again", "address", p.cfg.Addresses[at])
	}
	m.away, m.watched = "", false
	return true
}

func notReady(s inference.Status) string {
	if s.Reason != "" {
		return s.Reason
	}
	return "it is " + string(s.State)
}
