package face_test

import (
	"math"
	"testing"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/models"
	"focal/models/face"
)

// manifest holds the values that the catalogue's entry of each family has.
func manifest(family string) models.Manifest {
	m := models.Manifest{
		Name: family, Task: models.TaskFace,
		Recipe: models.Recipe{Family: family, Colour: "bgr", Resize: "fit", LongSide: 1024, Kernel: "area", Scale: "1",
			Mean: [3]float64{104, 117, 123}, Std: [3]float64{1, 1, 1}, Floor: 0.02, NMS: 0.4, MaxFaces: 500},
		Canvases: models.Canvases{Step: 256, Max: 1024},
		Inputs:   []models.Port{{Name: "input", Shape: []int64{-1, 3, -1, -1}}},
		Session:  models.Session{MemoryPattern: true},
	}
	values := []int64{4, 2, 10}
	switch family {
	case "yunet":
		m.Recipe.Mean, m.Recipe.NMS = [3]float64{}, 0.3
		m.Session.MemoryPattern = false
		values = []int64{1, 1, 1, 1, 1, 1, 4, 4, 4, 10, 10, 10}
	case "ultralight":
		m.Recipe = models.Recipe{Family: family, Colour: "rgb", Resize: "stretch", Width: 640, Height: 480, Kernel: "area", Scale: "1",
			Mean: [3]float64{127, 127, 127}, Std: [3]float64{128, 128, 128}, Floor: 0.05, NMS: 0.3, MaxFaces: 500}
		m.Canvases = models.Canvases{}
		m.Inputs[0].Shape = []int64{-1, 3, 480, 640}
		values = []int64{2, 4}
	}
	for _, v := range values {
		m.Outputs = append(m.Outputs, models.Port{Shape: []int64{-1, -1, v}})
	}
	return m
}

func adapter(t *testing.T, m models.Manifest) models.Adapter[[]pixel.Face] {
	t.Helper()
	a, err := face.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// zeros are outputs without a face for a canvas of 64×64.
func zeros(family string) []models.Tensor {
	shapes := map[string][][]int64{
		// 64 + 16 + 4 cells with two priors each.
		"retinaface": {{1, 168, 4}, {1, 168, 2}, {1, 168, 10}},
		"yunet": {{1, 64, 1}, {1, 16, 1}, {1, 4, 1}, {1, 64, 1}, {1, 16, 1}, {1, 4, 1},
			{1, 64, 4}, {1, 16, 4}, {1, 4, 4}, {1, 64, 10}, {1, 16, 10}, {1, 4, 10}},
		"ultralight": {{1, 5, 2}, {1, 5, 4}},
	}[family]
	out := make([]models.Tensor, len(shapes))
	for i, s := range shapes {
		out[i] = models.Tensor{Shape: s, Data: make([]float32, models.Elements(s))}
	}
	return out
}

// square is a picture of 64×32 on a canvas of 64×64.
var square = models.Prepared{Canvas: pixel.Size{Width: 64, Height: 64}, Inner: pixel.Size{Width: 64, Height: 32}}

// The expected boxes are worked out by hand from the formulas of
// shared/models/README.md.
func TestDecode_FollowsThePublishedFormula(t *testing.T) {
	tests := []struct {
		family string
		set    func(out []models.Tensor)
		want   pixel.Face
	}{
		{"retinaface", func(out []models.Tensor) {
			// The second grid (stride 16, 4 cells a row) begins at anchor 128;
			// cell x 2, y 0, first prior (64): 128 + 2·2. Centre 40, 8.
			a := 132
			out[1].Data[2*a+1] = 0.75
			copy(out[0].Data[4*a:], []float32{1, -0.5, float32(math.Log(0.5) / 0.2), float32(math.Log(0.25) / 0.2)})
			copy(out[2].Data[10*a:], []float32{-1, 0, 1, 0, 0, 1, -1, 2, 1, 2})
			// Centre 40+6.4, 8-3.2; size 32×16; landmark steps of 6.4.
		}, pixel.Face{
			Box:   pixel.Box{X: (46.4 - 16) / 64, Y: (4.8 - 8) / 32, W: 0.5, H: 0.5},
			Score: 0.75,
			Landmarks: []pixel.Point{{X: 33.6 / 64, Y: 8. / 32}, {X: 46.4 / 64, Y: 8. / 32}, {X: 40. / 64, Y: 14.4 / 32},
				{X: 33.6 / 64, Y: 20.8 / 32}, {X: 46.4 / 64, Y: 20.8 / 32}},
		}},
		{"yunet", func(out []models.Tensor) {
			// Stride 16, 4 cells a row: cell 6 is x 2, y 1, corner 32, 16.
			k := 6
			out[1].Data[k], out[4].Data[k] = 0.5, 1.25 // sqrt(0.5 · 1)
			copy(out[7].Data[4*k:], []float32{0.5, -0.25, 0, float32(math.Log(2))})
			copy(out[10].Data[10*k:], []float32{0, 0, 1, 0, 0.5, 0.5, 0, 1, 1, 1})
			// Centre 40, 12; size 16×32.
		}, pixel.Face{
			Box:   pixel.Box{X: 0.5, Y: -4. / 32, W: 0.25, H: 1},
			Score: math.Sqrt(0.5),
			Landmarks: []pixel.Point{{X: 0.5, Y: 0.5}, {X: 0.75, Y: 0.5}, {X: 40. / 64, Y: 24. / 32},
				{X: 0.5, Y: 1}, {X: 0.75, Y: 1}},
		}},
		{"ultralight", func(out []models.Tensor) {
			out[0].Data[2*3+1] = 0.5
			copy(out[1].Data[4*3:], []float32{0.25, 0.125, 0.5, 0.25})
			// Corners are fractions of the 64×64 canvas.
		}, pixel.Face{Box: pixel.Box{X: 0.25, Y: 0.25, W: 0.25, H: 0.25}, Score: 0.5}},
	}
	for _, tt := range tests {
		t.Run(tt.family, func(t *testing.T) {
			out := zeros(tt.family)
			tt.set(out)
			faces, err := adapter(t, manifest(tt.family)).Decode(square, out)
			if err != nil {
				t.Fatal(err)
			}
			if len(faces) != 1 || !same(faces[0], tt.want) {
				t.Errorf("got %+v, want %+v", faces, tt.want)
			}
		})
	}
}

func TestDecode_YunetNeedsNoLandmarks(t *testing.T) {
	out := zeros("yunet")[:9]
	// Stride 8, 8 cells a row: cell 9 is x 1, y 1, corner 8, 8.
	out[0].Data[9], out[3].Data[9] = 1, 0.25
	copy(out[6].Data[4*9:], []float32{1, 0, float32(math.Log(2)), 0})
	faces, err := adapter(t, manifest("yunet")).Decode(square, out)
	if err != nil {
		t.Fatal(err)
	}
	// Centre 16, 8; size 16×8.
	want := pixel.Face{Box: pixel.Box{X: 8. / 64, Y: 4. / 32, W: 0.25, H: 0.25}, Score: 0.5}
	if len(faces) != 1 || !same(faces[0], want) || faces[0].Landmarks != nil {
		t.Errorf("got %+v, want %+v", faces, want)
	}
}

func same(a, b pixel.Face) bool {
	ok := len(a.Landmarks) == len(b.Landmarks)
	near := func(x, y float64) { ok = ok && math.Abs(x-y) < 1e-6 }
	near(a.Box.X, b.Box.X)
	near(a.Box.Y, b.Box.Y)
	near(a.Box.W, b.Box.W)
	near(a.Box.H, b.Box.H)
	near(a.Score, b.Score)
	for i := range min(len(a.Landmarks), len(b.Landmarks)) {
		near(a.Landmarks[i].X, b.Landmarks[i].X)
		near(a.Landmarks[i].Y, b.Landmarks[i].Y)
	}
	return ok
}

func TestDecode_SortsThinsAndCuts(t *testing.T) {
	out := zeros("ultralight")
	for a, score := range []float32{0.5, 0.9, 0.8, 0.01, 0.7} {
		out[0].Data[2*a+1] = score
	}
	copy(out[1].Data, []float32{
		0, 0, 0.2, 0.2, // weakest that counts
		0.5, 0, 0.7, 0.2, // best
		0.51, 0, 0.71, 0.2, // overlaps the best
		0.8, 0, 1, 0.2, // under the floor
		0.2, 0.6, 0.4, 0.8, // in the padding: the picture ends at 0.5
	})
	m := manifest("ultralight")
	scores := func() (got []float64) {
		faces, err := adapter(t, m).Decode(square, out)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range faces {
			got = append(got, math.Round(f.Score*100)/100)
		}
		return got
	}
	if got := scores(); len(got) != 2 || got[0] != 0.9 || got[1] != 0.5 {
		t.Errorf("got scores %v, want 0.9 0.5", got)
	}
	m.Recipe.MaxFaces = 1
	if got := scores(); len(got) != 1 || got[0] != 0.9 {
		t.Errorf("got scores %v, want 0.9", got)
	}
}

func TestDecode_RefusesOutputsThatDoNotFit(t *testing.T) {
	for _, family := range []string{"retinaface", "yunet", "ultralight"} {
		score := map[string]int{"retinaface": 1, "yunet": 0, "ultralight": 0}[family]
		box := map[string]int{"retinaface": 0, "yunet": 6, "ultralight": 1}[family]
		tests := map[string]func(out []models.Tensor) []models.Tensor{
			"one missing":    func(out []models.Tensor) []models.Tensor { return out[1:] },
			"batch of two":   func(out []models.Tensor) []models.Tensor { out[0].Shape[0] = 2; return out },
			"rank":           func(out []models.Tensor) []models.Tensor { out[0].Shape = out[0].Shape[1:]; return out },
			"values missing": func(out []models.Tensor) []models.Tensor { out[0].Data = out[0].Data[1:]; return out },
			"nan": func(out []models.Tensor) []models.Tensor {
				out[score].Data[1] = float32(math.NaN())
				return out
			},
			"infinite box": func(out []models.Tensor) []models.Tensor {
				for i := range out[score].Data {
					out[score].Data[i] = 1
				}
				if family == "yunet" {
					out[3].Data[0] = 1
				}
				out[box].Data[2] = float32(math.Inf(1))
				return out
			},
		}
		for name, change := range tests {
			t.Run(family+"/"+name, func(t *testing.T) {
				if _, err := adapter(t, manifest(family)).Decode(square, change(zeros(family))); !fault.Is(err, fault.Internal) || err == nil {
					t.Errorf("got %v, want fault.Internal", err)
				}
			})
		}
	}
}

func TestNew_NamesTheWrongField(t *testing.T) {
	for name, change := range map[string]func(*models.Manifest){
		"family":    func(m *models.Manifest) { m.Recipe.Family = "mask" },
		"floor":     func(m *models.Manifest) { m.Recipe.Floor = 0 },
		"nms":       func(m *models.Manifest) { m.Recipe.NMS = 2 },
		"max_faces": func(m *models.Manifest) { m.Recipe.MaxFaces = 0 },
		"colour":    func(m *models.Manifest) { m.Recipe.Colour = "" },
		"step":      func(m *models.Manifest) { m.Canvases = models.Canvases{Step: 16, Max: 1024} },
	} {
		t.Run(name, func(t *testing.T) {
			m := manifest("yunet")
			change(&m)
			if _, err := face.New(m); !fault.Is(err, fault.Invalid) {
				t.Errorf("got %v, want fault.Invalid", err)
			}
		})
	}
}
