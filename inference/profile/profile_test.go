package profile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference/profile"
)

func sample() profile.Profile {
	return profile.Profile{
		Key:      profile.Key{Model: pixel.Digest{1, 2}, Device: "cpu: a very plain one", Runtime: "onnxruntime 1.29.0"},
		Name:     "mine",
		LoadTime: 120 * time.Millisecond, Rest: 10 << 20,
		Runs: []profile.Run{
			{Canvas: "3x256x256", Batch: 1, Time: 10 * time.Millisecond, Memory: 5 << 20, Runs: 40},
			{Canvas: "3x256x256", Batch: 2, Time: 20 * time.Millisecond, Memory: 10 << 20, Runs: 2},
			{Canvas: "3x256x256", Batch: 4, Time: 20 * time.Millisecond, Memory: 20 << 20, Runs: 2},
		},
	}
}

func store(t *testing.T) (*profile.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "profiles")
	s, err := profile.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func TestStore_ReturnsWhatWasPut(t *testing.T) {
	s, dir := store(t)
	p := sample()
	if _, err := s.Get(p.Key); !fault.Is(err, fault.NotFound) {
		t.Fatalf("an empty store answers %v", err)
	}
	for range 2 {
		if err := s.Put(p); err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(p.Key)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Fatalf("%+v, %v", got, err)
		}
		p.Runs[0].Time *= 2
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Fatalf("%d files, %v: want the one", len(entries), err)
	}
}

func TestStore_BelievesNothingOfAnotherFileDeviceOrRuntime(t *testing.T) {
	s, _ := store(t)
	p := sample()
	if err := s.Put(p); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*profile.Key){
		func(k *profile.Key) { k.Model[31]++ },
		func(k *profile.Key) { k.Device = "cuda" },
		func(k *profile.Key) { k.Runtime = "onnxruntime 1.30.0" },
		func(k *profile.Key) { k.Session = "memory pattern" },
	} {
		k := p.Key
		change(&k)
		if _, err := s.Get(k); !fault.Is(err, fault.NotFound) {
			t.Errorf("%+v answers %v", k, err)
		}
	}
	other := p
	other.Device = "a card"
	if err := s.Put(other); err != nil {
		t.Fatal(err)
	}
	all, err := s.All(p.Model)
	if err != nil || len(all) != 2 || all[0].Device != "a card" {
		t.Fatalf("%+v, %v", all, err)
	}
}

func TestStore_TakesADamagedFileForNone(t *testing.T) {
	s, dir := store(t)
	p := sample()
	if err := s.Put(p); err != nil {
		t.Fatal(err)
	}
	paths, _ := filepath.Glob(filepath.Join(dir, "*"))
	whole, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":           "",
		"cut off":         string(whole[:len(whole)/2]),
		"another schema":  strings.Replace(string(whole), `"schema": 1`, `"schema": 2`, 1),
		"another model":   strings.Replace(string(whole), `"0102`, `"0202`, 1),
		"a negative time": strings.Replace(string(whole), `"time_us": 10000`, `"time_us": -1`, 1),
		"batch 0":         strings.Replace(string(whole), `"batch": 2`, `"batch": 0`, 1),
		"endless memory":  strings.Replace(string(whole), `"rest_bytes": 1`, `"rest_bytes": 99999999999`, 1),
	} {
		if text == string(whole) {
			t.Fatalf("%s: the test has changed nothing", name)
		}
		if err := os.WriteFile(paths[0], []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(p.Key); !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), paths[0]) {
			t.Errorf("%s: %v, want fault.Corrupt that names the file", name, err)
		}
		if _, err := s.All(p.Model); name != "another model" && err == nil {
			t.Errorf("%s: All says nothing", name)
		}
	}
	if err := s.Put(p); err != nil { // measured again
		t.Fatal(err)
	}
	if _, err := s.Get(p.Key); err != nil {
		t.Error(err)
	}
}

func TestStore_SaysThatItCannotWrite(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := profile.Open(filepath.Join(blocked, "profiles"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(sample()); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("got %v", err)
	}
	if _, err := profile.Open(""); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Fatal("a store without a folder")
	}
}

func TestProfile_SaysWhereBatchingGainsNothing(t *testing.T) {
	var b strings.Builder
	if err := sample().Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a very plain one", "load 120ms, at rest 10.0 MiB", "1.00×: gains nothing", "2.00× as fast an item"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"schema":1,"model_sha256":"` + strings.Repeat("0a", 32) + `","load_us":5,"runs":[{"canvas":"3x2","batch":1,"time_us":3,"runs":1}]}`))
	f.Add([]byte(`{"schema":1}`))
	f.Add([]byte(`{"schema":1,"runs":[{"batch":-1}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := profile.Parse(text)
		if err != nil {
			return
		}
		for _, r := range p.Runs {
			if r.Batch < 1 || r.Time <= 0 || r.Memory < 0 {
				t.Fatalf("let through: %+v", r)
			}
		}
	})
}
