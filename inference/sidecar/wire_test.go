package sidecar

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"focal/core/pixel"
	"focal/inference"
	"focal/inference/oip"
)

func TestOpenAPI_ListsExactlyTheRoutes(t *testing.T) {
	s, err := New(DefaultConfig(), struct{ Tensors }{}, nil) // a client that can do everything
	if err != nil {
		t.Fatal(err)
	}
	var described struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(openapi, &described); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.routes() {
		operations, ok := described.Paths[r.path]
		if !ok {
			t.Errorf("openapi.json does not list %s", r.path)
		}
		for method := range r.methods {
			// HEAD is GET without a body, and not described on its own.
			if _, ok := operations[strings.ToLower(method)]; !ok && method != http.MethodHead {
				t.Errorf("openapi.json does not list %s %s", method, r.path)
			}
		}
		delete(described.Paths, r.path)
	}
	for path := range described.Paths {
		t.Errorf("openapi.json lists %s, which is not served", path)
	}
}

// Every "$ref" leads to something, and every component is used.
func TestOpenAPI_HasNoLooseEnds(t *testing.T) {
	var doc any
	if err := json.Unmarshal(openapi, &doc); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, inner := range v {
				if ref, ok := inner.(string); ok && key == "$ref" {
					used[strings.TrimPrefix(ref, "#/components/")] = true
				}
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(doc)
	for section, parts := range doc.(map[string]any)["components"].(map[string]any) {
		for name := range parts.(map[string]any) {
			if key := section + "/" + name; !used[key] && section != "securitySchemes" {
				t.Errorf("%s is not used", key)
			}
			delete(used, section+"/"+name)
		}
	}
	for ref := range used {
		t.Errorf("$ref to %s, which is missing", ref)
	}
}

func TestFaces_SurviveTheWireWithinAMillionth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fraction := rapid.Float64Range(-1, 2)
		image := pixel.Size{Width: rapid.IntRange(1, 20000).Draw(t, "width"), Height: rapid.IntRange(1, 20000).Draw(t, "height")}
		want := pixel.Face{
			Box:       pixel.Box{X: fraction.Draw(t, "x"), Y: fraction.Draw(t, "y"), W: fraction.Draw(t, "w"), H: fraction.Draw(t, "h")},
			Score:     rapid.Float64Range(0, 1).Draw(t, "score"),
			Landmarks: []pixel.Point{{X: fraction.Draw(t, "lx"), Y: fraction.Draw(t, "ly")}},
		}
		body, err := json.Marshal(encodeFaces(pixel.Digest{}, image, inference.Faces{Faces: []pixel.Face{want}}))
		if err != nil {
			t.Fatal(err)
		}
		faces, err := decodeFaces(body)
		if err != nil || len(faces) != 1 {
			t.Fatalf("%d faces, %v", len(faces), err)
		}
		got := faces[0]
		for i, d := range []float64{
			got.Box.X - want.Box.X, got.Box.Y - want.Box.Y, got.Box.W - want.Box.W, got.Box.H - want.Box.H,
			got.Landmarks[0].X - want.Landmarks[0].X, got.Landmarks[0].Y - want.Landmarks[0].Y,
		} {
			if math.Abs(d) > 1e-6 {
				t.Fatalf("value %d is off by %g", i, d)
			}
		}
		if got.Score != want.Score {
			t.Fatalf("score is %v, want %v", got.Score, want.Score)
		}
	})
}

func TestFaces_RefusesAnswersWithoutAnImage(t *testing.T) {
	for _, body := range []string{"", "{}", `{"image":{"width":0,"height":5}}`, `{"image":{"width":5,"height":-5}}`, `{"faces":[{"box":"x"}]}`} {
		if _, err := decodeFaces([]byte(body)); err == nil {
			t.Errorf("%q passes", body)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"640x480", "1x1", "0x5", "-1x5", "x", "1048576x1048577", "1x1x1", "+1x1", "1e3x1", "007x7"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		size, err := parseSize(s)
		if err != nil {
			return
		}
		if size.Width < 1 || size.Height < 1 || size.Width > maxSide || size.Height > maxSide {
			t.Errorf("%q is %v", s, size)
		}
		if again, err := parseSize(formatSize(size)); err != nil || again != size {
			t.Errorf("%q is %v and then %v, %v", s, size, again, err)
		}
	})
}

func FuzzParseContent(f *testing.F) {
	digits := strings.Repeat("0a", 32)
	for _, seed := range []string{"sha256:" + digits, "sha256:" + strings.ToUpper(digits), digits, "sha512:" + digits, "sha256:" + digits + "0", "sha256:zz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := parseContent(s); err == nil && !strings.EqualFold(formatContent(d), s) {
			t.Errorf("%q is %v", s, d)
		}
	})
}

// The path of a GET takes what core/pixel takes: 64 hex digits.
func FuzzKnown(f *testing.F) {
	f.Add(strings.Repeat("0a", 32))
	f.Add("")
	f.Add("../../etc/passwd")
	f.Fuzz(func(t *testing.T, s string) {
		r := &request{Request: &http.Request{}}
		r.SetPathValue("sha256", s)
		if subject, err := known(r, question{}); err == nil && !strings.EqualFold(subject.Content.String(), s) {
			t.Errorf("%q is %v", s, subject.Content)
		}
	})
}

func FuzzParseContentDigest(f *testing.F) {
	const good = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
	for _, seed := range []string{good, good + ";a=1", "sha-512=:AA==:," + good, "md5=:AA==:", "sha-256=::", "sha-256=:", "sha-256", "=", "", ",", good + ","} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, present, err := parseContentDigest(s)
		if present && (err != nil || !strings.Contains(s, "sha-256")) {
			t.Errorf("%q is %v: %v", s, d, err)
		}
		if !present && d != (pixel.Digest{}) {
			t.Errorf("%q is absent and %v", s, d)
		}
	})
}

func FuzzParseFacts(f *testing.F) {
	f.Add(formatFacts("face", inference.Facts{Model: "a;b=c, d\r\n", Provider: "cpu", How: inference.Run, Batch: 3}))
	f.Add("face; model=x; result=hit; later=1")
	f.Add("face")
	f.Add("face; model=%zz; result=run")
	f.Fuzz(func(t *testing.T, s string) {
		facts, err := parseFacts(s)
		if err != nil || facts.Batch < 0 {
			return
		}
		if again, err := parseFacts(formatFacts("face", facts)); err != nil || again != facts {
			t.Errorf("%q is %+v and then %+v, %v", s, facts, again, err)
		}
	})
}

func FuzzParseTiming(f *testing.F) {
	f.Add("queue;dur=0.437, run;dur=21.000001")
	f.Add("run;dur=NaN, queue;dur=-1")
	f.Add("run;dur=1e400")
	f.Fuzz(func(t *testing.T, s string) {
		queue, run := parseTiming(s)
		if queue < 0 || run < 0 {
			t.Errorf("%q is %v and %v", s, queue, run)
		}
		if q, r := parseTiming(formatTiming(inference.Facts{Queue: queue, Run: run})); q != queue || r != run {
			// Beyond 2^53 ns, a hundred days, float64 rounds.
			if max(queue, run) < 100*24*time.Hour {
				t.Errorf("%q is %v, %v and then %v, %v", s, queue, run, q, r)
			}
		}
	})
}

func FuzzParseQuestion(f *testing.F) {
	f.Add("model=x&threshold=0.5&max_faces=3&frame=1&priority=2")
	f.Add("threshold=NaN")
	f.Add("threshold=+Inf&threshold=0")
	f.Add(";")
	f.Fuzz(func(t *testing.T, s string) {
		q, _, err := parseQuestion(s, facesParams[:]...)
		if err != nil {
			return
		}
		if q.threshold != nil && !(*q.threshold >= 0 && *q.threshold <= 1) || q.maxFaces < 0 || q.frame < 0 || q.priority < 0 {
			t.Errorf("%q is %+v", s, q)
		}
	})
}

func FuzzHeaderLength(f *testing.F) {
	for _, seed := range []string{"", "0", "123", "-1", "+5", "9223372036854775807", "9223372036854775808", "1e3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := headerLength(http.Header{headerLengthName: {s}})
		if err != nil {
			return
		}
		if s == "" && n == oip.NoHeader {
			return
		}
		if n < 0 || strings.TrimLeft(s, "0") != strings.TrimLeft(strconv.FormatInt(n, 10), "0") {
			t.Fatalf("%q is read as %d", s, n)
		}
	})
}

func FuzzWantsGray8(f *testing.F) {
	for _, seed := range []string{"", "*/*", typeGray8, typeGray8 + ";q=0", "a;b=\"", ",,", "image/png;q=x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if wantsGray8(s) && !strings.Contains(strings.ToLower(s), "vnd.focal.gray8") {
			t.Errorf("%q wants raw masks", s)
		}
	})
}

func FuzzParseProblem(f *testing.F) {
	f.Add(503, `{"error":"x","kind":"busy"}`)
	f.Add(404, "404 page not found")
	f.Fuzz(func(t *testing.T, status int, body string) {
		err := parseProblem("op", status, http.Header{}, []byte(body))
		if err.Error() == "" || slices.Contains([]string{"", "nil"}, err.Kind.String()) {
			t.Errorf("%d %q has no text or no kind", status, body)
		}
	})
}
