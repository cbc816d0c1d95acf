package run

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// mask is 8×8, pixel i of value i.
func mask() *image.Gray {
	m := image.NewGray(image.Rect(0, 0, 8, 8))
	for i := range m.Pix {
		m.Pix[i] = byte(i)
	}
	return m
}

// masks answers as a server of each kind does.
func masks(t *testing.T, got *http.Header) *httptest.Server {
	cut := image.NewNRGBA(image.Rect(0, 0, 8, 8))
	for i := range 64 {
		copy(cut.Pix[4*i:], []byte{200, 10, 10, byte(i)})
	}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*got = r.Header
		switch r.URL.Path {
		case "/v1/foreground":
			w.Header().Set("Server-Timing", "queue;dur=1.5, run;dur=20")
			w.Header().Set("Focal-Inference", "foreground; model=m; provider=cpu; result="+r.URL.Query().Get("result"))
			_, _ = w.Write(pngOf(t, mask()))
		case "/api/remove":
			if r.PostFormValue("om") != "true" || r.PostFormValue("model") != "u2netp" {
				t.Error("rembg was not asked for a mask of a model")
			}
			_, _ = w.Write(pngOf(t, cut))
		case "/cdn-cgi/image/segment=foreground,format=png/set/a b.jpg":
			_, _ = w.Write(pngOf(t, cut))
		default:
			http.Error(w, "no such model", http.StatusNotFound)
		}
	}))
}

// A server of ours answers a mask, rembg's a mask or a cut-out, the image
// server a cut-out.
func TestSegmentEndpoint_ReadsMasksAndCutouts(t *testing.T) {
	var got http.Header
	server := masks(t, &got)
	defer server.Close()
	for path, want := range map[string]struct {
		run    float64
		cached bool
	}{
		"": {20, false}, "/v1/foreground?result=hit": {20, true}, "/api/remove?model=u2netp": {0, false},
		"/cdn-cgi/image/segment=foreground,format=png/{set}/{file}": {0, false},
	} {
		e, err := (&House{}).SegmentEndpoint(server.URL+path, server.Client())
		if err != nil {
			t.Fatal(err)
		}
		c, err := e.Segment(t.Context(), Source{Set: "set", Path: "x/a b.jpg", File: []byte("picture")})
		if err != nil || !bytes.Equal(c.Mask.Pix, mask().Pix) || c.Times.Run != want.run || c.Times.Cached != want.cached || c.Times.Total <= 0 || c.Times.Infer <= 0 {
			t.Errorf("%q: %+v, %v", path, c.Times, err)
		}
		if path == "" && got.Get("Accept") != "image/png" {
			t.Errorf("asked for %q", got.Get("Accept"))
		}
	}
	e, err := (&House{}).SegmentEndpoint(server.URL+"/other", server.Client())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Segment(t.Context(), Source{}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
	for _, address := range []string{"no address", "ftp://a/", "http:///v1/foreground"} {
		if _, err := (&House{}).SegmentEndpoint(address, nil); err == nil {
			t.Errorf("%q was taken for an address", address)
		}
	}
}

func TestFacesEndpoint_ReadsBoxes(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RequestURI() != "/v1/faces?threshold=0" || r.Method != http.MethodPost {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		_, _ = w.Write([]byte(`{"model":"m","faces":[{"box":[1,2,3,4],"score":0.9,"landmarks":[[1,1]]},{"box":[5,6,7,8],"score":0.1}]}`))
	}))
	defer server.Close()
	f, err := (&House{}).FacesEndpoint("ours="+server.URL, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	if f.Describe().Model != "ours" {
		t.Errorf("it is called %q", f.Describe().Model)
	}
	found, err := f.Find(t.Context(), Source{File: []byte("picture")})
	if err != nil || fmt.Sprint(found.Boxes) != "[[1 2 3 4 0.9] [5 6 7 8 0.1]]" || found.Times.Total <= 0 {
		t.Errorf("%+v, %v", found, err)
	}
}

// protocolServer is one of the Open Inference Protocol whose model answers with
// the mean of each pixel's channels, in tensors named unlike the manifest's. It
// speaks the extension for bytes or does not.
func protocolServer(t *testing.T, extensions string) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"name":"test","version":"1","extensions":[%s]}`, extensions)
	})
	mux.HandleFunc("GET /v2/models/u2netp", func(w http.ResponseWriter, r *http.Request) {
		outputs := make([]string, 7)
		for i := range outputs {
			outputs[i] = fmt.Sprintf(`{"name":"out%d","datatype":"FP32","shape":[-1,1,320,320]}`, i)
		}
		fmt.Fprintf(w, `{"name":"u2netp","inputs":[{"name":"in","datatype":"FP32","shape":[-1,3,320,320]}],"outputs":[%s]}`, strings.Join(outputs, ","))
	})
	mux.HandleFunc("POST /v2/models/u2netp/infer", func(w http.ResponseWriter, r *http.Request) {
		input := readQuestion(t, r)
		plane := make([]float32, len(input)/3)
		for i := range plane {
			plane[i] = (input[i] + input[i+len(plane)] + input[i+2*len(plane)]) / 3
		}
		writeAnswer(t, w, plane, r.Header.Get(headerLength) != "")
	})
	return httptest.NewServer(mux)
}

func readQuestion(t *testing.T, r *http.Request) []float32 {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	text := body
	if n, err := strconv.Atoi(r.Header.Get(headerLength)); err == nil {
		text = body[:n]
	}
	var q struct{ Inputs []tensor }
	if err := json.Unmarshal(text, &q); err != nil || len(q.Inputs) != 1 || q.Inputs[0].Name != "in" {
		t.Errorf("asked %.300s, %v", text, err)
	}
	if len(text) == len(body) {
		return q.Inputs[0].Data
	}
	data := make([]float32, len(body[len(text):])/4)
	if err := binary.Read(bytes.NewReader(body[len(text):]), binary.LittleEndian, data); err != nil {
		t.Error(err)
	}
	return data
}

// writeAnswer writes the plane as the first of seven outputs, last in the list.
func writeAnswer(t *testing.T, w http.ResponseWriter, plane []float32, asBytes bool) {
	var outputs []map[string]any
	var raw bytes.Buffer
	for i := range 7 {
		name := 6 - i
		data := make([]float32, len(plane))
		if name == 0 {
			data = plane
		}
		o := map[string]any{"name": fmt.Sprintf("out%d", name), "datatype": "FP32", "shape": []int{1, 1, 320, 320}}
		if asBytes {
			o["parameters"] = map[string]int{"binary_data_size": 4 * len(data)}
			if err := binary.Write(&raw, binary.LittleEndian, data); err != nil {
				t.Error(err)
			}
		} else {
			o["data"] = data
		}
		outputs = append(outputs, o)
	}
	text, err := json.Marshal(map[string]any{"model_name": "u2netp", "outputs": outputs})
	if err != nil {
		t.Error(err)
	}
	if asBytes {
		w.Header().Set(headerLength, strconv.Itoa(len(text)))
	}
	_, _ = w.Write(append(text, raw.Bytes()...))
}

// The same picture gives the same mask whether tensors travel as bytes or as
// numbers, and names are the server's.
func TestSegmentEndpoint_SpeaksTheProtocolWithAndWithoutBytes(t *testing.T) {
	h := open(t)
	picture := image.NewGray(image.Rect(0, 0, 64, 48))
	for i := range picture.Pix {
		picture.Pix[i] = byte(i % 64 * 4)
	}
	var masks [][]byte
	for _, extensions := range []string{`"model_repository","binary_tensor_data"`, ""} {
		server := protocolServer(t, extensions)
		defer server.Close()
		e, err := h.SegmentEndpoint(server.URL+"/v2/models/u2netp", server.Client())
		if err != nil {
			t.Fatal(err)
		}
		c, err := e.Segment(t.Context(), Source{File: pngOf(t, picture)})
		if err != nil || c.Mask.Width != 64 || c.Mask.Height != 48 {
			t.Fatalf("%+v, %v", c.Times, err)
		}
		// The right side is lighter, and the model answers with lightness.
		if row := c.Mask.Pix[24*64:]; row[2] > 20 || row[61] < 235 {
			t.Errorf("from %d to %d", row[2], row[61])
		}
		if parts := c.Times.Decode + c.Times.Pre + c.Times.Run + c.Times.Post + c.Times.Encode; parts < c.Times.Total-0.1 || parts > c.Times.Total+0.1 {
			t.Errorf("the parts come to %v of %v", parts, c.Times.Total)
		}
		masks = append(masks, c.Mask.Pix)
	}
	if !bytes.Equal(masks[0], masks[1]) {
		t.Error("two masks of one picture")
	}
	if _, err := h.SegmentEndpoint("http://a/v2/models/none", nil); err == nil {
		t.Error("a model without a manifest")
	}
}

func TestReadTensors_RefusesLengthsThatLie(t *testing.T) {
	for length, body := range map[string]string{
		"99": `{}`, "-1": `{}`, "x": `{}`, "67": `{"outputs":[{"name":"a","parameters":{"binary_data_size":8}}]}    `, "": `{"outputs":[{"name":"a","parameters":{"binary_data_size":4}}]}`,
	} {
		if got, err := readTensors([]byte(body), length); err == nil {
			t.Errorf("%q: %v", length, got)
		}
	}
}

func FuzzReadTensors(f *testing.F) {
	f.Add([]byte(`{"outputs":[{"name":"a","shape":[1],"parameters":{"binary_data_size":4}}]}abcd`), "73")
	f.Fuzz(func(t *testing.T, body []byte, length string) {
		all, err := readTensors(body, length)
		for _, one := range all {
			if err == nil && 4*len(one.Data) > len(body)*4 {
				t.Errorf("%d values of %d bytes", len(one.Data), len(body))
			}
		}
	})
}
