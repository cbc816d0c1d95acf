package models_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"focal/core/fault"
	"focal/models"
)

func TestBuiltin_IsWhatItsManifestSays(t *testing.T) {
	all := models.Builtin()
	if len(all) == 0 {
		t.Fatal("the program has no model")
	}
	for _, m := range all {
		if len(m.Artefacts) != 1 || m.Artefacts[0].SHA256 != m.File.String() || m.Artefacts[0].Bytes != int64(len(m.Data)) {
			t.Errorf("%s: the manifest has %+v, the program %d bytes with SHA-256 %s", m.Name, m.Artefacts, len(m.Data), m.File)
		}
		if !strings.HasPrefix(m.Name, "builtin-") || len(m.Data) > 2<<20 || m.Path != "" || len(m.TrainedOn) == 0 {
			t.Errorf("%s: %d bytes, path %q, trained on %v", m.Name, len(m.Data), m.Path, m.TrainedOn)
		}
	}
}

func TestBuiltin_ServesWhereTheFolderHasNothingBetter(t *testing.T) {
	dir := t.TempDir()
	r, err := models.OpenRepository(dir, models.Builtin()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range models.Builtin() {
		if name, ok := r.Default(m.Task, "cpu"); !ok || name != m.Name {
			t.Errorf("an empty folder: default %s is %q, %v", m.Task, name, ok)
		}
		found, err := r.Model(m.Name)
		if err != nil || found.File != m.File || !r.Holds(found) {
			t.Errorf("%s: %v, digest %s", m.Name, err, found.File)
		}
		if _, err := r.Verify(context.Background(), m.Name); err != nil {
			t.Errorf("%s does not verify: %v", m.Name, err)
		}
		if err := r.Remove(m.Name); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s can be removed: %v", m.Name, err)
		}
	}
	put := func(name, text string) {
		t.Helper()
		folder := filepath.Join(dir, name, "1")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for path, data := range map[string]string{filepath.Join(folder, "model.onnx"): "weights", filepath.Join(dir, name, "model.yaml"): text} {
			if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	put("mine", good) // no model that anybody prefers, but the user's
	if all, err := r.Models(); err != nil || len(all) != 1+len(models.Builtin()) || all[0].Name != "mine" {
		t.Errorf("%v: %d models", err, len(all))
	}
	mine, err := r.Model("mine")
	if err != nil {
		t.Fatal(err)
	}
	if name, _ := r.Default(mine.Task, "cpu"); name != "mine" {
		t.Errorf("the folder has mine, the default is %s", name)
	}
	hider := models.Builtin()[0]
	put(hider.Name, strings.Replace(good, "name: mine", "name: "+hider.Name, 1))
	if m, err := r.Model(hider.Name); err != nil || m.Data != nil {
		t.Errorf("%v: the folder's %s does not hide the program's", err, hider.Name)
	}
}
