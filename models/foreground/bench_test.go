package foreground_test

import (
	"slices"
	"testing"

	"focal/bench/reference"
	"focal/models"
)

// What surrounds the run of a cut-out, one step at a time: the look to the model's
// size, the planes of its tensor, its output to the mask.
//
//	go test -run '^$' -bench CutOut ./models/foreground
func BenchmarkCutOut(b *testing.B) {
	for _, m := range models.Catalog() {
		if !slices.Contains([]string{"u2netp", "isnet-general", "birefnet-general"}, m.Name) {
			continue
		}
		a, name := adapter(b, m), m.Name
		look := noise(1024, 768)
		p, err := a.Prepare(look)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/prepare", func(b *testing.B) {
			for b.Loop() {
				if _, err := a.Prepare(look); err != nil {
					b.Fatal(err)
				}
			}
		})
		into := make([]float32, models.Elements(p.Tensor.Shape))
		b.Run(name+"/fill", func(b *testing.B) {
			for b.Loop() {
				a.Fill(p, into)
			}
		})
		out := []models.Tensor{reference.Hills(m.Recipe)}
		b.Run(name+"/decode", func(b *testing.B) {
			for b.Loop() {
				if _, err := a.Decode(p, out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
