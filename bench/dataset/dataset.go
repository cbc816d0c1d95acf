// Package dataset reads pictures with drawn truth: folders of picture and mask
// in the layouts that people publish, and pictures with face boxes.
//
// It knows neither models nor measures. Whatever is wrong with a file is a
// Problem of that file, never an average: what cannot be used is left out and
// named, what only looks wrong is used and named. It starts no goroutine.
package dataset

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"focal/core/fault"
)

// Kind is what is wrong with a file.
type Kind string

// The kinds. Those that Fatal reports keep a picture out of every figure.
const (
	Unpaired    Kind = "unpaired"   // a picture without a mask, or the reverse
	Unreadable  Kind = "unreadable" // no picture, or a damaged one
	SizesDiffer Kind = "size"       // picture and mask
	Coloured    Kind = "colour"     // a mask with colours, which say nothing
	BadLabel    Kind = "label"      // a line of annotations that makes no sense
	Empty       Kind = "empty"      // a mask without foreground
	Full        Kind = "full"       // a mask without background
	Inverted    Kind = "inverted"   // a mask whose border is foreground and centre is not
	Scaled      Kind = "scaled"     // a mask of 0 and 1, read as 0 and 255
	Converted   Kind = "converted"  // a mask of another kind than 8-bit grey, read as one
	Duplicate   Kind = "duplicate"  // looks like another picture
)

// Fatal says whether a file with such a problem is left out.
func (k Kind) Fatal() bool {
	return slices.Contains([]Kind{Unpaired, Unreadable, SizesDiffer, Coloured, BadLabel}, k)
}

// Count says how many problems there are of each kind.
func Count(problems []Problem) map[Kind]int {
	count := map[Kind]int{}
	for _, p := range problems {
		count[p.Kind]++
	}
	return count
}

// Problem is what is wrong with one file.
type Problem struct {
	File   string `json:"file"`
	Kind   Kind   `json:"kind"`
	Detail string `json:"detail"`
}

// The subsets that every set has. What a network drew is soft (contract: files
// named soft_*), what people drew is hard.
const (
	All  = "all"
	Soft = "soft"
	Hard = "hard"
)

// tagsFile, in a set's folder, gives pictures tags: lines of stem,tag.
const tagsFile = "tags.csv"

// readTags reads tagsFile, which may be missing.
func readTags(dir string) (map[string][]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, tagsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "dataset.readTags", "%w", err)
	}
	return ParseTags(text)
}

// ParseTags reads lines of stem,tag; a stem may have several.
func ParseTags(text []byte) (map[string][]string, error) {
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord, r.Comment = 2, '#'
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fault.New(fault.Invalid, "dataset.ParseTags", "%s: %w", tagsFile, err)
	}
	tags := map[string][]string{}
	for _, row := range rows {
		stem, tag := strings.TrimSpace(row[0]), strings.TrimSpace(row[1])
		if slices.Contains([]string{All, Soft, Hard, ""}, tag) {
			return nil, fault.New(fault.Invalid, "dataset.ParseTags", "%s: the tag of %s is %q, which is empty or taken", tagsFile, stem, tag)
		}
		tags[stem] = append(tags[stem], tag)
	}
	return tags, nil
}

// subsets returns all that a picture belongs to: its folder's, and those of its
// tags.
func subsets(stem string, tags map[string][]string) []string {
	kind := Hard
	folder, name := path.Split(stem)
	folder = strings.TrimSuffix(folder, "/")
	if strings.HasPrefix(name, "soft_") || folder == Soft {
		kind = Soft
	}
	all := []string{All, kind}
	if folder != "" && !slices.Contains([]string{All, Soft, Hard}, folder) {
		all = append(all, folder)
	}
	return append(all, tagsOf(stem, tags)...)
}

// tagsOf finds a picture's tags, by its name with or without its folder.
func tagsOf(stem string, tags map[string][]string) []string {
	if name := path.Base(stem); name != stem {
		return slices.Concat(tags[stem], tags[name])
	}
	return tags[stem]
}

// Tag puts pictures into more subsets, by stem.
func (s *Pairs) Tag(tags map[string][]string) {
	for i := range s.Pairs {
		s.Pairs[i].Subsets = append(s.Pairs[i].Subsets, tagsOf(s.Pairs[i].Stem, tags)...)
	}
}

// Tag puts pictures into more subsets, by stem.
func (s *Faces) Tag(tags map[string][]string) {
	for i := range s.Portraits {
		s.Portraits[i].Subsets = append(s.Portraits[i].Subsets, tagsOf(s.Portraits[i].Stem, tags)...)
	}
}

// files lists the plain files of a folder by stem, and those of the folders in it
// by folder/stem. Two files of one stem are a problem; the first by name stays.
func files(dir string) (byStem map[string]string, problems []Problem, err error) {
	byStem = map[string]string{}
	add := func(folder string, e fs.DirEntry) {
		file, s := filepath.Join(dir, folder, e.Name()), path.Join(folder, stem(e.Name()))
		if first, taken := byStem[s]; taken {
			problems = append(problems, Problem{file, Unpaired, "has the name of " + filepath.Base(first)})
			return
		}
		byStem[s] = file
	}
	entries, err := visible(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if !e.IsDir() {
			add("", e)
			continue
		}
		inside, err := visible(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, nil, err
		}
		for _, f := range inside {
			if !f.IsDir() {
				add(e.Name(), f)
			}
		}
	}
	return byStem, problems, nil
}

// visible lists a folder without what is hidden.
func visible(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fault.New(fault.NotFound, "dataset.files", "%w", err)
	}
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") }), nil
}

func stem(name string) string {
	name = filepath.Base(name)
	return strings.TrimSuffix(name, filepath.Ext(name))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Leaks returns the data sets of trainedOn that this set seems to come from, by
// its name and the prefixes of its files' names: a figure on what a model has
// learnt from says little. It compares letters and digits only, so that
// "wider_" meets "WIDER FACE".
func Leaks(trainedOn []string, set string, stems []string) []string {
	names := map[string]bool{plain(set): true}
	for _, s := range stems {
		if prefix, _, ok := strings.Cut(path.Base(s), "_"); ok {
			names[plain(prefix)] = true
		}
	}
	var found []string
	for _, t := range trainedOn {
		p := plain(t)
		for name := range names {
			if len(name) >= 3 && strings.HasPrefix(p, name) || len(p) >= 3 && strings.HasPrefix(name, p) {
				found = append(found, t)
				break
			}
		}
	}
	return found
}

func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(s))
}
