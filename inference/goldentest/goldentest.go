// Package goldentest holds the outputs of models against the numbers of
// shared/models/golden.json, whichever way they were run. It is imported by
// tests only, and knows no engine.
package goldentest

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"focal/models"
)

// Golden is one model of golden.json: numbers of ONNX Runtime 1.20.1, which the
// same input must give here.
type Golden struct {
	File         string  `json:"-"` // name of the model's file
	InputShape   []int64 `json:"input_shape"`
	InputFormula string  `json:"input_formula"`
	Outputs      map[string]struct {
		Shape     []int64
		First     []float64
		Last      []float64
		Mean, Std float64
	}
}

// Read returns all models by the name of their file; folder is shared/models.
func Read(t testing.TB, folder string) map[string]Golden {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, "golden.json"))
	if err != nil {
		t.Skip("needs ../shared: models/golden.json")
	}
	var all map[string]Golden
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	for file, g := range all {
		g.File = file
		all[file] = g
	}
	return all
}

// formula returns one of the ways of golden.json to make an input of
// p = (17n + 29c + 7y + 13x) mod 256.
func formula(t testing.TB, text string) func(p float64, c int) float64 {
	t.Helper()
	_, text, _ = strings.Cut(text, "input = ")
	switch {
	case text == "p":
		return func(p float64, _ int) float64 { return p }
	case text == "p - [104,117,123][c]":
		return func(p float64, c int) float64 { return p - []float64{104, 117, 123}[c] }
	case text == "(p - 127) / 128":
		return func(p float64, _ int) float64 { return (p - 127) / 128 }
	case text == "p / 255":
		return func(p float64, _ int) float64 { return p / 255 }
	case text == "(p/255 - mean[c]) / std[c]":
		return func(p float64, c int) float64 {
			return (p/255 - []float64{.485, .456, .406}[c]) / []float64{.229, .224, .225}[c]
		}
	}
	t.Fatalf("formula %q is new", text)
	return nil
}

// Input makes the input of g: a batch of two.
func (g Golden) Input(t testing.TB) models.Tensor {
	t.Helper()
	in := models.Tensor{Shape: g.InputShape, Data: make([]float32, models.Elements(g.InputShape))}
	f, i := formula(t, g.InputFormula), 0
	for n := range int(g.InputShape[0]) {
		for c := range int(g.InputShape[1]) {
			for y := range int(g.InputShape[2]) {
				for x := range int(g.InputShape[3]) {
					in.Data[i] = float32(f(float64((17*n+29*c+7*y+13*x)%256), c))
					i++
				}
			}
		}
	}
	return in
}

// tolerance is what the runtimes may differ by: they are nine versions apart
// and sum in another order, and shared/models/README.md allows them 7.8e-5 on
// outputs of about 1.
const tolerance = 2e-4

// Check compares outputs, by position, with those of g.
func (g Golden) Check(t testing.TB, outputs []models.Tensor) {
	t.Helper()
	if len(outputs) != len(g.Outputs) {
		t.Fatalf("%d outputs, want %d", len(outputs), len(g.Outputs))
	}
	for i, name := range g.Names() {
		want, got := g.Outputs[name], outputs[i]
		if !slices.Equal(got.Shape, want.Shape) || models.Elements(got.Shape) != int64(len(got.Data)) {
			t.Errorf("%s: shape %v with %d numbers, want %v", name, got.Shape, len(got.Data), want.Shape)
			continue
		}
		near := func(what string, got, want float64) {
			t.Helper()
			if math.Abs(got-want) > tolerance*max(1, math.Abs(want)) {
				t.Errorf("%s: %s is %v, want %v", name, what, got, want)
			}
		}
		for k, v := range want.First {
			near(fmt.Sprint("first ", k), float64(got.Data[k]), v)
		}
		for k, v := range want.Last {
			near(fmt.Sprint("last ", k), float64(got.Data[len(got.Data)-len(want.Last)+k]), v)
		}
		mean, std := moments(got.Data)
		near("mean", mean, want.Mean)
		near("std", std, want.Std)
	}
}

// Names are those of the outputs in the order of the files, by
// shared/models/README.md.
func (g Golden) Names() []string {
	switch {
	case strings.HasPrefix(g.File, "retinaface"):
		return []string{"bbox", "confidence", "landmark"}
	case strings.HasPrefix(g.File, "yunet"):
		return strings.Fields("cls_8 cls_16 cls_32 obj_8 obj_16 obj_32 bbox_8 bbox_16 bbox_32 kps_8 kps_16 kps_32")
	case strings.HasPrefix(g.File, "ultralight"):
		return []string{"scores", "boxes"}
	}
	for name := range g.Outputs {
		return []string{name}
	}
	return nil
}

func moments(data []float32) (mean, std float64) {
	for _, v := range data {
		mean += float64(v)
	}
	mean /= float64(len(data))
	for _, v := range data {
		std += (float64(v) - mean) * (float64(v) - mean)
	}
	return mean, math.Sqrt(std / float64(len(data)))
}
