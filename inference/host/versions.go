package host

import (
	"log/slog"
	"slices"
	"time"

	"focal/inference/sched"
	"focal/models"
)

// Watched is a Repository that can be looked at often, for little.
type Watched interface {
	// Stamp changes whenever a model comes, goes or changes. It reads no file.
	Stamp() (string, error)
	// Holds reports whether m's file still has the bytes that m names.
	Holds(m models.Model) bool
}

// change is what has become of a model that was in use.
type change struct {
	old  *served
	next *served // nil: it is gone
}

// refresh looks at the repository again and says what has changed of the models
// in use. What is there but cannot be read or used now leaves its model as it
// was: somebody may be editing it.
func (c *catalog) refresh(log *slog.Logger) []change {
	all, err := c.repo.Models()
	if err != nil {
		log.Warn("some models cannot be read; those in use stay as they were", "err", err)
	}
	c.mu.Lock()
	if err == nil {
		clear(c.defaults)
	}
	clear(c.coming)
	var used []*served
	for _, s := range c.ready {
		used = append(used, s)
	}
	c.mu.Unlock()

	var changes []change
	for _, old := range used {
		at := slices.IndexFunc(all, func(m models.Model) bool { return m.Name == old.Name })
		switch {
		case at < 0 && err == nil:
			changes = append(changes, change{old: old})
		case at >= 0 && modelID(all[at]) != old.spec.ID:
			next, err := c.serve(all[at])
			if err != nil {
				log.Error("new version cannot be used; the old one stays", "model", old.Name, "err", err)
				continue
			}
			changes = append(changes, change{old, next})
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range changes {
		switch {
		case c.away[ch.old.Name]: // meanwhile
		case ch.next == nil:
			delete(c.ready, ch.old.Name)
		default:
			c.coming[ch.old.Name] = ch.next
		}
	}
	return changes
}

// replace lets the coming version called next serve from now on.
func (c *catalog) replace(next sched.ModelID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, s := range c.coming {
		if s.spec.ID == next {
			c.ready[name] = s
			delete(c.coming, name)
		}
	}
}

// current reports whether new requests go to s, or soon will.
func (c *catalog) current(s *served) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range []*served{c.ready[s.Name], c.coming[s.Name]} {
		if m != nil && m.spec.ID == s.spec.ID {
			return true
		}
	}
	return false
}

// Refresh makes the Host look at the repository again: a model whose file or
// manifest has changed is another version from now on, which takes over by the
// rules of sched.OnVersion. Answers of the old one stay known under its digest.
// It is called by itself every PollEvery when something has changed.
func (h *Host) Refresh() {
	h.refreshing.Lock()
	defer h.refreshing.Unlock()
	for _, ch := range h.catalog.refresh(h.cfg.Log) {
		done := make(chan struct{})
		if h.loop.do(func(now time.Time) {
			defer close(done)
			h.loop.change(now, ch)
		}) {
			<-done
		}
	}
}

// change tells the scheduler of a new version, or that there is none any more.
func (l *loop) change(now time.Time, ch change) {
	l.now = now
	if l.catalog.isAway(ch.old.Name) { // it was unloaded while we looked
		return
	}
	if ch.next == nil {
		l.log.Info("model has left the repository", "model", ch.old.Name)
		l.sched.OnRetire(now, ch.old.spec.ID, sched.EvictedGone)
		l.forget(ch.old.spec.ID)
		return
	}
	l.log.Info("model has changed", "model", ch.old.Name, "version", ch.next.Version)
	l.known[ch.next.spec.ID] = ch.next.Model
	l.sched.OnVersion(now, ch.old.spec.ID, ch.next.spec)
	l.sched.OnMeasured(now, ch.next.spec.ID, ch.next.known)
	l.forget(ch.old.spec.ID)
}

// Replace sends new requests to another version.
func (l *loop) Replace(_, next sched.ModelID) { l.catalog.replace(next) }

// forget drops what the loop knows of a version that the scheduler has dropped.
func (l *loop) forget(id sched.ModelID) {
	if !l.sched.Knows(id) {
		delete(l.known, id)
	}
}

// watch looks for changes in the repository until the Host is closed. What
// changes is looked at when it has stopped changing: a file that is being
// copied is not a version.
func (h *Host) watch(repo Watched) {
	tick := time.NewTicker(h.cfg.PollEvery)
	defer tick.Stop()
	known, err := repo.Stamp()
	last := known
	for {
		select {
		case <-h.closed:
			return
		case <-tick.C:
		}
		stamp, again := repo.Stamp()
		if again != nil && err == nil {
			h.cfg.Log.Warn("model repository cannot be looked at", "err", again)
		}
		err = again
		if err != nil {
			continue
		}
		if stamp != known && stamp == last {
			known = stamp
			h.Refresh()
		}
		last = stamp
	}
}
