package models

import (
	"crypto/sha256"
	"embed"
	"io/fs"
	"path"
)

//go:embed builtin/*/model.yaml builtin/*/model.onnx
var builtinFiles embed.FS

// Builtin returns the models that are part of the program: small ones, trained
// by this project, which answer where the repository has nothing better. They
// have Data and no Path. A bad one is a defect and panics; a test reads them.
func Builtin() []Model {
	files, err := fs.Glob(builtinFiles, "builtin/*/"+manifestFile)
	if err != nil {
		panic(err)
	}
	all := make([]Model, 0, len(files))
	for _, file := range files {
		text, err := builtinFiles.ReadFile(file)
		if err != nil {
			panic(err)
		}
		m, err := ParseManifest(file, text)
		if err != nil {
			panic(err)
		}
		data, err := builtinFiles.ReadFile(path.Join(path.Dir(file), weightsFile))
		if err != nil {
			panic(err)
		}
		all = append(all, Model{Manifest: m, Version: "1", File: sha256.Sum256(data), Data: data})
	}
	return all
}
