// Package rooms holds the house to its plan: which room may import what, and
// why. The tables in this file are the plan (docs/development.md says how to
// change them); the test beside it reads the real imports with and without the
// opencv tag.
//
// It is part of the gate and imports no room.
package rooms

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

const module = "focal/"

// A door is something from outside that only some rooms may touch. Rooms are
// folders; "bench/..." stands for bench and all below it.
type door struct {
	imports string   // import path; all below it too
	rooms   []string // that may use it
	tests   []string // whose tests may use it besides
	why     string
}

// everywhere is for tests that play the user, an origin or a caller.
var everywhere = []string{"..."}

var doors = []door{
	{"github.com/davidbyttow/govips/v2", []string{"core/vips"}, nil,
		"libvips is started, limited and counted in one place, and *ImageRef must not outlive its caller's slot"},
	{"github.com/yalue/onnxruntime_go", []string{"inference/ort"}, nil,
		"C memory must not outlive its session"},
	{"gocv.io/x/gocv", []string{"models/vision"}, nil,
		"a Mat has no finalizer, and the house must build where OpenCV is not"},
	{"github.com/NVIDIA/go-nvml", []string{"inference/gpu"}, nil,
		"device memory is read in one place, and only integers leave it"},
	{"github.com/valyala/fasthttp", []string{"server/api"}, nil,
		"a RequestCtx dies when its handler returns, so it must not travel"},
	{"github.com/minio/minio-go/v7", []string{"server/bucket"}, []string{"server/source"},
		"S3 is spoken in one place, so that sources and stored results have the same credentials and the same errors"},
	{"github.com/redis/go-redis/v9", []string{"inference/redis"}, nil,
		"a Redis server that is slow or gone must cost a request nothing: that is arranged in one place"},
	{"net/http", []string{"server/source", "server/bucket", "inference/sidecar", "models", "bench/...", "server/api"}, everywhere,
		"every way in or out of the process is guarded where it begins (server/api: for its metrics adaptor only)"},
	{"os/exec", []string{"server/app", "bench/...", "scripts/..."}, everywhere,
		"a child needs an owner who ends it"},
	{"flag", []string{"server", "bench/..."}, []string{"inference/ort"},
		"rooms take a Config; only programs have flags (the engine's tests are told on which device to run)"},
	{"github.com/alecthomas/kong", []string{"server", "bench/..."}, nil,
		"rooms take a Config; only programs have flags"},
}

// An arrow says which of our rooms a room may import. A room that is in no
// arrow has not been drawn yet.
type arrow struct {
	room  string
	to    []string
	tests []string // what its tests may import besides
	why   string
}

var (
	ground     = []string{"core/pixel", "core/cache", "core/fault"}
	arithmetic = plus(ground, "core/transform", "core/geometry")
	// judging is what tests need to hold models to truth and reference results.
	judging = []string{"inference/...", "bench/measure", "bench/reference"}
)

var arrows = []arrow{
	{"core/pixel", ground, nil, "the ground floor rests on nothing of ours"},
	{"core/cache", ground, nil, "the ground floor rests on nothing of ours"},
	{"core/fault", ground, nil, "the ground floor rests on nothing of ours"},
	{"core/transform", arithmetic, nil, "options are pure values: no engine, no model"},
	{"core/geometry", arithmetic, nil, "arithmetic is pure: no engine, no model"},
	{"core/exif", ground, nil, "an EXIF block is bytes: whichever file it lies in"},
	{"core/structure", plus(ground, "core/exif"), nil, "where a file ends is read from its bytes alone: no engine, no options"},
	{"core/svg", ground, nil, "a sanitiser that could fetch or draw would be an attack surface; pictures inside go out by a hook"},
	{"core/vips", plus(arithmetic, "core/exif"), nil, "the image engine knows neither its caller nor vision"},
	{"core/pipeline", plus(arithmetic, "core/vips", "core/svg", "core/structure"), nil,
		"core declares what it needs of vision (pipeline.Vision) and is handed it by server/app"},

	{"models/...", plus(ground, "models/..."), judging,
		"a model is described without knowing who runs it (its tests may run it, for accuracy)"},
	{"inference", plus(ground, "models"), nil, "the doorway knows pixels and models, nothing behind it"},
	{"inference/sched", plus(ground, "models", "inference"), []string{"inference/fake"},
		"decisions are pure: effects are carried out by inference/host"},
	{"inference/gpu", ground, nil, "reading a device's memory needs no model"},
	{"inference/ort", plus(ground, "models", "inference", "inference/gpu"), []string{"models/...", "inference/goldentest", "inference/enginetest"},
		"an engine runs tensors and knows no pixels"},
	{"inference/fake", plus(ground, "models", "inference"), []string{"inference/enginetest"}, "a scripted engine knows what an engine knows"},
	{"inference/enginetest", plus(ground, "models", "inference"), nil,
		"the contract suite of inference.Engine holds every implementation to the same promises and knows none"},
	{"inference/clienttest", plus(ground, "models", "inference"), nil,
		"the contract suite of inference.Client holds every implementation to the same promises and knows none"},
	{"inference/goldentest", plus(ground, "models"), nil,
		"the golden numbers of the models hold every way of running them to the same outputs and know none"},
	{"inference/route", []string{"core/pixel"}, nil, "which sidecar is asked follows from names and counts: the simulator asks the same rule"},
	{"inference/profile", ground, nil, "measurements on disk: neither who measures nor who decides by them"},
	{"inference/redis", ground, nil, "results are bytes under keys: what they mean is the host's business"},
	{"inference/blackbox", ground, nil, "what was on the device when a process ended is a list of keys: neither what they stand for nor what follows"},
	{"inference/host", plus(ground, "models/...", "inference", "inference/sched", "inference/profile", "inference/blackbox", "inference/gpu"),
		judging,
		"the run loop takes any engine: server/app chooses it"},
	{"inference/oip", plus(ground, "models", "inference"), nil,
		"a protocol's bodies are read and written without a server or an engine, so that they can be fuzzed alone"},
	{"inference/sidecar", plus(ground, "models/...", "inference", "inference/host", "inference/oip", "inference/route"),
		[]string{"inference/...", "core/vips"},
		"the sidecar may not import the image engine: sidecar.New takes a Looker from server/app"},

	{"server/bucket", ground, nil, "objects of S3 are bytes under names: neither sources nor results"},
	{"server/source", plus(ground, "server/bucket"), nil, "fetching originals needs neither picture nor model"},
	{"server/results", plus(arithmetic, "core/pipeline", "server/bucket"), nil,
		"finished pictures are kept under what they depend on, whoever asks for them and wherever sources come from"},
	{"server/api", plus(arithmetic, "core/pipeline", "server/source", "server/results"),
		[]string{"core/vips", "server/app"},
		"the HTTP face sees one half of the house; server/app hands it the rest"},
	{"server/app", []string{"core/...", "models/...", "inference/...", "server/..."}, judging,
		"the parts list sees everything but the programs (its tests measure what it serves)"},
	{"server", plus(ground, "server/...", "models", "core/pipeline"), judging,
		"main only wires: it fills Configs (hence core/pipeline) and hands them to server/app, the one place that sees both halves"},
	{"bench/measure", []string{"core/pixel"}, judging, "a measure is arithmetic that no model and no file can move"},
	{"bench/reference", []string{"core/pixel", "models", "models/vision", "inference", "inference/ort", "bench/measure"}, nil,
		"what tests judge models by: it reads pictures and runs tensors, and knows no recipe and no decoder"},
	{"bench/dataset", plus(ground, "core/vips", "models/vision"), judging, "truth is read without knowing what is held against it"},
	{"bench/report", plus(arithmetic, "core/vips", "models/vision", "bench/measure", "bench/dataset"), judging,
		"figures are made of journals, whoever measured"},
	{"bench/load", plus(ground, "bench/measure"), nil, "a load knows addresses, not what answers there"},
	{"bench/...", []string{"bench/...", "core/...", "models/...", "inference/...", "server/app"}, nil,
		"the harness measures both halves"},
	{"scripts/...", nil, nil, "the gate must not depend on what it checks"},
}

// pureRooms hold no goroutine, no clock and no lock: they are decided by their
// arguments alone, so that tests drive them by hand.
var pureRooms = []string{"inference/sched", "inference/route", "core/transform", "core/geometry", "core/structure", "core/exif", "core/svg", "core/pixel", "core/fault"}

// environment is where the process environment may be read.
var environment = []string{"server", "bench/..."}

// Package is what the rules need to know about one package, as `go list -json`
// gives it.
type Package struct {
	ImportPath   string
	Dir          string
	Imports      []string
	TestImports  []string // of _test.go files of the package itself
	XTestImports []string // of package x_test
	GoFiles      []string
	CgoFiles     []string
}

// Breaches returns one teaching sentence for every import of p that the tables
// do not allow.
func Breaches(p Package) []string {
	room, ours := roomOf(p.ImportPath)
	if !ours {
		return nil
	}
	var found []string
	for _, i := range p.Imports {
		found = append(found, breach(room, i, false)...)
	}
	for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
		found = append(found, breach(room, i, true)...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func breach(room, imported string, test bool) []string {
	if to, ours := roomOf(imported); ours {
		return arrowBreach(room, to, test)
	}
	who := room
	if test {
		who = "a test of " + room
	}
	for _, d := range doors {
		if !under(imported, d.imports) || in(room, d.rooms) || test && in(room, d.tests) {
			continue
		}
		return []string{fmt.Sprintf("%s imports %s; it belongs in %s, because %s", who, imported, strings.Join(d.rooms, ", "), d.why)}
	}
	return nil
}

func arrowBreach(room, to string, test bool) []string {
	// A test may be in a package of its own; testdata programs are not listed.
	if room == to {
		return nil
	}
	a, drawn := arrowOf(room)
	if !drawn {
		return []string{fmt.Sprintf("%s is in no arrow of scripts/rooms: draw it, with the reason why it is a room", room)}
	}
	if in(to, a.to) || test && in(to, a.tests) {
		return nil
	}
	who := room
	if test {
		who = "a test of " + room
	}
	allowed := "nothing of ours"
	if len(a.to) > 0 {
		allowed = "only " + strings.Join(a.to, ", ")
	}
	return []string{fmt.Sprintf("%s imports %s; it may import %s, because %s", who, to, allowed, a.why)}
}

// arrowOf returns the most exact arrow of room.
func arrowOf(room string) (arrow, bool) {
	var best arrow
	found := false
	for _, a := range arrows {
		if in(room, []string{a.room}) && (!found || len(a.room) > len(best.room)) {
			best, found = a, true
		}
	}
	return best, found
}

func roomOf(importPath string) (room string, ours bool) {
	return strings.CutPrefix(importPath, module)
}

func under(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }

func in(room string, list []string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		switch dir, file := path.Split(entry); {
		case entry == "...":
			return true
		case file == "...":
			return under(room, strings.TrimSuffix(dir, "/"))
		default:
			return room == entry
		}
	})
}

func plus(list []string, more ...string) []string { return slices.Concat(list, more) }
