package rooms

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// tags are the two ways in which the house is built. `go list` compiles nothing,
// so OpenCV need not be there.
var tags = map[string]string{"without OpenCV": "", "with OpenCV": "customenv,gocv_specific_modules,opencv"}

func TestRooms_ImportOnlyWhatThePlanAllows(t *testing.T) {
	for name, tag := range tags {
		t.Run(name, func(t *testing.T) {
			packages := list(t, tag)
			if len(packages) < 5 {
				t.Fatalf("go list found %d packages: the test looks in the wrong place", len(packages))
			}
			for _, p := range packages {
				for _, b := range Breaches(p) {
					t.Error(b)
				}
				source, err := SourceBreaches(p)
				if err != nil {
					t.Error(err)
				}
				for _, b := range source {
					t.Error(b)
				}
			}
		})
	}
}

func list(t *testing.T, tag string) []Package {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Dir,Imports,TestImports,XTestImports,GoFiles,CgoFiles", "-tags", tag, "focal/...")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaint.String())
	}
	var packages []Package
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p Package
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// The plan itself can fail: each of these is one step over a threshold.
func TestBreaches_TellWhatIsOutOfItsRoom(t *testing.T) {
	const (
		govips = "github.com/davidbyttow/govips/v2/vips"
		ort    = "github.com/yalue/onnxruntime_go"
	)
	for _, c := range []struct {
		room           string
		imports, tests []string
		want           string // part of the one breach; none where empty
	}{
		{room: "inference/host", imports: []string{ort}, want: "inference/host imports github.com/yalue/onnxruntime_go; it belongs in inference/ort, because C memory must not outlive its session"},
		{room: "inference/ort", imports: []string{ort, "focal/models", "focal/inference", "unsafe"}},
		{room: "inference/ort", imports: []string{"focal/inference/host"}, want: "inference/ort imports inference/host"},
		{room: "core/pipeline", imports: []string{govips}, want: "it belongs in core/vips"},
		{room: "core/pipeline", tests: []string{govips}, want: "a test of core/pipeline imports"},
		{room: "core/pipeline", imports: []string{"focal/inference"}, want: "core/pipeline imports inference; it may import only"},
		{room: "core/pipeline", imports: []string{"focal/core/vips", "focal/core/fault"}},
		{room: "core/vips", imports: []string{"focal/core/pipeline"}, want: "core/vips imports core/pipeline"},
		{room: "inference/sidecar", imports: []string{"focal/core/vips"}, want: "Looker"},
		{room: "inference/sidecar", imports: []string{"net/http", "focal/inference/host"}, tests: []string{"focal/core/vips", "net/http/httptest"}},
		{room: "models/face", imports: []string{"focal/inference"}, want: "models/face imports inference"},
		{room: "models/face", imports: []string{"focal/models/vision"}, tests: []string{"focal/inference/ort"}},
		{room: "models/face", imports: []string{"gocv.io/x/gocv"}, want: "models/vision"},
		{room: "core/geometry", imports: []string{"net/http"}, want: "net/http"},
		{room: "core/geometry", tests: []string{"net/http/httptest", "os/exec"}},
		{room: "core/structure", imports: []string{"focal/core/vips"}, want: "core/structure imports core/vips"},
		{room: "core/svg", imports: []string{"focal/core/pipeline"}, want: "core/svg imports core/pipeline"},
		{room: "core/svg", imports: []string{"focal/core/fault"}, tests: []string{"os/exec"}},
		{room: "server/source", imports: []string{"github.com/valyala/fasthttp"}, want: "RequestCtx"},
		{room: "server/api", imports: []string{"github.com/valyala/fasthttp/reuseport", "focal/core/pipeline"}},
		{room: "server/api", imports: []string{"focal/inference"}, want: "one half"},
		{room: "server/app", imports: []string{"os/exec", "focal/core/vips", "focal/inference/ort", "focal/models"}},
		{room: "server/app", imports: []string{"flag"}, want: "only programs have flags"},
		{room: "server/app", imports: []string{"focal/bench/measure"}, want: "server/app imports bench/measure"},
		{room: "server/app", tests: []string{"focal/bench/measure"}},
		{room: "server", imports: []string{"github.com/alecthomas/kong", "focal/server/app"}},
		{room: "server", imports: []string{"focal/inference/ort"}, want: "main only wires"},
		{room: "bench/run", imports: []string{"flag", "focal/inference/host", "focal/core/vips", "os/exec"}},
		{room: "core/attic", imports: []string{"focal/core/fault"}, want: "core/attic is in no arrow"},
	} {
		got := Breaches(Package{ImportPath: module + c.room, Imports: c.imports, TestImports: c.tests})
		switch {
		case c.want == "" && len(got) != 0:
			t.Errorf("%s importing %v, tests %v: %v", c.room, c.imports, c.tests, got)
		case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
			t.Errorf("%s importing %v, tests %v: got %q, want one with %q", c.room, c.imports, c.tests, got, c.want)
		}
	}
}

func TestFileBreaches_TellImpureRoomsAndStrayEnvironment(t *testing.T) {
	const source = `package x
import (
	clk "time"
	"os"
	"sync"
)
func f(mu *sync.Mutex, d clk.Duration) string {
	go f(nil, 0)
	_ = clk.Now().Add(d)
	return os.Getenv("X")
}`
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, "x.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	for room, want := range map[string][]string{
		"inference/sched": {"imports sync", "starts a goroutine", "uses time.Now", "uses os.Getenv"},
		"inference/host":  {"uses os.Getenv"},
		"server":          {},
	} {
		got := fileBreaches(files, f, room)
		if len(got) != len(want) || slices.ContainsFunc(want, func(w string) bool {
			return !strings.Contains(strings.Join(got, "\n"), w)
		}) {
			t.Errorf("%s: got %q, want %q", room, got, want)
		}
	}
}

// A plan with a dangling line would allow what nobody drew.
func TestTables_GiveEveryRuleAReason(t *testing.T) {
	for _, d := range doors {
		if d.why == "" || len(d.rooms) == 0 {
			t.Errorf("door %s has no room or no reason", d.imports)
		}
	}
	for _, a := range arrows {
		if a.why == "" {
			t.Errorf("arrow %s has no reason", a.room)
		}
		if again := slices.IndexFunc(arrows, func(b arrow) bool { return b.room == a.room }); arrows[again].why != a.why {
			t.Errorf("arrow %s is drawn twice", a.room)
		}
	}
}
