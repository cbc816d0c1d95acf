package models

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"focal/core/fault"
)

// Stamp names the state of the repository: it changes when a model comes, goes
// or changes. It looks at names, sizes and times and reads no file, so that a
// running server can ask every few seconds.
func (r *Repository) Stamp() (string, error) {
	const op = "models.Stamp"
	h := sha256.New()
	for _, pattern := range []string{"*/" + manifestFile, "*/*/" + weightsFile} {
		paths, err := filepath.Glob(filepath.Join(r.dir, pattern)) // sorted
		if err != nil {
			return "", fault.New(fault.Internal, op, "%w", err)
		}
		for _, path := range paths {
			short, err := filepath.Rel(r.dir, path)
			if err != nil || strings.HasPrefix(short, ".") {
				continue
			}
			info, err := os.Stat(path)
			if err != nil { // gone since it was listed: the next look says so
				continue
			}
			fmt.Fprintln(h, short, info.Size(), info.ModTime().UnixNano()) // a hash never fails to be written to
		}
	}
	return string(h.Sum(nil)), nil
}

// Holds reports whether the file of m is still there with the bytes that m
// names. It is read only if its size or time are not those of the last reading.
// What is part of the program stays.
func (r *Repository) Holds(m Model) bool {
	if m.Data != nil {
		return true
	}
	d, err := r.digest(m.Path)
	return err == nil && d == m.File
}
