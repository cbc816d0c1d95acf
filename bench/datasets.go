package main

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"focal/bench/dataset"
	"focal/core/fault"
	"focal/core/pixel"
	"focal/server/app"
)

// datasetsCommand is `focal-bench datasets`.
type datasetsCommand struct {
	Ls    listCommand  `cmd:"" help:"List the sets in folders, with their layouts and numbers."`
	Check checkCommand `cmd:"" help:"Open every file: pairs, sizes, inverted or empty masks, boxes, pictures that look alike."`
}

// listCommand is `focal-bench datasets ls`.
type listCommand struct {
	Dirs []string `arg:"" help:"Sets, or folders of sets." placeholder:"DIR"`
}

// Run lists sets.
func (c *listCommand) Run() error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "folder\tfor\tlayout\tpictures\tsubsets\tproblems")
	found := 0
	for _, dir := range below(c.Dirs) {
		if s, err := dataset.OpenPairs(dir); err == nil {
			found++
			var all [][]string
			for _, p := range s.Pairs {
				all = append(all, p.Subsets)
			}
			fmt.Fprintf(w, "%s\tsegment\t%s\t%d\t%s\t%d\n", dir, s.Layout, len(s.Pairs), numbers(all), len(s.Problems))
		}
		if s, err := dataset.OpenFaces(dir); err == nil {
			found++
			boxes := 0
			for _, p := range s.Portraits {
				boxes += len(p.Marks.Boxes)
			}
			fmt.Fprintf(w, "%s\tfaces\t%s\t%d\t%d faces\t%d\n", dir, s.Layout, len(s.Portraits), boxes, len(s.Problems))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if found == 0 {
		return fault.New(fault.Invalid, "main.datasets", "no set of a known layout lies there (docs/metrics.md lists them)")
	}
	return nil
}

// below returns the folders, and those in them.
func below(dirs []string) []string {
	var all []string
	for _, dir := range dirs {
		all = append(all, dir)
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // it is no set either, and said to be none
		}
		for _, e := range entries {
			if e.IsDir() {
				all = append(all, filepath.Join(dir, e.Name()))
			}
		}
	}
	return all
}

// numbers counts what is in each subset.
func numbers(all [][]string) string {
	count := map[string]int{}
	for _, subsets := range all {
		for _, s := range subsets {
			count[s]++
		}
	}
	var names []string
	for s := range count {
		if s != dataset.All {
			names = append(names, s)
		}
	}
	slices.Sort(names)
	out := ""
	for _, s := range names {
		out += fmt.Sprintf("%s %d ", s, count[s])
	}
	return out
}

// checkCommand is `focal-bench datasets check`.
type checkCommand struct {
	Dirs       []string `arg:"" help:"Sets. Pictures that look alike are found across all of them." placeholder:"DIR"`
	Duplicates bool     `help:"Look for pictures that look alike." default:"true" negatable:""`
}

// Run opens every file of the sets; any problem but a mask that was converted,
// which loses nothing, is an error.
func (c *checkCommand) Run(log *slog.Logger) error {
	if err := app.Open(log); err != nil {
		return err
	}
	var hashes dataset.Hashes
	total := 0
	for _, dir := range c.Dirs {
		problems, n, err := c.check(dir, &hashes)
		if err != nil {
			return err
		}
		for _, p := range problems {
			fmt.Printf("%s: %s, %s\n", p.File, p.Kind, p.Detail)
		}
		count := dataset.Count(problems)
		fmt.Printf("%s: %d pictures, %d problems\n", dir, n, len(problems))
		for _, kind := range slices.Sorted(maps.Keys(count)) {
			fmt.Printf("  %s: %d\n", kind, count[kind])
		}
		total += len(problems) - count[dataset.Converted]
	}
	if total > 0 {
		return fmt.Errorf("%d problems", total)
	}
	return nil
}

func (c *checkCommand) check(dir string, hashes *dataset.Hashes) ([]dataset.Problem, int, error) {
	if pairs, err := dataset.OpenPairs(dir); err == nil {
		problems := slices.Clone(pairs.Problems)
		for _, p := range pairs.Pairs {
			file, _, found, ok := p.Load()
			problems = append(problems, found...)
			if ok {
				problems = append(problems, c.alike(hashes, p.Image, file)...)
			}
		}
		return problems, len(pairs.Pairs), nil
	}
	faces, err := dataset.OpenFaces(dir)
	if err != nil {
		return nil, 0, err
	}
	problems := slices.Clone(faces.Problems)
	for _, p := range faces.Portraits {
		file, _, _, problem := p.Load()
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		problems = append(problems, c.alike(hashes, p.Image, file)...)
	}
	return problems, len(faces.Portraits), nil
}

// alike looks for an earlier picture that looks like this one.
func (c *checkCommand) alike(hashes *dataset.Hashes, path string, file []byte) []dataset.Problem {
	if !c.Duplicates {
		return nil
	}
	found, err := hashes.Add(path, file)
	switch {
	case err != nil: // the header was read, the pixels cannot be
		return []dataset.Problem{{File: path, Kind: dataset.Unreadable, Detail: err.Error()}}
	case found != nil:
		return []dataset.Problem{*found}
	}
	return nil
}

// truthOf reads the truth of a picture again.
func truthOf(sets []*dataset.Pairs) func(set, stem string) (pixel.Mask, error) {
	return func(set, stem string) (pixel.Mask, error) {
		for _, s := range sets {
			for _, p := range s.Pairs {
				if s.Name != set || p.Stem != stem {
					continue
				}
				if _, truth, _, ok := p.Load(); ok {
					return truth, nil
				}
			}
		}
		return pixel.Mask{}, fault.New(fault.NotFound, "main.truthOf", "%s of %s cannot be read any more", stem, set)
	}
}
