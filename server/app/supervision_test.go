package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"focal/inference"
)

// load is requests of several clients. Its channels tell what is answered.
type load struct {
	house   *house
	clients sync.WaitGroup
	plain   chan error // one for each plain transform, until stopped
	vision  chan error // one for each question
	stop    context.CancelFunc
}

// load sets half of the clients to plain transforms, again and again, and the
// other half to one question about each photo.
func (h *house) load(t *testing.T, clients int, photos []string) *load {
	ctx, stop := context.WithCancel(t.Context())
	l := &load{house: h, plain: make(chan error), vision: make(chan error, len(photos)), stop: stop}
	todo := make(chan string, len(photos))
	for _, p := range photos {
		todo <- p
	}
	close(todo)
	for range clients / 2 {
		l.clients.Go(func() {
			for {
				err := h.ask("/cdn-cgi/image/width=60/good.jpg", "")
				select {
				case l.plain <- err:
				case <-ctx.Done():
					return
				}
			}
		})
		l.clients.Go(func() {
			for photo := range todo {
				l.vision <- h.ask("/cdn-cgi/image/gravity=face,zoom=0.5,segment=foreground,width=60/"+photo, "result=run")
			}
		})
	}
	t.Cleanup(func() {
		stop()
		l.clients.Wait()
	})
	return l
}

// finish waits for the answers that are still to come, and stops the load.
func (l *load) finish(questions int) (errs []error) {
	for questions > 0 {
		select {
		case err := <-l.vision:
			errs, questions = append(errs, err), questions-1
		case err := <-l.plain:
			errs = append(errs, err)
		}
	}
	l.stop()
	l.clients.Wait()
	return errs
}

// ask wants a picture, and word among what is said of inference.
func (h *house) ask(path, word string) error {
	a, err := h.get(path)
	if err != nil {
		return err
	}
	if how := a.header.Get("Focal-Inference"); a.status != http.StatusOK || !strings.Contains(how, word) {
		return fmt.Errorf("%s: %d, Focal-Inference %q: %.200s", path, a.status, how, a.body)
	}
	return nil
}

// A kill costs nobody an answer: plain transforms go on while there is no
// sidecar, and questions wait for the next one, though the fallback is fail.
func TestHouse_KilledSidecarCostsNobodyAnAnswer(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	h := open(t, modelsConfig(t, faceModel, foregroundModel), func(c *ServeConfig) {
		c.ChildEnv = append(c.ChildEnv, gateVariable+"="+gate)
	})
	h.good(t)
	h.awaitSidecar(t, inference.StateReady)
	// Each has a content of its own, so that each question costs a run: what
	// follows a JPEG's end is ignored.
	photo := read(t, filepath.Join(h.root, "good.jpg"))
	const questions = 9
	photos := make([]string, questions)
	for i := range photos {
		photos[i] = fmt.Sprintf("photo%d.jpg", i)
		h.write(t, photos[i], append(photo[:len(photo):len(photo)], byte(i)))
	}
	l := h.load(t, 8, photos)
	var errs []error
	errs = append(errs, <-l.vision) // the sidecar is at work, with more to do

	release, err := hold(gate)
	if err != nil {
		t.Fatal(err)
	}
	killed := h.child().PID()
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.awaitSidecar(t, inference.StateStarting)
	reaped(t, killed)
	if status, ready := h.ready(t); status != http.StatusOK || ready.Inference.State != inference.StateStarting ||
		!strings.Contains(ready.Inference.Reason, "killed") {
		t.Errorf("/readyz without a sidecar: %d %+v, want 200, starting, killed", status, ready)
	}
	// Findings that came before the kill are drawn meanwhile; then nothing but
	// plain transforms is answered, for as long as there is no sidecar.
	pictures := func(n int) (questionsAnswered int) {
		for range n {
			errs = append(errs, <-l.plain)
		}
		return len(l.vision)
	}
	if before, after := pictures(80), pictures(40); after != before || after > questions-2 {
		t.Errorf("%d, then %d of %d questions were answered without a sidecar", before, after, questions-1)
	}

	if err := release(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(append(errs, l.finish(questions-1)...)...); err != nil {
		t.Errorf("the kill cost answers: %v", err)
	}
	h.awaitSidecar(t, inference.StateReady)
	if _, ready := h.ready(t); ready.Inference.State != inference.StateReady {
		t.Errorf("/readyz afterwards: %+v", ready)
	}
	if pid := h.child().PID(); pid == killed || pid == 0 {
		t.Errorf("the sidecar is process %d, %d was killed", pid, killed)
	}
	if n := h.metric(t, "focal_sidecar_restarts_total"); n != 1 {
		t.Errorf("%v restarts, want 1", n)
	}
	// What was known is forgotten with the process, and found again.
	if err := h.ask("/cdn-cgi/image/segment=foreground,width=60/"+photos[0], "foreground"); err != nil {
		t.Error(err)
	}
}
