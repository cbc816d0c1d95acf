package main

import (
	"context"
	"encoding/json"
	"image"
	"image/color"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"focal/bench/reference"
	"focal/server/api"
	"focal/server/app"
)

// photo has two people in it, and is 768×512.
func photo(t *testing.T) string {
	return reference.Shared(t, "data", "samples", "photos", "couple-beach.jpg")
}

func decode(t *testing.T, path string) (image.Image, string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, format, err := image.Decode(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return m, format
}

func TestProgram_TransformsAFile(t *testing.T) {
	models := modelFlags(t)
	out := filepath.Join(t.TempDir(), "out.png")
	mustFocal(t, append([]string{"transform", photo(t), out, "gravity=face,zoom=0.5,segment=foreground,background=white,width=200,height=100,fit=cover"}, models...)...)
	m, format := decode(t, out)
	if m.Bounds().Size() != image.Pt(200, 100) || format != "png" {
		t.Errorf("a %s of %v, want a PNG of 200×100", format, m.Bounds())
	}
	if c := color.NRGBAModel.Convert(m.At(2, 2)).(color.NRGBA); min(c.R, c.G, c.B) < 240 {
		t.Errorf("the corner is %v, want white", c)
	}
	// A plain transform needs no model, and what a server would warn of is said.
	_, words, exit := focal(t, "transform", photo(t), out, "width=60,nonsense=1", "--models=/nonexistent")
	if m, _ = decode(t, out); exit != 0 || m.Bounds().Dx() != 60 || !strings.Contains(words, "option nonsense is unknown") {
		t.Errorf("exit %d, %v, %q", exit, m.Bounds(), words)
	}
}

func TestProgram_FileIsWhatItsEndingSays(t *testing.T) {
	animation := reference.Shared(t, "data", "samples", "animated", "cogs.gif")
	drawing := reference.Shared(t, "data", "samples", "svg", "logo.svg")
	for _, c := range []struct{ in, out, options, content, warning string }{
		{animation, "out.gif", "width=20", "image/gif", ""},
		{animation, "out.webp", "width=20", "image/webp", ""},
		{animation, "out.jpg", "width=20", "image/jpeg", ""},
		{animation, "out", "width=20", "image/webp", ""},
		{animation, "out.png", "width=20,format=gif", "image/gif", "out.png is image/gif"},
		{photo(t), "out.GIF", "width=20", "image/gif", ""},
		{photo(t), "out.tiff", "width=20", "image/jpeg", "out.tiff is image/jpeg"},
		{drawing, "out.svg", "width=20", "text/xml; charset=utf-8", "never rasterised"},
		{drawing, "out.png", "width=20", "text/xml; charset=utf-8", "out.png is image/svg+xml"},
	} {
		out := filepath.Join(t.TempDir(), c.out)
		_, words, exit := focal(t, "transform", c.in, out, c.options)
		file, err := os.ReadFile(out)
		if err != nil || exit != 0 || http.DetectContentType(file) != c.content {
			t.Errorf("%s, %s: exit %d, %v, a %s, want %s", c.out, c.options, exit, err, http.DetectContentType(file), c.content)
		}
		if !strings.Contains(words, c.warning) || strings.Contains(words, "ending") != strings.Contains(c.warning, " is ") {
			t.Errorf("%s, %s: said %q, want %q", c.out, c.options, words, c.warning)
		}
	}
}

// The options beyond Cloudflare's go the same way, warnings included.
func TestProgram_TransformsByEveryChoiceOfFacesAndSubjects(t *testing.T) {
	models := modelFlags(t)
	for options, want := range map[string]image.Point{
		"gravity=face,faces=2,face-padding=2,face-min-score=0.3,width=50,height=40,fit=cover": {X: 50, Y: 40},
		"gravity=foreground,width=60,height=90,fit=cover":                                     {X: 60, Y: 90},
		"trim=foreground,blur-faces=1,width=40,height=40,fit=squeeze":                         {X: 40, Y: 40},
		"segment=foreground,shadow=2;2;4,width=70,height=70,fit=pad":                          {X: 70, Y: 70},
		"segment=background,width=64":                                                         {X: 64, Y: 43},
		"mask=1,width=64,height=64,fit=squeeze":                                               {X: 64, Y: 64},
		"gravity=face,debug=crop":                                                             {X: 768, Y: 572}, // 512 rows, three lines of words
	} {
		out := filepath.Join(t.TempDir(), "out.png")
		mustFocal(t, append([]string{"transform", photo(t), out, options}, models...)...)
		if m, _ := decode(t, out); m.Bounds().Size() != want {
			t.Errorf("%s: %v, want %v", options, m.Bounds().Size(), want)
		}
	}
	out := filepath.Join(t.TempDir(), "out.png")
	_, words, exit := focal(t, append([]string{"transform", photo(t), out, "gravity=face,zoom=1,faces=3"}, models...)...)
	if exit != 0 || !strings.Contains(words, "faces=3: only 2 were found") {
		t.Errorf("exit %d: %s", exit, words)
	}
}

func TestProgram_PrintsFaces(t *testing.T) {
	models := modelFlags(t)
	answer := printedFaces(t, append([]string{photo(t)}, models...)...)
	if answer.Model != "retinaface-mobilenet025" || answer.Provider != "cpu" || answer.Result != "run" || !strings.HasPrefix(answer.Content, "sha256:") {
		t.Errorf("facts: %+v", answer)
	}
	if answer.Image.Width != 768 || answer.Image.Height != 512 || len(answer.Faces) != 2 {
		t.Fatalf("image %+v with %d faces, want 768×512 with 2", answer.Image, len(answer.Faces))
	}
	for _, f := range answer.Faces {
		inside := f.Box[0] > 0 && f.Box[1] > 0 && f.Box[0]+f.Box[2] < 768 && f.Box[1]+f.Box[3] < 512
		if !inside || f.Score < 0.6 || len(f.Landmarks) != 5 {
			t.Errorf("face %+v", f)
		}
	}
	if answer.Faces[0].Score < answer.Faces[1].Score {
		t.Error("faces are not sorted by score")
	}
	if all := printedFaces(t, append([]string{photo(t), "--threshold=1"}, models...)...); all.Faces == nil || len(all.Faces) != 0 {
		t.Errorf("at threshold 1: %+v, want an empty list", all.Faces)
	}
}

// facesAnswer is the answer of POST /v1/faces, as the contract shows it.
type facesAnswer struct {
	Model, Provider, Content, Result string
	Image                            struct{ Width, Height int }
	Faces                            []struct {
		Box       [4]float64
		Score     float64
		Landmarks [][2]float64
	}
}

func printedFaces(t *testing.T, args ...string) (a facesAnswer) {
	t.Helper()
	printed := mustFocal(t, append([]string{"faces"}, args...)...)
	if err := json.Unmarshal([]byte(printed), &a); err != nil {
		t.Fatalf("%v in %s", err, printed)
	}
	return a
}

func TestProgram_WritesMaskAndCutout(t *testing.T) {
	models := modelFlags(t)
	out := filepath.Join(t.TempDir(), "out.png")
	mustFocal(t, append([]string{"foreground", "--mask", photo(t), out}, models...)...)
	mask, _ := decode(t, out)
	grey, ok := mask.(*image.Gray)
	if !ok || mask.Bounds().Size() != image.Pt(768, 512) {
		t.Fatalf("the mask is a %T of %v, want 8-bit grey of the picture's size", mask, mask.Bounds())
	}
	mustFocal(t, append([]string{"foreground", photo(t), out}, models...)...)
	cut, _ := decode(t, out)
	other := filepath.Join(t.TempDir(), "out.jpg")
	if _, words, exit := focal(t, append([]string{"foreground", photo(t), other}, models...)...); exit != 0 || !strings.Contains(words, "out.jpg is image/png") {
		t.Errorf("a cut-out called %s: exit %d, said %q", other, exit, words)
	}
	if cut.Bounds() != mask.Bounds() {
		t.Fatalf("the cut-out is %v, the mask %v", cut.Bounds(), mask.Bounds())
	}
	// They are enlarged by different parts of the house, to the same picture.
	sum := 0.0
	for y := range 512 {
		for x := range 768 {
			a := color.NRGBAModel.Convert(cut.At(x, y)).(color.NRGBA).A
			d := float64(a) - float64(grey.GrayAt(x, y).Y)
			sum += max(d, -d)
		}
	}
	if mean := sum / (768 * 512); mean > 1 {
		t.Errorf("alpha and mask differ by %.2f levels on average", mean)
	}
}

func TestProgram_SaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.jpg")
	if err := os.WriteFile(text, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.jpg")
	for name, c := range map[string]struct {
		args []string
		exit int
		want string
	}{
		"missing file":   {[]string{"transform", "/nonexistent.jpg", out, "width=9"}, 1, "/nonexistent.jpg"},
		"no picture":     {[]string{"transform", text, out, "width=9"}, 1, "not an image"},
		"no options":     {[]string{"transform", photo(t), out, "nonsense"}, 2, "key=value"},
		"too large":      {[]string{"transform", photo(t), out, "width=9", "--max-pixels=1000"}, 1, "--max-pixels 1000"},
		"too many bytes": {[]string{"faces", photo(t), "--max-source-bytes=1kB"}, 1, "--max-source-bytes"},
		"unknown model":  {[]string{"faces", photo(t), "--models=" + dir, "--face-model=nope", "--ort-library=../.deps/lib/libonnxruntime.so"}, 1, `model "nope"`},
		"no runtime":     {[]string{"faces", photo(t), "--models=" + dir, "--ort-library=/nonexistent.so"}, 1, "scripts/run installs one"},
		"card":           {[]string{"faces", photo(t), "--models=" + dir, "--device=cuda", "--ort-library=../.deps/lib/libonnxruntime.so"}, 1, "has no CUDA provider"},
		"card number":    {[]string{"faces", photo(t), "--models=" + dir, "--device=cuda:x"}, 2, "want auto, cpu, cuda or cuda:N"},
		"CUDA graph":     {[]string{"faces", photo(t), "--models=" + dir, "--cuda-option=enable_cuda_graph=1"}, 2, "enable_cuda_graph cannot be set"},
		"no child":       {[]string{"sidecar", "--inherit"}, 2, "not started as the child"},
		"no key":         {[]string{"sign", "/cdn-cgi/image/width=9/a.jpg"}, 80, "--sign-key"},
		"bad address":    {[]string{"serve", "--listen=nowhere", "--inference=off"}, 2, "--listen nowhere"},
		"bad inference":  {[]string{"serve", "--listen=127.0.0.1:0", "--inference=cloud"}, 2, "--inference \"cloud\""},
	} {
		if _, words, exit := focal(t, c.args...); exit != c.exit || !strings.Contains(words, c.want) {
			t.Errorf("%s: exit %d with %q, want %d with %q", name, exit, words, c.exit, c.want)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a failed transform left a file")
	}
}

func TestProgram_AnErrorIsNotBuriedUnderFlags(t *testing.T) {
	for want, args := range map[string][]string{
		`--workers: expected a valid 64 bit int but got "abc"`: {"serve", "--workers=abc"},
		"unknown flag --rot": {"serve", "--rot=/"},
		"/nonexistent.yaml":  {"config", "--config=/nonexistent.yaml"},
	} {
		out, words, exit := focal(t, args...)
		if lines := strings.Count(out+words, "\n"); exit == 0 || lines > 6 || !strings.Contains(words, want) {
			t.Errorf("%v: exit %d, %d lines, %q, want %q", args, exit, lines, words, want)
		}
	}
	if out, _, _ := focal(t); !strings.Contains(out, "foreground") || !strings.Contains(out, "doctor") {
		t.Errorf("focal alone does not say what it can do:\n%s", out)
	}
}

func TestProgram_DoctorFindsEverythingThatServeNeeds(t *testing.T) {
	models := modelFlags(t)
	out := mustFocal(t, append([]string{"doctor"}, models...)...)
	for _, want := range []string{"libvips", "ONNX Runtime", "runs on cpu", "retinaface-mobilenet025", "u2netp"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not mentioned in\n%s", want, out)
		}
	}
	if !strings.Contains(out, "ran on cpu") {
		t.Errorf("nothing ran:\n%s", out)
	}
	// With an empty folder the program's own models serve: not a defect, but said.
	out = mustFocal(t, "doctor", "--models="+t.TempDir(), "--ort-library=../.deps/lib/libonnxruntime.so")
	if !strings.Contains(out, "builtin-foreground version 1, default for foreground instead of u2netp: focal models pull u2netp") {
		t.Errorf("the model that should be there is not named:\n%s", out)
	}
	out, _, exit := focal(t, "doctor", "--models="+t.TempDir(), "--device=cuda", "--ort-library=../.deps/lib/libonnxruntime.so")
	if exit != 1 || !strings.Contains(out, "FOCAL_CUDA=on scripts/deps fetches it") {
		t.Errorf("exit %d without a CUDA provider, and\n%s", exit, out)
	}
	out, _, exit = focal(t, "doctor", "--models="+t.TempDir(), "--ort-library=/nonexistent.so")
	if exit != 1 || !strings.Contains(out, "/nonexistent.so") {
		t.Errorf("exit %d without a runtime, and\n%s", exit, out)
	}
}

// What focal sign prints is what a server with the key serves.
func TestProgram_SignsWhatServeServes(t *testing.T) {
	noSettings(t)
	root := filepath.Dir(photo(t))
	const key, path = "new key", "/cdn-cgi/image/width=50/couple-beach.jpg"
	base := serve(t, "--root="+root, "--inference=off", "--sign-key=old key", "--sign-key="+key)
	sign := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(mustFocal(t, append([]string{"sign"}, args...)...))
	}
	for name, address := range map[string]string{
		"URL":           sign("--sign-key="+key, base+path),
		"path":          base + sign("--sign-key="+key, path),
		"the other key": sign("--sign-key=old key", base+path),
		"expiring":      sign("--sign-key="+key, "--expires=1h", base+path),
		"with a query":  sign("--sign-key="+key, base+path+"?v=2"),
	} {
		if status, cf := get(t, address); status != http.StatusOK {
			t.Errorf("%s: %d %s for %s", name, status, cf, address)
		}
	}
	signed := sign("--sign-key="+key, base+path)
	expired, err := api.Sign(key, base+path, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{
		"unsigned":        base + path,
		"another key":     sign("--sign-key=guess", base+path),
		"another picture": strings.Replace(signed, "couple-beach", "bicycle", 1),
		"another size":    strings.Replace(signed, "width=50", "width=5000", 1),
		"another query":   signed + "&v=2",
		"expired":         expired,
		"longer expiry":   strings.Replace(expired, "exp=1", "exp=9", 1),
	} {
		if status, cf := get(t, address); status != http.StatusForbidden || cf != "err=9401" {
			t.Errorf("%s: %d %s for %s, want 403 err=9401", name, status, cf, address)
		}
	}
}

// serve runs a server by its command line, and returns its address.
func serve(t *testing.T, args ...string) (base string) {
	t.Helper()
	command := mustParse(t, append([]string{"serve", "--listen=127.0.0.1:0"}, args...)...).Serve
	s, err := app.NewServer(command.config(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-ran; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return "http://" + s.Address()
}

func get(t *testing.T, address string) (status int, cf string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for failures only
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Cf-Resized")
}

// What one run of the program has measured the next one shows.
func TestProgram_ShowsWhatWasMeasured(t *testing.T) {
	flags := modelFlags(t)
	info := func() string { return mustFocal(t, "models", "info", "retinaface-mobilenet025", flags[0]) }
	if said := info(); !strings.Contains(said, "# not measured yet") || !strings.Contains(said, "max_batch: 32") {
		t.Errorf("before it was used: %s", said)
	}
	printedFaces(t, append([]string{photo(t)}, flags...)...)
	said := info()
	measured := regexp.MustCompile(`(?m)^# measured on cpu[^\n]*, onnxruntime [^\n]*, memory pattern\n# load [0-9.]+ms, at rest [0-9.]+ MiB\n# canvas[^\n]*\n# 3x512x768 +1 +[0-9.]+ms `)
	if !measured.MatchString(said) {
		t.Errorf("after it was used: %s", said)
	}
}
