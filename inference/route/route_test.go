package route

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"focal/core/pixel"
)

func contentOf(i int) pixel.Digest { return sha256.Sum256(fmt.Append(nil, i)) }

// Of two fleets that differ by one copy, only the contents of that copy move.
func TestOrder_MovesOnlyWhatItMust(t *testing.T) {
	five := []string{"http://a:8081", "http://b:8081", "unix:/run/c", "http://d:8081", "http://e:8081"}
	counts := make([]int, 5)
	for i := range 10_000 {
		all := Order(contentOf(i), five)
		counts[all[0]]++
		four := slices.DeleteFunc(all, func(i int) bool { return i == 4 })
		if got := Order(contentOf(i), five[:4]); !slices.Equal(four, got) {
			t.Fatalf("content %d: %v without the fifth, %v among four", i, four, got)
		}
	}
	for i, n := range counts { // 2000 each; the standard deviation is 40
		if n < 1800 || n > 2200 {
			t.Errorf("%s is first for %d of 10000", five[i], n)
		}
	}
}

func TestOrder_IsTheSameForEverybody(t *testing.T) {
	names := []string{"http://a:8081", "http://b:8081", "http://c:8081"}
	turned := []string{names[2], names[0], names[1]}
	for i := range 100 {
		for k, at := range Order(contentOf(i), names) {
			if other := turned[Order(contentOf(i), turned)[k]]; other != names[at] {
				t.Fatalf("content %d: %s is asked as number %d, or %s where the list is in another order", i, names[at], k, other)
			}
		}
	}
	// A server of another version must agree: results lie where it asks. The
	// order was computed from the published algorithms, apart from this code.
	if got := Order(pixel.Digest{}, names); !slices.Equal(got, []int{2, 1, 0}) {
		t.Errorf("the order of the zero content is %v", got)
	}
}

func TestTaker_TakesTheFirstThatHasNotMoreThanItsShare(t *testing.T) {
	for _, c := range []struct {
		inFlight []int
		want     int
	}{
		{[]int{0, 0, 0, 0}, 2},
		{[]int{0, 0, 3, 0}, 2}, // four are few
		{[]int{0, 0, 4, 0}, 0},
		{[]int{9, 9, 10, 9}, 2},  // 38 of them: 1.25 × 9.5 is 11.9
		{[]int{9, 9, 11, 9}, 2},  // 39: 12.2, and it would have 12
		{[]int{8, 9, 12, 9}, 0},  // 39: it would have 13
		{[]int{50, 3, 50, 3}, 3}, // the first two have far more than their share
	} {
		order := []int{2, 0, 3, 1}
		if got := Taker(order, func(i int) int { return c.inFlight[i] }); got != c.want {
			t.Errorf("in flight %v: %d takes it, want %d", c.inFlight, got, c.want)
		}
	}
}

// However runs end, nobody is given more than a quarter above the mean.
func TestTaker_KeepsTheBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		names := make([]string, 1+rng.IntN(9))
		for i := range names {
			names[i] = fmt.Sprint("copy", i)
		}
		inFlight := make([]int, len(names))
		total := 0
		for i := range 500 {
			if k := rng.IntN(len(names)); rng.IntN(3) == 0 && inFlight[k] > 0 {
				inFlight[k]--
				total--
				continue
			}
			at := Taker(Order(contentOf(rng.IntN(20)), names), func(i int) int { return inFlight[i] })
			inFlight[at]++
			total++
			if bound := max(4, 1.25*float64(total)/float64(len(names))); float64(inFlight[at]) > bound {
				t.Fatalf("round %d, step %d: %v, the bound is %.2f", round, i, inFlight, bound)
			}
		}
	}
}
