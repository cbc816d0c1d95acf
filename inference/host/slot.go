package host

import (
	"runtime"
	"time"
)

// slot is a thread of its own that runs go on, one after the other. Runs that
// change threads change cores: the memory that a run takes over from the one before
// it then lies in the other core's cache, which costs a small model a tenth of its
// time. A task returns the event that ends it.
type slot chan task // buffered 1: the loop waits for nobody

type task func() (event func(now time.Time))

func (s slot) work(l *loop) {
	runtime.LockOSThread()
	for t := range s {
		event := t()
		l.do(func(now time.Time) {
			l.idlers = append(l.idlers, s)
			event(now)
		})
	}
}

// onSlot gives t to the slot that fell idle last. There is one: the scheduler has
// no more runs under way than there are slots.
func (l *loop) onSlot(t task) {
	last := len(l.idlers) - 1
	s := l.idlers[last]
	l.idlers = l.idlers[:last]
	s <- t
}
