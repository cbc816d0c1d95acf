package models_test

import (
	"path/filepath"
	"testing"

	"focal/core/pixel"
	"focal/inference/ort"
	"focal/models"
	"focal/models/face"
	"focal/models/foreground"
)

// prepare makes a picture of 300×200 ready by m's adapter.
func prepare(m models.Manifest) (models.Prepared, error) {
	look := pixel.Buffer{Width: 300, Height: 200, Channels: 3, Pix: make([]byte, 300*200*3)}
	if m.Task == models.TaskFace {
		a, err := face.New(m)
		if err != nil {
			return models.Prepared{}, err
		}
		return models.Filled(a, look)
	}
	a, err := foreground.New(m)
	if err != nil {
		return models.Prepared{}, err
	}
	return models.Filled(a, look)
}

func TestCatalog_AdaptersAcceptEveryRecipe(t *testing.T) {
	for _, m := range models.Catalog() {
		p, err := prepare(m)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		for i, n := range m.Inputs[0].Shape {
			if i > 0 && n > 0 && p.Tensor.Shape[i] != n {
				t.Errorf("%s: the recipe gives %v, the input wants %v", m.Name, p.Tensor.Shape, m.Inputs[0].Shape)
				break
			}
		}
	}
}

// Pull, load, prepare, run, decode: what the server does with each model that
// we have the weights of.
func TestCatalog_ProvenModelsRun(t *testing.T) {
	dir := sharedModels(t)
	c := ort.DefaultConfig()
	c.Library = filepath.Join("..", ".deps", "lib", "libonnxruntime.so")
	engine, err := ort.Open(c)
	if err != nil {
		t.Fatalf("%v (scripts/deps fetches it)", err)
	}
	r := open(t)
	for _, m := range models.Catalog() {
		if !m.Artefacts[0].Proven {
			continue
		}
		pulled, err := r.Pull(t.Context(), m.Name, models.PullOptions{Mirror: dir})
		if err != nil {
			t.Fatal(err)
		}
		p, err := prepare(pulled.Model.Manifest)
		if err != nil {
			t.Fatal(err)
		}
		s, err := engine.Load(t.Context(), pulled.Model)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		out, err := s.Run(t.Context(), []models.Tensor{p.Tensor})
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
		} else if err := decode(pulled.Model.Manifest, p, out); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
	if n := engine.Live(); n != 0 {
		t.Errorf("%d C objects left alive", n)
	}
}

// decode runs m's decoder; what it finds in a black picture is the adapters' test.
func decode(m models.Manifest, p models.Prepared, out []models.Tensor) error {
	if m.Task == models.TaskFace {
		a, err := face.New(m)
		if err != nil {
			return err
		}
		_, err = a.Decode(p, out)
		return err
	}
	a, err := foreground.New(m)
	if err != nil {
		return err
	}
	mask, err := a.Decode(p, out)
	if err != nil {
		return err
	}
	return mask.Validate()
}
