package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"

	"focal/core/fault"
	"focal/server/app"
)

// versionCommand is `focal version`.
type versionCommand struct{}

// Run prints the versions of focal and of the libraries in it.
func (versionCommand) Run() error {
	_, err := fmt.Printf("focal %s\n%s\n", version, app.Versions())
	return err
}

// doctorCommand is `focal doctor`.
type doctorCommand struct {
	inferenceFlags
}

// Run prints what works here, and fails if anything that serve needs does not.
func (c *doctorCommand) Run(ctx context.Context, log *slog.Logger) error {
	if err := app.Open(log); err != nil {
		return err
	}
	checks, err := app.Diagnose(ctx, c.inferenceFlags.config(runtime.GOMAXPROCS(0)))
	if err != nil {
		return err
	}
	bad := 0
	for _, check := range checks {
		if check.Err != nil {
			bad++
			fmt.Printf("✗ %-13s %v\n", check.Part, check.Err)
			continue
		}
		fmt.Printf("✓ %-13s %s\n", check.Part, check.Good)
	}
	if bad > 0 {
		return fault.New(fault.Unavailable, "main.doctor", "%d of these need attention", bad)
	}
	return nil
}
