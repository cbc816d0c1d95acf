package run

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"image"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"focal/bench/dataset"
	"focal/bench/report"
	"focal/core/fault"
	"focal/core/pixel"
	"focal/models/vision"
)

// server is a program that is reached as its users reach it, over HTTP.
type server struct {
	name    string
	address string
	path    string
	client  *http.Client
}

// newServer reads an address, which may begin with a name for it: name=http://…
// client carries the requests; their time limit is that of the context.
func newServer(address string, client *http.Client) (server, error) {
	name := ""
	if i := strings.Index(address, "=http"); i > 0 && !strings.Contains(address[:i], "/") {
		name, address = address[:i], address[i+1:]
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return server{}, fault.New(fault.Invalid, "run.newServer", "--endpoint %q: want http://host:port/path", address)
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return server{}, fault.New(fault.Invalid, "run.newServer", "--endpoint %q: %w", address, err)
	}
	return server{name: cmp.Or(name, strings.TrimPrefix(address, u.Scheme+"://")), address: address, path: u.Path, client: client}, nil
}

// otherwise is the address with a path where it has none.
func (s server) otherwise(path string) server {
	if s.path == "" || s.path == "/" {
		s.address, s.path = strings.TrimSuffix(s.address, "/")+path, path
	}
	return s
}

// Describe names the address.
func (s server) Describe() report.Model { return report.Model{Model: s.name, Engine: "endpoint"} }

// Origin is not known of a server.
func (s server) Origin() Origin { return Origin{} }

// Memory is not known of a server.
func (s server) Memory(context.Context) Memory { return Memory{} }

// fileMark in an address stands for the file's name, setMark for its set's:
// such an address is fetched, and the server has the pictures already.
const (
	fileMark = "{file}"
	setMark  = "{set}"
)

func (s server) fetches() bool { return strings.Contains(s.address, fileMark) }

// fetch asks a server that has the pictures.
func (s server) fetch(ctx context.Context, src Source) ([]byte, http.Header, error) {
	address := strings.ReplaceAll(s.address, fileMark, url.PathEscape(filepath.Base(src.Path)))
	return s.exchange(ctx, http.MethodGet, strings.ReplaceAll(address, setMark, url.PathEscape(src.Set)), nil, nil)
}

// post sends a body to the server's address.
func (s server) post(ctx context.Context, header http.Header, body []byte) ([]byte, http.Header, error) {
	return s.exchange(ctx, http.MethodPost, s.address, header, body)
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 256 << 20

func (s server) exchange(ctx context.Context, method, address string, header http.Header, body []byte) ([]byte, http.Header, error) {
	const op = "run.endpoint"
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, op, "%w", err)
	}
	if header != nil {
		r.Header = header
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, nil, fault.New(fault.Unavailable, op, "%w", err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, nil, fault.New(fault.Unavailable, op, "%w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, nil, fault.New(fault.Unavailable, op, "%s answered %d: %.200s", address, answer.StatusCode, got)
	}
	return got, answer.Header, nil
}

// timed turns what a server says of its time, and how long its user waited,
// into Times. What a server has remembered took no time that says anything.
func timed(header http.Header, waited time.Duration) report.Times {
	t := report.Times{Total: ms(waited), Cached: remembered(header)}
	for item := range strings.SplitSeq(header.Get("Server-Timing"), ",") {
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
	t.Infer = t.Queue + t.Run
	if t.Infer == 0 {
		t.Infer = t.Total // a server that does not tell
	}
	return t
}

// remembered says whether a server of ours had the finding already, or a server
// that speaks RFC 9211 the whole answer.
func remembered(header http.Header) bool {
	return strings.Contains(header.Get("Focal-Inference"), "result=hit") || strings.Contains(header.Get("Cache-Status"), "; hit")
}

// maskServer makes masks in one exchange.
type maskServer struct {
	server
	ask func(context.Context, Source) ([]byte, http.Header, error)
}

// SegmentEndpoint is a server that makes masks. What it is is read from its
// address:
//
//	…{file}…               fetched: our image server, with segment=foreground
//	…/api/remove           rembg's server
//	…/v2/models/NAME       Open Inference Protocol; NAME's manifest comes from
//	                       the repository, so its pictures are prepared here
//	anything else          our inference endpoint; without a path, /v1/foreground
func (h *House) SegmentEndpoint(address string, client *http.Client) (Segmenter, error) {
	s, err := newServer(address, client)
	if err != nil {
		return nil, err
	}
	switch {
	case s.fetches():
		return maskServer{s, s.fetch}, nil
	case strings.HasSuffix(s.path, "/api/remove"):
		return s.remover(), nil
	case strings.HasPrefix(s.path, protocolPath):
		return h.maskProtocol(s)
	}
	s = s.otherwise("/v1/foreground")
	return maskServer{s, func(ctx context.Context, src Source) ([]byte, http.Header, error) {
		return s.post(ctx, http.Header{"Content-Type": {"application/octet-stream"}, "Accept": {"image/png"}}, src.File)
	}}, nil
}

// remover is rembg's server. It reads most of its settings (model=…) from the
// form, not from the address, where a user of ours writes them.
func (s server) remover() maskServer {
	_, query, _ := strings.Cut(s.address, "?")
	settings, _ := url.ParseQuery(query) // newServer has read it
	return maskServer{s, func(ctx context.Context, src Source) ([]byte, http.Header, error) {
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		part, err := w.CreateFormFile("file", filepath.Base(src.Path))
		if err != nil {
			return nil, nil, err
		}
		if _, err := part.Write(src.File); err != nil {
			return nil, nil, err
		}
		fields := url.Values{"om": {"true"}} // only the mask
		maps.Copy(fields, settings)
		for name, values := range fields {
			if err := w.WriteField(name, values[0]); err != nil {
				return nil, nil, err
			}
		}
		if err := w.Close(); err != nil {
			return nil, nil, err
		}
		return s.post(ctx, http.Header{"Content-Type": {w.FormDataContentType()}}, form.Bytes())
	}}
}

// Segment asks the server. Total is what its user waits for: the exchange.
func (s maskServer) Segment(ctx context.Context, src Source) (Cut, error) {
	start := time.Now()
	body, header, err := s.ask(ctx, src)
	if err != nil {
		return Cut{}, err
	}
	waited := time.Since(start)
	cut, err := cutOf(body)
	cut.Times = timed(header, waited)
	return cut, err
}

// cutOf reads a mask, or the alpha of a cut-out where a server sends that.
func cutOf(file []byte) (Cut, error) {
	const op = "run.cutOf"
	m, err := dataset.DecodeMask(file, false)
	if err == nil {
		return Cut{Mask: m, PNG: file}, nil
	}
	img, _, e := image.Decode(bytes.NewReader(file))
	cut, ok := img.(*image.NRGBA)
	if e != nil || !ok {
		return Cut{}, fault.New(fault.Internal, op, "the answer is neither a mask nor a cut-out: %w", err)
	}
	m = pixel.Mask{Width: cut.Rect.Dx(), Height: cut.Rect.Dy()}
	for i := 3; i < len(cut.Pix); i += 4 {
		m.Pix = append(m.Pix, cut.Pix[i])
	}
	file, err = encode(m)
	return Cut{Mask: m, PNG: file}, err
}

// maskProtocol is a foreground model behind the Open Inference Protocol.
func (h *House) maskProtocol(s server) (Segmenter, error) {
	p, err := newProtocol(h, s, maskTask)
	return protocolMasks{p}, err
}

type protocolMasks struct{ *protocol[pixel.Mask] }

// Segment prepares the picture and finishes the mask here.
func (p protocolMasks) Segment(ctx context.Context, src Source) (Cut, error) {
	start := time.Now()
	small, size, t, err := p.result(ctx, src.File)
	if err != nil {
		return Cut{}, err
	}
	mask, err := vision.FitMask(small, size)
	if err != nil {
		return Cut{}, err
	}
	masked := time.Since(start)
	file, err := encode(mask)
	total := time.Since(start)
	t.Infer = ms(masked) - t.Decode
	t.Post, t.Encode, t.Total = t.Infer-t.Pre-t.Run, ms(total-masked), ms(total)
	return Cut{Mask: mask, PNG: file, Times: t}, err
}

// faceServer finds faces in one exchange.
type faceServer struct {
	server
	ask func(context.Context, Source) ([]byte, http.Header, error)
}

// FacesEndpoint is a server that finds faces: …{file}… is fetched, and answers
// as our image server does with format=json; …/v2/models/NAME is one of the
// Open Inference Protocol; anything else is ours, without a path /v1/faces.
func (h *House) FacesEndpoint(address string, client *http.Client) (Finder, error) {
	s, err := newServer(address, client)
	if err != nil {
		return nil, err
	}
	switch {
	case s.fetches():
		return faceServer{s, s.fetch}, nil
	case strings.HasPrefix(s.path, protocolPath):
		p, err := newProtocol(h, s, faceTask)
		return protocolFaces{p}, err
	}
	s = s.otherwise("/v1/faces?threshold=0")
	return faceServer{s, func(ctx context.Context, src Source) ([]byte, http.Header, error) {
		return s.post(ctx, http.Header{"Content-Type": {"application/octet-stream"}}, src.File)
	}}, nil
}

// Threshold is that of the contract, since a server does not tell its own.
func (s faceServer) Threshold() float64 { return 0.6 }

// Find asks the server.
func (s faceServer) Find(ctx context.Context, src Source) (Found, error) {
	start := time.Now()
	body, header, err := s.ask(ctx, src)
	if err != nil {
		return Found{}, err
	}
	f := Found{Times: timed(header, time.Since(start))}
	var answer struct {
		Faces []struct {
			Box   [4]float64
			Score float64
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return Found{}, fault.New(fault.Internal, "run.faceServer", "the answer is not JSON of faces: %w", err)
	}
	for _, a := range answer.Faces {
		f.Boxes = append(f.Boxes, [5]float64{a.Box[0], a.Box[1], a.Box[2], a.Box[3], a.Score})
	}
	return f, nil
}

type protocolFaces struct{ *protocol[[]pixel.Face] }

// Threshold is that of the manifest.
func (p protocolFaces) Threshold() float64 { return p.model.Defaults.Threshold }

// Find prepares the picture and decodes the boxes here.
func (p protocolFaces) Find(ctx context.Context, src Source) (Found, error) {
	start := time.Now()
	faces, size, t, err := p.result(ctx, src.File)
	if err != nil {
		return Found{}, err
	}
	t.Total = ms(time.Since(start))
	t.Infer = t.Total - t.Decode
	t.Post = t.Infer - t.Pre - t.Run
	return Found{scaled(faces, size), t}, nil
}
