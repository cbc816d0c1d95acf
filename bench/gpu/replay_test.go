package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"focal/bench/device"
	"focal/bench/reference"
)

func TestReplay_AnswersWithTheOutputsOfABatchInTheCardsTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	results := `{"stage":"curves","device":"card","runtime":"r","model":"ultralight-320","shape":"3x240x320","batch":1,"bare_ms":1}
{"stage":"curves","device":"card","runtime":"r","model":"ultralight-320","shape":"3x240x320","batch":4,"bare_ms":2}
`
	if err := os.WriteFile(path, []byte(results), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := reference.Pull(t, t.TempDir(), "ultralight-320").Model("ultralight-320")
	if err != nil {
		t.Fatal(err)
	}
	r, err := newReplay(reference.Engine(t), path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Load(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 { // the first one tunes
		began := time.Now()
		out, err := s.Run(t.Context(), device.Input(m, 4, 0))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 2*time.Millisecond {
			t.Errorf("took %v, the card 2 ms", took)
		}
		// 4420 boxes of a picture, as the model's manifest says of its outputs.
		for i, want := range []int64{2, 4} {
			if got := out[i].Shape; len(got) != 3 || got[0] != 4 || got[1] != 4420 || got[2] != want || len(out[i].Data) != int(4*4420*want) {
				t.Errorf("output %d has shape %v and %d numbers", i, got, len(out[i].Data))
			}
		}
	}
	if _, err := s.Run(t.Context(), device.Input(m, 2, 0)); err == nil || !strings.Contains(err.Error(), "measured") {
		t.Errorf("a batch of 2: %v, want that the card's time is not known", err)
	}
}

func TestReplay_TwoRunsTakeTurns(t *testing.T) {
	r := &replay{}
	first := r.turn(time.Hour)
	if second := r.turn(time.Minute); second.Sub(first) != time.Minute {
		t.Errorf("the second ends %v after the first, want a minute", second.Sub(first))
	}
}
