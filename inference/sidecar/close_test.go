package sidecar_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"focal/core/fault"
	"focal/inference"
	"focal/inference/clienttest"
	"focal/inference/sidecar"
)

// slow is a server whose questions wait until release is closed; asked gets a
// value for each.
func slow(t *testing.T, cfg sidecar.Config) (s *sidecar.Server, address string, asked chan struct{}, release chan struct{}) {
	t.Helper()
	asked, release = make(chan struct{}, 10), make(chan struct{})
	stub := &clienttest.Stub{Before: func(ctx context.Context, _ inference.Subject, _ inference.Class) error {
		asked <- struct{}{}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	cfg.Log = slog.New(slog.DiscardHandler)
	s, err := sidecar.New(cfg, stub, &looker{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s, "http://" + l.Addr().String(), asked, release
}

// post sends a body of n bytes and delivers the status, 0 if none came.
func post(t *testing.T, address string, body io.Reader, n int64, timeout string) <-chan int {
	status := make(chan int, 1)
	req, err := http.NewRequestWithContext(t.Context(), "POST", address+"/v1/faces", body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = n
	req.Header.Set("Focal-Timeout", timeout)
	go func() {
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			status <- 0
			return
		}
		resp.Body.Close()
		status <- resp.StatusCode
	}()
	return status
}

// zeros reads as zero bytes for ever.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestServer_CloseLetsRequestsFinish(t *testing.T) {
	s, address, asked, release := slow(t, sidecar.DefaultConfig())
	status := post(t, address, io.LimitReader(zeros{}, 10), 10, "30000")
	<-asked
	closed := make(chan error, 1)
	go func() { closed <- s.Close(context.WithoutCancel(t.Context())) }()
	select {
	case err := <-closed:
		t.Errorf("closed over a request: %v", err)
	default:
	}
	close(release)
	if got := <-status; got != 415 { // zeros are no picture, which the second question would find
		t.Errorf("the request under way got %d", got)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestServer_CloseBreaksRequestsWhenItsTimeIsOver(t *testing.T) {
	s, address, asked, _ := slow(t, sidecar.DefaultConfig())
	status := post(t, address, io.LimitReader(zeros{}, 10), 10, "30000")
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); !fault.Is(err, fault.Timeout) {
		t.Errorf("close: %v, want timeout", err)
	}
	if got := <-status; got != 0 {
		t.Errorf("a broken request got %d", got)
	}
}

func TestServer_DirectCallersShareItsMemory(t *testing.T) {
	cfg := sidecar.DefaultConfig()
	const look = 3 * 1024 * 1024 // the largest, in bytes
	cfg.MaxBody, cfg.Memory = 1000, 1500+2*look
	s, address, asked, release := slow(t, cfg)
	first := post(t, address, io.LimitReader(zeros{}, 1000), 1000, "30000")
	<-asked // holds its body, and will hold a look
	// Without a length the largest is booked.
	if got := <-post(t, address, io.LimitReader(zeros{}, 10), -1, "20"); got != 504 {
		t.Errorf("a body that does not fit beside the first got %d, want 504", got)
	}
	third := post(t, address, io.LimitReader(zeros{}, 500), 500, "30000")
	<-asked
	close(release)
	if a, b := <-first, <-third; a != 415 || b != 415 {
		t.Errorf("bodies that fit got %d and %d, want 415 as no pictures", a, b)
	}
	if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

// A caller that announces more than it sends costs its own time only.
func TestServer_BodiesMustArriveInTime(t *testing.T) {
	s, address, _, _ := slow(t, sidecar.DefaultConfig())
	body, w := io.Pipe()
	defer w.Close()
	if got := <-post(t, address, body, 10, "20"); got != 504 {
		t.Errorf("a body that stays away got %d, want 504", got)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}
