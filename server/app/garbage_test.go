package app

import "testing"

func TestGrowth_LeavesAsMuchGarbageWhateverLives(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		live, garbage int64
		want          int // percent
	}{
		{live: 16 * mib, garbage: 16 * mib, want: 100},
		{live: 64 * mib, garbage: 16 * mib, want: 25},
		{live: 256 * mib, garbage: 16 * mib, want: 6},
		{live: 4096 * mib, garbage: 16 * mib, want: 5}, // it must not collect all the time
		{live: 2 * mib, garbage: 16 * mib, want: 400},  // what has just started grows as it likes
		{live: 0, garbage: 16 * mib, want: 400},
	} {
		if got := growth(c.live, c.garbage); got != c.want {
			t.Errorf("%d bytes alive, %d of garbage: %d %%, want %d", c.live, c.garbage, got, c.want)
		}
	}
}
