package app

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"focal/inference"
	"focal/models"
)

// A bare machine: no model in the folder, and nothing outside answers. The
// models of the program do what they can, and every answer names them.
func TestBareMachine_AnswersWithTheModelsOfTheProgram(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1") // refuses everything; the sidecar inherits it
	}
	h := open(t, modelsConfig(t), nil)
	h.put(t, "photos/couple-beach.jpg", "photos/portrait-smile.jpg")

	status, ready := h.ready(t)
	if status != http.StatusOK || ready.Inference.State != inference.StateReady {
		t.Fatalf("/readyz: %d, %+v", status, ready)
	}
	for _, m := range models.Builtin() {
		if !slices.ContainsFunc(ready.Inference.Models, func(s inference.ModelStatus) bool {
			return s.Name == m.Name && s.Default && s.SHA256 == m.File.String()
		}) {
			t.Errorf("/readyz does not name %s as a default: %+v", m.Name, ready.Inference.Models)
		}
	}

	a, m := h.picture(t, "segment=foreground,background=white,format=png", "portrait-smile.jpg")
	if got := a.header.Get("Focal-Inference"); !strings.Contains(got, "foreground; model=builtin-foreground; provider=cpu; result=run") {
		t.Errorf("Focal-Inference is %q", got)
	}
	if w := whiteness(m, m.Bounds()); w < 0.1 || w > 0.9 {
		t.Errorf("%.0f %% of the cut-out are white", 100*w)
	}
}
