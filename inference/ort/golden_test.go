package ort_test

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

// golden is one model of shared/models/golden.json: numbers of ONNX Runtime
// 1.20.1, which the same input must give here.
type golden struct {
	InputShape   []int64 `json:"input_shape"`
	InputFormula string  `json:"input_formula"`
	Outputs      map[string]struct {
		Shape     []int64
		First     []float64
		Last      []float64
		Mean, Std float64
	}
}

func goldens(t *testing.T) map[string]golden {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "models", "golden.json"))
	if err != nil {
		t.Skip("needs ../shared: models/golden.json")
	}
	var all map[string]golden
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// formulas are the ways of golden.json to make an input of
// p = (17n + 29c + 7y + 13x) mod 256.
func formula(t *testing.T, text string) func(p float64, c int) float64 {
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

func pattern(shape []int64, f func(p float64, c int) float64) models.Tensor {
	t := models.Tensor{Shape: shape, Data: make([]float32, models.Elements(shape))}
	i := 0
	for n := range int(shape[0]) {
		for c := range int(shape[1]) {
			for y := range int(shape[2]) {
				for x := range int(shape[3]) {
					t.Data[i] = float32(f(float64((17*n+29*c+7*y+13*x)%256), c))
					i++
				}
			}
		}
	}
	return t
}

func TestSession_GivesTheGoldenNumbers(t *testing.T) {
	for file, g := range goldens(t) {
		t.Run(file, func(t *testing.T) {
			m := model(t, strings.TrimSuffix(file, ".onnx"))
			// The runtimes are nine versions apart, and sum in another order:
			// models/README.md allows them 7.8e-5 on outputs of about 1.
			const tolerance = 2e-4
			out := run(t, load(t, m), pattern(g.InputShape, formula(t, g.InputFormula)))
			if len(out) != len(g.Outputs) {
				t.Fatalf("%d outputs, want %d", len(out), len(g.Outputs))
			}
			for i, name := range outputOrder(file, g) {
				want, got := g.Outputs[name], out[i]
				if !slices.Equal(got.Shape, want.Shape) {
					t.Errorf("%s: shape %v, want %v", name, got.Shape, want.Shape)
					continue
				}
				close := func(what string, got, want float64) {
					if math.Abs(got-want) > tolerance*max(1, math.Abs(want)) {
						t.Errorf("%s: %s is %v, want %v", name, what, got, want)
					}
				}
				for k, v := range want.First {
					close(fmt.Sprint("first ", k), float64(got.Data[k]), v)
				}
				for k, v := range want.Last {
					close(fmt.Sprint("last ", k), float64(got.Data[len(got.Data)-len(want.Last)+k]), v)
				}
				mean, std := moments(got.Data)
				close("mean", mean, want.Mean)
				close("std", std, want.Std)
			}
		})
	}
}

// outputOrder is the order of the outputs in the files, by shared/models/README.md.
func outputOrder(file string, g golden) []string {
	switch {
	case strings.HasPrefix(file, "retinaface"):
		return []string{"bbox", "confidence", "landmark"}
	case strings.HasPrefix(file, "yunet"):
		return strings.Fields("cls_8 cls_16 cls_32 obj_8 obj_16 obj_32 bbox_8 bbox_16 bbox_32 kps_8 kps_16 kps_32")
	case strings.HasPrefix(file, "ultralight"):
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
