package ort_test

import (
	"path/filepath"
	"strings"
	"testing"

	"focal/inference/goldentest"
)

func TestSession_GivesTheGoldenNumbers(t *testing.T) {
	for file, g := range goldentest.Read(t, filepath.Join("..", "..", "..", "shared", "models")) {
		t.Run(file, func(t *testing.T) {
			m := model(t, strings.TrimSuffix(file, ".onnx"))
			g.Check(t, run(t, load(t, m), g.Input(t)))
		})
	}
}
