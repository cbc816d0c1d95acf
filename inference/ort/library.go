package ort

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"focal/core/fault"
)

// FindLibrary returns the path of the ONNX Runtime library: explicit where it
// is given, else the first that exists in .deps/lib of the working directory,
// beside the program or in lib or .deps/lib beside its folder, and in the
// system's folders. Where device may be a card, each folder's cuda comes before
// it: the build with the CUDA provider is another one. The error is
// fault.NotFound and says how to get one.
func FindLibrary(explicit, device string) (string, error) {
	const op = "ort.FindLibrary"
	if explicit != "" {
		if !isFile(explicit) {
			return "", fault.New(fault.NotFound, op, "no ONNX Runtime library at %s: scripts/run installs one in .deps/lib", explicit)
		}
		// A bare name would send the loader to its own search path.
		return filepath.Abs(explicit)
	}
	folders := libraryFolders()
	if device != "cpu" {
		folders = slices.Concat(within(folders, "cuda"), folders)
	}
	for _, folder := range folders {
		for _, name := range libraryNames() {
			if path := filepath.Join(folder, name); isFile(path) {
				return path, nil
			}
		}
	}
	return "", fault.New(fault.NotFound, op, "no ONNX Runtime library in %s: scripts/run installs one in .deps/lib", strings.Join(folders, ", "))
}

func libraryFolders() []string {
	var folders []string
	if cwd, err := os.Getwd(); err == nil {
		folders = append(folders, filepath.Join(cwd, ".deps", "lib"))
	}
	if program, err := os.Executable(); err == nil {
		beside := filepath.Dir(program)
		folders = append(folders, beside, filepath.Join(beside, ".deps", "lib"),
			filepath.Join(beside, "..", ".deps", "lib"), filepath.Join(beside, "..", "lib"))
	}
	return append(folders, "/usr/local/lib", "/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
}

func within(folders []string, name string) []string {
	inner := make([]string, len(folders))
	for i, folder := range folders {
		inner[i] = filepath.Join(folder, name)
	}
	return inner
}

func libraryNames() []string {
	if runtime.GOOS == "darwin" {
		return []string{"libonnxruntime.dylib"}
	}
	return []string{"libonnxruntime.so", "libonnxruntime.so.1"}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
