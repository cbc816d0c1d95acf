package app

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"focal/core/fault"
	"focal/core/pipeline"
	"focal/core/vips"
	"focal/inference"
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

// Diagnose opens what a server would open, part by part. libvips must be open.
func Diagnose(ctx context.Context, c InferenceConfig) ([]Check, error) {
	library, err := ort.FindLibrary(c.Library)
	checks := []Check{
		{Part: "libvips", Good: vips.Version()},
		{Part: "pixels", Good: vision.Backend()},
		{Part: "ONNX Runtime", Good: library, Err: err},
		{Part: "card", Good: cards()},
	}
	once, err := NewOnce(pipeline.DefaultConfig(), c)
	if err != nil {
		return nil, err
	}
	checks = append(checks, modelChecks(lazy{once.open}.Status(ctx))...)
	return checks, once.Close(ctx)
}

// cards counts the cards that a loaded NVIDIA driver sees.
func cards() string {
	found, err := os.ReadDir("/proc/driver/nvidia/gpus")
	if err != nil {
		return "no NVIDIA driver is loaded here"
	}
	return fmt.Sprintf("%d seen by the NVIDIA driver", len(found))
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
	for _, m := range s.Models {
		check := Check{Part: "model", Good: m.Name + " version " + m.Version}
		if m.Default {
			check.Good += ", default for " + string(m.Task)
		}
		if m.Error != "" {
			check.Err = fault.New(fault.Unavailable, op, "%s: %s", m.Name, m.Error)
		}
		checks = append(checks, check)
	}
	for _, name := range s.Missing {
		checks = append(checks, Check{Part: "model", Err: fault.New(fault.NotFound, op, "%s is missing: focal models pull %s", name, name)})
	}
	return checks
}
