package app

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"math"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"focal/bench/reference"
)

// issueOptions are those of the one URL that the house stands for.
const issueOptions = "gravity=face,zoom=0.5,segment=foreground,background=white"

// description is the answer of format=json.
type description struct {
	Width, Height int
	Original      struct{ Width, Height int }
	Faces         []struct {
		Box   [4]float64
		Score float64
	}
	Crop       [4]float64
	Foreground struct {
		Box      [4]float64
		Coverage float64
	}
}

func (h *house) describe(t *testing.T, options, source string) (d description, a answer) {
	t.Helper()
	a = h.mustGet(t, "/cdn-cgi/image/"+options+",format=json/"+source)
	if err := json.Unmarshal(a.body, &d); a.status != http.StatusOK || err != nil {
		t.Fatalf("%s/%s: %d, %v: %s", options, source, a.status, err, a.body)
	}
	return d, a
}

// outer is the smallest box round all faces: left, top, right, bottom.
func (d description) outer() (x0, y0, x1, y1 float64) {
	x0, y0 = math.Inf(1), math.Inf(1)
	for _, f := range d.Faces {
		x0, y0 = min(x0, f.Box[0]), min(y0, f.Box[1])
		x1, y1 = max(x1, f.Box[0]+f.Box[2]), max(y1, f.Box[1]+f.Box[3])
	}
	return x0, y0, x1, y1
}

// whiteness is the share of the pixels in r that are all but white.
func whiteness(m image.Image, r image.Rectangle) float64 {
	r = r.Intersect(m.Bounds())
	white := 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if c := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA); min(c.R, c.G, c.B) >= 240 {
				white++
			}
		}
	}
	return float64(white) / float64(r.Dx()*r.Dy())
}

// The URL of the issue, on photos whose faces a person has counted
// (shared/data/samples/README.md): cropped round the faces by the published
// rule, the subject cut out, white behind it.
func TestHouse_CropsRoundFacesAndCutsOutOnWhite(t *testing.T) {
	h := open(t, modelsConfig(t, faceModel, foregroundModel), nil)
	for name, people := range map[string]int{
		"couple-beach": 2, "market-two-people": 2, "portrait-afro": 1, "portrait-gown": 1,
		"portrait-offcentre": 1, "portrait-red-top": 1, "portrait-smile": 1,
	} {
		t.Run(name, func(t *testing.T) {
			h.put(t, "photos/"+name+".jpg")
			a, m := h.picture(t, issueOptions, name+".jpg")
			expectContract(t, a, "image/jpeg")
			expectFacts(t, a, "run")

			whole, _ := h.describe(t, "gravity=face", name+".jpg")
			if len(whole.Faces) != people {
				t.Fatalf("%d faces, a person sees %d", len(whole.Faces), people)
			}
			d, again := h.describe(t, issueOptions, name+".jpg")
			expectFacts(t, again, "hit")
			expectRegion(t, whole, d, 0.5)
			if size := m.Bounds().Size(); size != image.Pt(d.Width, d.Height) {
				t.Errorf("the picture is %v, its description says %d×%d", size, d.Width, d.Height)
			}
			for _, f := range d.Faces {
				box := image.Rect(int(f.Box[0]), int(f.Box[1]), int(f.Box[0]+f.Box[2]), int(f.Box[1]+f.Box[3]))
				if !box.In(m.Bounds()) {
					t.Errorf("the face at %v is not inside %v", box, m.Bounds())
				} else if w := whiteness(m, box.Inset(min(box.Dx(), box.Dy())/4)); w > 0.1 {
					t.Errorf("%.0f %% of the middle of the face at %v are white: it was cut away", 100*w, box)
				}
			}
			// Heads are round: above them, left and right, is background.
			size := m.Bounds().Size()
			corner := image.Rect(0, 0, size.X/20, size.Y/20)
			for _, r := range []image.Rectangle{corner, corner.Add(image.Pt(size.X-corner.Dx(), 0))} {
				if w := whiteness(m, r); w < 0.95 {
					t.Errorf("only %.0f %% of the corner %v are white", 100*w, r)
				}
			}
			if w := whiteness(m, m.Bounds()); w < 0.1 || w > 0.9 {
				t.Errorf("%.0f %% of the picture are white", 100*w)
			}
		})
	}
}

// expectRegion holds a crop without a target size to the published rule: on
// each axis min(picture, box / zoom), centred on the box round all faces,
// shifted inside.
func expectRegion(t *testing.T, whole, cropped description, zoom float64) {
	t.Helper()
	x0, y0, x1, y1 := whole.outer()
	axis := func(from, to, picture float64) (at, length float64) {
		length = min(picture, (to-from)/zoom)
		at = min(max((from+to-length)/2, 0), picture-length)
		return at, length
	}
	x, w := axis(x0, x1, float64(whole.Original.Width))
	y, hgt := axis(y0, y1, float64(whole.Original.Height))
	for i, want := range []float64{x, y, w, hgt} {
		if got := cropped.Crop[i]; math.Abs(got-want) > 1 {
			t.Errorf("crop is %v, the published rule gives %.1f", cropped.Crop, []float64{x, y, w, hgt})
			break
		}
	}
}

// expectContract checks the headers that every picture has.
func expectContract(t *testing.T, a answer, contentType string) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Type":            "^" + contentType + "$",
		"Content-Length":          fmt.Sprintf("^%d$", len(a.body)),
		"Etag":                    `^"[0-9a-f]{32}"$`,
		"Vary":                    "^Accept$",
		"X-Content-Type-Options":  "^nosniff$",
		"Content-Security-Policy": "default-src 'none'",
		"Cf-Resized":              "^internal=ok/",
		"Server-Timing":           `^fetch;dur=[\d.]+, decode;dur=[\d.]+, infer;dur=[\d.]+, render;dur=[\d.]+$`,
	} {
		if got := a.header.Get(name); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s is %q, want %s", name, got, want)
		}
	}
	for _, name := range []string{"Focal-Degraded", "Warning"} {
		if got := a.header.Get(name); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// expectFacts checks that faces and foreground came about as said.
func expectFacts(t *testing.T, a answer, how string) {
	t.Helper()
	want := fmt.Sprintf(`^face; model=%s; provider=cpu; result=%s; count=\d+, foreground; model=%s; provider=cpu; result=%[2]s; coverage=0\.\d+$`,
		faceModel, how, foregroundModel)
	if got := a.header.Get("Focal-Inference"); !regexp.MustCompile(want).MatchString(got) {
		t.Errorf("Focal-Inference is %q, want %s", got, want)
	}
}

// runs counts the runs of the engine, of all models.
func (h *house) runs(t *testing.T) float64 {
	t.Helper()
	return h.metric(t, "focal_inference_run_seconds")
}

func TestHouse_TenCropsAndACutoutCostOneDetectionAndOneMask(t *testing.T) {
	h := open(t, modelsConfig(t, faceModel, foregroundModel), nil)
	h.put(t, "photos/couple-beach.jpg")
	if n := h.runs(t); n != 0 {
		t.Fatalf("%v runs before the first question", n)
	}
	var wg sync.WaitGroup
	ask := func(options string) {
		wg.Go(func() {
			if a, err := h.get("/cdn-cgi/image/" + options + "/couple-beach.jpg"); err != nil || a.status != http.StatusOK {
				t.Errorf("%s: %d, %v", options, a.status, err)
			}
		})
	}
	for i := range 10 {
		ask(fmt.Sprintf("gravity=face,zoom=0.%d,fit=cover,width=%d,height=100", i, 80+10*i))
	}
	ask("segment=foreground")
	wg.Wait()
	expectRuns := func(when string) {
		t.Helper()
		for _, m := range []string{faceModel, foregroundModel} {
			if n := h.metric(t, "focal_inference_run_seconds", "model="+m); n != 1 {
				t.Errorf("%s ran %v times %s, want 1", m, n, when)
			}
		}
	}
	expectRuns("for ten crops and a cut-out")

	// The content is the key, not the name.
	h.write(t, "renamed.jpg", read(t, reference.Shared(t, "data", "samples", "photos", "couple-beach.jpg")))
	a, _ := h.picture(t, issueOptions, "renamed.jpg")
	expectFacts(t, a, "hit")
	expectRuns("with the same photo under another name")

	// A replaced photo is never answered with the old one's findings.
	h.write(t, "renamed.jpg", read(t, reference.Shared(t, "data", "samples", "photos", "portrait-offcentre.jpg")))
	a, _ = h.picture(t, issueOptions, "renamed.jpg")
	expectFacts(t, a, "run")
}

func TestHouse_CutoutStaysTransparentWithoutBackground(t *testing.T) {
	h := open(t, modelsConfig(t, foregroundModel), nil)
	h.put(t, "photos/portrait-offcentre.jpg")
	a, m := h.picture(t, "segment=foreground,width=300", "portrait-offcentre.jpg")
	expectContract(t, a, "image/png")
	size := m.Bounds().Size()
	alpha := func(x, y int) uint8 { return color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA).A }
	d, _ := h.describe(t, "segment=foreground,width=300", "portrait-offcentre.jpg")
	b := d.Foreground.Box
	if left, inside := alpha(0, 0), alpha(int(b[0]+b[2]/2), int(b[1]+b[3]*0.6)); left > 8 || inside < 247 {
		t.Errorf("in %v alpha is %d in the corner and %d in the subject %v", size, left, inside, b)
	}
	// The format that a client accepts carries the transparency too.
	for accept, want := range map[string]string{"image/avif,image/webp,*/*": "image/avif", "image/webp": "image/webp", "*/*": "image/png"} {
		a := h.mustGet(t, "/cdn-cgi/image/segment=foreground,width=300,format=auto/portrait-offcentre.jpg", "Accept", accept)
		expectContract(t, a, want)
	}
}

func TestHouse_PictureThatTheClientHasIsNotSentAgain(t *testing.T) {
	h := open(t, modelsConfig(t), func(c *ServeConfig) { c.Inference = "off" })
	h.put(t, "photos/couple-beach.jpg")
	a, _ := h.picture(t, "width=200", "couple-beach.jpg")
	again := h.mustGet(t, "/cdn-cgi/image/width=200/couple-beach.jpg", "If-None-Match", a.header.Get("Etag"))
	if again.status != http.StatusNotModified || len(again.body) != 0 {
		t.Errorf("got %d with %d bytes, want 304 without", again.status, len(again.body))
	}
}

// Every link of the start page works, as long as there are pictures.
func TestHouse_LinksOfTheStartPageWork(t *testing.T) {
	h := open(t, modelsConfig(t, faceModel, foregroundModel), nil)
	h.put(t, "photos/couple-beach.jpg")
	h.write(t, "with space & ü.jpg", read(t, reference.Shared(t, "data", "samples", "photos", "bicycle.jpg")))
	page := string(h.mustGet(t, "/").body)
	links := regexp.MustCompile(`(?:href|src)="(/[^"]*)"`).FindAllStringSubmatch(page, -1)
	pictures := 0
	for _, l := range links {
		path := strings.ReplaceAll(l[1], "&amp;", "&")
		if a := h.mustGet(t, path); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		if strings.HasPrefix(path, "/cdn-cgi/image/") {
			pictures++
		}
	}
	if pictures < 4 {
		t.Errorf("only %d links to pictures among %v", pictures, links)
	}
}

// holdsMonitoring compares a page of metrics with docs/monitoring.md: nothing is
// served that it does not tell, and all of its first table is.
func holdsMonitoring(t *testing.T, page string) {
	t.Helper()
	doc := string(read(t, filepath.Join("..", "..", "docs", "monitoring.md")))
	always, _, _ := strings.Cut(doc, "These appear when")
	row := regexp.MustCompile("(?m)^\\| `(focal_[a-z_]+)` \\| .* \\| ([a-z]+) \\| (.+) \\|$")
	told := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(doc, -1) {
		told[m[1]] = "# HELP " + m[1] + " " + m[3] + "\n# TYPE " + m[1] + " " + m[2] + "\n"
	}
	for _, m := range row.FindAllStringSubmatch(always, -1) {
		if !strings.Contains(page, told[m[1]]) {
			t.Errorf("docs/monitoring.md tells of %s, which is not served so", m[1])
		}
	}
	for _, m := range regexp.MustCompile("(?m)^# HELP (focal_[a-z_]+) .*\n# TYPE .*\n").FindAllStringSubmatch(page, -1) {
		if told[m[1]] != m[0] {
			t.Errorf("docs/monitoring.md does not tell of %q", m[0])
		}
	}
}

func TestHouse_MetricsHoldBothProcesses(t *testing.T) {
	h := open(t, modelsConfig(t, faceModel), nil)
	h.put(t, "photos/couple-beach.jpg")
	h.picture(t, "gravity=face,zoom=1", "couple-beach.jpg")
	page := string(h.mustGet(t, "/metrics").body)
	// The contract's names, as far as one picture makes them appear.
	for _, name := range []string{
		"focal_http_requests_total", "focal_http_request_duration_seconds", "focal_render_duration_seconds",
		"focal_inference_requests_total", "focal_inference_queue_seconds", "focal_inference_run_seconds",
		"focal_inference_batch_size", "focal_model_resident", "focal_model_memory_bytes", "focal_model_loads_total",
		"focal_model_load_seconds", "focal_model_age_at_eviction_seconds", "focal_memory_budget_bytes",
		"focal_memory_reserved_bytes", "focal_memory_used_bytes", "focal_cache_hits_total", "focal_cache_misses_total",
		"focal_cache_bytes", "focal_sidecar_restarts_total", "focal_vips_memory_bytes", "go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(page, "# TYPE "+name+" ") {
			t.Errorf("%s is not among the metrics", name)
		}
	}
	holdsMonitoring(t, page)
	processes := regexp.MustCompile(`(?m)^process_resident_memory_bytes(\{process="sidecar"\})? `).FindAllString(page, -1)
	slices.Sort(processes)
	if len(slices.Compact(processes)) != 2 {
		t.Errorf("memory of %q, want of this process and of the sidecar", processes)
	}
}
