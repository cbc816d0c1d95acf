package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"testing"
	"testing/iotest"

	"focal/core/fault"
	"focal/core/pixel"
)

func receiver(t *testing.T, most, memory int64) *Fetcher {
	t.Helper()
	c := DefaultConfig()
	c.MaxBytes, c.Memory = most, memory
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if taken, _ := f.Reserved(); taken != 0 {
			t.Errorf("%d bytes stayed booked", taken)
		}
		if err := f.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestReceive_TakesUploadsUpToTheLimit(t *testing.T) {
	const most = 3*receiveFirst + 7
	f := receiver(t, most, 10*receiveFirst)
	for _, n := range []int{0, 1, receiveFirst - 1, receiveFirst, receiveFirst + 1, most} {
		body := bytes.Repeat([]byte{byte(n), 1, 2}, n/3+1)[:n]
		for _, r := range []io.Reader{bytes.NewReader(body), iotest.DataErrReader(bytes.NewReader(body)), iotest.HalfReader(bytes.NewReader(body))} {
			o, err := f.Receive(t.Context(), r)
			if err != nil || !bytes.Equal(o.Bytes, body) || o.Digest != pixel.Digest(sha256.Sum256(body)) {
				t.Fatalf("%d bytes: %v", n, err)
			}
			o.Release()
		}
	}
	for _, n := range []int{most + 1, 2 * most} {
		if _, err := f.Receive(t.Context(), bytes.NewReader(make([]byte, n))); !fault.Is(err, fault.TooLarge) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := f.Receive(t.Context(), iotest.TimeoutReader(iotest.HalfReader(bytes.NewReader(make([]byte, receiveFirst))))); err != iotest.ErrTimeout {
		t.Errorf("of a body that breaks off: %v", err)
	}
}

// Who has begun does not wait for others who have begun, and who has not waits.
func TestReceive_RefusesWhatTheMemoryHasNoRoomFor(t *testing.T) {
	f := receiver(t, 4*receiveFirst, 4*receiveFirst)
	first, err := f.Receive(t.Context(), bytes.NewReader(make([]byte, 2*receiveFirst)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Receive(t.Context(), bytes.NewReader(make([]byte, 4*receiveFirst))); !fault.Is(err, fault.Busy) {
		t.Errorf("more than there is: %v", err)
	}
	second, err := f.Receive(t.Context(), bytes.NewReader(make([]byte, 2*receiveFirst)))
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Receive(gone, bytes.NewReader(nil)); !fault.Is(err, fault.Canceled) {
		t.Errorf("without any memory: %v", err)
	}
	first.Release()
	second.Release()
}
