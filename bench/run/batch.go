package run

import (
	"context"
	"os"
	"slices"
	"time"

	"focal/bench/report"
	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	"focal/models"
	"focal/models/face"
	"focal/models/foreground"
)

// Batches measures pictures a second at each batch size, of the engine alone:
// tensors in, tensors out. A size that does not fit says so. Every size runs
// once before it is measured, and then until a second has passed.
func (h *House) Batches(ctx context.Context, name string, sizes []int, picture string) ([]report.Rate, error) {
	m, err := h.Model(name)
	if err != nil {
		return nil, err
	}
	file, err := os.ReadFile(picture)
	if err != nil {
		return nil, fault.New(fault.NotFound, "run.Batches", "%w", err)
	}
	look, _, err := h.pictures.Look(ctx, file)
	if err != nil {
		return nil, err
	}
	prepared, err := prepare(m.Manifest, look)
	if err != nil {
		return nil, err
	}
	session, err := h.inference.Engine.Load(ctx, m)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	var rates []report.Rate
	for _, size := range sizes {
		rate := report.Rate{Size: size}
		if rate.Images, err = throughput(ctx, session, repeated(prepared.Tensor, size)); err != nil {
			rate.Error = err.Error()
		}
		rates = append(rates, rate)
		if err != nil {
			break // what is larger does not fit either
		}
	}
	return rates, ctx.Err()
}

func prepare(m models.Manifest, look pixel.Buffer) (models.Prepared, error) {
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

// repeated stacks a tensor n times.
func repeated(t models.Tensor, n int) models.Tensor {
	shape := slices.Clone(t.Shape)
	shape[0] = int64(n)
	return models.Tensor{Shape: shape, Data: slices.Repeat(t.Data, n)}
}

func throughput(ctx context.Context, s inference.Session, input models.Tensor) (float64, error) {
	if _, err := s.Run(ctx, []models.Tensor{input}); err != nil {
		return 0, err
	}
	start, images := time.Now(), 0
	for time.Since(start) < time.Second {
		if _, err := s.Run(ctx, []models.Tensor{input}); err != nil {
			return 0, err
		}
		images += int(input.Shape[0])
	}
	return float64(images) / time.Since(start).Seconds(), nil
}

// Remember keeps the rates of a model in the journal.
func (j *Journal) Remember(m report.Model) error { return j.write(line{Model: &m}) }
