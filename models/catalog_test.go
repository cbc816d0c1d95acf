package models_test

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/models"
)

func sharedModels(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "shared", "models")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("needs ../shared: models")
	}
	return dir
}

func TestCatalog_HasWhatTheContractLists(t *testing.T) {
	have := map[string]models.Manifest{}
	for _, m := range models.Catalog() {
		have[m.Name] = m
	}
	for _, name := range []string{
		"retinaface-mobilenet025", "retinaface-mobilenetv2", "retinaface-resnet34", "yunet", "ultralight-320",
		"ultralight-640", "u2net", "u2netp", "u2net-human", "isnet-general", "birefnet-general", "birefnet-dis",
		"birefnet-lite", "birefnet-portrait", "prisma-portrait",
	} {
		m, ok := have[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		delete(have, name)
		if len(m.Artefacts) == 0 || len(m.TrainedOn) == 0 || m.Source == "" || m.Licence.URL == "" || m.Summary == "" {
			t.Errorf("%s: incomplete", name)
		}
		if m.Licence.NonCommercial {
			t.Errorf("%s: everything here may be used commercially", name)
		}
	}
	for name := range have {
		t.Errorf("%s is not in the contract", name)
	}
	for _, task := range []models.Task{models.TaskFace, models.TaskForeground} {
		for _, provider := range []string{"cpu", "cuda"} {
			for _, name := range models.Preferred(task, provider) {
				if i := strings.Index(name, "/"); i >= 0 || !inCatalog(name) {
					t.Errorf("%s prefers %s, which cannot be pulled", task, name)
				}
			}
		}
	}
}

func inCatalog(name string) bool {
	for _, m := range models.Catalog() {
		if m.Name == name {
			return true
		}
	}
	return false
}

// The digests stand in shared/models/README.md; here the files themselves speak.
func TestCatalog_ProvenArtefactsAreTheFilesWeHave(t *testing.T) {
	dir := sharedModels(t)
	proven := 0
	for _, m := range models.Catalog() {
		for _, a := range m.Artefacts {
			data, err := os.ReadFile(filepath.Join(dir, a.File))
			same := err == nil && pixel.Digest(sha256.Sum256(data)).String() == a.SHA256
			if same != a.Proven {
				t.Errorf("%s, %s: proven is %v, but the file is here: %v", m.Name, a.SHA256, a.Proven, same)
			}
			if same && int64(len(data)) != a.Bytes {
				t.Errorf("%s has %d bytes, not %d", a.File, len(data), a.Bytes)
			}
			if a.Proven {
				proven++
			}
		}
	}
	if proven != 6 {
		t.Errorf("%d proven artefacts: the folder holds 6 detectors and segmenters", proven)
	}
}

const good = `
name: mine
task: foreground
licence: {spdx: MIT}
inputs: [{name: x, shape: [-1, 3, 32, 32]}]
outputs: [{name: y, shape: [-1, 1, 32, 32]}]
recipe: {family: mask, colour: rgb, resize: stretch, width: 32, height: 32, kernel: area, scale: "255", std: [1, 1, 1]}
`

func TestParseManifest_NamesFileAndLine(t *testing.T) {
	if _, err := models.ParseManifest("m/model.yaml", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ text, want string }{
		{"", "is empty"},
		{good + "colour: rgb\n", "line 8: field colour not found"},
		{strings.Replace(good, "width: 32", "widht: 32", 1), "line 7: field widht not found"},
		{strings.Replace(good, "width: 32", "width: wide", 1), "line 7"},
		{good + "name: twice\n", "line 8"},
		{good + "---\nname: second\n", "one YAML document"},
		{strings.Replace(good, "name: mine", "name: ../mine", 1), "name: "},
		{strings.Replace(good, "foreground", "upscale", 1), `task "upscale"`},
		{strings.Replace(good, "family: mask", "family: yunet", 1), `family "yunet"`},
		{strings.Replace(good, "spdx: MIT", "url: x", 1), "spdx"},
		{strings.Replace(good, "[-1, 3", "[4, 3", 1), "batch axis"},
		{strings.Replace(good, "[-1, 1, 32", "[-1, 0, 32", 1), "shape"},
		{strings.Replace(good, "name: x", "name: x, type: float16", 1), "float16"},
		{good + "max_batch: -1\n", "max_batch"},
		{good + "max_delay: 5s\n", "max_delay 5s: want 0 to 1s"},
		{good + "max_delay: 5\n", "line 8"}, // of what?
		{good + "instances: -1\n", "instances -1"},
		{good + "keep_alive: -1s\n", "keep_alive -1s"},
		{good + "canvases: {step: 256, max: 128}\n", "canvases"},
		{good + "defaults: {threshold: .nan}\n", "threshold"},
		{good + "artefacts: [{file: a.onnx}]\n", "sha256"},
		{good + "artefacts: [{file: ../a.onnx, sha256: " + strings.Repeat("0", 64) + "}]\n", "plain file name"},
		{good + "artefacts: [{file: a.onnx, urls: ['file:///x'], sha256: " + strings.Repeat("0", 64) + "}]\n", "http"},
	} {
		_, err := models.ParseManifest("m/model.yaml", []byte(tt.text))
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "m/model.yaml") {
			t.Errorf("%v: want %q, of kind invalid, with the file's name", err, tt.want)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("name: [a"))
	f.Add([]byte("recipe: {mean: [1]}"))
	f.Add([]byte("a: &a [*a]"))
	for _, m := range models.Preferred(models.TaskFace, "cpu") {
		text, err := os.ReadFile(filepath.Join("catalog", m+".yaml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := models.ParseManifest("f", data)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("kind %v", fault.KindOf(err))
			}
			return
		}
		if strings.ContainsAny(m.Name, "/\\") || m.Name == ".." || len(m.Inputs) == 0 {
			t.Fatalf("accepted %+v", m)
		}
	})
}

func TestCatalog_IsWhatTheDocumentationSays(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "models.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `") && strings.Count(line, "|") == 6 {
			rows++
		}
	}
	all := models.Catalog()
	if rows != len(all) {
		t.Errorf("%d rows for %d models", rows, len(all))
	}
	for _, m := range all {
		row := "| `" + m.Name + "` | " + string(m.Task)
		i := strings.Index(string(text), row)
		if i < 0 {
			t.Errorf("no row begins with %q", row)
			continue
		}
		line, _, _ := strings.Cut(string(text)[i:], "\n")
		if !strings.Contains(line, "| "+m.Licence.SPDX+" |") || !strings.Contains(line, "(default") == isFirstChoice(m) {
			t.Errorf("row %q: wrong licence or default", line)
		}
	}
}

// isFirstChoice reports whether m is the first choice of its task on some device.
func isFirstChoice(m models.Manifest) bool {
	return models.Preferred(m.Task, "cpu")[0] == m.Name || models.Preferred(m.Task, "cuda")[0] == m.Name
}

func TestParseManifest_ReadsTheExampleOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "models.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	example = strings.Replace(example, "…", strings.Repeat("0", 64), 1)
	m, err := models.ParseManifest("docs/models.md", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := prepare(m); err != nil {
		t.Fatal(err)
	}
}
