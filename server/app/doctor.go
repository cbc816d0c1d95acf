package app

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/core/vips"
	"focal/inference"
	"focal/inference/gpu"
	"focal/inference/ort"
	"focal/models/vision"
)

// Versions names the libraries in this program.
func Versions() string {
	return fmt.Sprintf("%s, libvips %s, pixel arithmetic %s", runtime.Version(), vips.Version(), vision.Backend())
}

// Check is one line of a diagnosis.
type Check struct {
	Part string
	Good string // what was found
	Err  error  // what is wrong, nil where nothing is
}

// Diagnose opens what a server would open, part by part, and has the default
// face model look at an empty picture: what ran, and where, is then no guess.
// libvips must be open.
func Diagnose(ctx context.Context, c InferenceConfig) ([]Check, error) {
	checks := []Check{
		{Part: "libvips", Good: vips.Version()},
		{Part: "pixels", Good: vision.Backend()},
		{Part: "card", Good: cards()},
	}
	i, err := OpenInference(c, nil)
	if err != nil {
		library, missing := ort.FindLibrary(c.Library, c.Device)
		return append(checks, Check{Part: "ONNX Runtime", Good: library, Err: missing}, Check{Part: "inference", Err: err}), nil
	}
	checks = append(checks, Check{Part: "ONNX Runtime", Good: ort.Version() + " in " + i.Engine.Library()})
	checks = append(checks, modelChecks(i.Status(ctx))...)
	checks = append(checks, i.proof(ctx))
	return checks, i.Close(ctx)
}

// cards describes the cards that a loaded NVIDIA driver sees, or says why none.
func cards() string {
	driver, err := gpu.Open(gpu.DefaultConfig())
	if err != nil {
		return err.Error()
	}
	defer driver.Close()
	found, err := driver.Cards()
	if err != nil {
		return err.Error()
	}
	version, _ := driver.Version()
	text := fmt.Sprintf("driver %s sees %d", version, len(found))
	for _, card := range found {
		text += fmt.Sprintf("; %d: %s, %d MiB", card.Index, card.Name, card.Total>>20)
		if r, err := driver.Read(card.Bus); err == nil {
			text += fmt.Sprintf(", %d free", r.Free>>20)
		}
	}
	return text
}

// proof has a model run, and says on what. A model that is loaded on a card
// without taking any of its memory runs somewhere else.
func (i *Inference) proof(ctx context.Context) Check {
	const side = 64
	check := Check{Part: "run"}
	empty := pixel.Buffer{Width: side, Height: side, Channels: 3, Pix: make([]byte, 3*side*side)}
	found, err := i.Faces(ctx, inference.FacesRequest{Subject: inference.Subject{
		Content: sha256.Sum256(empty.Pix),
		Look:    func(context.Context) (pixel.Buffer, error) { return empty, nil },
	}})
	if err != nil {
		check.Err = err
		return check
	}
	check.Good = fmt.Sprintf("%s ran on %s in %s", found.Model, i.Engine.Device(), found.Run.Round(10*time.Microsecond))
	if i.Engine.Provider() == "cpu" {
		return check
	}
	on, err := holds(found.Model, i.Engine.Used() >= 0, i.Engine.Grown())
	check.Good += on
	check.Err = err
	return check
}

// holds says by how much more of a card is taken since a model was loaded, or that
// none is; told: the driver tells this process from others.
func holds(model string, told bool, grown int64) (on string, err error) {
	const op = "app.Diagnose"
	const untold = "the driver does not tell this process from others (a container needs the host's process ids for that: --pid=host, hostPID)"
	switch {
	case grown < 0:
		return "; the driver does not say what this process holds of the card", nil
	case grown == 0 && told:
		return "", fault.New(fault.Unavailable, op, "%s is loaded, and holds nothing of the card: it does not run there", model)
	case grown == 0:
		return "", fault.New(fault.Unavailable, op, "%s is loaded, and no more of the card is taken than before: it does not run there, unless another process let go meanwhile: %s", model, untold)
	case told:
		return fmt.Sprintf("; it holds %d MiB of the card", grown>>20), nil
	}
	return fmt.Sprintf("; %d MiB more of the card are taken than before: %s", grown>>20, untold), nil
}

func modelChecks(s inference.Status) []Check {
	const op = "app.Diagnose"
	if s.State != inference.StateReady {
		return []Check{{Part: "inference", Err: fault.New(fault.Unavailable, op, "%s", s.Reason)}}
	}
	runs := "runs on " + s.Provider
	if s.Reason != "" {
		runs += ": " + s.Reason
	}
	checks := []Check{{Part: "inference", Good: runs}}
	var served []string // by another in their place
	for _, m := range s.Models {
		check := Check{Part: "model", Good: m.Name + " version " + m.Version}
		if m.Default {
			check.Good += ", default for " + string(m.Task)
		}
		if m.Instead != "" {
			check.Good += " instead of " + m.Instead + ": focal models pull " + m.Instead
			served = append(served, m.Instead)
		}
		if m.Error != "" {
			check.Err = fault.New(fault.Unavailable, op, "%s: %s", m.Name, m.Error)
		}
		checks = append(checks, check)
	}
	for _, name := range s.Missing {
		if slices.Contains(served, name) {
			continue
		}
		checks = append(checks, Check{Part: "model", Err: fault.New(fault.NotFound, op, "%s is missing: focal models pull %s", name, name)})
	}
	return checks
}
