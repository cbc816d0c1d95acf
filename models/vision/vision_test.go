package vision_test

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/models"
	"focal/models/vision"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if n := vision.Live(); n != 0 {
		println("C objects left alive:", n)
		code = 1
	}
	os.Exit(code)
}

// near allows the last bit: OpenCV rounds in fixed point.
func near(a, b []byte) bool {
	return slices.EqualFunc(a, b, func(x, y byte) bool { return max(x, y)-min(x, y) <= 1 })
}

func TestResizeMask_MatchesHandCalculation(t *testing.T) {
	tests := []struct {
		name     string
		from, to pixel.Size
		kernel   vision.Kernel
		pix      []byte
		want     []byte
	}{
		{"area halves", pixel.Size{Width: 4, Height: 2}, pixel.Size{Width: 2, Height: 1}, vision.Area,
			[]byte{0, 10, 100, 120, 20, 30, 140, 160}, []byte{15, 130}},
		{"area splits a pixel between neighbours", pixel.Size{Width: 3, Height: 1}, pixel.Size{Width: 2, Height: 1}, vision.Area,
			[]byte{0, 90, 240}, []byte{30, 190}},
		{"area is linear where it grows", pixel.Size{Width: 2, Height: 1}, pixel.Size{Width: 4, Height: 1}, vision.Area,
			[]byte{0, 100}, []byte{0, 25, 75, 100}},
		{"area treats each axis by itself", pixel.Size{Width: 4, Height: 2}, pixel.Size{Width: 2, Height: 4}, vision.Area,
			[]byte{0, 20, 40, 60, 100, 120, 140, 160}, []byte{10, 50, 35, 75, 85, 125, 110, 150}},
		{"linear grows", pixel.Size{Width: 2, Height: 1}, pixel.Size{Width: 4, Height: 1}, vision.Linear,
			[]byte{0, 100}, []byte{0, 25, 75, 100}},
		{"linear does not widen when it shrinks", pixel.Size{Width: 8, Height: 1}, pixel.Size{Width: 2, Height: 1}, vision.Linear,
			[]byte{0, 10, 20, 255, 255, 40, 60, 0}, []byte{15, 50}},
		{"cubic overshoots", pixel.Size{Width: 2, Height: 1}, pixel.Size{Width: 4, Height: 1}, vision.Cubic,
			[]byte{0, 100}, []byte{0, 23, 77, 111}},
		{"same size", pixel.Size{Width: 2, Height: 2}, pixel.Size{Width: 2, Height: 2}, vision.Area,
			[]byte{1, 2, 3, 4}, []byte{1, 2, 3, 4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := vision.ResizeMask(pixel.Mask{Width: tt.from.Width, Height: tt.from.Height, Pix: tt.pix}, tt.to, tt.kernel)
			if err != nil {
				t.Fatal(err)
			}
			if got.Size() != tt.to || !near(got.Pix, tt.want) {
				t.Errorf("got %v %v, want %v", got.Size(), got.Pix, tt.want)
			}
		})
	}
}

// Growing, a mask overshoots its edge, which only a cubic does; shrinking, every
// pixel is the mean of what it stands for.
func TestFitMask_IsCubicUpwardsAndByAreaDownwards(t *testing.T) {
	edge := pixel.Mask{Width: 4, Height: 1, Pix: []byte{50, 50, 150, 150}}
	large, err := vision.FitMask(edge, pixel.Size{Width: 16, Height: 1})
	if err != nil || slices.Min(large.Pix) >= 50 || slices.Max(large.Pix) <= 150 {
		t.Errorf("%v, %v", large.Pix, err)
	}
	chess := pixel.Mask{Width: 4, Height: 4, Pix: []byte{0, 100, 0, 200, 100, 0, 200, 0, 0, 100, 0, 200, 100, 0, 200, 0}}
	small, err := vision.FitMask(chess, pixel.Size{Width: 2, Height: 2})
	if err != nil || !slices.Equal(small.Pix, []byte{50, 100, 50, 100}) {
		t.Errorf("%v, %v", small.Pix, err)
	}
}

// plain weighs pixel p for the new pixel i along one axis, by the definitions.
func plain(i, p, from, to int, k vision.Kernel) float64 {
	scale := float64(from) / float64(to)
	if k == vision.Area && scale > 1 {
		return max(0, min(float64(i+1)*scale, float64(p+1))-max(float64(i)*scale, float64(p))) / scale
	}
	at := min(max((float64(i)+0.5)*scale-0.5, 0), float64(from-1))
	return max(0, 1-math.Abs(at-float64(p)))
}

// Half of a level is rounding. OpenCV interpolates in fixed point, and cuts off. A
// stretch that shrinks one axis and enlarges the other is rounded in between, and so
// is an average of very many rows.
func TestResize_KeepsToTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sides := rapid.OneOf(rapid.IntRange(1, 40), rapid.IntRange(200, 600))
		from := pixel.Size{Width: sides.Draw(t, "width"), Height: sides.Draw(t, "height")}
		to := pixel.Size{Width: rapid.IntRange(1, 40).Draw(t, "to width"), Height: rapid.IntRange(1, 40).Draw(t, "to height")}
		kernel := rapid.SampledFrom([]vision.Kernel{vision.Area, vision.Linear}).Draw(t, "kernel")
		within, grows := 0.6, to.Width > from.Width || to.Height > from.Height
		if kernel == vision.Linear || grows {
			within = 1
		}
		if kernel == vision.Area && grows {
			within += 0.5
		}
		if kernel == vision.Area && from.Height > 256*to.Height {
			within += 0.5
		}
		src := pixel.Buffer{Width: from.Width, Height: from.Height, Channels: 3, Pix: make([]byte, from.Width*from.Height*3)}
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for i := range src.Pix {
			src.Pix[i] = byte(random.Uint32())
		}
		got, err := vision.Resize(src, to, kernel)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range got.Pix {
			x, y, want := i/3%to.Width, i/3/to.Width, 0.0
			for q := range from.Height {
				down := plain(y, q, from.Height, to.Height, kernel)
				for p := 0; down > 0 && p < from.Width; p++ {
					want += down * plain(x, p, from.Width, to.Width, kernel) * float64(src.Pix[(q*from.Width+p)*3+i%3])
				}
			}
			if math.Abs(float64(v)-want) > within {
				t.Fatalf("%v to %v: %d at %d,%d, want %.2f", from, to, v, x, y, want)
			}
		}
	})
}

func TestResize_KeepsWhiteAndBlack(t *testing.T) {
	for _, value := range []byte{0, 255} {
		for _, from := range []pixel.Size{{Width: 1024, Height: 768}, {Width: 7, Height: 5}, {Width: 3, Height: 20000}, {Width: 20000, Height: 3}} {
			src := pixel.Mask{Width: from.Width, Height: from.Height, Pix: slices.Repeat([]byte{value}, from.Width*from.Height)}
			for _, kernel := range []vision.Kernel{vision.Area, vision.Linear, vision.Cubic} {
				for _, to := range []pixel.Size{{Width: 320, Height: 320}, {Width: 1, Height: 1}, {Width: from.Width, Height: 31}, {Width: 33, Height: from.Height}} {
					got, err := vision.ResizeMask(src, to, kernel)
					if err != nil || slices.Min(got.Pix) != value || slices.Max(got.Pix) != value {
						t.Errorf("%v of %d to %v by %d: %d to %d, %v", from, value, to, kernel, slices.Min(got.Pix), slices.Max(got.Pix), err)
					}
				}
			}
		}
	}
}

func TestResize_KeepsChannelsApart(t *testing.T) {
	src := pixel.Buffer{Width: 2, Height: 2, Channels: 3, Pix: []byte{0, 100, 200, 20, 120, 220, 40, 140, 240, 60, 160, 255}}
	got, err := vision.Resize(src, pixel.Size{Width: 1, Height: 1}, vision.Area)
	if err != nil {
		t.Fatal(err)
	}
	if want := []byte{30, 130, 229}; !near(got.Pix, want) {
		t.Errorf("got %v, want %v", got.Pix, want)
	}
}

func TestResize_RefusesWhatWouldEndTheProcess(t *testing.T) {
	good := pixel.Buffer{Width: 2, Height: 1, Channels: 3, Pix: make([]byte, 6)}
	short, rgba := good, pixel.Buffer{Width: 1, Height: 1, Channels: 4, Pix: make([]byte, 4)}
	short.Pix = short.Pix[:5]
	one := pixel.Size{Width: 1, Height: 1}
	tests := map[string]struct {
		src pixel.Buffer
		to  pixel.Size
		k   vision.Kernel
	}{
		"bytes missing":  {short, one, vision.Area},
		"empty":          {pixel.Buffer{}, one, vision.Area},
		"alpha":          {rgba, one, vision.Area},
		"no width":       {good, pixel.Size{Height: 1}, vision.Area},
		"huge":           {good, pixel.Size{Width: 1 << 30, Height: 1 << 30}, vision.Area},
		"unknown kernel": {good, one, vision.Cubic + 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := vision.Resize(tt.src, tt.to, tt.k); !fault.Is(err, fault.Invalid) {
				t.Errorf("got %v, want fault.Invalid", err)
			}
		})
	}
}

func TestNMS_DrivesOutWeakerOverlaps(t *testing.T) {
	// The second overlaps the first by 8×10 of 120, the third by 2×10 of 180.
	boxes := []pixel.Box{{X: 2, W: 10, H: 10}, {W: 10, H: 10}, {X: 10, W: 10, H: 10}, {X: 100, W: 10, H: 10}}
	scores := []float64{0.8, 0.9, 0.7, 0.95}
	for _, tt := range []struct {
		iou   float64
		limit int
		want  []int
	}{
		{0.6, 10, []int{3, 1, 2}},
		{0.7, 10, []int{3, 1, 0, 2}},
		{0.6, 2, []int{3, 1}},
		{0.6, 0, nil},
	} {
		if got := vision.NMS(boxes, scores, tt.iou, tt.limit); !slices.Equal(got, tt.want) {
			t.Errorf("NMS at %v, limit %d = %v, want %v", tt.iou, tt.limit, got, tt.want)
		}
	}
}

func TestNMS_KeepsEqualScoresInOrder(t *testing.T) {
	boxes := []pixel.Box{{W: 1, H: 1}, {X: 5, W: 1, H: 1}, {X: 9, W: 1, H: 1}}
	if got := vision.NMS(boxes, []float64{0.5, 0.5, 0.5}, 0.4, 9); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("got %v", got)
	}
}

func TestNMS_LeavesNoOverlapAndNoOrphan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 30).Draw(t, "n")
		boxes, scores := make([]pixel.Box, n), make([]float64, n)
		side := rapid.Float64Range(0.01, 1)
		for i := range boxes {
			boxes[i] = pixel.Box{X: side.Draw(t, "x"), Y: side.Draw(t, "y"), W: side.Draw(t, "w"), H: side.Draw(t, "h")}
			scores[i] = side.Draw(t, "score")
		}
		kept := vision.NMS(boxes, scores, 0.4, n)
		for i := range boxes {
			rivals := 0
			for _, k := range kept {
				if k != i && scores[k] >= scores[i] && vision.IoU(boxes[k], boxes[i]) > 0.4 {
					rivals++
				}
			}
			if stays := slices.Contains(kept, i); stays != (rivals == 0) {
				t.Fatalf("box %d stays %v with %d better neighbours", i, stays, rivals)
			}
		}
	})
}

func recipe(change func(*models.Recipe)) models.Recipe {
	r := models.Recipe{Colour: "rgb", Resize: "stretch", Width: 2, Height: 1, LongSide: 1024, Kernel: "area",
		Scale: "255", Std: [3]float64{1, 1, 1}}
	change(&r)
	return r
}

func prepare(t *testing.T, r models.Recipe, c models.Canvases, look pixel.Buffer) models.Prepared {
	t.Helper()
	p, err := vision.NewPreparer(r, c)
	if err != nil {
		t.Fatal(err)
	}
	got, err := models.Filled(p, look)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(got.Tensor.Data)) != models.Elements(got.Tensor.Shape) {
		t.Fatalf("shape %v with %d values", got.Tensor.Shape, len(got.Tensor.Data))
	}
	used := slices.Repeat([]float32{7}, len(got.Tensor.Data))
	if p.Fill(got, used); !slices.Equal(used, got.Tensor.Data) {
		t.Fatal("of memory that was used before something stays")
	}
	return got
}

func TestPrepare_Normalises(t *testing.T) {
	look := pixel.Buffer{Width: 2, Height: 1, Channels: 3, Pix: []byte{10, 20, 30, 40, 50, 200}}
	tests := []struct {
		name   string
		change func(*models.Recipe)
		want   []float64
	}{
		{"by 255", func(*models.Recipe) {}, []float64{10. / 255, 40. / 255, 20. / 255, 50. / 255, 30. / 255, 200. / 255}},
		{"by the largest value", func(r *models.Recipe) { r.Scale = "max" }, []float64{.05, .2, .1, .25, .15, 1}},
		{"bgr, mean and std in that order", func(r *models.Recipe) {
			r.Scale, r.Colour, r.Mean, r.Std = "1", "bgr", [3]float64{104, 117, 123}, [3]float64{1, 2, 4}
		}, []float64{30 - 104, 200 - 104, (20 - 117) / 2., (50 - 117) / 2., (10 - 123) / 4., (40 - 123) / 4.}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := prepare(t, recipe(tt.change), models.Canvases{}, look)
			for i, want := range tt.want {
				if math.Abs(float64(got.Tensor.Data[i])-want) > 1e-6*max(1, math.Abs(want)) {
					t.Errorf("value %d is %v, want %v", i, got.Tensor.Data[i], want)
				}
			}
		})
	}
}

func TestPrepare_BlackPictureDividesByNothing(t *testing.T) {
	look := pixel.Buffer{Width: 2, Height: 1, Channels: 3, Pix: make([]byte, 6)}
	got := prepare(t, recipe(func(r *models.Recipe) { r.Scale = "max" }), models.Canvases{}, look)
	for _, v := range got.Tensor.Data {
		if v != 0 {
			t.Fatalf("got %v, want 0", v)
		}
	}
}

func TestPrepare_FitsAndPads(t *testing.T) {
	fit := recipe(func(r *models.Recipe) { r.Resize, r.LongSide = "fit", 512 })
	stepped := models.Canvases{Step: 256, Max: 512}
	tests := []struct {
		look, inner, canvas pixel.Size
		canvases            models.Canvases
	}{
		{pixel.Size{Width: 1024, Height: 683}, pixel.Size{Width: 512, Height: 342}, pixel.Size{Width: 512, Height: 512}, stepped},
		{pixel.Size{Width: 300, Height: 1000}, pixel.Size{Width: 154, Height: 512}, pixel.Size{Width: 256, Height: 512}, stepped},
		{pixel.Size{Width: 257, Height: 256}, pixel.Size{Width: 257, Height: 256}, pixel.Size{Width: 512, Height: 256}, stepped},
		{pixel.Size{Width: 1000, Height: 1}, pixel.Size{Width: 512, Height: 1}, pixel.Size{Width: 512, Height: 256}, stepped},
		{pixel.Size{Width: 20, Height: 10}, pixel.Size{Width: 20, Height: 10}, pixel.Size{Width: 512, Height: 512}, models.Canvases{}},
	}
	for _, tt := range tests {
		pix := make([]byte, tt.look.Width*tt.look.Height*3)
		for i := range pix {
			pix[i] = 255
		}
		got := prepare(t, fit, tt.canvases, pixel.Buffer{Width: tt.look.Width, Height: tt.look.Height, Channels: 3, Pix: pix})
		if got.Inner != tt.inner || got.Canvas != tt.canvas {
			t.Errorf("%v: inner %v on %v, want %v on %v", tt.look, got.Inner, got.Canvas, tt.inner, tt.canvas)
			continue
		}
		for i, v := range got.Tensor.Data {
			x, y := i%got.Canvas.Width, i/got.Canvas.Width%got.Canvas.Height
			if inside := x < got.Inner.Width && y < got.Inner.Height; (v == 1) != inside || (v == 0) == inside {
				t.Fatalf("%v: value %v at %d,%d", tt.look, v, x, y)
			}
		}
	}
}

func TestNewPreparer_NamesTheWrongField(t *testing.T) {
	fit := func(r *models.Recipe) { r.Resize = "fit" }
	tests := map[string]struct {
		change   func(*models.Recipe)
		canvases models.Canvases
	}{
		"colour":   {change: func(r *models.Recipe) { r.Colour = "grey" }},
		"kernel":   {change: func(r *models.Recipe) { r.Kernel = "cubic" }},
		"scale":    {change: func(r *models.Recipe) { r.Scale = "" }},
		"std":      {change: func(r *models.Recipe) { r.Std[1] = 0 }},
		"mean":     {change: func(r *models.Recipe) { r.Mean[2] = math.NaN() }},
		"resize":   {change: func(r *models.Recipe) { r.Resize = "crop" }},
		"width":    {change: func(r *models.Recipe) { r.Width = 0 }},
		"side":     {change: func(r *models.Recipe) { fit(r); r.LongSide = 1 << 20 }},
		"step":     {change: fit, canvases: models.Canvases{Max: 1024}},
		"max":      {change: fit, canvases: models.Canvases{Step: 256, Max: 512}},
		"multiple": {change: fit, canvases: models.Canvases{Step: 300, Max: 1024}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := vision.NewPreparer(recipe(tt.change), tt.canvases); !fault.Is(err, fault.Invalid) {
				t.Errorf("got %v, want fault.Invalid", err)
			}
		})
	}
}

func BenchmarkPrepare(b *testing.B) {
	look := pixel.Buffer{Width: 1024, Height: 768, Channels: 3, Pix: make([]byte, 1024*768*3)}
	for name, r := range map[string]models.Recipe{
		"area 320":   recipe(func(r *models.Recipe) { r.Width, r.Height = 320, 320 }),
		"linear 320": recipe(func(r *models.Recipe) { r.Width, r.Height, r.Kernel = 320, 320, "linear" }),
		"as it is":   recipe(func(r *models.Recipe) { r.Width, r.Height = 1024, 768 }),
	} {
		b.Run(name, func(b *testing.B) {
			p, err := vision.NewPreparer(r, models.Canvases{})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := models.Filled(p, look); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
