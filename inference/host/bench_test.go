package host_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"focal/bench/reference"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/fake"
	"focal/inference/host"
	"focal/models"
	"focal/models/face"
	"focal/models/foreground"
)

// How many looks a second the whole way takes: queue, batch, run, result. The
// small model shows what it costs beside the run.
//
//	go test -run '^$' -bench Faces ./inference/host
func BenchmarkHost_Faces(b *testing.B) {
	for _, name := range []string{"ultralight-320", "retinaface-mobilenet025"} {
		b.Run(name, func(b *testing.B) {
			look, _ := reference.Look(b, reference.Portraits(b)[0].Image)
			c := host.DefaultConfig()
			c.Budget, c.CacheBytes, c.QueueLimit = 1<<30, 0, 1000
			c.Adapters = host.Adapters{Face: face.New, Foreground: foreground.New}
			h, err := host.New(c, reference.Engine(b), reference.Pull(b, b.TempDir(), name))
			if err != nil {
				b.Fatal(err)
			}
			var n atomic.Uint64
			b.SetParallelism(4)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					s := inference.Subject{
						Content: sha256.Sum256(binary.BigEndian.AppendUint64(nil, n.Add(1))),
						Look:    func(context.Context) (pixel.Buffer, error) { return look, nil },
					}
					if _, err := h.Faces(b.Context(), inference.FacesRequest{Subject: s}); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "looks/s")
			if err := h.Close(b.Context()); err != nil {
				b.Error(err)
			}
		})
	}
}

// What surrounds the run of a cut-out: the whole way of a look of 1024×768 through
// a model that takes no time. The card beside it is scripted too, but for one thing:
// it lends the memory that it has, as a real one does.
//
//	go test -run '^$' -bench CutOut ./inference/host
func BenchmarkHost_CutOut(b *testing.B) {
	look := pixel.Buffer{Width: 1024, Height: 768, Channels: 3, Pix: make([]byte, 1024*768*3)}
	random := rand.New(rand.NewPCG(5, 6))
	for i := range look.Pix {
		look.Pix[i] = byte(random.Uint32())
	}
	for _, name := range []string{"u2netp", "isnet-general", "birefnet-general"} {
		b.Run(name, func(b *testing.B) {
			h, err := cutter(b, name)
			if err != nil {
				b.Fatal(err)
			}
			n, around := uint64(0), time.Duration(0)
			for b.Loop() {
				n++
				began := time.Now()
				f, err := h.Foreground(b.Context(), inference.ForegroundRequest{Model: name, Subject: inference.Subject{
					Content: sha256.Sum256(binary.BigEndian.AppendUint64(nil, n)),
					Look:    func(context.Context) (pixel.Buffer, error) { return look, nil },
				}})
				if err != nil {
					b.Fatal(err)
				}
				around += time.Since(began) - f.Run
			}
			b.ReportMetric(around.Seconds()*1000/float64(n), "ms-around/op")
			if err := h.Close(context.WithoutCancel(b.Context())); err != nil {
				b.Error(err)
			}
		})
	}
}

// cutter is a Host with one model of the catalogue on a scripted card.
func cutter(b *testing.B, name string) (*host.Host, error) {
	all := models.Catalog()
	m := models.Model{Manifest: all[slices.IndexFunc(all, func(m models.Manifest) bool { return m.Name == name })], Version: "1"}
	m.MaxBatch = 1 // nothing is tuned beside it
	output := reference.Hills(m.Recipe)
	card := &card{Engine: fake.New("cuda")}
	card.Set(name, fake.Script{Answer: func([]models.Tensor) ([]models.Tensor, error) {
		return []models.Tensor{{Shape: output.Shape, Data: slices.Clone(output.Data)}}, nil
	}})
	c := host.DefaultConfig()
	c.Budget = 64 << 30
	c.Adapters = host.Adapters{Face: face.New, Foreground: foreground.New}
	return host.New(c, card, shelf{m})
}

// card lends one buffer, again and again.
type card struct {
	*fake.Engine
	buffer []float32
}

func (c *card) Lend(n int) ([]float32, func(), error) {
	if len(c.buffer) < n {
		c.buffer = make([]float32, n)
	}
	return c.buffer[:n], func() {}, nil
}

// shelf is a repository of one model.
type shelf struct{ models.Model }

func (s shelf) Models() ([]models.Model, error) { return []models.Model{s.Model}, nil }

func (s shelf) Default(models.Task, string) (string, bool) { return s.Name, true }
