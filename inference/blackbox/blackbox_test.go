package blackbox

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

var (
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	quiet = slog.New(slog.DiscardHandler)
)

func key(n byte) Key { return Key{n, 31: n} }

// open is a process that starts at a time. One before it that is not closed has
// crashed: what it wrote stays in the page cache, as it does for a process.
func open(t *testing.T, path string, after time.Duration) *Box {
	t.Helper()
	b, err := Open(path, start.Add(after), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// counts returns how often each key is held to have ended a process.
func counts(b *Box) map[Key]int {
	found := map[Key]int{}
	for _, c := range b.Crashes() {
		found[c.Key] = c.Count
	}
	return found
}

func expect(t *testing.T, b *Box, want map[Key]int) {
	t.Helper()
	got := counts(b)
	if len(got) != len(want) {
		t.Errorf("%d keys are suspects, want %d", len(got), len(want))
	}
	for k, n := range want {
		if got[k] != n {
			t.Errorf("key %d has %d crashes, want %d", k[0], got[k], n)
		}
	}
}

func TestBox_CountsWhatWasOnTheDeviceWhenTheProcessEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "box")
	b := open(t, path, 0)
	expect(t, b, nil)
	b.Enter(key(1), key(2))
	back := b.Enter(key(3))
	b.Enter(key(4), Key{}) // the zero key is nobody
	back()
	b.Enter(key(5)) // in the place of 3
	b = open(t, path, time.Minute)
	expect(t, b, map[Key]int{key(1): 1, key(2): 1, key(4): 1, key(5): 1})

	b.Enter(key(2))()        // came back
	b.Enter(key(1), key(2))  // and went again
	b.Enter(key(1), key(40)) // twice at the same time is one crash
	b = open(t, path, 2*time.Minute)
	expect(t, b, map[Key]int{key(1): 2, key(2): 1, key(4): 1, key(5): 1, key(40): 1})
	if c := b.Crashes()[0]; !c.Last.Equal(start.Add(2 * time.Minute)) {
		t.Errorf("the newest crash was at %v", c.Last)
	}
}

func TestBox_ForgetsAfterAnHour(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	open(t, path, 0).Enter(key(1))
	open(t, path, 10*time.Minute).Enter(key(2))
	expect(t, open(t, path, 10*time.Minute+Forget-1), map[Key]int{key(1): 1, key(2): 1})
	expect(t, open(t, path, 10*time.Minute+Forget), map[Key]int{key(2): 1})
	expect(t, open(t, path, -Forget), nil) // the clock was set back
}

func TestBox_ClearBlamesNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	open(t, path, 0).Enter(key(1))
	b := open(t, path, 0)
	back := b.Enter(key(2), key(3))
	b.Clear()
	b.Enter(key(4)) // started while the process ends
	back()
	b.Clear()
	expect(t, open(t, path, 0), map[Key]int{key(1): 1})
}

func TestBox_ClearBlamesTheGuiltyAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	b := open(t, path, 0)
	b.Enter(key(1))
	back := b.Enter(key(2), key(3))
	b.Clear(key(3), Key{})
	back() // too late
	expect(t, open(t, path, 0), map[Key]int{key(3): 1})
}

func TestBox_HoldsLargeBatchesAndNoMoreThanItsSlots(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	b := open(t, path, 0)
	var keys []Key
	for i := range 300 {
		keys = append(keys, Key{byte(i), byte(i >> 8), 1})
	}
	b.Enter(keys...)
	if n := len(open(t, path, 0).Crashes()); n != maxCrashes {
		t.Errorf("%d of 300 keys are suspects, want the most that are kept, %d", n, maxCrashes)
	}
	b = open(t, filepath.Join(t.TempDir(), "box"), 0)
	var back []func()
	for i := range maxSlots + 10 {
		back = append(back, b.Enter(Key{byte(i), 2}))
	}
	for _, leave := range back {
		leave()
	}
	if at := b.slot(); at != 0 {
		t.Errorf("the first free slot is %d", at)
	}
}

func TestBox_RemovesItsFileWhereThereIsNothingToSay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	b := open(t, path, 0)
	b.Enter(key(1))()
	b.Close()
	b.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	b.Enter(key(2))() // after the end: nothing happens
	open(t, path, 0).Enter(key(1))
	open(t, path, 0).Close()
	expect(t, open(t, path, 0), map[Key]int{key(1): 1})
}

func TestBox_NilKeepsNothing(t *testing.T) {
	var b *Box
	b.Enter(key(1))()
	b.Clear()
	b.Close()
	if b.Crashes() != nil {
		t.Error("crashes of nobody")
	}
}

func TestOpen_ReplacesWhatIsNoneOfOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	if err := os.WriteFile(path, []byte("something else that is as long as the magic"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := open(t, path, 0)
	expect(t, b, nil)
	b.Enter(key(1))
	expect(t, open(t, path, 0), map[Key]int{key(1): 1})
	if _, err := Open(t.TempDir(), start, quiet); err == nil {
		t.Error("a directory can be opened")
	}
}

// Whatever lies there, reading it ends well, and what is found can be written and
// found again.
func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(magic))
	f.Add([]byte("nonsense"))
	full := fresh([]Crash{{key(1), 1, start}, {key(2), 7, start.Add(time.Minute)}})
	copy(full[slotAt(0):], slotOf([]Key{key(2), key(3)}))
	f.Add(full)
	f.Add(full[:slotAt(0)+40]) // in the middle of a slot
	now := start.Add(2 * time.Minute)
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := parse(data, now)
		if err != nil {
			return
		}
		again, err := parse(fresh(found), now)
		if err != nil || len(again) != len(found) {
			t.Fatalf("%d crashes are read, %d again: %v", len(found), len(again), err)
		}
		for i, c := range found {
			if age := now.Sub(c.Last); c.Count < 1 || age < 0 || age >= Forget || again[i].Key != c.Key || uint32(again[i].Count) != uint32(c.Count) {
				t.Fatalf("crash %d is %+v, and %+v when read again", i, c, again[i])
			}
		}
	})
}

// What a run pays: one picture, and a batch of eight.
func BenchmarkBox(b *testing.B) {
	for _, n := range []int{1, 8} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			box, err := Open(filepath.Join(b.TempDir(), "box"), start, quiet)
			if err != nil {
				b.Fatal(err)
			}
			defer box.Close()
			keys := make([]Key, n)
			for i := range keys {
				keys[i] = key(byte(i + 1))
			}
			for b.Loop() {
				box.Enter(keys...)()
			}
		})
	}
}
