package main

import (
	"slices"
	"testing"

	"focal/bench/dataset"

	"github.com/alecthomas/kong"
)

func parse(t *testing.T, args ...string) (*commands, error) {
	t.Helper()
	var cli commands
	p, err := newParser(&cli, kong.Exit(func(int) { t.Error("the parser ended the program") }))
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Parse(args)
	return &cli, err
}

func TestCommands_ReadTheFlagsOfTheContract(t *testing.T) {
	cli, err := parse(t, "segment", "--dataset", "a", "--dataset", "b", "--models", "u2netp,isnet-general", "--rembg", "--out", "dir",
		"--baseline", "old.json", "--max-drop", "0.02", "--max-slowdown", "1.3", "--endpoint", "http://a/", "--endpoint", "http://b/segment=foreground,format=png/{file}")
	if err != nil {
		t.Fatal(err)
	}
	s := cli.Segment
	if !slices.Equal(s.Dataset, []string{"a", "b"}) || !slices.Equal(s.Models, []string{"u2netp", "isnet-general"}) || !s.Rembg || s.Out != "dir" ||
		s.Baseline != "old.json" || s.MaxDrop != 0.02 || s.MaxSlowdown != 1.3 || len(s.Endpoint) != 2 || s.Threshold != 128 || s.Seed != 1 {
		t.Errorf("got %+v", s)
	}
	for _, args := range [][]string{
		{"faces", "--dataset", "a", "--out", "b", "--limit", "3"}, {"load", "http://a/", "--rate", "20", "--ramp-to", "50"},
		{"load", "http://a/", "--body", "b", "--clients", "4", "--times", "0.5,1,2,3"}, {"swap", "--rounds", "3"}, {"throughput", "--models", "a", "--route", "http://b/", "--body", "c"},
		{"datasets", "ls", "a"}, {"datasets", "check", "a", "--no-duplicates"}, {"report", "a.json", "b.json", "--out", "c.html"}, {"version"},
	} {
		if _, err := parse(t, args...); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// Results are told apart by the names of sets.
func TestOpenAll_RefusesTwoSetsOfOneName(t *testing.T) {
	open := func(dir string) (*dataset.Pairs, error) { return &dataset.Pairs{Dir: dir}, nil }
	if _, err := openAll([]string{"x/humans", "y/humans/"}, "", open); err == nil {
		t.Error("two sets of one name were opened")
	}
	if sets, err := openAll([]string{"x/humans", "x/objects"}, "", open); err != nil || len(sets) != 2 {
		t.Errorf("got %v, %v", sets, err)
	}
}
