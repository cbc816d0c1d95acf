package foreground_test

import (
	"math"
	"slices"
	"testing"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/models"
	"focal/models/foreground"
)

// manifest holds the values that the catalogue's entry of U²-Net-p has.
func manifest() models.Manifest {
	return models.Manifest{
		Name: "u2netp", Task: models.TaskForeground,
		Recipe: models.Recipe{Family: "mask", Colour: "rgb", Resize: "stretch", Width: 320, Height: 320, Kernel: "area", Scale: "max",
			Mean: [3]float64{0.485, 0.456, 0.406}, Std: [3]float64{0.229, 0.224, 0.225}, Stretch: true, EmptyBelow: 0.5},
		Inputs:  []models.Port{{Name: "input", Shape: []int64{-1, 3, -1, -1}}},
		Outputs: []models.Port{{Name: "mask", Shape: []int64{-1, 1, -1, -1}}},
	}
}

func adapter(t testing.TB, m models.Manifest) models.Adapter[pixel.Mask] {
	t.Helper()
	a, err := foreground.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDecode_FollowsTheRecipe(t *testing.T) {
	tests := []struct {
		name   string
		change func(*models.Recipe)
		raw    []float32
		want   []byte
	}{
		{"as it comes, cut off and not rounded", func(r *models.Recipe) { r.Stretch = false },
			[]float32{0, 0.5, 0.999, 1}, []byte{0, 127, 254, 255}},
		{"clamped", func(r *models.Recipe) { r.Stretch = false },
			[]float32{-0.5, 0, 1, 1.5}, []byte{0, 0, 255, 255}},
		{"stretched", func(r *models.Recipe) { r.EmptyBelow = 0 },
			[]float32{0.25, 0.5, 0.375, 0.75}, []byte{0, 127, 63, 255}},
		{"sigmoid", func(r *models.Recipe) { r.Stretch, r.Sigmoid = false, true },
			[]float32{0, -100, 100, float32(math.Log(3))}, []byte{127, 0, 255, 191}},
		{"no subject", func(*models.Recipe) {},
			[]float32{0, 0.1, 0.2, 0.49}, []byte{0, 0, 0, 0}},
		{"just a subject", func(*models.Recipe) {},
			[]float32{0, 0.125, 0.25, 0.5}, []byte{0, 63, 127, 255}},
		{"nothing to stretch by", func(*models.Recipe) {},
			[]float32{0.75, 0.75, 0.75, 0.75}, []byte{0, 0, 0, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := manifest()
			tt.change(&m.Recipe)
			raw := slices.Clone(tt.raw)
			got, err := adapter(t, m).Decode(models.Prepared{}, []models.Tensor{{Shape: []int64{1, 1, 1, 4}, Data: raw}})
			if err != nil {
				t.Fatal(err)
			}
			if got.Size() != (pixel.Size{Width: 4, Height: 1}) || !slices.Equal(got.Pix, tt.want) {
				t.Errorf("got %v %v, want %v", got.Size(), got.Pix, tt.want)
			}
			if !slices.Equal(raw, tt.raw) {
				t.Error("the model's output was changed")
			}
		})
	}
}

// plain is the published way: one number after the other, each in its own right.
func plain(r models.Recipe, raw []float32) []byte {
	raw = slices.Clone(raw)
	if r.Sigmoid {
		for i, v := range raw {
			raw[i] = float32(1 / (1 + math.Exp(-float64(v))))
		}
	}
	low, high := float32(0), float32(1)
	if r.Stretch {
		low, high = slices.Min(raw), slices.Max(raw)
	}
	pix := make([]byte, len(raw))
	if float64(slices.Max(raw)) < r.EmptyBelow || high <= low {
		return pix
	}
	for i, v := range raw {
		pix[i] = byte(min(max((v-low)/(high-low), 0), 1) * 255)
	}
	return pix
}

func TestDecode_GivesWhatThePlainFormulaGives(t *testing.T) {
	within := func(least, most float64) func(int) float32 {
		return func(i int) float32 { return float32(least + (most-least)*float64(i)/(1<<18-1)) }
	}
	for name, number := range map[string]func(int) float32{
		"every size of number": func(i int) float32 {
			v := math.Float32frombits(uint32(i) << 14)
			return min(max(v, -1e30), 1e30) // NaN is the first
		},
		"logits":           within(-12, 12),
		"far logits":       within(-200, 100),
		"probabilities":    within(0, 1),
		"above the middle": within(0.6, 0.9),
		"close together":   within(1, 1.00001),
		"tiny":             within(0, 1e-39),
		"two":              func(i int) float32 { return float32(i & 1) },
		"one":              func(int) float32 { return 0.75 },
	} {
		raw := make([]float32, 1<<18)
		for i := range raw {
			if raw[i] = number(i); raw[i] != raw[i] {
				raw[i] = 0
			}
		}
		for _, r := range []models.Recipe{{}, {Stretch: true}, {Sigmoid: true}, {Sigmoid: true, Stretch: true}} {
			m := manifest()
			m.Recipe.Sigmoid, m.Recipe.Stretch, m.Recipe.EmptyBelow = r.Sigmoid, r.Stretch, 0
			got, err := adapter(t, m).Decode(models.Prepared{}, []models.Tensor{{Shape: []int64{1, 1, 512, 512}, Data: raw}})
			if err != nil {
				t.Fatal(err)
			}
			want := plain(m.Recipe, raw)
			for i := range want {
				if got.Pix[i] != want[i] {
					t.Errorf("%s, sigmoid %v, stretch %v: %v became %d, want %d", name, r.Sigmoid, r.Stretch, raw[i], got.Pix[i], want[i])
					break
				}
			}
		}
	}
}

func TestDecode_RefusesOutputsThatDoNotFit(t *testing.T) {
	good := models.Tensor{Shape: []int64{1, 1, 1, 2}, Data: []float32{0, 1}}
	for name, out := range map[string][]models.Tensor{
		"none":           nil,
		"two":            {good, good},
		"two channels":   {{Shape: []int64{1, 2, 1, 1}, Data: good.Data}},
		"batch of two":   {{Shape: []int64{2, 1, 1, 1}, Data: good.Data}},
		"rank":           {{Shape: []int64{1, 1, 2}, Data: good.Data}},
		"values missing": {{Shape: []int64{1, 1, 1, 3}, Data: good.Data}},
		"nan":            {{Shape: good.Shape, Data: []float32{0, float32(math.NaN())}}},
		"infinite":       {{Shape: good.Shape, Data: []float32{0, float32(math.Inf(-1))}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := adapter(t, manifest()).Decode(models.Prepared{}, out); err == nil || !fault.Is(err, fault.Internal) {
				t.Errorf("got %v, want fault.Internal", err)
			}
		})
	}
}

func TestNew_NamesTheWrongField(t *testing.T) {
	for name, change := range map[string]func(*models.Recipe){
		"family":      func(r *models.Recipe) { r.Family = "retinaface" },
		"resize":      func(r *models.Recipe) { r.Resize = "fit" },
		"empty_below": func(r *models.Recipe) { r.EmptyBelow = 2 },
		"width":       func(r *models.Recipe) { r.Width = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			m := manifest()
			change(&m.Recipe)
			if _, err := foreground.New(m); !fault.Is(err, fault.Invalid) {
				t.Errorf("got %v, want fault.Invalid", err)
			}
		})
	}
}
