package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"focal/bench/reference"
	"focal/server/app"

	"github.com/alecthomas/kong"
)

// update makes the test of docs/configuration.md write it.
var update = flag.Bool("update", false, "write docs/configuration.md")

// asProgram makes this test binary focal itself: ONNX Runtime can be opened
// once in a process, and exit codes are part of what is tested.
const asProgram = "FOCAL_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	if err := app.Open(slog.New(slog.DiscardHandler)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// focal runs the program with the environment of a stranger.
func focal(t *testing.T, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // for failures only
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], args...)
	c.Env = append(withoutSettings(os.Environ()), asProgram+"=1")
	var out, words bytes.Buffer
	c.Stdout, c.Stderr = &out, &words
	var ended *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return out.String(), words.String(), c.ProcessState.ExitCode()
}

// mustFocal runs the program, which must succeed, and returns what it prints.
func mustFocal(t *testing.T, args ...string) string {
	t.Helper()
	out, words, exit := focal(t, args...)
	if exit != 0 {
		t.Fatalf("focal %s: exit %d\n%s", strings.Join(args, " "), exit, words)
	}
	return out
}

func withoutSettings(environment []string) []string {
	var rest []string
	for _, e := range environment {
		if !strings.HasPrefix(e, "FOCAL_") {
			rest = append(rest, e)
		}
	}
	return rest
}

// noSettings takes the variables of scripts and users away from a test.
func noSettings(t *testing.T) {
	t.Helper()
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "FOCAL_") {
			continue
		}
		t.Setenv(name, "") // puts the old value back at the end
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
}

// parse reads a command line as main does.
func parse(t *testing.T, args ...string) (*commands, *kong.Context, error) {
	t.Helper()
	var cli commands
	parser, err := newParser(&cli, kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	k, err := parser.Parse(args)
	return &cli, k, err
}

func mustParse(t *testing.T, args ...string) *commands {
	t.Helper()
	cli, _, err := parse(t, args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return cli
}

// modelFlags pulls the default models and names them and ONNX Runtime.
func modelFlags(t *testing.T) []string {
	t.Helper()
	repository := reference.Pull(t, t.TempDir(), "retinaface-mobilenet025", "u2netp")
	return []string{"--models=" + repository.Dir(), "--ort-library=" + reference.Library(t)}
}
