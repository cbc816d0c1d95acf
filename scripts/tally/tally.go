package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// allowed is how the reason of a permitted skip begins.
const allowed = "needs ../shared"

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action      string
	Package     string
	Test        string
	Elapsed     float64 // seconds
	Output      string
	ImportPath  string // of build-output: may carry " [pkg.test]"
	FailedBuild string
}

func parse(line []byte) (event, bool) {
	var e event
	if len(line) == 0 || line[0] != '{' || json.Unmarshal(line, &e) != nil || e.Action == "" {
		return event{}, false
	}
	return e, true
}

func (e event) ended() bool {
	return e.Action == "pass" || e.Action == "fail" || e.Action == "skip"
}

// id names one test in one of several runs: the same package is tested with and
// without build tags.
type id struct {
	run        int
	pack, test string
}

// tally counts the events of all runs.
type tally struct {
	run             int
	passed          int
	failed, skipped []id
	output          map[id]*strings.Builder
	build           map[string]*strings.Builder // compiler's words, by import path
}

func (t *tally) add(e event) {
	if t.output == nil {
		t.output, t.build = map[id]*strings.Builder{}, map[string]*strings.Builder{}
	}
	key := id{t.run, e.Package, e.Test}
	switch {
	case e.Action == "build-output":
		write(t.build, e.ImportPath, e.Output)
	case e.Action == "output":
		write(t.output, key, e.Output)
	case e.Test == "" && e.Action == "fail":
		t.packageFailed(key, e)
	case e.Test == "":
	case e.Action == "pass":
		t.passed++
		delete(t.output, key)
	case e.Action == "fail":
		t.failed = append(t.failed, key)
	case e.Action == "skip":
		t.skipped = append(t.skipped, key)
	}
}

// packageFailed counts a package that failed without a failed test: it did not
// build, its TestMain gave up, or the process died.
func (t *tally) packageFailed(key id, e event) {
	for _, f := range t.failed {
		if f.run == key.run && f.pack == key.pack {
			return
		}
	}
	t.failed = append(t.failed, key)
	if b := t.build[e.FailedBuild]; b != nil {
		write(t.output, key, b.String())
	}
	// A test that was running when the process died never ends; what it said
	// last is the best hint.
	for k, b := range t.output {
		if k.run == key.run && k.pack == key.pack && k.test != "" {
			write(t.output, key, b.String())
		}
	}
}

func write[K comparable](m map[K]*strings.Builder, k K, text string) {
	b := m[k]
	if b == nil {
		b = new(strings.Builder)
		m[k] = b
	}
	b.WriteString(text)
}

// report prints the failed and the skipped tests and the closing line, and
// tells whether all is well.
func (t *tally) report(out io.Writer, shared bool) bool {
	for _, key := range t.failed {
		fmt.Fprintf(out, "\nFAILED %s\n", key.name())
		if b := t.output[key]; b != nil {
			fmt.Fprintln(out, indent(b.String()))
		}
	}
	wrong := t.reportSkipped(out, shared)
	total := t.passed + len(t.failed) + len(t.skipped)
	if total == 0 {
		fmt.Fprintln(out, "\nno test ran")
	}
	fmt.Fprintf(out, "\n%d passed, %d failed, %d skipped\n", t.passed, len(t.failed), len(t.skipped))
	return total > 0 && len(t.failed) == 0 && !wrong
}

// reportSkipped names the skipped tests with their reasons, those that must not
// be skipped last, and tells whether there are any of these.
func (t *tally) reportSkipped(out io.Writer, shared bool) (wrong bool) {
	type line struct {
		text string
		bad  bool
	}
	var lines []line
	for _, key := range t.skipped {
		l := line{}
		reason := t.reason(key)
		l.text = fmt.Sprintf("skipped %s: %s", key.name(), reason)
		switch {
		case !strings.HasPrefix(reason, allowed):
			l.text, l.bad = fmt.Sprintf("%s\n        only a test that %s may be skipped", l.text, allowed), true
		case shared:
			l.text, l.bad = l.text+"\n        ../shared is here, so this test must run", true
		}
		lines = append(lines, l)
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		switch {
		case a.bad == b.bad:
			return strings.Compare(a.text, b.text)
		case b.bad:
			return -1
		default:
			return 1
		}
	})
	for i, l := range lines {
		if i == 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintln(out, l.text)
		wrong = wrong || l.bad
	}
	return wrong
}

// position is how testing marks a logged line: "    file_test.go:12: ".
var position = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)

// reason returns the last thing a skipped test logged, which is what it gave to
// Skip.
func (t *tally) reason(key id) string {
	b := t.output[key]
	if b == nil {
		return "no reason given"
	}
	reason := "no reason given"
	for _, l := range strings.Split(b.String(), "\n") {
		if at := position.FindString(l); at != "" {
			reason = l[len(at):]
		}
	}
	return reason
}

func (k id) name() string {
	if k.test == "" {
		return k.pack
	}
	return k.pack + " " + k.test
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}
