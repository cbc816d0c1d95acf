package app

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mostSamples bounds the start page.
const mostSamples = 12

// samples lists pictures at the top of root for the start page; none without a
// root. It only reads names: what a file really is shows when it is asked for.
func samples(root string) []string {
	if root == "" {
		return nil
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		switch strings.ToLower(filepath.Ext(e.Name())) {
		case ".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".tif", ".tiff", ".gif":
			if e.Type().IsRegular() {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return names[:min(len(names), mostSamples)]
}
