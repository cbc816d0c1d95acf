package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The lines below are as `go test -json` of Go 1.26 printed them.
const (
	passing = `{"Action":"start","Package":"focal/a"}
{"Action":"run","Package":"focal/a","Test":"TestA"}
{"Action":"output","Package":"focal/a","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"focal/a","Test":"TestA","Elapsed":0}
{"Action":"pass","Package":"focal/a","Elapsed":0.01}
`
	failing = `{"Action":"run","Package":"focal/b","Test":"TestB"}
{"Action":"output","Package":"focal/b","Test":"TestB","Output":"    b_test.go:7: got 1, want 2\n"}
{"Action":"fail","Package":"focal/b","Test":"TestB","Elapsed":0}
{"Action":"fail","Package":"focal/b","Elapsed":0.01}
`
	needsShared = `{"Action":"run","Package":"focal/c","Test":"TestC"}
{"Action":"output","Package":"focal/c","Test":"TestC","Output":"    c_test.go:9: needs ../shared: no models\n"}
{"Action":"output","Package":"focal/c","Test":"TestC","Output":"--- SKIP: TestC (0.00s)\n"}
{"Action":"skip","Package":"focal/c","Test":"TestC","Elapsed":0}
{"Action":"pass","Package":"focal/c","Elapsed":0.01}
`
	otherSkip = `{"Action":"output","Package":"focal/d","Test":"TestD","Output":"    d_test.go:9: not today\n"}
{"Action":"skip","Package":"focal/d","Test":"TestD","Elapsed":0}
`
	noBuild = `{"ImportPath":"focal/e [focal/e.test]","Action":"build-output","Output":"e/e_test.go:3:2: undefined: x\n"}
{"ImportPath":"focal/e [focal/e.test]","Action":"build-fail"}
{"Action":"start","Package":"focal/e"}
{"Action":"output","Package":"focal/e","Output":"FAIL\tfocal/e [build failed]\n"}
{"Action":"fail","Package":"focal/e","Elapsed":0,"FailedBuild":"focal/e [focal/e.test]"}
`
	died = `{"Action":"run","Package":"focal/f","Test":"TestF"}
{"Action":"output","Package":"focal/f","Test":"TestF","Output":"SIGSEGV: segmentation violation\n"}
{"Action":"output","Package":"focal/f","Output":"FAIL\tfocal/f\t0.1s\n"}
{"Action":"fail","Package":"focal/f","Elapsed":0.1}
`
	noTests = `{"Action":"start","Package":"focal/g"}
{"Action":"output","Package":"focal/g","Output":"?   \tfocal/g\t[no test files]\n"}
{"Action":"skip","Package":"focal/g","Elapsed":0}
`
)

func TestReport_IsWellOnlyWhenTestsRanAndSkipsAreAllowed(t *testing.T) {
	for name, c := range map[string]struct {
		files  []string
		shared bool
		well   bool
		want   []string
	}{
		"all pass":              {[]string{passing}, true, true, []string{"\n1 passed, 0 failed, 0 skipped\n"}},
		"two runs add up":       {[]string{passing, passing}, true, true, []string{"\n2 passed, 0 failed, 0 skipped\n"}},
		"a failure":             {[]string{passing + failing}, true, false, []string{"FAILED focal/b TestB", "got 1, want 2", "\n1 passed, 1 failed, 0 skipped\n"}},
		"skip without shared":   {[]string{passing + needsShared}, false, true, []string{"skipped focal/c TestC: needs ../shared: no models", "\n1 passed, 0 failed, 1 skipped\n"}},
		"skip with shared":      {[]string{passing + needsShared}, true, false, []string{"../shared is here, so this test must run"}},
		"skip for other reason": {[]string{passing + otherSkip}, false, false, []string{"not today", "may be skipped"}},
		"does not build":        {[]string{passing + noBuild}, true, false, []string{"FAILED focal/e\n", "undefined: x", "\n1 passed, 1 failed, 0 skipped\n"}},
		"process dies":          {[]string{died}, true, false, []string{"FAILED focal/f\n", "SIGSEGV", "\n0 passed, 1 failed, 0 skipped\n"}},
		"no tests":              {[]string{noTests}, true, false, []string{"no test ran", "\n0 passed, 0 failed, 0 skipped\n"}},
		"nothing at all":        {[]string{""}, true, false, []string{"no test ran"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"report"}
			if c.shared {
				args = append(args, "-shared")
			}
			for i, text := range c.files {
				file := filepath.Join(t.TempDir(), string(rune('a'+i)))
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, file)
			}
			var out bytes.Buffer
			well, err := run(args, nil, &out)
			if err != nil || well != c.well {
				t.Errorf("well = %t, error %v; want %t\n%s", well, err, c.well, out.String())
			}
			for _, w := range c.want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("no %q in:\n%s", w, out.String())
				}
			}
		})
	}
}

func TestWatch_KeepsEventsAndShowsOneLineAPackage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "events")
	in := passing + "go: some complaint\n" + failing + noTests
	var out bytes.Buffer
	if _, err := run([]string{"watch", file}, strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(file)
	if err != nil || string(kept) != in {
		t.Errorf("kept %q, error %v", kept, err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "focal/a") || lines[1] != "go: some complaint" || !strings.Contains(lines[2], "fail focal/b") {
		t.Errorf("showed:\n%s", out.String())
	}
}

func TestRun_RefusesUnknownUse(t *testing.T) {
	for _, args := range [][]string{nil, {"watch"}, {"report"}, {"count", "x"}, {"report", "/no/such/file"}} {
		if _, err := run(args, strings.NewReader(""), &bytes.Buffer{}); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}
