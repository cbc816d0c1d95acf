package main

import (
	"strings"
	"testing"
)

// Every turn of B is 10 ms slower than A's beside it, though the turns differ by
// far more among themselves; goodput goes now one way, now the other.
func TestCompare_HoldsTurnsAgainstEachOther(t *testing.T) {
	var a, b []turn
	for i := range 8 {
		slow := float64(100 * i)
		a = append(a, turn{P50: slow, P95: 2 * slow, Goodput: 50})
		b = append(b, turn{P50: slow + 10, P95: 2*slow + 10, Goodput: 50 + float64(i%2*2-1)})
	}
	got := compare(a, b, 1)
	if len(got) != 3 || got[0].B-got[0].A != 10 || got[0].CI95 != [2]float64{10, 10} || got[0].Turns != 8 {
		t.Fatalf("got %+v", got)
	}
	for i, want := range []string{"more than chance", "more than chance", "no more than chance"} {
		if text := got[i].text(); !strings.HasSuffix(text, ": "+want) {
			t.Errorf("%q, want %s", text, want)
		}
	}
	if text := compare(a[:3], b[:3], 1)[0].text(); !strings.HasSuffix(text, "3 turns do not tell whether by chance") {
		t.Errorf("of three turns it says %q", text)
	}
	if text := compare(nil, nil, 1)[0].text(); !strings.Contains(text, "+0.0 ms") {
		t.Errorf("of none it says %q", text)
	}
}
