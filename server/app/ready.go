package app

import (
	"context"

	"focal/inference"
)

// readiness is the body of the server's /readyz.
type readiness struct {
	Status    string           `json:"status"` // ready or starting
	Version   string           `json:"version"`
	Inference inference.Status `json:"inference"`
}

// ready says whether traffic may come: plain transforms work from the start,
// but a server that is asked for faces in its first second should not be sent
// traffic before its sidecar's first start has ended, either way.
func (h *half) ready(version string) func(context.Context) (any, bool) {
	return func(ctx context.Context) (any, bool) {
		select {
		case <-h.firstStart:
			return readiness{Status: "ready", Version: version, Inference: h.client.Status(ctx)}, true
		default:
			return readiness{Status: "starting", Version: version, Inference: inference.Status{State: inference.StateStarting}}, false
		}
	}
}
