package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"focal/core/fault"
	"focal/server/app"

	"github.com/alecthomas/kong"
)

// samples are two values for every flag of serve, neither of them the default.
// A flag without a line here fails the tests.
var samples = map[string][2]string{
	"listen":             {"127.0.0.1:1", "127.0.0.1:2"},
	"inference":          {"off", "embedded"},
	"inference-listen":   {"127.0.0.1:3", "127.0.0.1:4"},
	"inference-fallback": {"fail", ""}, // there are only two, and one is the default
	"inference-token":    {"secret", "other"},
	"sign-key":           {"one,two", "three"},
	"presets":            {"thumb=width=200,height=100;card=width=300", "thumb=width=1"},
	"only-presets":       {"true", ""},
	"root":               {"/pictures", "/photos"},
	"origin":             {"https://a.example,/shop=s3://shop/pictures", "https://b.example"},
	"s3-endpoint":        {"http://127.0.0.1:9000", "https://s3.example"},
	"s3-region":          {"eu-west-1", "us-east-2"},
	"source-cache":       {"20MiB", "0"},
	"allow-origin":       {"a.example,*.b.example", "c.example"},
	"allow-private":      {"true", ""},
	"purge-token":        {"secret", "other"},
	"results":            {"memory:20MiB,dir:/results,s3://bucket/results", "memory:30MiB"},
	"results-limit":      {"21MiB", "22MiB"},
	"source-memory":      {"1MiB", "2MiB"},
	"max-source-bytes":   {"3MB", "4MB"},
	"max-pixels":         {"5MP", "6MP"},
	"max-side":           {"700", "800"},
	"timeout":            {"9s", "1m10s"},
	"workers":            {"11", "12"},
	"queue":              {"13", "14"},
	"models":             {"/m1", "/m2"},
	"face-model":         {"yunet", "ultralight-640"},
	"foreground-model":   {"u2net", "isnet-general"},
	"device":             {"cuda:1", "cpu"},
	"cuda-option":        {"use_tf32=0;cudnn_conv_algo_search=DEFAULT", "use_tf32=1"},
	"tensorrt":           {"true", ""},
	"load-timeout":       {"3m0s", "2h0m0s"},
	"memory-budget":      {"15MiB", "16MiB"},
	"cache-size":         {"17MiB", "18MiB"},
	"redis":              {"redis://:secret@127.0.0.1:6379/1", "unix:///run/redis.sock"},
	"redis-ttl":          {"23h0m0s", "1h0m0s"},
	"inference-queue":    {"19", "20"},
	"ort-library":        {"/lib/a.so", "/lib/b.so"},
}

// flagsOf are the visible flags of a command, without those of all commands.
func flagsOf(t *testing.T, command string) []*kong.Flag {
	t.Helper()
	var cli commands
	parser, err := newParser(&cli)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range parser.Model.Children {
		if n.Name != command {
			continue
		}
		var flags []*kong.Flag
		for _, f := range n.Flags {
			if f.Name != "help" && !f.Hidden {
				flags = append(flags, f)
			}
		}
		return flags
	}
	t.Fatalf("no command %s", command)
	return nil
}

// settings writes a configuration file as a person would.
func settings(t *testing.T, lines ...string) (flag string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "focal.yaml")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--config=" + path
}

func yamlLine(f *kong.Flag, value string) string {
	if f.IsSlice() { // quoted, since * means something in YAML
		value = `["` + strings.ReplaceAll(value, ",", `", "`) + `"]`
	}
	return f.Name + ": " + value
}

func TestFlags_EachIsAlsoAVariableAndAKey(t *testing.T) {
	noSettings(t)
	none := mustParse(t, "serve").Serve
	flags := flagsOf(t, "serve")
	if len(flags) != len(samples) {
		t.Errorf("serve has %d flags, and there are samples for %d", len(flags), len(samples))
	}
	for _, f := range flags {
		t.Run(f.Name, func(t *testing.T) {
			one, two := samples[f.Name][0], samples[f.Name][1]
			if one == "" {
				t.Fatal("no sample: add one")
			}
			variable := "FOCAL_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
			asFlag := "--" + f.Name + "="
			want := mustParse(t, "serve", asFlag+one).Serve
			if reflect.DeepEqual(want, none) {
				t.Fatalf("%s%s is the default, or changes nothing", asFlag, one)
			}
			expect := func(how string, args ...string) {
				t.Helper()
				if got := mustParse(t, append([]string{"serve"}, args...)...).Serve; !reflect.DeepEqual(got, want) {
					t.Errorf("%s: got %+v, want %+v", how, got, want)
				}
			}
			expect("key alone", settings(t, yamlLine(f, one)))
			if two != "" {
				expect("flag over key", settings(t, yamlLine(f, two)), asFlag+one)
				t.Setenv(variable, two)
				expect("flag over variable", asFlag+one)
			}
			t.Setenv(variable, one)
			expect("variable alone")
			if two != "" {
				expect("variable over key", settings(t, yamlLine(f, two)))
			}
		})
	}
}

func TestFlags_FileTakesNumbersAsTheyAre(t *testing.T) {
	noSettings(t)
	got := mustParse(t, "serve", settings(t, "memory-budget: 1048576", "max-pixels: 100000000", "workers: 3", "allow-private: yes", "timeout: 1500ms", "sign-key: [1234]", "root: 7")).Serve
	want := mustParse(t, "serve", "--memory-budget=1MiB", "--max-pixels=100MP", "--workers=3", "--allow-private", "--timeout=1.5s", "--sign-key=1234", "--root=7").Serve
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFlags_PresetsAreAMapInAFile(t *testing.T) {
	noSettings(t)
	got := mustParse(t, "serve", settings(t, "presets:", `  thumb: "width=200,background=rgb(1,2,3)"`, "  card: width=300")).Serve.Presets
	want := map[string]string{"thumb": "width=200,background=rgb(1,2,3)", "card": "width=300"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFlags_FileIsNamedByAVariableToo(t *testing.T) {
	noSettings(t)
	_, path, _ := strings.Cut(settings(t, "max-side: 77", "log-json: true"), "=")
	t.Setenv("FOCAL_CONFIG", path)
	if cli := mustParse(t, "serve"); cli.Serve.MaxSide != 77 || !cli.LogJSON {
		t.Errorf("the file of FOCAL_CONFIG is not read: %+v", cli)
	}
}

func TestFlags_RefuseWhatIsNoSetting(t *testing.T) {
	noSettings(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"misspelt key":     {[]string{"serve", settings(t, "wrokers: 3")}, `"wrokers" is no flag`},
		"nested key":       {[]string{"serve", settings(t, "serve:", "  workers: 3")}, `"serve" is no flag`},
		"no YAML":          {[]string{"serve", settings(t, "{")}, "configuration file"},
		"a list":           {[]string{"serve", settings(t, "- workers")}, "configuration file"},
		"value of a key":   {[]string{"serve", settings(t, "workers: many")}, "workers"},
		"missing file":     {[]string{"serve", "--config=/nonexistent.yaml"}, "nonexistent"},
		"unknown flag":     {[]string{"serve", "--wrokers=3"}, "wrokers"},
		"unknown fallback": {[]string{"serve", "--inference-fallback=hope"}, "ladder"},
		"size":             {[]string{"serve", "--cache-size=much"}, "want for instance 256MiB"},
		"pixels":           {[]string{"serve", "--max-pixels=many"}, "want for instance 100MP"},
		"store":            {[]string{"serve", "--results=disk:/tmp"}, "memory:SIZE, dir:PATH or s3://bucket/prefix"},
		"store of nothing": {[]string{"serve", "--results=dir:"}, "is no store"},
		"store's size":     {[]string{"serve", "--results=memory:much"}, "want for instance 256MiB"},
		"stray argument":   {[]string{"serve", "photo.jpg"}, "photo.jpg"},
	} {
		if _, _, err := parse(t, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q in it", name, err, c.want)
		}
	}
	// An empty file says nothing, which is fine.
	mustParse(t, "serve", settings(t, "# nothing"))
}

func TestByteSize_ReadsWhatPeopleWrite(t *testing.T) {
	for text, want := range map[string]byteSize{
		"": 0, "0": 0, "1048576": 1 << 20, "256MiB": 256 << 20, "256 MiB": 256 << 20, "100MB": 100e6, "100mb": 100e6, "1GiB": 1 << 30, "1.5GiB": 3 << 29, "2kB": 2000,
	} {
		var got byteSize
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"-1", "much", "MiB", "1 apple", "99999999EiB", "16EiB", "0x10", "1e3", "NaN"} {
		var got byteSize
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestPixelCount_ReadsWhatPeopleWrite(t *testing.T) {
	for text, want := range map[string]pixelCount{"0": 0, "5000": 5000, "100MP": 100e6, "1mp": 1e6} {
		var got pixelCount
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MP", "-1", "-1MP", "1.5MP", "100 MP", "many", "9999999999999MP", "99999999999999999999"} {
		var got pixelCount
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func FuzzByteSize(f *testing.F) {
	for _, s := range []string{"", "256MiB", "100MB", "1.5GiB", "16EiB", "-1", "1,5", "4611686018427387904"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var b, again byteSize
		if b.UnmarshalText([]byte(s)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(b.String())); b < 0 || err != nil || again != b {
			t.Errorf("%q is %d, which is read again as %d, %v", s, b, again, err)
		}
	})
}

func FuzzPixelCount(f *testing.F) {
	for _, s := range []string{"", "100MP", "1mp", "-1", "4611686018427MP"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var p, again pixelCount
		if p.UnmarshalText([]byte(s)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(p.String())); p < 0 || err != nil || again != p {
			t.Errorf("%q is %d, which is read again as %d, %v", s, p, again, err)
		}
	})
}

// The child is told everything that the server was told of pictures and
// models, by whatever way, and listens nowhere else because of it.
func TestChildArgs_SayWhatServeWasTold(t *testing.T) {
	noSettings(t)
	args := []string{"serve"}
	for _, f := range flagsOf(t, "serve") {
		args = append(args, "--"+f.Name+"="+samples[f.Name][0])
	}
	serve, none := mustParse(t, args...).Serve, mustParse(t, "serve").Serve
	for _, part := range [][2]any{{serve.pictureFlags, none.pictureFlags}, {serve.inferenceFlags, none.inferenceFlags}} {
		told, silent := reflect.ValueOf(part[0]), reflect.ValueOf(part[1])
		for i := range told.NumField() {
			if reflect.DeepEqual(told.Field(i).Interface(), silent.Field(i).Interface()) {
				t.Errorf("the sample of %s is the default", told.Type().Field(i).Name)
			}
		}
	}
	expect := func(how string, serve serveCommand) {
		t.Helper()
		child := serve.childArgs()
		if child[0] != "focal" {
			t.Errorf("%s: the child is called %q", how, child[0])
		}
		if line := strings.Join(child, " "); strings.Contains(line, "secret") {
			t.Errorf("%s: every user of the machine can read %q", how, line)
		}
		for _, variable := range serve.childEnv() {
			name, value, _ := strings.Cut(variable, "=")
			t.Setenv(name, value)
		}
		got := mustParse(t, child[1:]...).Sidecar
		want := sidecarCommand{
			Inherit: true, InferenceListen: serve.InferenceListen, InferenceToken: serve.InferenceToken,
			pictureFlags: serve.pictureFlags, inferenceFlags: serve.inferenceFlags,
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the child understands %+v, want %+v", how, got, want)
		}
	}
	expect("everything said", serve)
	expect("nothing said", none)

	// The child has the server's environment, in which all of this stands too.
	for name, value := range samples {
		t.Setenv("FOCAL_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")), value[0])
	}
	expect("variables that say the same", serve)
	// A server with this variable has these options: no flag takes them away again.
	none.CudaOption = serve.CudaOption
	expect("variables that say something else", none)
}

func TestReference_IsTheDocumentation(t *testing.T) {
	noSettings(t)
	var cli commands
	parser, err := newParser(&cli)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := writeReference(&want, parser.Model); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "docs", "configuration.md")
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what focal config --reference prints: go test ./server -run Reference -update writes it", path)
	}
	for name := range samples {
		if !strings.Contains(string(got), "`--"+name+"`") {
			t.Errorf("--%s is missing", name)
		}
	}
	if out := mustFocal(t, "config", "--reference"); out != string(got) {
		t.Error("the program prints another reference")
	}
}

// What focal config prints is read by --config, and means the same.
func TestConfig_PrintsAFileThatSaysTheSame(t *testing.T) {
	noSettings(t)
	args := []string{}
	for _, f := range flagsOf(t, "serve") {
		args = append(args, "--"+f.Name+"="+samples[f.Name][0])
	}
	for name, args := range map[string][]string{"everything": args, "nothing": nil} {
		printed := mustFocal(t, append([]string{"config"}, args...)...)
		// As text: an empty list and none are the same.
		got := fmt.Sprintf("%+v", mustParse(t, "serve", settings(t, printed)).Serve)
		want := fmt.Sprintf("%+v", mustParse(t, append([]string{"serve"}, args...)...).Serve)
		if got != want {
			t.Errorf("%s said: the file\n%smeans %s, want %s", name, printed, got, want)
		}
	}
}

func TestServe_ConfigReachesTheParts(t *testing.T) {
	noSettings(t)
	serve := mustParse(t, "serve", "--max-pixels=7MP", "--max-side=99", "--workers=3", "--inference-fallback=fail", "--timeout=5s",
		"--max-source-bytes=9MB", "--source-memory=10MiB", "--root=/p", "--queue=4", "--sign-key=a", "--sign-key=b",
		"--results=memory:1MiB", "--results=dir:/r", "--results=s3://bucket/x", "--results-limit=2MiB", "--s3-region=r", "--purge-token=p").Serve
	c := serve.config()
	if c.Pictures.MaxPixels != 7e6 || c.Pictures.MaxSide != 99 || c.Pictures.MaxBytes != 9e6 || c.Pictures.Workers != 3 || c.Pictures.Fallback != "fail" || c.Queue != 4 {
		t.Errorf("pictures: %+v, queue %d", c.Pictures, c.Queue)
	}
	if c.Sources.Root != "/p" || c.Sources.MaxBytes != 9e6 || c.Sources.Memory != 10<<20 || c.Timeout.Seconds() != 5 {
		t.Errorf("sources: %+v, timeout %s", c.Sources, c.Timeout)
	}
	if !reflect.DeepEqual(c.SignKeys, []string{"a", "b"}) {
		t.Errorf("keys: %v", c.SignKeys)
	}
	if r := c.Results; r.Memory != 1<<20 || r.Dir != "/r" || r.DirLimit != 2<<20 || r.Bucket != "s3://bucket/x" || r.S3.Region != "r" || c.PurgeToken != "p" {
		t.Errorf("results: %+v, token %q", r, c.PurgeToken)
	}
	if c.Sources.Root = ""; c.Validate() != nil {
		t.Errorf("defaults do not validate: %v", c.Validate())
	}
	// What the child is told is wrong at the start of the server, not in its log.
	for flag, spoil := range map[string]func(*app.InferenceConfig){
		"--redis":           func(m *app.InferenceConfig) { m.Redis = "http://nowhere" },
		"--redis-ttl":       func(m *app.InferenceConfig) { m.Redis, m.RedisTTL = "redis://h", 0 },
		"--memory-budget":   func(m *app.InferenceConfig) { m.MemoryBudget = -1 },
		"--cache-size":      func(m *app.InferenceConfig) { m.CacheSize = -1 },
		"--load-timeout":    func(m *app.InferenceConfig) { m.LoadTimeout = -1 },
		"--inference-queue": func(m *app.InferenceConfig) { m.Queue = 0 },
		"--models":          func(m *app.InferenceConfig) { m.Models = "" },
	} {
		for _, how := range []string{"spawn", "embedded"} {
			bad := c
			bad.Inference = how
			spoil(&bad.Models)
			if err := bad.Validate(); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), flag+" ") && !strings.Contains(err.Error(), flag+":") {
				t.Errorf("%s with %s: %v", flag, how, err)
			}
		}
	}
	c.Pictures.Workers = 0
	if err := c.Validate(); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "--workers") {
		t.Errorf("no workers: %v", err)
	}
}
