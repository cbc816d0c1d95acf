package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"focal/bench/measure"
	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/inference"
	"focal/models/vision"
)

// The figures of shared/data/reference/README.md were made by other code. Here
// every picture goes the way of a request: the look of libvips, over the
// socket, through the real sidecar.

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

type markedFaces struct {
	File          string
	Boxes, Ignore [][4]float64
}

func markings(t *testing.T) []markedFaces {
	t.Helper()
	var all struct{ Images []markedFaces }
	if err := json.Unmarshal(read(t, shared(t, "data", "faces", "annotations.json")), &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Images) != 150 {
		t.Fatalf("%d pictures, want 150", len(all.Images))
	}
	return all.Images
}

// boxes are in pixels, which is what IoU at 0.5 is about.
func boxes(list [][4]float64) []pixel.Box {
	out := make([]pixel.Box, len(list))
	for i, b := range list {
		out[i] = pixel.Box{X: b[0], Y: b[1], W: b[2], H: b[3]}
	}
	return out
}

func TestAccuracy_RetinaFaceReachesTheReference(t *testing.T) {
	const want, tolerance = 0.8809, 0.01 // AP@0.5 at long side 1024
	s := newServedVision(t)
	pictures := markings(t)
	verdicts := make([][]measure.Verdict, len(pictures))
	marked := make([]int, len(pictures))
	forEach(t, len(pictures), func(ctx context.Context, i int) error {
		p := pictures[i]
		subject, err := s.subject(ctx, shared(t, "data", "faces", "images", p.File))
		if err != nil {
			return err
		}
		everything := 0.0 // down to the manifest's floor of 0.02, as the reference
		found, err := s.client.Faces(ctx, inference.FacesRequest{Subject: subject, Threshold: &everything})
		if err != nil {
			return err
		}
		w, h := float64(subject.Source.Width), float64(subject.Source.Height)
		judged := measure.Boxes{Truth: boxes(p.Boxes), Ignored: boxes(p.Ignore)}
		for _, f := range found.Faces {
			b := pixel.Box{X: f.Box.X * w, Y: f.Box.Y * h, W: f.Box.W * w, H: f.Box.H * h}
			judged.Found = append(judged.Found, measure.Detection{Box: b, Score: f.Score})
		}
		verdicts[i], marked[i] = measure.Judge(judged, 0.5, measure.AllSizes)
		return nil
	})
	boxesMarked := 0
	for _, n := range marked {
		boxesMarked += n
	}
	got := measure.AveragePrecision(slices.Concat(verdicts...), boxesMarked)
	t.Logf("AP@0.5 %.4f, reference %.4f (%s)", got, want, vision.Backend())
	if math.Abs(got-want) > tolerance {
		t.Errorf("AP@0.5 is %.4f, want %.4f ± %v", got, want, tolerance)
	}
}

func TestAccuracy_U2NetPReachesTheReference(t *testing.T) {
	const tolerance = 0.015
	s := newServedVision(t)
	for _, set := range []struct {
		name     string
		pictures int
		want     float64 // mean IoU, recipe R, without soft_*
	}{{"humans", 100, 0.9157}, {"objects", 91, 0.8283}} {
		t.Run(set.name, func(t *testing.T) {
			names := hard(t, set.name)
			if len(names) != set.pictures {
				t.Fatalf("%d pictures, want %d", len(names), set.pictures)
			}
			ious := make([]float64, len(names))
			forEach(t, len(names), func(ctx context.Context, i int) (err error) {
				ious[i], err = s.iou(ctx, shared(t, "data", set.name, "images", names[i]+".jpg"), shared(t, "data", set.name, "masks", names[i]+".png"))
				return err
			})
			got := 0.0
			for _, v := range ious {
				got += v / float64(len(ious))
			}
			t.Logf("mean IoU %.4f, reference %.4f (%s)", got, set.want, vision.Backend())
			if math.Abs(got-set.want) > tolerance {
				t.Errorf("mean IoU is %.4f, want %.4f ± %v", got, set.want, tolerance)
			}
		})
	}
}

// hard lists the pictures of a set whose masks were drawn by people.
func hard(t *testing.T, set string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(shared(t, "data", set, "images"), "*.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".jpg"); !strings.HasPrefix(name, "soft_") {
			names = append(names, name)
		}
	}
	return names
}

// iou compares the mask of a picture, enlarged as it is sent, with the true one.
func (s servedVision) iou(ctx context.Context, picture, truth string) (float64, error) {
	subject, err := s.subject(ctx, picture)
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
	got, err := greyMask(file)
	if err != nil {
		return 0, err
	}
	drawn, err := os.ReadFile(truth)
	if err != nil {
		return 0, err
	}
	want, err := greyMask(drawn)
	if err != nil {
		return 0, err
	}
	counts, err := measure.Count(got, want, measure.Threshold)
	return counts.IoU(), err
}

func greyMask(file []byte) (pixel.Mask, error) {
	m, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		return pixel.Mask{}, err
	}
	grey, ok := m.(*image.Gray)
	if !ok || grey.Stride != grey.Rect.Dx() {
		return pixel.Mask{}, errors.New("the mask is no plain 8-bit grey PNG")
	}
	return pixel.Mask{Width: grey.Rect.Dx(), Height: grey.Rect.Dy(), Pix: grey.Pix}, nil
}
