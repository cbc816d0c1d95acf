package pipeline

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/core/vips"
)

// optionSets reach every step and every encoder. They make small pictures: the
// point is that nothing crashes, whatever the file.
var optionSets = []string{
	"width=256",
	"width=100,height=100,fit=cover,gravity=auto,format=webp",
	"width=120,height=90,fit=pad,background=rgba(0,0,255,0.5)",
	"width=64,height=64,fit=crop,gravity=entropy,format=png,quality=50",
	"width=40,height=200,fit=squeeze,format=baseline-jpeg",
	"width=200,height=100,fit=aspect-crop,gravity=0.2x0.8,sharpen=1",
	"width=50,dpr=2,fit=scale-up,height=50,compression=fast",
	"width=100,rotate=90,flip=h,metadata=keep",
	"width=100,trim=border,trim.border.keep=2",
	"width=100,trim=0.1;5;0.2;5,rotate=270",
	"width=80,brightness=1.2,contrast=1.1,gamma=0.8,saturation=0",
	"width=80,blur=10,border.width=4,border.color=red,format=jxl",
	"width=64,format=avif,quality=low",
	"width=256,anim=false,format=png,compression=fast",
	"width=100,segment=foreground,background=white",
	"width=100,segment=foreground,format=webp",
	"width=90,height=90,fit=cover,gravity=face,zoom=0.5",
	"gravity=face,segment=foreground,format=json",
	"width=33,height=77,fit=contain,format=auto,metadata=none",
	"width=auto,wbreakpoints=200,scq=low,upscale=generate,fit=cover,height=20",
	"width=120,blur-faces=1,face-min-score=0.1",
	"width=100,mask=1,segment=background,trim=foreground",
	"width=90,height=90,fit=pad,gravity=foreground,zoom=0.8,segment=foreground,shadow=1,format=webp",
	"width=60,height=40,fit=cover,gravity=face,faces=largest,face-padding=2,debug=crop",
}

// sampleFiles are all shared samples.
func sampleFiles(t testing.TB) []string {
	t.Helper()
	const root = "../../../shared/data/samples"
	var files []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.HasSuffix(path, ".md") {
			files = append(files, strings.TrimPrefix(path, root+"/"))
		}
		return err
	})
	if os.IsNotExist(err) {
		t.Skip("needs ../shared: data/samples")
	}
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// trySample puts a sample through sets of options. A file may be refused, for
// what it is; but no refusal may be a defect of ours, and what is made must be
// readable and of the size that was said.
func trySample(t *testing.T, name string, sets []string) {
	t.Helper()
	v := &scripted{mask: leftHalf(), faces: []pixel.Face{{Box: pixel.Box{X: 0.4, Y: 0.3, W: 0.2, H: 0.2}, Score: 0.9}}}
	p := pipeline(t, v, func(c *Config) { c.Workers = 2 })
	s := photo(t, name)
	for _, list := range sets {
		r, err := p.Make(t.Context(), Request{Source: s, Options: options(t, list), Accept: Accept{WebP: len(name)%2 == 0}})
		if err != nil {
			switch fault.KindOf(err) {
			case fault.Corrupt, fault.TooLarge, fault.Unsupported:
			default:
				t.Errorf("%s, %s: %s: %v", name, list, fault.KindOf(err), err)
			}
			if !strings.HasPrefix(name, "broken/") && !strings.HasPrefix(name, "svg/") {
				t.Errorf("%s, %s: a good file is refused: %v", name, list, err)
			}
			continue
		}
		switch {
		case r.ContentType == "application/json", r.ContentType == "image/svg+xml" && strings.HasPrefix(name, "svg/"):
			continue
		case r.ContentType == "image/jxl": // which nobody here reads
			continue
		}
		if info, err := vips.Probe(r.Body); err != nil || info.Oriented != r.Size || info.Orientation != 1 || info.Format.MIME() != r.ContentType {
			t.Errorf("%s, %s: made %s of %v, said %s of %v; %v", name, list, info.Format, info.Oriented, r.ContentType, r.Size, err)
		}
	}
}

// Each file through some of the sets, so that every set is tried; all through
// all are in samples_real_test.go.
func TestSamples_CrashNothing(t *testing.T) {
	for i, name := range sampleFiles(t) {
		trySample(t, name, []string{optionSets[i%len(optionSets)]})
	}
}
