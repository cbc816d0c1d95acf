package app

import (
	"context"
	"crypto/sha256"
	"math"
	"os"
	"testing"

	"golang.org/x/sync/errgroup"

	"focal/bench/measure"
	"focal/bench/reference"
	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/inference"
	"focal/models/vision"
)

// The figures of shared/data/reference/README.md were made by other code. Here
// every picture goes the way of a request: the look of libvips, over the
// socket, through the real sidecar. The gate looks at a sample, and holds it to
// what that code found on the same pictures; the published figures are of all.

// servedVision is that way.
type servedVision struct {
	client inference.Client
	looker *pipeline.Pipeline
}

func newServedVision(t *testing.T) servedVision {
	t.Helper()
	h := open(t, modelsConfig(t, faceModel, foregroundModel), nil)
	c := pipeline.DefaultConfig()
	c.Workers = 2
	p, err := pipeline.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return servedVision{h.half.client, p}
}

func (s servedVision) subject(ctx context.Context, path string) (inference.Subject, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return inference.Subject{}, err
	}
	look, size, err := s.looker.Look(ctx, file)
	return inference.Subject{
		Content: sha256.Sum256(file), Source: size,
		Look: func(context.Context) (pixel.Buffer, error) { return look, nil },
	}, err
}

// forEach works on n items, a few at a time: one is looked at while two run.
func forEach(t *testing.T, n int, do func(ctx context.Context, i int) error) {
	t.Helper()
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(4)
	for i := range n {
		g.Go(func() error { return do(ctx, i) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestAccuracy_RetinaFaceReachesTheReference(t *testing.T) {
	const published = 0.8809 // AP@0.5 at long side 1024, of all scores
	s := newServedVision(t)
	theirs := reference.Detections(t, "retinaface_mobilenet025", "1024")
	portraits := reference.Sample(reference.Portraits(t))
	ours, other := make([]measure.Boxes, len(portraits)), make([]measure.Boxes, len(portraits))
	forEach(t, len(portraits), func(ctx context.Context, i int) error {
		p := portraits[i]
		subject, err := s.subject(ctx, p.Image)
		if err != nil {
			return err
		}
		everything := 0.0 // down to the manifest's floor of 0.02, as the reference
		found, err := s.client.Faces(ctx, inference.FacesRequest{Subject: subject, Threshold: &everything})
		if err != nil {
			return err
		}
		ours[i], other[i] = p.Judged(found.Faces), measure.Boxes{Truth: p.Truth, Ignored: p.Ignore, Found: theirs[p.File]}
		return nil
	})
	near(t, "AP@0.5 from score 0.5", reference.Precision(ours, 0.5), reference.Precision(other, 0.5), 0.015)
	if reference.Whole {
		near(t, "AP@0.5", reference.Precision(ours, 0), published, 0.01)
	}
}

func TestAccuracy_U2NetPReachesTheReference(t *testing.T) {
	s := newServedVision(t)
	for _, set := range []struct {
		name      string
		pictures  int
		published float64 // mean IoU, recipe R, without soft_*
	}{{"humans", 100, 0.9157}, {"objects", 91, 0.8283}} {
		t.Run(set.name, func(t *testing.T) {
			all, theirs := reference.Pairs(t, set.name), reference.IoUs(t, set.name, "u2netp")
			if len(all) != set.pictures {
				t.Fatalf("%d pictures, want %d", len(all), set.pictures)
			}
			pairs := reference.Sample(all)
			ours, other := make([]float64, len(pairs)), make([]float64, len(pairs))
			forEach(t, len(pairs), func(ctx context.Context, i int) (err error) {
				ours[i], err = s.iou(ctx, pairs[i])
				other[i] = theirs[pairs[i].Stem]
				return err
			})
			if reference.Whole {
				near(t, "mean IoU", measure.Mean(ours), set.published, 0.015)
			}
			near(t, "mean IoU", measure.Mean(ours), measure.Mean(other), 0.03)
		})
	}
}

func near(t *testing.T, what string, got, want, by float64) {
	t.Helper()
	t.Logf("%s is %.4f, of the reference %.4f (%s)", what, got, want, vision.Backend())
	if !(math.Abs(got-want) <= by) {
		t.Errorf("%s is %.4f, want %.4f ± %v", what, got, want, by)
	}
}

// iou compares the mask of a picture, enlarged as it is sent, with the true one.
func (s servedVision) iou(ctx context.Context, p reference.Pair) (float64, error) {
	subject, err := s.subject(ctx, p.Image)
	if err != nil {
		return 0, err
	}
	found, err := s.client.Foreground(ctx, inference.ForegroundRequest{Subject: subject})
	if err != nil {
		return 0, err
	}
	file, err := maskPNG(found.Mask, subject.Source)
	if err != nil {
		return 0, err
	}
	got, err := reference.DecodeMask(file)
	if err != nil {
		return 0, err
	}
	return p.IoU(got)
}
