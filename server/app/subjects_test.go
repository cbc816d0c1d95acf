package app

import (
	"encoding/json"
	"image"
	"image/color"
	"math"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"sync"
	"testing"

	"focal/core/pipeline"
)

// chosen is the part of format=json that tells which faces decide, and what is
// hidden.
type chosen struct {
	Faces []struct {
		Box    [4]float64
		Score  float64
		Chosen bool
	}
	Blurred [][4]float64
}

func (h *house) chosen(t *testing.T, options, source string) (c chosen) {
	t.Helper()
	a := h.mustGet(t, "/cdn-cgi/image/"+options+",format=json/"+source)
	if err := json.Unmarshal(a.body, &c); a.status != http.StatusOK || err != nil {
		t.Fatalf("%s/%s: %d, %v: %s", options, source, a.status, err, a.body)
	}
	return c
}

// Every way of choosing faces and subjects reads the same two findings.
func TestHouse_AllUsesOfOnePhotoCostOneDetectionAndOneMask(t *testing.T) {
	h := open(t, modelsConfig(t, faceModel, foregroundModel), nil)
	h.put(t, "photos/couple-beach.jpg")
	var wg sync.WaitGroup
	for _, options := range []string{
		"gravity=face,faces=largest,width=100,height=100,fit=cover", "gravity=face,faces=2,zoom=1", "gravity=face,face-padding=3",
		"gravity=face,zoom=1,face-min-score=0.05", "blur-faces=1,width=300", "blur-faces=1,gravity=face,zoom=0.3",
		"gravity=foreground,width=90,height=120,fit=cover", "trim=foreground", "segment=background", "segment=foreground,shadow=1",
		"mask=1,width=200", "mask=1,segment=background", "debug=crop,gravity=face", "debug=crop,gravity=foreground",
		"gravity=face,blur-faces=1,trim=foreground,segment=foreground,shadow=5;5;5,face-padding=2,faces=all,format=json",
	} {
		wg.Go(func() {
			if a, err := h.get("/cdn-cgi/image/" + options + "/couple-beach.jpg"); err != nil || a.status != http.StatusOK {
				t.Errorf("%s: %d, %v: %s", options, a.status, err, a.body)
			}
		})
	}
	wg.Wait()
	for _, m := range []string{faceModel, foregroundModel} {
		if n := h.metric(t, "focal_inference_run_seconds", "model="+m); n != 1 {
			t.Errorf("%s ran %v times, want 1", m, n)
		}
	}
}

func area(b [4]float64) float64 { return b[2] * b[3] }

// On photos whose faces a person has counted: faces=N crops to the N-th face by
// size, and no other face's middle is in the crop.
func TestHouse_ChoosesAmongFaces(t *testing.T) {
	h := open(t, modelsConfig(t, faceModel), nil)
	for name, people := range map[string]int{"couple-beach": 2, "market-two-people": 2, "portrait-smile": 1} {
		file := name + ".jpg"
		h.put(t, "photos/"+file)
		all := h.chosen(t, "gravity=face", file)
		if len(all.Faces) != people {
			t.Fatalf("%s: %d faces, a person sees %d", name, len(all.Faces), people)
		}
		sort.Slice(all.Faces, func(i, j int) bool { return area(all.Faces[i].Box) > area(all.Faces[j].Box) })
		for i, want := range all.Faces {
			which := []string{"largest", "2"}[i]
			got, _ := h.describe(t, "gravity=face,zoom=1,faces="+which, file)
			for axis := range 4 {
				if math.Abs(got.Crop[axis]-want.Box[axis]) > 1 {
					t.Errorf("%s, faces=%s: crop %v, want the face at %v", name, which, got.Crop, want.Box)
					break
				}
			}
			marked := h.chosen(t, "gravity=face,faces="+which, file)
			for _, f := range marked.Faces {
				if f.Chosen != (f.Box == want.Box) {
					t.Errorf("%s, faces=%s: the face at %v decides: %v", name, which, f.Box, f.Chosen)
				}
			}
			a, m := h.picture(t, "gravity=face,faces="+which+",face-padding=1.5", file)
			// The face in the middle keeps its size, unless the picture ends.
			if w := float64(m.Bounds().Dx()); w > want.Box[2]*1.5+1.5 || w < want.Box[2] {
				t.Errorf("%s, faces=%s: the crop is %v wide, the face %v", name, which, w, want.Box[2])
			}
			if got := a.header.Get("Warning"); got != "" {
				t.Errorf("%s, faces=%s: %s", name, which, got)
			}
		}
		a := h.mustGet(t, "/cdn-cgi/image/gravity=face,zoom=1,faces=3/"+file)
		if got := a.header.Get("Warning"); a.status != http.StatusOK || !strings.Contains(got, "faces=3: only ") {
			t.Errorf("%s, a third face: %d, Warning %q", name, a.status, got)
		}
	}
}

// detail is the mean difference of neighbouring pixels in r.
func detail(m image.Image, r image.Rectangle) float64 {
	r = r.Intersect(m.Bounds())
	grey := func(x, y int) float64 { return float64(color.GrayModel.Convert(m.At(x, y)).(color.Gray).Y) }
	sum, n := 0.0, 0
	for y := r.Min.Y; y < r.Max.Y-1; y++ {
		for x := r.Min.X; x < r.Max.X-1; x++ {
			sum += math.Abs(grey(x, y)-grey(x+1, y)) + math.Abs(grey(x, y)-grey(x, y+1))
			n += 2
		}
	}
	return sum / float64(max(1, n))
}

// In every photo with people, every face that is found, unsure ones too, loses
// its detail; what lies far from all of them keeps every pixel.
func TestHouse_HidesEveryFaceThatItFinds(t *testing.T) {
	h := open(t, modelsConfig(t, faceModel), nil)
	for _, name := range []string{
		"bench-man", "couple-beach", "crowd-concert", "group-raft", "market-profile", "market-two-people", "portrait-afro",
		"portrait-gown", "portrait-lowkey", "portrait-offcentre", "portrait-smile",
	} {
		file := name + ".jpg"
		h.put(t, "photos/"+file)
		const size = "width=640,format=png,compression=fast"
		_, before := h.picture(t, size, file)
		_, after := h.picture(t, size+",blur-faces=1", file)
		found := h.chosen(t, "width=640,gravity=face,face-min-score=0.2", file)
		hidden := h.chosen(t, "width=640,blur-faces=1", file).Blurred
		if len(hidden) != len(found.Faces) || len(hidden) == 0 {
			t.Errorf("%s: %d faces are hidden, %d found", name, len(hidden), len(found.Faces))
		}
		var covered []image.Rectangle
		for _, b := range hidden {
			covered = append(covered, image.Rect(int(b[0])-2, int(b[1])-2, int(b[0]+b[2])+3, int(b[1]+b[3])+3))
		}
		for _, f := range found.Faces {
			b := f.Box
			box := image.Rect(int(math.Ceil(b[0])), int(math.Ceil(b[1])), int(b[0]+b[2]), int(b[1]+b[3]))
			// Where hidden faces overlap, one's edge may cross the other. The
			// fewer pixels a cell has, the steeper its colours may flow.
			if was, is := detail(before, box), detail(after, box); box.Dx() > 12 && is > 0.5*was+1 {
				t.Errorf("%s: the face at %v (score %.2f) has detail %.1f, before %.1f", name, box, f.Score, is, was)
			}
		}
		expectUntouched(t, name, before, after, covered)
	}
}

// expectUntouched checks that two pictures differ only where they are covered.
func expectUntouched(t *testing.T, name string, before, after image.Image, covered []image.Rectangle) {
	t.Helper()
	for y := range before.Bounds().Dy() {
		for x := range before.Bounds().Dx() {
			p, q := color.NRGBAModel.Convert(before.At(x, y)).(color.NRGBA), color.NRGBAModel.Convert(after.At(x, y)).(color.NRGBA)
			// libvips rounds a reduction by the tiles that it works in.
			if max(p.R, q.R)-min(p.R, q.R) <= 3 && max(p.G, q.G)-min(p.G, q.G) <= 3 && max(p.B, q.B)-min(p.B, q.B) <= 3 {
				continue
			}
			in := false
			for _, r := range covered {
				in = in || image.Pt(x, y).In(r.Inset(-3)) // the resize reaches a little further
			}
			if !in {
				t.Errorf("%s: the pixel at %d, %d changed, far from any face", name, x, y)
				return
			}
		}
	}
}

// A subject's box, as format=json tells it, is what a crop and a trim keep.
func TestHouse_CropsAndTrimsToTheSubject(t *testing.T) {
	h := open(t, modelsConfig(t, foregroundModel), nil)
	for _, name := range []string{"product-pepper", "product-doll", "dog", "dock-from-behind", "portrait-offcentre", "couple-beach"} {
		file := name + ".jpg"
		h.put(t, "photos/"+file)
		whole, _ := h.describe(t, "gravity=foreground", file)
		box := whole.Foreground.Box
		for _, options := range []string{"gravity=foreground,zoom=1", "trim=foreground"} {
			d, _ := h.describe(t, options, file)
			// A trim keeps whole pixels on either side.
			if math.Abs(float64(d.Width)-box[2]) > 2 || math.Abs(float64(d.Height)-box[3]) > 2 {
				t.Errorf("%s, %s: %d×%d, the subject is %v", name, options, d.Width, d.Height, box)
			}
		}
		// Wherever a square can hold all of the subject, it does.
		side := math.Min(float64(whole.Original.Width), float64(whole.Original.Height))
		d, _ := h.describe(t, "gravity=foreground,width=200,height=200,fit=cover", file)
		for axis := range 2 {
			from, to := d.Crop[axis], d.Crop[axis]+d.Crop[axis+2]
			if box[axis+2] <= side && (box[axis] < from-1 || box[axis]+box[axis+2] > to+1) {
				t.Errorf("%s: the square %v misses the subject %v", name, d.Crop, box)
			}
		}
	}
}

// A photo's cut-out and its hole are what the mask and its inverse keep, and
// together they are the photo.
func TestHouse_ForegroundAndBackgroundMakeThePhoto(t *testing.T) {
	h := open(t, modelsConfig(t, foregroundModel), nil)
	h.put(t, "photos/bicycle.jpg")
	const size = ",width=256,format=png"
	_, photo := h.picture(t, "blur=0"+size, "bicycle.jpg")
	_, subject := h.picture(t, "segment=foreground"+size, "bicycle.jpg")
	_, hole := h.picture(t, "segment=background"+size, "bicycle.jpg")
	_, mask := h.picture(t, "mask=1"+size, "bicycle.jpg")
	worst, off := 0.0, 0
	for y := range photo.Bounds().Dy() {
		for x := range photo.Bounds().Dx() {
			s, b := color.NRGBAModel.Convert(subject.At(x, y)).(color.NRGBA), color.NRGBAModel.Convert(hole.At(x, y)).(color.NRGBA)
			g := color.GrayModel.Convert(mask.At(x, y)).(color.Gray).Y
			p := color.NRGBAModel.Convert(photo.At(x, y)).(color.NRGBA)
			sum := (float64(s.G)*float64(s.A) + float64(b.G)*float64(b.A)) / 255
			worst = max(worst, math.Abs(sum-float64(p.G)))
			if math.Abs(float64(s.A)-float64(g)) > 6 || math.Abs(float64(s.A)+float64(b.A)-255) > 6 {
				off++
			}
		}
	}
	if worst > 12 || off > 0 {
		t.Errorf("the parts differ from the photo by up to %.0f, from the mask at %d pixels", worst, off)
	}
}

// debug=crop is made anew each time, and tells that the second time nothing ran.
func TestHouse_ExplainsACropAndKeepsNothingOfIt(t *testing.T) {
	h := open(t, modelsConfig(t, faceModel, foregroundModel), nil)
	h.put(t, "photos/market-two-people.jpg")
	for _, how := range []string{"run", "hit"} {
		a, m := h.picture(t, "gravity=face,width=200,height=200,fit=cover,segment=foreground,debug=crop", "market-two-people.jpg")
		if a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("Cache-Control %q", a.header.Get("Cache-Control"))
		}
		expectFacts(t, a, how)
		if size := m.Bounds().Size(); size.X != 1024 || size.Y <= 680 {
			t.Errorf("it is %v, want 1024 wide and room for words under 680 rows", size)
		}
	}
}

// Without a model nothing leaves that shows what was to be hidden or cut away.
func TestHouse_WithoutInferenceOnlyCropsHaveALadder(t *testing.T) {
	h := open(t, modelsConfig(t), func(c *ServeConfig) {
		c.Inference = "off"
		c.Pictures.Fallback = pipeline.FallbackLadder
	})
	h.put(t, "photos/couple-beach.jpg")
	for options, from := range map[string]string{
		"gravity=face,faces=2,width=60,height=60,fit=cover":      "face",
		"gravity=face,face-padding=2":                            "face",
		"gravity=foreground,width=60,height=60,fit=cover":        "foreground",
		"gravity=foreground,zoom=1,debug=crop":                   "foreground",
		"blur-faces=1":                                           "",
		"blur-faces=1,onerror=redirect":                          "",
		"blur-faces=1,gravity=face,width=60,height=60,fit=cover": "",
		"blur-faces=1,debug=crop":                                "",
		"mask=1":                                                 "",
		"segment=background":                                     "",
		"trim=foreground":                                        "",
		"segment=foreground,shadow=1":                            "",
		"gravity=foreground,width=60,height=60,fit=cover,segment=foreground": "",
	} {
		a := h.mustGet(t, "/cdn-cgi/image/"+options+"/couple-beach.jpg")
		if from == "" {
			if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(string(a.body), "9522") || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %v %.80s", options, a.status, a.header, a.body)
			}
			continue
		}
		want := regexp.MustCompile("^" + from + "=(auto|center); reason=unavailable$")
		if got := a.header.Get("Focal-Degraded"); a.status != http.StatusOK || !want.MatchString(got) {
			t.Errorf("%s: %d, Focal-Degraded %q", options, a.status, got)
		}
	}
}
