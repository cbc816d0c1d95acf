package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTable_HoldsResultsAgainstTheGoals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	results := `{"stage":"curves","what":"batch","device":"d","model":"yunet","shape":"3x320x320","batch":1,"per_second":100}
{"stage":"curves","what":"batch","device":"d","model":"yunet","shape":"3x320x320","batch":8,"per_second":380}
{"stage":"through","what":"rate","device":"d","model":"yunet","shape":"3x320x320","batch":8,"per_second":90,"bare_per_second":100}
{"stage":"swap","what":"swap","device":"d","model":"retinaface-mobilenet025","shape":"3x1024x1024","n":1,"process_bytes":1073741824,"load_ms":10,"first_ms":2,"bare_load_ms":10,"bare_first_ms":1}
{"stage":"overcommit","what":"walk","device":"d","n":10000,"failures":1,"left_bytes":1048576}
{"stage":"latency","wh`
	if err := os.WriteFile(path, []byte(results), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := table(&out, path); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"3.80 met", // 380 of 100
		"0.90 missed",
		"1024.00 met",
		"failures  ", "1.00 missed", // one failure
		"1.00 met", // one MiB left
		"U²-Net 320² in FP16, pictures a second", "not measured",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
