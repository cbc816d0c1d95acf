// Package clienttest holds what every inference.Client promises, as one suite
// of tests, and a client for tests that runs no model. It is imported by tests
// only, and knows nothing of how a client is built.
package clienttest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
)

// Run holds the clients that make gives against the promises of
// inference.Client. Each call of make gives a ready client with a default
// model for faces and one for foregrounds, which knows no results yet.
func Run(t *testing.T, make func(t *testing.T) inference.Client) {
	for _, promise := range []struct {
		name string
		test func(*testing.T, inference.Client)
	}{
		{"LooksOnlyAtWhatIsUnknown", looksOnlyAtWhatIsUnknown},
		{"WithoutALookUnknownIsNotFound", withoutALookUnknownIsNotFound},
		{"StoresTheSizeOfTheSource", storesTheSizeOfTheSource},
		{"TakesTheLookForTheSourceWhereNoneIsNamed", takesTheLookForTheSource},
		{"KeepsFramesApart", keepsFramesApart},
		{"FiltersWhatIsStored", filtersWhatIsStored},
		{"AnswersMasksThatFitTheirSize", answersMasksThatFitTheirSize},
		{"RefusesUnknownModels", refusesUnknownModels},
		{"PassesOnTheErrorOfALook", passesOnTheErrorOfALook},
		{"EndsWithItsCaller", endsWithItsCaller},
		{"AgreesWithItselfUnderConcurrency", agreesWithItselfUnderConcurrency},
		{"NamesItsModels", namesItsModels},
	} {
		t.Run(promise.name, func(t *testing.T) { promise.test(t, make(t)) })
	}
}

// subject returns a source of 64×48 whose look, of 32×24, is counted.
func subject(name string) (s inference.Subject, looks *atomic.Int32) {
	looks = new(atomic.Int32)
	pix := make([]byte, 32*24*3)
	for i := range pix {
		pix[i] = byte(i * 7)
	}
	return inference.Subject{
		Content: sha256.Sum256([]byte(name)),
		Source:  pixel.Size{Width: 64, Height: 48},
		Look: func(context.Context) (pixel.Buffer, error) {
			looks.Add(1)
			return pixel.Buffer{Width: 32, Height: 24, Channels: 3, Pix: pix}, nil
		},
	}, looks
}

func faces(t *testing.T, c inference.Client, r inference.FacesRequest) inference.Faces {
	t.Helper()
	got, err := c.Faces(t.Context(), r)
	if err != nil {
		t.Fatalf("Faces: %v", err)
	}
	return got
}

func foreground(t *testing.T, c inference.Client, s inference.Subject) inference.Foreground {
	t.Helper()
	got, err := c.Foreground(t.Context(), inference.ForegroundRequest{Subject: s})
	if err != nil {
		t.Fatalf("Foreground: %v", err)
	}
	return got
}

func looksOnlyAtWhatIsUnknown(t *testing.T, c inference.Client) {
	s, looks := subject("photo")
	first := faces(t, c, inference.FacesRequest{Subject: s})
	if first.How != inference.Run || first.Batch < 1 || first.Model == "" || first.Provider == "" || first.File == (pixel.Digest{}) {
		t.Errorf("the first answer's facts are %+v: want a run with a batch, model, file and provider", first.Facts)
	}
	if n := looks.Load(); n != 1 {
		t.Errorf("the first question looked %d times", n)
	}
	second := faces(t, c, inference.FacesRequest{Subject: s})
	if second.How != inference.Hit || second.Batch != 0 || second.Run != 0 {
		t.Errorf("the second answer's facts are %+v: want a hit", second.Facts)
	}
	if n := looks.Load(); n != 1 {
		t.Errorf("two questions looked %d times", n)
	}
	if second.Model != first.Model || second.File != first.File || second.Recipe != first.Recipe {
		t.Errorf("the model is %+v at first and %+v from memory", first.Facts, second.Facts)
	}
	if err := near(first.Faces, second.Faces); err != nil {
		t.Errorf("from memory: %v", err)
	}
	s.Look = nil
	if err := near(first.Faces, faces(t, c, inference.FacesRequest{Subject: s}).Faces); err != nil {
		t.Errorf("without a look: %v", err)
	}
}

func withoutALookUnknownIsNotFound(t *testing.T, c inference.Client) {
	s, _ := subject("photo")
	s.Look = nil
	if _, err := c.Faces(t.Context(), inference.FacesRequest{Subject: s}); !fault.Is(err, fault.NotFound) {
		t.Errorf("faces of an unknown content: %v, want not_found", err)
	}
	if _, err := c.Foreground(t.Context(), inference.ForegroundRequest{Subject: s}); !fault.Is(err, fault.NotFound) {
		t.Errorf("foreground of an unknown content: %v, want not_found", err)
	}
}

func storesTheSizeOfTheSource(t *testing.T, c inference.Client) {
	s, _ := subject("photo")
	want := s.Source
	run := foreground(t, c, s)
	s.Look, s.Source = nil, pixel.Size{}
	hit := foreground(t, c, s)
	if run.Source != want || hit.Source != want {
		t.Errorf("source is %v when run and %v from memory, want %v", run.Source, hit.Source, want)
	}
}

func takesTheLookForTheSource(t *testing.T, c inference.Client) {
	s, _ := subject("photo")
	s.Source = pixel.Size{}
	if got, want := faces(t, c, inference.FacesRequest{Subject: s}).Source, (pixel.Size{Width: 32, Height: 24}); got != want {
		t.Errorf("source is %v, want the look's %v", got, want)
	}
}

func keepsFramesApart(t *testing.T, c inference.Client) {
	s, looks := subject("film")
	foreground(t, c, s)
	s.Frame = 3
	foreground(t, c, s)
	if n := looks.Load(); n != 2 {
		t.Errorf("two frames took %d looks", n)
	}
}

func filtersWhatIsStored(t *testing.T, c inference.Client) {
	s, looks := subject("crowd")
	zero := 0.0
	all := faces(t, c, inference.FacesRequest{Subject: s, Threshold: &zero}).Faces
	if !slices.IsSortedFunc(all, func(a, b pixel.Face) int { return int(math.Copysign(1, b.Score-a.Score)) }) {
		t.Errorf("faces are not sorted by falling score: %+v", all)
	}
	for _, threshold := range []float64{0.25, 0.5, 0.75, 1} {
		want := slices.DeleteFunc(slices.Clone(all), func(f pixel.Face) bool { return f.Score < threshold })
		got := faces(t, c, inference.FacesRequest{Subject: s, Threshold: &threshold}).Faces
		if err := near(want, got); err != nil {
			t.Errorf("threshold %v: %v", threshold, err)
		}
	}
	got := faces(t, c, inference.FacesRequest{Subject: s, Threshold: &zero, MaxFaces: 1}).Faces
	if err := near(all[:min(1, len(all))], got); err != nil {
		t.Errorf("one face at most: %v", err)
	}
	if n := looks.Load(); n != 1 {
		t.Errorf("other filters took %d looks", n)
	}
}

func answersMasksThatFitTheirSize(t *testing.T, c inference.Client) {
	s, _ := subject("photo")
	run := foreground(t, c, s)
	if err := run.Mask.Validate(); err != nil {
		t.Error(err)
	}
	if hit := foreground(t, c, s); hit.Mask.Size() != run.Mask.Size() || !slices.Equal(hit.Mask.Pix, run.Mask.Pix) {
		t.Error("the mask from memory is another one")
	}
}

func refusesUnknownModels(t *testing.T, c inference.Client) {
	s, looks := subject("photo")
	if _, err := c.Faces(t.Context(), inference.FacesRequest{Subject: s, Model: "no such; model=x"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("faces: %v, want invalid", err)
	}
	if _, err := c.Foreground(t.Context(), inference.ForegroundRequest{Subject: s, Model: "nöpe"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("foreground: %v, want invalid", err)
	}
	if looks.Load() != 0 {
		t.Error("looked for a model that does not exist")
	}
}

func passesOnTheErrorOfALook(t *testing.T, c inference.Client) {
	s, _ := subject("broken")
	broken := fault.New(fault.Corrupt, "test", "the picture ends early")
	s.Look = func(context.Context) (pixel.Buffer, error) { return pixel.Buffer{}, broken }
	if _, err := c.Faces(t.Context(), inference.FacesRequest{Subject: s}); !fault.Is(err, fault.Corrupt) {
		t.Errorf("error is %v, want corrupt", err)
	}
	s.Look = nil
	if _, err := c.Faces(t.Context(), inference.FacesRequest{Subject: s}); !fault.Is(err, fault.NotFound) {
		t.Errorf("after a look that failed: %v, want not_found", err)
	}
}

func endsWithItsCaller(t *testing.T, c inference.Client) {
	s, _ := subject("photo")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Faces(gone, inference.FacesRequest{Subject: s}); !fault.Is(err, fault.Canceled) {
		t.Errorf("a caller who left gets %v, want canceled", err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := c.Faces(late, inference.FacesRequest{Subject: s}); !fault.Is(err, fault.Timeout) && !fault.Is(err, fault.Busy) {
		t.Errorf("a caller whose time is over gets %v, want timeout or busy", err)
	}
}

func agreesWithItselfUnderConcurrency(t *testing.T, c inference.Client) {
	s, _ := subject("popular")
	found := make([]inference.Faces, 16)
	errs := make([]error, len(found))
	var wg sync.WaitGroup
	for i := range found {
		wg.Go(func() { found[i], errs[i] = c.Faces(t.Context(), inference.FacesRequest{Subject: s}) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if err := near(found[0].Faces, f.Faces); err != nil {
			t.Error(err)
		}
	}
}

func namesItsModels(t *testing.T, c inference.Client) {
	got := c.Status(t.Context())
	if got.State != inference.StateReady || got.Provider == "" {
		t.Errorf("status is %+v: want ready, with a provider", got)
	}
	defaults := 0
	for _, m := range got.Models {
		if m.Default {
			defaults++
		}
	}
	if defaults != 2 {
		t.Errorf("%d default models in %+v, want one for faces and one for foregrounds", defaults, got.Models)
	}
}

// near reports faces that differ by more than 1e-6 of the picture: what a
// socket between client and engine may cost.
func near(want, got []pixel.Face) error {
	if len(want) != len(got) {
		return fmt.Errorf("%d faces, want %d", len(got), len(want))
	}
	for i := range want {
		w, g := want[i], got[i]
		far := math.Max(math.Abs(w.Box.X-g.Box.X), math.Abs(w.Box.Y-g.Box.Y))
		far = math.Max(far, math.Max(math.Abs(w.Box.W-g.Box.W), math.Abs(w.Box.H-g.Box.H)))
		if len(w.Landmarks) != len(g.Landmarks) {
			return fmt.Errorf("face %d has %d landmarks, want %d", i, len(g.Landmarks), len(w.Landmarks))
		}
		for j := range w.Landmarks {
			far = math.Max(far, math.Max(math.Abs(w.Landmarks[j].X-g.Landmarks[j].X), math.Abs(w.Landmarks[j].Y-g.Landmarks[j].Y)))
		}
		if far > 1e-6 || math.Abs(w.Score-g.Score) > 1e-6 {
			return fmt.Errorf("face %d is %+v, want %+v", i, g, w)
		}
	}
	return nil
}

// Near fails the test where got differs from want by more than 1e-6 of the
// picture.
func Near(t testing.TB, want, got []pixel.Face) {
	t.Helper()
	if err := near(want, got); err != nil {
		t.Error(err)
	}
}
