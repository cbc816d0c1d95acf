package host

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"focal/inference/fake"
	"focal/inference/profile"
	"focal/models"
)

func keeping(t *testing.T, dir string) func(*Config) {
	t.Helper()
	store, err := profile.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) { c.Profiles = store }
}

// slowly is a model that takes its time, the same for any batch.
var slowly = fake.Script{LoadTime: 300 * time.Millisecond, RunTime: 100 * time.Millisecond, Rest: 80, ItemMemory: 7}

func TestHost_MeasuresLargerBatchesWhileIdleAndKeepsWhatItLearnt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "profiles")
	var before []profile.Profile
	open(t, keeping(t, dir), func(t *testing.T, h *house) {
		h.engine.Set("detector", slowly)
		h.faces(photo(1, 80))
		time.Sleep(time.Minute) // virtual, and idle
		synctest.Wait()
		if got, want := h.engine.Counts("detector").Batches, []int{1, 1, 2, 2, 4, 4, 8, 8}; !slices.Equal(got, want) {
			t.Fatalf("batches %v, want %v: one asked for, the others measured", got, want)
		}
		before = h.Profiles()
		if len(before) != 1 || before[0].Name != "detector" || before[0].Model != detector.File || before[0].Device != "cpu" ||
			before[0].LoadTime != 300*time.Millisecond || before[0].Rest != 80 || len(before[0].Runs) != 4 ||
			before[0].Runs[3] != (profile.Run{Canvas: "4", Batch: 8, Time: 100 * time.Millisecond, Memory: 56, Runs: 2}) {
			t.Fatalf("profiles %+v", before)
		}
	})
	open(t, keeping(t, dir), func(t *testing.T, h *house) {
		h.engine.Set("detector", slowly)
		h.faces(photo(1, 80))
		got := h.Profiles()
		if len(got) != 1 || len(got[0].Runs) != 4 || !reflect.DeepEqual(got[0].Runs[1:], before[0].Runs[1:]) {
			t.Fatalf("after a restart %+v, want %+v", got, before)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if runs := h.runs(); runs != 1 {
			t.Fatalf("%d runs, want 1: all is known", runs)
		}
	})
}

// Memory that is lent holds anything, here what is no number: a model may take
// longer over that, or fail.
func TestHost_MeasuresOnZeros(t *testing.T) {
	open(t, nil, func(t *testing.T, h *house) {
		odd := 0
		h.engine.Set("detector", fake.Script{RunTime: time.Millisecond, Answer: func(in []models.Tensor) ([]models.Tensor, error) {
			if in[0].Shape[0] > 1 && slices.ContainsFunc(in[0].Data, func(v float32) bool { return v != 0 }) {
				odd++
			}
			return []models.Tensor{{Shape: in[0].Shape, Data: slices.Clone(in[0].Data)}}, nil
		}})
		h.faces(photo(1, 80))
		time.Sleep(time.Minute) // virtual, and idle
		synctest.Wait()
		if c := h.engine.Counts("detector"); odd > 0 || len(c.Batches) < 2 {
			t.Errorf("%d of the batches %v were measured on what is not zero", odd, c.Batches)
		}
	})
}

func TestHost_MeasuresAgainWhereTheProfileIsDamaged(t *testing.T) {
	dir := t.TempDir()
	use := func() {
		open(t, keeping(t, dir), func(t *testing.T, h *house) {
			h.engine.Set("detector", slowly)
			h.faces(photo(1, 80))
		})
	}
	use()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v: want one profile, written at the end", files, err)
	}
	if err := os.WriteFile(files[0], []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	use()
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := profile.Parse(text); err != nil {
		t.Fatalf("the damaged profile is still there: %v", err)
	}
}

func TestHost_GoesOnWhereProfilesCannotBeKept(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, keeping(t, filepath.Join(blocked, "profiles")), func(t *testing.T, h *house) {
		h.faces(photo(1, 80))
		time.Sleep(time.Hour)
		h.faces(photo(2, 80))
	})
}

func TestShapesOf_IsTheInverseOfCanvasOf(t *testing.T) {
	for _, shapes := range [][][]int64{{{1, 3, 32, 64}}, {{1, 5}, {1, 2, 2}}, {{1}}} {
		var inputs []models.Tensor
		for _, s := range shapes {
			inputs = append(inputs, models.Tensor{Shape: s, Data: make([]float32, models.Elements(s))})
		}
		got, err := shapesOf(canvasOf(inputs), 1)
		if err != nil || !reflect.DeepEqual(got, shapes) {
			t.Errorf("%v became %v, %v", shapes, got, err)
		}
	}
	if _, err := shapesOf("3xmany", 1); err == nil {
		t.Error("a canvas that is none")
	}
}
