package simulate

import (
	"math"
	"reflect"
	"testing"
	"time"

	"focal/core/fault"
)

func small(seed uint64) Config {
	c := DefaultConfig()
	c.Seed, c.Requests, c.Pictures, c.Cache = seed, 20_000, 20_000, 2_000
	return c
}

func one(t *testing.T, c Config) map[string]Result {
	t.Helper()
	results, err := One(c)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Result{}
	for _, r := range results {
		all[r.Policy] = r
		if sum := r.Goodput + r.Late + r.Refused; r.Requests != c.Requests || math.Abs(sum-1) > 1e-9 {
			t.Errorf("%s: %d of %d requests, shares add up to %v", r.Policy, r.Requests, c.Requests, sum)
		}
	}
	return all
}

// The scheduler has to be worth its lines: more answers in time than simple
// policies, and sooner.
func TestOne_TheSchedulerAnswersMoreInTimeThanSimplePolicies(t *testing.T) {
	for seed := range uint64(3) {
		for _, load := range []float64{0.4, 0.9} {
			c := small(seed)
			c.Load = load
			r := one(t, c)
			focal := r["focal"]
			for _, other := range []Result{r["lru"], r["never-evict"]} {
				if focal.Goodput < other.Goodput {
					t.Errorf("seed %d, load %v: %.4f in time, %s %.4f", seed, load, focal.Goodput, other.Policy, other.Goodput)
				}
			}
			if focal.P50 > r["lru"].P50 || focal.Late > 0.002 {
				t.Errorf("seed %d, load %v: half wait more than %.0f ms (lru %.0f), %.4f are late", seed, load, focal.P50, r["lru"].P50, focal.Late)
			}
		}
	}
}

// Where more come than can be served everybody is near to his deadline when it is his
// turn. If batches were cut for that, a model that gains by them would lose what it
// gains just then.
func TestOne_BatchesWhereMoreComeThanCanBeServed(t *testing.T) {
	c := small(31) // whose one model gains
	c.Models, c.Memory, c.Load, c.BurstShare, c.Shift = 1, 10, 3, 0, 0
	k := newWorld(c).kinds[0]
	capacity := float64(k.maxBatch) * k.run(1).Seconds() / k.run(k.maxBatch).Seconds() / c.Load // of what comes
	if got := one(t, c)["focal"].Goodput; capacity < 0.6 || got < 0.85*capacity {
		t.Errorf("%.3f in time, of at most %.3f", got, capacity)
	}
}

func TestOne_LosesNothingWhereAllModelsFit(t *testing.T) {
	c := small(1)
	c.Memory, c.Load, c.BurstShare = 10, 0.3, 0
	for name, r := range one(t, c) {
		// What is asked for while its model loads for the first time may be late.
		if r.Loads != c.Models || r.Evicted != 0 || r.Goodput < 0.99 {
			t.Errorf("%s: %d loads, %d evictions, %.4f in time", name, r.Loads, r.Evicted, r.Goodput)
		}
	}
}

func TestOne_RepeatsItself(t *testing.T) {
	a, b := one(t, small(5)), one(t, small(5))
	if !reflect.DeepEqual(a, b) {
		t.Fatalf("%+v\n%+v", a, b)
	}
	if c := one(t, small(6)); reflect.DeepEqual(a, c) {
		t.Fatal("the seed changes nothing")
	}
}

func TestFleet_SendsPicturesWhereTheirResultsAre(t *testing.T) {
	c := small(1)
	c.Models, c.Memory, c.Zipf, c.Requests = 2, 10, 0.5, 60_000
	results, err := Fleet(c)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]FleetResult{}
	for _, r := range results {
		by[r.Policy] = r
	}
	if f := by[free]; f.First != 1 || f.Hits < 2*by[random].Hits {
		t.Errorf("without a bound: %v first choices, %v known, %v at random", f.First, f.Hits, by[random].Hits)
	}
	// What turns away overload costs few results.
	if b := by[bounded]; b.Hits < 0.9*by[free].Hits || b.Balance > 1.25 {
		t.Errorf("bounded: %v known, %v without a bound; a copy runs %v of the mean", b.Hits, by[free].Hits, b.Balance)
	}
}

func TestZipf_DrawsByRank(t *testing.T) {
	z := newZipf(4, 1) // 1, 1/2, 1/3, 1/4 of 25/12
	for i, want := range []float64{0.48, 0.24, 0.16, 0.12} {
		if got := z.share(i); math.Abs(got-want) > 1e-12 {
			t.Errorf("rank %d has %v, want %v", i, got, want)
		}
	}
}

func TestConfig_NamesWhatItRefuses(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Requests = 0 }, func(c *Config) { c.Load = math.NaN() }, func(c *Config) { c.BurstShare = 1 },
		func(c *Config) { c.Deadline = -time.Second }, func(c *Config) { c.Memory = 0 }, func(c *Config) { c.Copies = 0 },
	} {
		c := DefaultConfig()
		change(&c)
		if _, err := One(c); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
