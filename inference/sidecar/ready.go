package sidecar

import (
	"context"
	_ "embed" // openapi.json
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"focal/inference"
)

// openapi is the description of every route and status of this room, written
// by hand; a test holds it against what the routes really answer.
//
//go:embed openapi.json
var openapi []byte

// readyBody is what /readyz says, in the shape of the image server's.
type readyBody struct {
	Status    inference.State  `json:"status"`
	Version   string           `json:"version"`
	Inference inference.Status `json:"inference"`
}

// healthz says that the process serves.
func (s *Server) healthz(context.Context, *request) (answer, error) {
	return newAnswer(http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n")), nil
}

// readyz says whether questions are answered; 503 while they are not.
func (s *Server) readyz(ctx context.Context, _ *request) (answer, error) {
	status := s.client.Status(ctx)
	if status.Models == nil {
		status.Models = []inference.ModelStatus{}
	}
	if status.Missing == nil {
		status.Missing = []string{}
	}
	code := http.StatusOK
	if status.State != inference.StateReady {
		code = http.StatusServiceUnavailable
	}
	return jsonAnswer(code, readyBody{Status: status.State, Version: s.cfg.Version, Inference: status}), nil
}

func (s *Server) openAPI(context.Context, *request) (answer, error) {
	return newAnswer(http.StatusOK, typeJSON, openapi), nil
}

func (s *Server) metrics() http.Handler {
	gatherer := s.cfg.Metrics
	if gatherer == nil {
		gatherer = prometheus.Gatherers{}
	}
	// What can be gathered is shown even if one collector fails.
	return promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}
