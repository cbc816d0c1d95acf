package models_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"focal/core/fault"
	"focal/models"
)

func open(t *testing.T) *models.Repository {
	t.Helper()
	r, err := models.OpenRepository(filepath.Join(t.TempDir(), "models"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func put(t *testing.T, r *models.Repository, path, text string) {
	t.Helper()
	path = filepath.Join(r.Dir(), path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRepository_OneBadModelSpoilsNoOther(t *testing.T) {
	r := open(t)
	put(t, r, "mine/model.yaml", good)
	put(t, r, "mine/1/model.onnx", "weights")
	put(t, r, "typo/model.yaml", strings.Replace(good, "task:", "taks:", 1))
	put(t, r, "typo/1/model.onnx", "weights")
	put(t, r, "other/model.yaml", good) // its name is not that of its folder
	put(t, r, "other/1/model.onnx", "weights")
	put(t, r, "empty/model.yaml", strings.Replace(good, "name: mine", "name: empty", 1))
	put(t, r, "nothing/1/model.onnx", "weights")
	put(t, r, ".hidden/model.yaml", "not ours")
	put(t, r, "notes.txt", "a file")
	found, err := r.Models()
	if len(found) != 1 || found[0].Name != "mine" || found[0].Version != "1" {
		t.Errorf("found %+v", found)
	}
	for _, want := range []string{"typo/model.yaml: yaml: unmarshal errors:\n  line 3", "other/model.yaml: name", "model empty has no", "no model nothing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q: %v", want, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "hidden") {
		t.Error("reads hidden folders")
	}
}

func TestRepository_TakesTheNewestVersion(t *testing.T) {
	r := open(t)
	put(t, r, "mine/model.yaml", good)
	for _, v := range []string{"9", "10", "011", "x", "-3"} {
		put(t, r, "mine/"+v+"/model.onnx", v)
	}
	put(t, r, "mine/12/readme", "no weights")
	m, err := r.Model("mine")
	if err != nil || m.Version != "10" {
		t.Fatalf("version %q, %v", m.Version, err)
	}
	// sha256 of "10" and of "ten!", by sha256sum.
	if m.File.String() != "4a44dc15364204a80fe80e9039455cc1608281820fe2b24f1e5233ade6af1dd5" {
		t.Errorf("digest %v", m.File)
	}
	put(t, r, "mine/10/model.onnx", "ten!")
	if again, err := r.Model("mine"); err != nil || again.File == m.File {
		t.Errorf("a replaced file keeps its digest %v, %v", again.File, err)
	}
}

func TestRepository_RefusesNamesThatArePaths(t *testing.T) {
	r := open(t)
	for _, name := range []string{"", ".", "..", "../x", "a/b", `a\b`, ".partial", "a\x00", strings.Repeat("n", 65), "ä", "a."} {
		if _, err := r.Model(name); !fault.Is(err, fault.Invalid) {
			t.Errorf("Model(%q): %v", name, err)
		}
		if err := r.Remove(name); !fault.Is(err, fault.Invalid) {
			t.Errorf("Remove(%q): %v", name, err)
		}
		if _, err := r.Pull(t.Context(), name, models.PullOptions{}); !fault.Is(err, fault.Invalid) {
			t.Errorf("Pull(%q): %v", name, err)
		}
	}
}

func TestRepository_DefaultsFollowTheDevice(t *testing.T) {
	r := open(t)
	expect := func(task models.Task, provider, want string, wantOK bool) {
		t.Helper()
		if name, ok := r.Default(task, provider); name != want || ok != wantOK {
			t.Errorf("%s on %s: %s, %v, want %s, %v", task, provider, name, ok, want, wantOK)
		}
	}
	add := func(name string, task models.Task, family string) {
		text := strings.NewReplacer("name: mine", "name: "+name, "task: foreground", "task: "+string(task), "family: mask", "family: "+family).Replace(good)
		put(t, r, name+"/model.yaml", text)
		put(t, r, name+"/1/model.onnx", name)
	}
	expect(models.TaskFace, "cpu", "retinaface-mobilenet025", false)
	expect(models.TaskForeground, "cpu", "u2netp", false)
	expect(models.TaskForeground, "cuda", "u2netp", false)
	add("zz-mine", models.TaskForeground, "mask")
	expect(models.TaskForeground, "cuda", "zz-mine", true)
	expect(models.TaskFace, "cpu", "retinaface-mobilenet025", false)
	add("u2netp", models.TaskForeground, "mask")
	expect(models.TaskForeground, "cuda", "u2netp", true)
	add("birefnet-general", models.TaskForeground, "mask")
	expect(models.TaskForeground, "cuda", "birefnet-general", true)
	expect(models.TaskForeground, "cpu", "u2netp", true)
	add("yunet", models.TaskFace, "yunet")
	expect(models.TaskFace, "cpu", "yunet", true)
}

func TestRepository_ImportsVerifiesRemoves(t *testing.T) {
	r := open(t)
	file := filepath.Join(t.TempDir(), "net.onnx")
	if err := os.WriteFile(file, []byte("weights"), 0o644); err != nil {
		t.Fatal(err)
	}
	manifest, err := models.ParseManifest("good", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Import(t.Context(), file, manifest)
	if err != nil || m.Version != "1" || len(m.Artefacts) != 1 {
		t.Fatalf("%+v, %v", m, err)
	}
	if _, err := r.Verify(t.Context(), "mine"); err != nil {
		t.Fatal(err)
	}
	// A change that leaves size and time alone is what Verify is for.
	info, err := os.Stat(m.Path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, r, "mine/1/model.onnx", "Weights")
	if err := os.Chtimes(m.Path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Verify(t.Context(), "mine"); !fault.Is(err, fault.Corrupt) {
		t.Errorf("changed weights: %v", err)
	}
	if second, err := r.Import(t.Context(), file, m.Manifest); err != nil || second.Version != "2" {
		t.Errorf("second import: %+v, %v", second, err)
	}
	if err := r.Remove("mine"); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove("mine"); !fault.Is(err, fault.NotFound) {
		t.Errorf("second removal: %v", err)
	}
	if _, err := r.Import(t.Context(), file+".none", manifest); !fault.Is(err, fault.NotFound) {
		t.Errorf("no file: %v", err)
	}
	if left, err := r.Models(); len(left) != 0 || err != nil {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestRepository_FixedBatchFileRunsOneAtATime(t *testing.T) {
	r := open(t)
	// sha256 of "4", by sha256sum.
	text := good + "max_batch: 8\nmax_batch_cpu: 2\nartefacts: [{file: a.onnx, fixed_batch: true, sha256: 4b227777d4dd1fc61c6f884f48641d02b4d121d3fd328cb08b5531fcacdabf8a}]\n"
	put(t, r, "mine/model.yaml", text)
	put(t, r, "mine/1/model.onnx", "4")
	m, err := r.Model("mine")
	if err != nil || m.MaxBatch != 1 || m.MaxBatchCPU != 0 || m.Inputs[0].Shape[0] != 1 || m.Outputs[0].Shape[0] != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	put(t, r, "mine/1/model.onnx", "another file")
	if m, err = r.Model("mine"); err != nil || m.MaxBatch != 8 || m.Inputs[0].Shape[0] != -1 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestRepository_StampMovesWithTheFiles(t *testing.T) {
	dir := t.TempDir()
	r, err := models.OpenRepository(dir)
	if err != nil {
		t.Fatal(err)
	}
	stamp := func() string {
		t.Helper()
		s, err := r.Stamp()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	write := func(path, text string) {
		t.Helper()
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]string{stamp(): "empty"}
	for _, step := range []struct{ path, text string }{
		{"mine/model.yaml", good}, {"mine/1/model.onnx", "one"}, {"mine/model.yaml", good + "max_batch: 2\n"},
		{"mine/1/model.onnx", "two and more"}, {"mine/2/model.onnx", "one"},
	} {
		write(step.path, step.text)
		s := stamp()
		if was, twice := seen[s]; twice {
			t.Errorf("after writing %s the stamp is that of %s", step.path, was)
		}
		if s != stamp() {
			t.Error("two stamps of one state differ")
		}
		seen[s] = step.path
	}
	m, err := r.Model("mine")
	if err != nil || !r.Holds(m) {
		t.Fatalf("%v: the file is not held", err)
	}
	write("mine/2/model.onnx", "other bytes")
	if r.Holds(m) {
		t.Error("a changed file is taken for the old one")
	}
	before := stamp()
	write(".profiles/x/model.onnx", "not a model")
	if stamp() != before {
		t.Error("the repository's own folders move the stamp")
	}
}
