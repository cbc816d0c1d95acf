package app

import (
	"os"
	"path"
	"path/filepath"
	"strings"
)

// mostSamples bounds the start page.
const mostSamples = 12

// samples lists pictures for the start page: those at the top of root, then, where
// there is room, those in its folders; none without a root. It only reads names:
// what a file really is shows when it is asked for.
func samples(root string) []string {
	if root == "" {
		return nil
	}
	names, folders := pictures(root)
	for _, folder := range folders[:min(len(folders), mostSamples)] {
		if len(names) >= mostSamples {
			break
		}
		inside, _ := pictures(filepath.Join(root, folder))
		for _, name := range inside {
			names = append(names, path.Join(folder, name))
		}
	}
	return names[:min(len(names), mostSamples)]
}

// pictures returns the files of a folder that have the ending of a picture, and
// its folders that are not hidden, both sorted.
func pictures(folder string) (names, folders []string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, nil
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			folders = append(folders, e.Name())
		}
		switch strings.ToLower(filepath.Ext(e.Name())) {
		case ".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".tif", ".tiff", ".gif":
			if e.Type().IsRegular() {
				names = append(names, e.Name())
			}
		}
	}
	return names, folders
}
