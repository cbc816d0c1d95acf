package ort

// #include <signal.h>
//
// // Only signals that Go catches matter; SIGKILL and SIGSTOP refuse.
// static struct sigaction saved[NSIG];
// static void save_signals(void) {
//   for (int i = 1; i < NSIG; i++) sigaction(i, NULL, &saved[i]);
// }
// static void restore_signals(void) {
//   for (int i = 1; i < NSIG; i++) sigaction(i, &saved[i], NULL);
// }
import "C"

import "sync"

// signals puts back Go's signal handlers behind libraries that replace them: a
// handler that runs on the small stack of a goroutine ends the process. NVIDIA's
// do so while they start (onnxruntime_go issue 140). Work may overlap: the
// handlers of before the first are put back after the last.
type signals struct {
	mu     sync.Mutex // protects inside, and C's copy
	inside int
}

// processSignals is one, because handlers belong to the process.
var processSignals signals

// keep returns the function that ends the work.
func (s *signals) keep() (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inside++; s.inside == 1 {
		C.save_signals()
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.inside--; s.inside == 0 {
			C.restore_signals()
		}
	}
}
