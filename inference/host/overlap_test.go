package host

import (
	"testing"

	"focal/inference"
	"focal/inference/fake"
)

// A load stands before its gate while another model is asked three times and
// answers each time: nobody waits for a load but those who need it.
func TestHost_RunsOtherModelsWhileOneLoads(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		h.faces(photo(1, 60))
		gate := fake.NewGate()
		h.engine.Set("cutter", fake.Script{LoadGate: gate})
		masks := make(chan error, 1)
		go func() {
			_, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(1, 9)})
			masks <- err
		}()
		gate.Came() // the load is under way
		for n := range byte(3) {
			if f := h.faces(photo(2+n, 60)); f.How != inference.Run {
				t.Errorf("question %d was answered by %s, want a run", n, f.How)
			}
		}
		select {
		case err := <-masks:
			t.Errorf("the one who needs the load was answered before it ended: %v", err)
		default:
		}
		if c := h.engine.Counts("cutter"); c.Loads != 0 {
			t.Errorf("%d loads ended", c.Loads)
		}
		gate.Open()
		if err := <-masks; err != nil {
			t.Error(err)
		}
	})
}

// Two loads stand before their gates at the same time.
func TestHost_LoadsTwoModelsSideBySide(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		faces, cuts := fake.NewGate(), fake.NewGate()
		h.engine.Set("detector", fake.Script{LoadGate: faces})
		h.engine.Set("cutter", fake.Script{LoadGate: cuts})
		found := h.ask(t.Context(), photo(1, 60))
		faces.Came()
		masks := make(chan error, 1)
		go func() {
			_, err := h.Foreground(t.Context(), inference.ForegroundRequest{Subject: photo(1, 9)})
			masks <- err
		}()
		cuts.Came() // while the other has not been let through
		cuts.Open()
		if err := <-masks; err != nil { // loaded later, ready first
			t.Error(err)
		}
		faces.Open()
		if r := <-found; r.err != nil {
			t.Error(r.err)
		}
	})
}
