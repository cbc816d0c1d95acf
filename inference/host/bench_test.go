package host_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"testing"

	"focal/bench/reference"
	"focal/core/pixel"
	"focal/inference"
	"focal/inference/host"
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
