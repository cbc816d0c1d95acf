package load

import (
	"os"
	"path/filepath"
	"strings"

	"focal/core/fault"
)

// mostBytes bounds what Bodies holds.
const mostBytes = 1 << 30

// Bodies reads what requests are to send: files, and those of folders by name,
// but for hidden ones and folders in them.
func Bodies(paths []string) ([][]byte, error) {
	const op = "load.Bodies"
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fault.New(fault.NotFound, op, "--body: %w", err)
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, fault.New(fault.Internal, op, "--body: %w", err)
		}
		for _, e := range entries {
			if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
	}
	var all [][]byte
	sum := 0
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			return nil, fault.New(fault.Internal, op, "--body: %w", err)
		}
		if sum += len(body); sum > mostBytes {
			return nil, fault.New(fault.TooLarge, op, "--body: more than %d bytes together", mostBytes)
		}
		all = append(all, body)
	}
	if len(all) == 0 {
		return nil, fault.New(fault.NotFound, op, "--body %s: no file in it", strings.Join(paths, ", "))
	}
	return all, nil
}
