package foreground_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"

	"focal/bench/reference"
	"focal/core/pixel"
	"focal/inference"
	"focal/models"
	"focal/models/vision"
)

const builtinName = "builtin-foreground"

// builtin returns the adapter and a session of the model in the program.
func builtin(t *testing.T) (models.Adapter[pixel.Mask], inference.Session) {
	t.Helper()
	for _, m := range models.Builtin() {
		if m.Name != builtinName {
			continue
		}
		return adapter(t, m.Manifest), reference.Load(t, m)
	}
	t.Fatalf("the program has no %s", builtinName)
	return nil, nil
}

// The floors lie a little under what docs/builtin-models.md reports of the whole
// sets, and under what the sample of the gate gives; weights that fall below them
// are not to be shipped.
func TestBuiltin_KeepsItsIoU(t *testing.T) {
	floors := map[string]float64{"humans": 0.79, "objects": 0.615}
	if !reference.Whole {
		floors = map[string]float64{"humans": 0.7, "objects": 0.5}
	}
	segmenter, session := builtin(t)
	for set, floor := range floors {
		var got float64
		pairs := reference.Sample(reference.Pairs(t, set))
		for _, p := range pairs {
			got += iouOf(t, segmenter, session, p) / float64(len(pairs))
		}
		t.Logf("%s on %d %s: mean IoU %.4f (%s)", builtinName, len(pairs), set, got, vision.Backend())
		if got < floor {
			t.Errorf("mean IoU on %s is %.4f, want at least %v", set, got, floor)
		}
	}
}

func flat(w, h int, value byte) pixel.Buffer {
	return pixel.Buffer{Width: w, Height: h, Channels: 3, Pix: bytes.Repeat([]byte{value}, w*h*3)}
}

func noise(w, h int) pixel.Buffer {
	b := flat(w, h, 0)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b.Pix {
		b.Pix[i] = byte(r.Uint32())
	}
	return b
}

// coverage is the part of the mask that is subject.
func coverage(m pixel.Mask) float64 {
	n := 0
	for _, v := range m.Pix {
		if v >= 128 {
			n++
		}
	}
	return float64(n) / float64(len(m.Pix))
}

func TestBuiltin_FindsNothingWhereNothingIs(t *testing.T) {
	segmenter, session := builtin(t)
	for name, look := range map[string]pixel.Buffer{
		"black": flat(64, 48, 0), "grey": flat(640, 480, 128), "white": flat(1024, 1024, 255),
		"noise": noise(640, 480), "8×8": flat(8, 8, 90), "1×1": flat(1, 1, 200),
		"1:20": flat(1000, 50, 60), "20:1": flat(50, 1000, 60), "huge": flat(6000, 4000, 100),
	} {
		if got := coverage(segment(t, segmenter, session, look)); got > 0 {
			t.Errorf("%s: %.3f of the picture is subject", name, got)
		}
	}
}

// A subject stays one in a grey picture, in a strip of 1:20 and beside much
// empty room; what the answer is there matters less than that it is an answer.
func TestBuiltin_AnswersForStrangePictures(t *testing.T) {
	segmenter, session := builtin(t)
	portrait, _ := reference.Look(t, reference.Shared(t, "data", "humans", "images", "ccp_0001.jpg"))
	whole := coverage(segment(t, segmenter, session, portrait))
	grey := pixel.Buffer{Width: portrait.Width, Height: portrait.Height, Channels: 3, Pix: bytes.Clone(portrait.Pix)}
	for i := 0; i < len(grey.Pix); i += 3 {
		v := byte((int(grey.Pix[i]) + int(grey.Pix[i+1]) + int(grey.Pix[i+2])) / 3)
		grey.Pix[i], grey.Pix[i+1], grey.Pix[i+2] = v, v, v
	}
	if got := coverage(segment(t, segmenter, session, grey)); got < whole/2 || got > whole*2 {
		t.Errorf("in grey %.3f of the picture is subject, in colour %.3f", got, whole)
	}
	for _, size := range []pixel.Size{{Width: 1000, Height: 50}, {Width: 50, Height: 1000}, {Width: 8, Height: 8}, {Width: 1, Height: 1}} {
		small, err := vision.Resize(portrait, size, vision.Area)
		if err != nil {
			t.Fatal(err)
		}
		mask := segment(t, segmenter, session, small)
		if len(mask.Pix) != mask.Width*mask.Height || len(mask.Pix) == 0 {
			t.Errorf("%v: a mask of %v with %d values", size, mask.Size(), len(mask.Pix))
		}
	}
}

// BenchmarkForeground shows both beside each other, one thread each.
func BenchmarkForeground(b *testing.B) {
	teacher := models.Model{Manifest: manifest(), Path: reference.Root("..", "shared", "models", "u2netp.onnx")}
	for _, m := range append(models.Builtin(), teacher) {
		if m.Task != models.TaskForeground {
			continue
		}
		b.Run(m.Name, func(b *testing.B) {
			if _, err := os.Stat(m.Path); m.Data == nil && err != nil {
				b.Skip("needs ../shared: models/u2netp.onnx")
			}
			s := reference.Load(b, m)
			in := models.Tensor{Shape: []int64{1, 3, int64(m.Recipe.Height), int64(m.Recipe.Width)}, Data: make([]float32, 3*m.Recipe.Height*m.Recipe.Width)}
			for b.Loop() {
				if _, err := s.Run(b.Context(), []models.Tensor{in}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
