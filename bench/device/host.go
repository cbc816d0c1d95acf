package device

import (
	"context"
	"errors"
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

// Cold is how long a host with nothing loaded takes to answer, from the question.
func Cold(ctx context.Context, e *ort.Engine, r *models.Repository, m models.Model, in []models.Tensor) (time.Duration, error) {
	h, err := host.New(HostConfig(e), e, r)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	err = Ask(ctx, h, m, in)
	took := time.Since(began)
	return took, CloseHost(h, err)
}
