// Tally reads what `go test -json` prints. Watching, it shows one line for each
// package as it ends; reporting, it names every failed and every skipped test
// and closes with the counts:
//
//	go test -json ./... | tally watch FILE    keeps the events in FILE
//	tally report [-shared] FILE...            exits 1 unless all is well
//
// All is well when at least one test ran, none failed, and each skipped one
// needs ../shared. With -shared, which says that ../shared is there, no test may
// be skipped at all.
//
// It is part of the gate, no room of the house, and imports none.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
)

const usage = "usage: tally watch FILE | tally report [-shared] FILE..."

func main() {
	ok, err := run(os.Args[1:], os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) (ok bool, err error) {
	switch {
	case len(args) == 2 && args[0] == "watch":
		f, err := os.Create(args[1])
		if err != nil {
			return false, err
		}
		if err := watch(io.TeeReader(in, f), out); err != nil {
			return false, err
		}
		return true, f.Close()
	case len(args) >= 2 && args[0] == "report":
		files, shared := args[1:], false
		if files[0] == "-shared" {
			files, shared = files[1:], true
		}
		var t tally
		for _, name := range files {
			if err := t.readFile(name); err != nil {
				return false, err
			}
		}
		return t.report(out, shared), nil
	default:
		return false, fmt.Errorf("%s", usage)
	}
}

// watch shows one line for each package as it ends. Lines that are no events
// are shown as they are: they come from go itself.
func watch(in io.Reader, out io.Writer) error {
	tests := map[string]int{}
	return eachEvent(in, func(e event) {
		switch {
		case e.Test != "" && e.ended():
			tests[e.Package]++
		case e.Test == "" && e.ended() && e.Package != "" && (tests[e.Package] > 0 || e.Action == "fail"):
			fmt.Fprintf(out, "      %-4s %-32s %5.1f s %5d tests\n", e.Action, e.Package, e.Elapsed, tests[e.Package])
		}
	}, func(line string) { fmt.Fprintln(out, line) })
}

func (t *tally) readFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	t.run++
	if err := eachEvent(f, t.add, func(string) {}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func eachEvent(in io.Reader, event func(event), other func(string)) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), 16<<20)
	for lines.Scan() {
		if e, ok := parse(lines.Bytes()); ok {
			event(e)
		} else if lines.Text() != "" {
			other(lines.Text())
		}
	}
	return lines.Err()
}
