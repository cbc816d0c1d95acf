package app

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestSamples_ArePicturesOfRootThenOfItsFolders(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"z.JPG", "b/2.png", "b/1.webp", "b/deeper/3.png", "a/notes.txt", ".hidden/4.png", "c.png/5.gif"} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := samples(root), []string{"z.JPG", "b/1.webp", "b/2.png", "c.png/5.gif"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for i := range mostSamples {
		if err := os.WriteFile(filepath.Join(root, string(rune('a'+i))+".png"), nil, 0o600); err != nil && i != 2 { // c.png is a folder
			t.Fatal(err)
		}
	}
	if got := samples(root); len(got) != mostSamples || slices.Contains(got, "b/2.png") {
		t.Errorf("%q, want %d, those of root first", got, mostSamples)
	}
	if got := append(samples(""), samples(filepath.Join(root, "nowhere"))...); got != nil {
		t.Errorf("%q of no root", got)
	}
}
