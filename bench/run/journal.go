package run

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"

	"focal/bench/report"
	"focal/core/fault"
)

// Journal is a file of one JSON line for every picture that was measured. A run
// that was broken off goes on where it stopped: lines of the same key are not
// measured again.
type Journal struct {
	mu        sync.Mutex // protects the rest
	file      *os.File
	pictures  map[string]report.Picture
	portraits map[string]report.Portrait
	models    map[string]report.Model
}

// line is one of the three.
type line struct {
	Picture  *report.Picture  `json:"picture,omitempty"`
	Portrait *report.Portrait `json:"portrait,omitempty"`
	Model    *report.Model    `json:"model,omitempty"`
}

// OpenJournal reads what is there and appends to it. A last line that was cut
// off is forgotten.
func OpenJournal(path string) (*Journal, error) {
	const op = "run.OpenJournal"
	j := &Journal{pictures: map[string]report.Picture{}, portraits: map[string]report.Portrait{}, models: map[string]report.Model{}}
	whole, err := j.read(path)
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "%s: %w", path, err)
	}
	if j.file, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return nil, fault.New(fault.Invalid, op, "%w", err)
	}
	if err := errors.Join(j.file.Truncate(whole), seekEnd(j.file)); err != nil {
		return nil, errors.Join(fault.New(fault.Internal, op, "%w", err), j.file.Close())
	}
	return j, nil
}

func seekEnd(f *os.File) error {
	_, err := f.Seek(0, 2)
	return err
}

// read takes in the lines of a journal and returns where the last whole one
// ends.
func (j *Journal) read(path string) (whole int64, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for r := bufio.NewReaderSize(f, 1<<16); ; {
		text, err := r.ReadBytes('\n')
		if err != nil { // the end, or a line without one
			return whole, nil
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return whole, nil
		}
		j.keep(l)
		whole += int64(len(text))
	}
}

func (j *Journal) keep(l line) {
	switch {
	case l.Picture != nil:
		j.pictures[l.Picture.Key] = *l.Picture
	case l.Portrait != nil:
		j.portraits[l.Portrait.Key] = *l.Portrait
	case l.Model != nil:
		j.models[nameOf(*l.Model)] = *l.Model
	}
}

// nameOf tells models apart, by set too: what was measured of one is of its set.
func nameOf(m report.Model) string {
	return strings.Join([]string{m.Dataset, m.Engine, m.Model, m.File, m.Recipe}, "/")
}

// write keeps a line and appends it.
func (j *Journal) write(l line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fault.New(fault.Internal, "run.Journal", "%w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keep(l)
	_, err = j.file.Write(append(text, '\n'))
	return err
}

func (j *Journal) picture(key string) (report.Picture, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p, ok := j.pictures[key]
	return p, ok && p.Error == ""
}

func (j *Journal) portrait(key string) (report.Portrait, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p, ok := j.portraits[key]
	return p, ok && p.Error == ""
}

// model returns what an earlier run knew of m, or m.
func (j *Journal) model(m report.Model) report.Model {
	j.mu.Lock()
	defer j.mu.Unlock()
	if known, ok := j.models[nameOf(m)]; ok {
		known.Leak, known.Tuned = m.Leak, m.Tuned
		return known
	}
	return m
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }
