package device

import (
	"context"
	"errors"
	"slices"
	"time"

	"focal/inference"
	"focal/inference/host"
	"focal/inference/ort"
	"focal/models"
	"focal/models/face"
	"focal/models/foreground"
)

// HostConfig is a server's, but that nothing is measured or looked for on the
// side, and that nobody is refused for the length of a queue.
func HostConfig(e *ort.Engine) host.Config {
	c := host.DefaultConfig()
	if card := e.CardBudget(); card > 0 {
		c.Budget = card
	}
	c.QueueLimit, c.ProbeAfter, c.PollEvery = 4096, 0, 0
	c.Adapters = host.Adapters{Face: face.New, Foreground: foreground.New}
	return c
}

// CloseHost ends a host and joins what it says to err.
func CloseHost(h *host.Host, err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return errors.Join(err, h.Close(ctx))
}

// Ask has a host run one input.
func Ask(ctx context.Context, h *host.Host, m models.Model, in []models.Tensor) error {
	_, err := h.Infer(ctx, inference.TensorsRequest{Model: m.Name, Inputs: in, Class: inference.ClassDirect})
	return err
}

// ColdHost is one for Cold: what nobody asks for leaves at once, and besides that it
// leaves the device alone between the questions.
func ColdHost(e *ort.Engine, r *models.Repository) (*host.Host, error) {
	c := HostConfig(e)
	c.ReadEvery, c.KeepAlive = time.Hour, time.Millisecond
	return host.New(c, e, r)
}

// Cold is how long a host answers a question about a model that is not loaded. The
// model has left again when it returns.
func Cold(ctx context.Context, h *host.Host, m models.Model, in []models.Tensor) (time.Duration, error) {
	began := time.Now()
	if err := Ask(ctx, h, m, in); err != nil {
		return 0, err
	}
	took := time.Since(began)
	for resident(h.Status(ctx), m.Name) {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return took, nil
}

func resident(s inference.Status, name string) bool {
	return slices.ContainsFunc(s.Models, func(m inference.ModelStatus) bool { return m.Name == name && m.State == "resident" })
}
