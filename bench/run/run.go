// Package run measures: it sends the pictures of a set one after the other
// through what is to be measured, compares what comes back with the truth, and
// writes a journal of every picture, from which bench/report makes figures.
//
// Models of ours go the way of a request: the look of core/pipeline, the
// scheduler and engine of inference, the mask enlarged and encoded. Others are
// reached as their users reach them: rembg in its own Python, an endpoint over
// HTTP.
//
// Goroutines: those of the inference host, which House.Close ends, and a few
// per loop, which have ended when it returns. A child process belongs to the
// Rembg that started it.
package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"image"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"focal/bench/report"
	"focal/core/fault"
	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/inference"
	"focal/models"
	"focal/server/app"
)

// House is everything that measures models of ours, in this process.
type House struct {
	inference *app.Inference
	pictures  *pipeline.Pipeline
}

// Open builds it, once per process; libvips must be open. Nothing that is found
// is remembered, so that every question runs its model.
func Open(c app.InferenceConfig, pictures pipeline.Config) (*House, error) {
	c.CacheSize = 0
	i, err := app.OpenInference(c, nil)
	if err != nil {
		return nil, err
	}
	p, err := pipeline.New(pictures, nil)
	if err != nil {
		return nil, err
	}
	return &House{i, p}, nil
}

// Close unloads the models.
func (h *House) Close(ctx context.Context) error { return h.inference.Close(ctx) }

// Models returns the models of the repository for a task, those that can be
// read, by name.
func (h *House) Models(task models.Task) ([]models.Model, error) {
	all, err := h.inference.Repository.Models()
	return slices.DeleteFunc(all, func(m models.Model) bool { return m.Task != task }), err
}

// Model returns a model of the repository by name.
func (h *House) Model(name string) (models.Model, error) { return h.inference.Repository.Model(name) }

// Ours is the engine of a model that runs in this process.
const Ours = "focal"

// member is a model of ours.
type member struct {
	house *House
	model models.Model
}

func (h *House) member(name string, task models.Task) (member, error) {
	m, err := h.Model(name)
	if err == nil && m.Task != task {
		err = fault.New(fault.Invalid, "run.member", "model %s is for task %s, not %s", name, m.Task, task)
	}
	return member{h, m}, err
}

// Describe says what is known of a model before it has run.
func (m member) Describe() report.Model {
	return report.Model{
		Model: m.model.Name, Engine: Ours, Provider: m.house.Provider(),
		Recipe: models.RecipeDigest(m.model.Manifest).String(), File: m.model.File.String(), FileBytes: fileSize(m.model),
	}
}

// Origin is that of the manifest.
func (m member) Origin() Origin { return Origin{m.model.TrainedOn, m.model.TunedOn} }

// Memory is that of this process, and what is booked for the model.
func (m member) Memory(ctx context.Context) Memory {
	return Memory{Resident: peak("self"), Booked: m.house.booked(ctx, m.model.Name), Device: max(0, m.house.inference.Engine.Grown())}
}

// fileSize is that of a model's weights, 0 where it is not known.
func fileSize(m models.Model) int64 {
	if m.Data != nil {
		return int64(len(m.Data))
	}
	info, err := os.Stat(m.Path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// booked is the memory that the scheduler holds for a model.
func (h *House) booked(ctx context.Context, name string) int64 {
	for _, m := range h.inference.Status(ctx).Models {
		if m.Name == name {
			return m.Memory
		}
	}
	return 0
}

// subject makes the look of a file, and what inference is asked about it.
func (h *House) subject(ctx context.Context, file []byte) (inference.Subject, time.Duration, error) {
	start := time.Now()
	look, size, err := h.pictures.Look(ctx, file)
	return inference.Subject{
		Content: sha256.Sum256(file), Source: size,
		Look: func(context.Context) (pixel.Buffer, error) { return look, nil },
	}, time.Since(start), err
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Source is a picture as it lies on disk.
type Source struct {
	Set  string // name
	Path string
	File []byte
}

// Options are how a loop goes over a set.
type Options struct {
	Out       string // folder of results
	Threshold int    // grey value from which a result is foreground
	Limit     int    // pictures of each set, drawn by Seed; 0 is all
	Seed      uint64
	Clients   int           // pictures in flight at once
	Timeout   time.Duration // for one picture
	Progress  func(what string, total int) Progress
}

// Progress hears of a loop; it is told of one picture after the other.
type Progress interface {
	Add(n int) error
	Finish() error
}

// draw returns limit of items, drawn by the seed, in their order; all with 0.
func draw[T any](items []T, limit int, seed uint64) []T {
	if limit <= 0 || limit >= len(items) {
		return items
	}
	picked := rand.New(rand.NewPCG(seed, 0)).Perm(len(items))[:limit]
	slices.Sort(picked)
	out := make([]T, 0, limit)
	for _, i := range picked {
		out = append(out, items[i])
	}
	return out
}

// key is a short digest of all that a line of the journal depends on.
func key(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		d := sha256.Sum256(p)
		h.Write(d[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// grey is a mask as an image.
func grey(m pixel.Mask) *image.Gray {
	return &image.Gray{Pix: m.Pix, Stride: m.Width, Rect: image.Rect(0, 0, m.Width, m.Height)}
}

// Provider says on what models run: cpu or cuda.
func (h *House) Provider() string { return h.inference.Engine.Provider() }

// Device names the processor or the card, and how it is used.
func (h *House) Device() string { return h.inference.Engine.Device() }
