package app

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"focal/inference"
	"focal/inference/sidecar"
	"focal/models"
)

// standalone is a `focal sidecar` that nobody watches over.
type standalone struct {
	*exec.Cmd
	address string // as it says itself
}

// standAt starts a real sidecar that serves at an address, and ends it with the
// test.
func standAt(t *testing.T, c InferenceConfig, address string) *standalone {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	s := &standalone{Cmd: exec.Command("/proc/self/exe")}
	s.Env = append(os.Environ(), roleVariable+"="+realSidecar, modelsVariable+"="+string(text), listenVariable+"="+address)
	s.Stderr = t.Output()
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	if s.address, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the sidecar at %s does not say where it serves: %v", address, err)
	}
	s.address = strings.TrimSpace(s.address)
	return s
}

// kill ends it without warning, once or more often.
func (s *standalone) kill() {
	_ = s.Process.Kill() // fails where it has ended
	_ = s.Wait()         // says that it was killed
}

// A name that is missing in the manifests would be a copy that nobody asks.
func TestManifests_NameEveryCopyOfThePool(t *testing.T) {
	folder := filepath.Join("..", "..", "deploy", "kubernetes")
	server, pool := string(read(t, filepath.Join(folder, "server.yaml"))), string(read(t, filepath.Join(folder, "sidecar.yaml")))
	most := regexp.MustCompile(`maxReplicas: (\d+)`).FindStringSubmatch(pool)
	if most == nil || !strings.Contains(pool, "clusterIP: None") {
		t.Fatal("sidecar.yaml gives its copies no bound, or no names")
	}
	named := regexp.MustCompile(`http://[a-z0-9.:-]+`).FindAllString(server, -1)
	for i, address := range named {
		if want := fmt.Sprintf("http://focal-sidecar-%d.focal-sidecar:8081", i); address != want {
			t.Errorf("copy %d is named %s, want %s", i, address, want)
		}
	}
	if fmt.Sprint(len(named)) != most[1] {
		t.Errorf("server.yaml names %d copies, sidecar.yaml scales to %s", len(named), most[1])
	}
	c := sidecar.DefaultPoolConfig()
	c.Addresses = named
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

// One of two sidecars is killed under load: what it had in hand is answered by
// the other, and it is asked again when it is back.
func TestHouse_KilledSidecarOfAPoolCostsNobodyAnAnswer(t *testing.T) {
	c := modelsConfig(t, faceModel, foregroundModel)
	c.Workers = 1
	socket := "unix:" + filepath.Join(t.TempDir(), "s")
	first := standAt(t, c, socket)
	second := "http://" + standAt(t, c, "127.0.0.1:0").address
	h := open(t, c, func(sc *ServeConfig) { sc.Inference, sc.Token = socket+","+second, testToken })
	h.good(t)
	if status, ready := h.ready(t); status != http.StatusOK || ready.Inference.State != inference.StateReady || ready.Inference.Provider != "cpu" ||
		len(ready.Inference.Models) != 2+len(models.Builtin()) || fmt.Sprint(states(ready)) != "[ready ready]" {
		t.Fatalf("/readyz of two: %d %+v", status, ready)
	}
	photo := read(t, filepath.Join(h.root, "good.jpg"))
	const questions = 12
	photos := make([]string, questions)
	for i := range photos {
		photos[i] = fmt.Sprintf("photo%d.jpg", i)
		h.write(t, photos[i], append(photo[:len(photo):len(photo)], byte(i))) // another content, the same picture
	}
	l := h.load(t, 8, photos)
	errs := []error{<-l.vision, <-l.vision}
	for h.metric(t, "focal_sidecar_in_flight", "sidecar="+socket) == 0 { // until there is something to lose
		if errs = append(errs, <-l.plain); len(l.vision) == questions-2 {
			t.Fatal("all is answered")
		}
	}
	first.kill()
	if err := errors.Join(append(errs, l.finish(questions-2)...)...); err != nil {
		t.Errorf("the kill cost answers: %v", err)
	}
	if status, ready := h.ready(t); status != http.StatusOK || ready.Inference.State != inference.StateReady || fmt.Sprint(states(ready)) != "[down ready]" ||
		ready.Inference.Sidecars[0].Address != socket || ready.Inference.Sidecars[0].Reason == "" {
		t.Errorf("/readyz with one of two: %d %+v", status, ready)
	}

	standAt(t, c, socket)
	for h.metric(t, "focal_sidecar_up", "sidecar="+socket) != 1 { // it is asked until it answers
	}
	for i := 0; h.metric(t, "focal_model_loads_total", "sidecar="+socket) == 0; i++ { // and has its share again
		name := fmt.Sprintf("again%d.jpg", i)
		h.write(t, name, append(photo[:len(photo):len(photo)], byte(i), 1))
		if err := h.ask("/cdn-cgi/image/segment=foreground,width=60/"+name, "result=run"); err != nil {
			t.Fatal(err)
		}
	}
}

func states(r readiness) (all []inference.State) {
	for _, s := range r.Inference.Sidecars {
		all = append(all, s.State)
	}
	return all
}
