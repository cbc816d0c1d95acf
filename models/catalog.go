package models

import (
	"embed"
	"io/fs"
	"path"
	"slices"
)

//go:embed catalog/*.yaml
var catalogFiles embed.FS

// Catalog returns the manifests of the models that can be pulled by name, by
// name. They are part of the program, so a bad one is a defect and panics; a
// test reads them all.
func Catalog() []Manifest {
	files, err := fs.Glob(catalogFiles, "catalog/*.yaml")
	if err != nil {
		panic(err)
	}
	all := make([]Manifest, 0, len(files))
	for _, file := range files {
		text, err := catalogFiles.ReadFile(file)
		if err != nil {
			panic(err)
		}
		m, err := ParseManifest(file, text)
		if err != nil {
			panic(err)
		}
		all = append(all, m)
	}
	return all
}

// catalogText returns the manifest of a catalogue entry as it was written.
func catalogText(name string) ([]byte, bool) {
	text, err := catalogFiles.ReadFile(path.Join("catalog", name+".yaml"))
	return text, err == nil
}

// Preferred returns the models that serve as the default of a task, the best
// first. On the CPU speed counts: U²-Net-p answers in a third of a second where
// BiRefNet takes seconds and gigabytes.
func Preferred(task Task, provider string) []string {
	heavy := []string{"birefnet-general", "birefnet-dis", "birefnet-lite", "isnet-general", "u2net"}
	switch {
	case task == TaskFace:
		return []string{"retinaface-mobilenet025", "retinaface-mobilenetv2", "retinaface-resnet34", "yunet", "ultralight-640", "ultralight-320"}
	case task == TaskForeground && provider == "cuda":
		return slices.Concat(heavy, []string{"u2netp"})
	case task == TaskForeground:
		slices.Reverse(heavy)
		return slices.Concat([]string{"u2netp"}, heavy)
	default:
		return nil
	}
}
