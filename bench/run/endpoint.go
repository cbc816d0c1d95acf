package run

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"focal/bench/dataset"
	"focal/bench/report"
	"focal/core/fault"
	"focal/core/pixel"
	"focal/models"
	"focal/models/foreground"
	"focal/models/vision"
)

// Endpoint is a server that makes masks, reached as its users reach it.
type Endpoint struct {
	name   string
	client *http.Client
	ask    func(ctx context.Context, s Source) (Cut, error)
}

var _ Segmenter = (*Endpoint)(nil)

// NewEndpoint reads what an address is from its path:
//
//	…/api/remove                rembg's server
//	…/v2/models/NAME/infer      Open Inference Protocol; NAME's manifest comes
//	                            from the repository, so its pictures are prepared here
//	anything else               our inference endpoint; without a path, /v1/foreground
//
// client carries the requests; its time limit is the caller's.
func (h *House) NewEndpoint(address string, client *http.Client) (*Endpoint, error) {
	const op = "run.NewEndpoint"
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fault.New(fault.Invalid, op, "--endpoint %q: want http://host:port/path", address)
	}
	e := &Endpoint{name: u.Host + u.Path, client: client}
	switch {
	case strings.HasSuffix(u.Path, "/api/remove"):
		e.ask = func(ctx context.Context, s Source) (Cut, error) { return e.remove(ctx, u, s) }
	case strings.HasPrefix(u.Path, "/v2/models/"):
		name, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/v2/models/"), "/")
		m, err := h.Model(name)
		if err != nil {
			return nil, err
		}
		a, err := foreground.New(m.Manifest)
		if err != nil {
			return nil, err
		}
		e.ask = func(ctx context.Context, s Source) (Cut, error) { return h.infer(ctx, e, u, m.Manifest, a, s) }
	default:
		if u.Path == "" || u.Path == "/" {
			u.Path = "/v1/foreground"
		}
		e.ask = func(ctx context.Context, s Source) (Cut, error) { return e.foreground(ctx, u, s) }
	}
	return e, nil
}

// Describe names the address.
func (e *Endpoint) Describe() report.Model { return report.Model{Model: e.name, Engine: "endpoint"} }

// TrainedOn is not known of a server.
func (e *Endpoint) TrainedOn() []string { return nil }

// Memory is not known of a server.
func (e *Endpoint) Memory(context.Context) (resident, booked int64) { return 0, 0 }

// Segment asks the server. Total is the round trip, with the answer read.
func (e *Endpoint) Segment(ctx context.Context, s Source) (Cut, error) { return e.ask(ctx, s) }

// foreground posts the file to a server of ours.
func (e *Endpoint) foreground(ctx context.Context, u *url.URL, s Source) (Cut, error) {
	header := http.Header{"Content-Type": {"application/octet-stream"}, "Accept": {"image/png"}}
	start := time.Now()
	body, answer, err := e.post(ctx, u, header, s.File)
	if err != nil {
		return Cut{}, err
	}
	cut, err := cutOf(body)
	cut.Times = serverTiming(answer.Get("Server-Timing"))
	cut.Times.Total = ms(time.Since(start))
	cut.Times.Infer = cut.Times.Queue + cut.Times.Run
	return cut, err
}

// remove posts the file to rembg's server and asks for the mask only.
func (e *Endpoint) remove(ctx context.Context, u *url.URL, s Source) (Cut, error) {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", "picture")
	if err != nil {
		return Cut{}, err
	}
	if _, err := part.Write(s.File); err != nil {
		return Cut{}, err
	}
	if err := w.WriteField("om", "true"); err != nil {
		return Cut{}, err
	}
	if err := w.Close(); err != nil {
		return Cut{}, err
	}
	start := time.Now()
	body, _, err := e.post(ctx, u, http.Header{"Content-Type": {w.FormDataContentType()}}, form.Bytes())
	if err != nil {
		return Cut{}, err
	}
	total := ms(time.Since(start))
	cut, err := cutOf(body)
	cut.Times = report.Times{Total: total, Infer: total}
	return cut, err
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 256 << 20

func (e *Endpoint) post(ctx context.Context, u *url.URL, header http.Header, body []byte) ([]byte, http.Header, error) {
	const op = "run.Endpoint"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, op, "%w", err)
	}
	r.Header = header
	answer, err := e.client.Do(r)
	if err != nil {
		return nil, nil, fault.New(fault.Unavailable, op, "%w", err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, nil, fault.New(fault.Unavailable, op, "%w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, nil, fault.New(fault.Unavailable, op, "%s answered %d: %.200s", u, answer.StatusCode, got)
	}
	return got, answer.Header, nil
}

// cutOf reads a mask, or the alpha of a cut-out where a server sends that.
func cutOf(file []byte) (Cut, error) {
	m, err := dataset.DecodeMask(file, false)
	if err == nil {
		return Cut{Mask: m, PNG: file}, nil
	}
	img, _, e := image.Decode(bytes.NewReader(file))
	cut, ok := img.(*image.NRGBA)
	if e != nil || !ok {
		return Cut{}, fault.New(fault.Internal, "run.cutOf", "the answer is neither a mask nor a cut-out: %w", err)
	}
	m = pixel.Mask{Width: cut.Rect.Dx(), Height: cut.Rect.Dy()}
	for i := 3; i < len(cut.Pix); i += 4 {
		m.Pix = append(m.Pix, cut.Pix[i])
	}
	file, err = encode(m)
	return Cut{Mask: m, PNG: file}, err
}

// serverTiming reads the steps that a server names.
func serverTiming(header string) report.Times {
	var t report.Times
	for item := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(item), ";dur=")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch name {
		case "decode":
			t.Decode = v
		case "queue":
			t.Queue = v
		case "run", "infer":
			t.Run = v
		case "encode":
			t.Encode = v
		}
	}
	return t
}

// infer prepares the picture here and sends the tensor, as a client of the Open
// Inference Protocol does.
func (h *House) infer(ctx context.Context, e *Endpoint, u *url.URL, m models.Manifest, a models.Adapter[pixel.Mask], s Source) (Cut, error) {
	start := time.Now()
	subject, decode, err := h.subject(ctx, s.File)
	if err != nil {
		return Cut{}, err
	}
	look, err := subject.Look(ctx)
	if err != nil {
		return Cut{}, err
	}
	prepared, err := a.Prepare(look)
	if err != nil {
		return Cut{}, err
	}
	ready := time.Since(start)
	outputs, err := e.tensors(ctx, u, m, prepared.Tensor)
	if err != nil {
		return Cut{}, err
	}
	ran := time.Since(start)
	small, err := a.Decode(prepared, outputs)
	if err != nil {
		return Cut{}, err
	}
	mask, err := vision.ResizeMask(small, subject.Source, vision.Cubic)
	if err != nil {
		return Cut{}, err
	}
	masked := time.Since(start)
	file, err := encode(mask)
	total := time.Since(start)
	return Cut{Mask: mask, PNG: file, Times: report.Times{
		Decode: ms(decode), Pre: ms(ready - decode), Run: ms(ran - ready), Post: ms(masked - ran),
		Encode: ms(total - masked), Infer: ms(masked - decode), Total: ms(total),
	}}, err
}

type tensor struct {
	Name  string    `json:"name"`
	Shape []int64   `json:"shape"`
	Type  string    `json:"datatype"`
	Data  []float32 `json:"data"`
}

func (e *Endpoint) tensors(ctx context.Context, u *url.URL, m models.Manifest, input models.Tensor) ([]models.Tensor, error) {
	body, err := json.Marshal(map[string][]tensor{"inputs": {{m.Inputs[0].Name, input.Shape, "FP32", input.Data}}})
	if err != nil {
		return nil, err
	}
	got, _, err := e.post(ctx, u, http.Header{"Content-Type": {"application/json"}}, body)
	if err != nil {
		return nil, err
	}
	var answer struct{ Outputs []tensor }
	if err := json.Unmarshal(got, &answer); err != nil {
		return nil, err
	}
	var out []models.Tensor
	for _, port := range m.Outputs {
		for _, t := range answer.Outputs {
			if t.Name == port.Name {
				out = append(out, models.Tensor{Shape: t.Shape, Data: t.Data})
			}
		}
	}
	if len(out) != len(m.Outputs) {
		return nil, fmt.Errorf("%d outputs have the names of the manifest, of %d", len(out), len(m.Outputs))
	}
	return out, nil
}
