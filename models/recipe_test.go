package models_test

import (
	"crypto/sha256"
	"reflect"
	"testing"

	"focal/core/pixel"
	"focal/models"
)

// The text is written out by hand from the comment of RecipeDigest: stored
// results live as long as it does.
func TestRecipeDigest_IsStable(t *testing.T) {
	m := models.Manifest{
		Name:     "any",
		Recipe:   models.Recipe{Family: "mask", Width: 320, Mean: [3]float64{0.485, 0, 1e-7}, Stretch: true},
		Canvases: models.Canvases{Step: 256},
	}
	want := pixel.Digest(sha256.Sum256([]byte("recipe1\n" +
		"recipe.Family \"mask\"\nrecipe.Width 320\nrecipe.Mean 0.485 0 1e-07 \nrecipe.Stretch true\ncanvases.Step 256\n")))
	if got := models.RecipeDigest(m); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRecipeDigest_MovesWithEveryField(t *testing.T) {
	seen := map[pixel.Digest]string{models.RecipeDigest(models.Manifest{}): "nothing set"}
	walk := func(name string, part func(*models.Manifest) reflect.Value) {
		fields := part(&models.Manifest{}).NumField()
		for i := range fields {
			var m models.Manifest
			v := part(&m)
			label := name + "." + v.Type().Field(i).Name
			set(t, v.Field(i))
			d := models.RecipeDigest(m)
			if before, ok := seen[d]; ok {
				t.Errorf("%s has the digest of %s", label, before)
			}
			seen[d] = label
		}
	}
	walk("Recipe", func(m *models.Manifest) reflect.Value { return reflect.ValueOf(&m.Recipe).Elem() })
	walk("Canvases", func(m *models.Manifest) reflect.Value { return reflect.ValueOf(&m.Canvases).Elem() })
}

func set(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(1)
	case reflect.Float64:
		v.SetFloat(0.1)
	case reflect.Array:
		set(t, v.Index(v.Len()-1))
	default:
		t.Fatalf("kind %v: teach RecipeDigest and this test", v.Kind())
	}
}

func TestRecipeDigest_IgnoresWhatMovesNothing(t *testing.T) {
	a := models.Manifest{Name: "a", MaxBatch: 1}
	b := models.Manifest{Name: "b", MaxBatch: 9, Session: models.Session{MemoryPattern: true}, Defaults: models.Defaults{Threshold: 0.6}}
	if models.RecipeDigest(a) != models.RecipeDigest(b) {
		t.Error("the digest moves with fields outside the recipe")
	}
}
