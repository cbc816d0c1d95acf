package sidecar

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"focal/core/fault"
	"focal/inference"
	"focal/inference/oip"
	"focal/models"
)

// Tensors is a Client that runs raw tensors too, on any model that there is.
// The routes of the Open Inference Protocol are served where New is given one.
type Tensors interface {
	inference.Client
	// Model describes a model; an empty version is the one that serves.
	// fault.NotFound is one that there is not.
	Model(name, version string) (models.Model, error)
	// Batching is how the model's requests share runs. Errors are those of Model.
	Batching(name, version string) (inference.Batching, error)
	Infer(ctx context.Context, r inference.TensorsRequest) (inference.Tensors, error)
	// Load returns when the model is resident, Unload as soon as it takes no
	// more requests.
	Load(ctx context.Context, name string, class inference.Class) error
	Unload(name string) error
	// Statistics is of all models, by name and version.
	Statistics() []inference.Statistics
}

// tensorRoutes are the routes under /v2; none without Tensors.
func (s *Server) tensorRoutes() []route {
	if s.tensors == nil {
		return nil
	}
	all := []route{
		{"/v2", s.get(s.serverMetadata)},
		{"/v2/health/live", s.get(s.live)},
		{"/v2/health/ready", s.get(s.serverReady)},
		{"/v2/models/stats", s.get(s.statistics)},
		{"/v2/repository/index", s.post(s.index)},
		{"/v2/repository/models/{model}/load", s.post(s.load)},
		{"/v2/repository/models/{model}/unload", s.post(s.unload)},
	}
	for _, model := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		all = append(all,
			route{model, s.get(s.modelMetadata)},
			route{model + "/config", s.get(s.modelConfig)},
			route{model + "/ready", s.get(s.modelReady)},
			route{model + "/stats", s.get(s.statistics)},
			route{model + "/infer", s.post(s.infer)},
		)
	}
	return all
}

func (s *Server) serverMetadata(context.Context, *request) (answer, error) {
	return jsonAnswer(http.StatusOK, struct {
		Name       string   `json:"name"`
		Version    string   `json:"version"`
		Extensions []string `json:"extensions"`
	}{"focal", s.cfg.Version, oip.Extensions[:]}), nil
}

func (s *Server) live(context.Context, *request) (answer, error) {
	return jsonAnswer(http.StatusOK, map[string]bool{"live": true}), nil
}

// serverReady is readyz in the words of the protocol.
func (s *Server) serverReady(ctx context.Context, _ *request) (answer, error) {
	status := s.client.Status(ctx)
	if status.State != inference.StateReady {
		return answer{}, fault.New(fault.Unavailable, "sidecar.serverReady", "inference is %s: %s", status.State, status.Reason)
	}
	return jsonAnswer(http.StatusOK, map[string]bool{"ready": true}), nil
}

func (s *Server) modelMetadata(_ context.Context, r *request) (answer, error) {
	m, err := s.tensors.Model(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return answer{}, err
	}
	return jsonAnswer(http.StatusOK, oip.Describe(m)), nil
}

func (s *Server) modelConfig(ctx context.Context, r *request) (answer, error) {
	name, version := r.PathValue("model"), r.PathValue("version")
	m, err := s.tensors.Model(name, version)
	if err != nil {
		return answer{}, err
	}
	b, err := s.tensors.Batching(name, version)
	if err != nil {
		return answer{}, err
	}
	return jsonAnswer(http.StatusOK, oip.Configure(m, b, s.client.Status(ctx).Provider)), nil
}

// modelReady says that a request for the model would be answered, loaded or
// not: it is loaded when it is asked for.
func (s *Server) modelReady(ctx context.Context, r *request) (answer, error) {
	m, err := s.tensors.Model(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return answer{}, err
	}
	for _, status := range s.client.Status(ctx).Models {
		if entry := oip.Index(status); entry.Name == m.Name && entry.State == oip.Unavailable {
			return answer{}, fault.New(fault.Unavailable, "sidecar.modelReady", "model %s is not ready: %s", m.Name, entry.Reason)
		}
	}
	return jsonAnswer(http.StatusOK, struct {
		Name  string `json:"name"`
		Ready bool   `json:"ready"`
	}{m.Name, true}), nil
}

// infer runs the tensors in the body:
//
//  1. The model, before anything is read: who asks for none that there is
//     hears so at once.
//  2. The body, within the limits, and what it says.
//  3. The run. Outputs that are not wanted are made and left out.
func (s *Server) infer(ctx context.Context, r *request) (answer, error) {
	m, err := s.tensors.Model(r.PathValue("model"), r.PathValue("version")) // 1
	if err != nil {
		return answer{}, err
	}
	header, err := headerLength(r.Header)
	if err != nil {
		return answer{}, err
	}
	holds := withTensorsOfJSON
	if header != oip.NoHeader {
		holds = withTensors
	}
	body, release, err := s.readBody(ctx, r, 0, holds) // 2
	defer release()
	if err != nil {
		return answer{}, err
	}
	asked, err := oip.Parse(body, header, m.Manifest)
	if err != nil {
		return answer{}, err
	}
	if asked.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, asked.Timeout)
		defer cancel()
	}
	got, err := s.tensors.Infer(ctx, inference.TensorsRequest{ // 3
		Model: m.Name, Version: m.Version, Inputs: asked.Inputs, Class: r.class(), Priority: asked.Priority,
	})
	if err != nil {
		return answer{}, err
	}
	return tensorsAnswer(asked, m.Manifest, got)
}

// What the body of a request and the tensors made of it hold together: a number is
// at least two letters of JSON and four bytes as a tensor, and the decoder's copy
// may be twice as large.
func withTensorsOfJSON(n int64) int64 { return 5 * n }
func withTensors(n int64) int64       { return 2 * n }

// headerLength reads Inference-Header-Content-Length.
func headerLength(h http.Header) (int64, error) {
	value := h.Get(headerLengthName)
	if value == "" {
		return oip.NoHeader, nil
	}
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil {
		return 0, fault.New(fault.Invalid, "sidecar.headerLength", "%s %q: want the length of the JSON in bytes", headerLengthName, value)
	}
	return int64(n), nil
}

func tensorsAnswer(asked oip.Request, m models.Manifest, got inference.Tensors) (answer, error) {
	body, header, err := asked.Answer(m, got.Version, got.Outputs)
	if err != nil {
		return answer{}, err
	}
	a := newAnswer(http.StatusOK, typeJSON, body)
	if header != oip.NoHeader {
		a.header.Set("Content-Type", "application/octet-stream")
		a.header.Set(headerLengthName, strconv.Itoa(header))
	}
	a.header.Set(headerInference, formatFacts("tensors", got.Facts))
	a.header.Set(headerTiming, formatTiming(got.Facts))
	return a, nil
}

// statistics answers for all models, or for those that the path names.
func (s *Server) statistics(ctx context.Context, r *request) (answer, error) {
	name, version := r.PathValue("model"), r.PathValue("version")
	provider := s.client.Status(ctx).Provider
	told := []oip.ModelStatistics{}
	for _, m := range s.tensors.Statistics() {
		if (name == "" || name == m.Model) && (version == "" || version == m.Version) {
			told = append(told, oip.Statistics(m, provider))
		}
	}
	if name != "" && len(told) == 0 {
		return answer{}, fault.New(fault.NotFound, "sidecar.statistics", "there is no model %q of version %q", name, version)
	}
	return jsonAnswer(http.StatusOK, map[string][]oip.ModelStatistics{"model_stats": told}), nil
}

// index lists the models of the repository.
func (s *Server) index(ctx context.Context, r *request) (answer, error) {
	body, release, err := s.readBody(ctx, r, 0, itself)
	defer release()
	if err != nil {
		return answer{}, err
	}
	ready, err := oip.ParseIndex(body)
	if err != nil {
		return answer{}, err
	}
	entries := []oip.Entry{}
	for _, m := range s.client.Status(ctx).Models {
		entries = append(entries, oip.Index(m))
	}
	if ready {
		entries = slices.DeleteFunc(entries, func(e oip.Entry) bool { return e.State != oip.Ready })
	}
	return jsonAnswer(http.StatusOK, entries), nil
}

// load makes a model resident.
func (s *Server) load(ctx context.Context, r *request) (answer, error) {
	if err := s.order(ctx, r, oip.CheckLoad); err != nil {
		return answer{}, err
	}
	name := r.PathValue("model")
	if err := s.tensors.Load(ctx, name, r.class()); err != nil {
		return answer{}, err
	}
	return jsonAnswer(http.StatusOK, map[string]any{"name": name, "load": true}), nil
}

// unload sends a model away.
func (s *Server) unload(ctx context.Context, r *request) (answer, error) {
	if err := s.order(ctx, r, oip.CheckUnload); err != nil {
		return answer{}, err
	}
	name := r.PathValue("model")
	if err := s.tensors.Unload(name); err != nil {
		return answer{}, err
	}
	return jsonAnswer(http.StatusOK, map[string]any{"name": name, "unload": true}), nil
}

// order reads the body of an order, and decides who may give one: it moves
// everybody's models. Where the sidecar has a token, who brings it; without
// one whoever reaches the address, but no page of another site in somebody's
// browser.
func (s *Server) order(ctx context.Context, r *request, check func([]byte) error) error {
	const op = "sidecar.order"
	if s.cfg.Token != "" && !r.trusted {
		return fault.New(fault.Forbidden, op, "loading and unloading needs the sidecar's token (--inference-token), or its socket")
	}
	if err := new(http.CrossOriginProtection).Check(r.Request); err != nil {
		return fault.New(fault.Forbidden, op, "%w", err)
	}
	body, release, err := s.readBody(ctx, r, 0, itself)
	defer release()
	if err != nil {
		return err
	}
	return check(body)
}
