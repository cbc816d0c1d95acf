package sched

import (
	"testing"
	"time"

	"focal/core/fault"
)

// guest asks for a guest of model a who has so much time.
func (w *world) guest(key byte, within time.Duration) (Reason, error) {
	return w.invite(Request{Model: "a", Key: Key{key}, Deadline: w.now.Add(within)})
}

// guests is a world of one model whose runs of one item take 100 ms.
func guests(t *testing.T, change func(*Config)) *world {
	spec := small("a")
	spec.MaxBatch = 1
	w := newWorld(t, change, spec)
	w.resident("a")
	w.ask("a")
	w.pass(100 * ms)
	w.doneAll()
	return w
}

func TestScheduler_RefusesBeforeDecodingWhoWouldWaitForThoseWhoAreDecoded(t *testing.T) {
	w := guests(t, nil)
	for _, key := range []byte{1, 2, 2} { // whoever asks again does not wait for himself
		if _, err := w.guest(key, 250*ms); err != nil {
			t.Fatalf("guest %d: %v", key, err)
		}
	}
	// Two guests and himself are 300 ms.
	if why, err := w.guest(3, 250*ms); why != RefusedLate || fault.RetryAfter(err) != 50*ms {
		t.Fatalf("the third: %s, %v", why, err)
	}
	if _, err := w.guest(4, 300*ms); err != nil {
		t.Fatalf("he who was refused is still in the line: %v", err)
	}
	// Who was let in first is not refused because of those after him.
	first := w.arrive(Request{Model: "a", Key: Key{1}, Deadline: w.now.Add(150 * ms)})
	if !served(w, first) {
		t.Fatal("a guest was refused when he came")
	}
}

func TestScheduler_RefusesAGuestOnlyWhenTheLineHasGrownBeyondHisGrace(t *testing.T) {
	for _, tt := range []struct {
		within time.Duration
		want   bool
	}{{240 * ms, true}, {239 * ms, false}} { // 300 ms are a quarter more than 240
		w := guests(t, nil)
		if _, err := w.guest(1, tt.within); err != nil {
			t.Fatal(err)
		}
		w.ask("a") // two who ask nobody before they come: one runs, one waits
		w.ask("a")
		id := w.arrive(Request{Model: "a", Key: Key{1}, Deadline: w.now.Add(tt.within)})
		if _, refused := w.refused[id]; refused == tt.want {
			t.Errorf("300 ms in %s: refused %v", tt.within, refused)
		}
	}
}

func TestScheduler_ForgetsGuestsWhoDoNotCome(t *testing.T) {
	w := guests(t, nil)
	if _, err := w.guest(1, second); err != nil {
		t.Fatal(err)
	}
	w.pass(50 * ms)
	w.arrive(Request{Model: "a", Key: Key{1}}) // 50 ms: others have 200
	w.pass(100 * ms)
	w.doneAll()
	if _, err := w.guest(2, second); err != nil {
		t.Fatal(err)
	}
	w.pass(200 * ms)
	if why, err := w.guest(3, 150*ms); why != RefusedLate {
		t.Fatalf("after 200 ms he may still come: %s, %v", why, err)
	}
	w.pass(ms)
	if _, err := w.guest(3, 150*ms); err != nil {
		t.Fatalf("after 201 ms he does not come: %v", err)
	}
}

func TestScheduler_CountsGuestsAgainstTheQueueLimit(t *testing.T) {
	w := guests(t, func(c *Config) { c.QueueLimit = 2 })
	for key := range byte(2) {
		if _, err := w.guest(key+1, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if why, err := w.guest(3, time.Minute); why != RefusedFull || !fault.Is(err, fault.Busy) {
		t.Fatalf("got %s, %v", why, err)
	}
}
