package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"focal/core/pipeline"
	"focal/server/app"
	"focal/server/bucket"
	"focal/server/results"
	"focal/server/source"

	"github.com/dustin/go-humanize"
)

// inferenceFlags are shared by serve and sidecar.
type inferenceFlags struct {
	Models          string            `help:"Model repository." placeholder:"DIR" default:"${models}"`
	FaceModel       string            `help:"Face model; default: the repository's for the device." placeholder:"NAME"`
	ForegroundModel string            `help:"Foreground model; default: the repository's for the device." placeholder:"NAME"`
	Device          string            `help:"auto, cpu, cuda or cuda:N. An explicit cuda fails rather than falls back." default:"auto"`
	CudaOption      map[string]string `help:"Option of ONNX Runtime's CUDA provider, by its own key; repeatable. A manifest's session.cuda goes over it." placeholder:"KEY=VALUE"`
	TensorRT        bool              `name:"tensorrt" env:"FOCAL_TENSORRT" help:"On a card, run models by TensorRT as far as it can; the first load of each takes minutes."`
	LoadTimeout     time.Duration     `help:"How long a model may take to load before it is given up; default: 5m, with tensorrt 1h." placeholder:"TIME"`
	MemoryBudget    byteSize          `help:"Bytes that models may hold together, at rest and running; default: 80 % of free device memory, on the CPU 1GiB." placeholder:"BYTES"`
	CacheSize       byteSize          `help:"Inference results held in memory." default:"256MiB"`
	Redis           string            `help:"Redis server in which sidecars share their inference results: redis://[user:password@]host:port[/db], rediss:// or unix:///path." placeholder:"URL"`
	RedisTTL        time.Duration     `name:"redis-ttl" env:"FOCAL_REDIS_TTL" help:"How long the Redis server keeps a result that nobody asks for." default:"168h"`
	InferenceQueue  int               `help:"Requests that may wait for one model, for each class of callers." default:"256"`
	OrtLibrary      string            `help:"Path of libonnxruntime.so; default: looked for beside the program and in the system." placeholder:"FILE"`
}

// pictureFlags bound the work on pictures; sidecar has them for files that are
// sent to it.
type pictureFlags struct {
	MaxSourceBytes byteSize      `help:"Largest source, in bytes." default:"100MB"`
	SourceMemory   byteSize      `help:"Originals held in memory at once." default:"256MiB"`
	MaxPixels      pixelCount    `help:"Largest source, in pixels." default:"100MP"`
	MaxSide        int           `help:"Longest side of a source or a result, in pixels." default:"12000"`
	Timeout        time.Duration `help:"Time for one request, all its waits included." default:"30s"`
	Workers        int           `help:"Pictures worked on at once; default: the number of cores." placeholder:"N"`
	Queue          int           `help:"Requests that may wait; default: 64 for each worker." placeholder:"N"`
}

// sourceFlags say where pictures come from.
type sourceFlags struct {
	Root         string   `help:"Directory that path sources are read from." placeholder:"DIR"`
	Origin       []string `help:"Base URL, or s3://bucket/prefix, that path sources are fetched from; repeatable as /prefix=URL, where the longest prefix wins and the URL takes its place." placeholder:"[/PREFIX=]URL"`
	S3Endpoint   string   `name:"s3-endpoint" env:"FOCAL_S3_ENDPOINT" help:"Base URL of the server that has the buckets. Credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials." default:"https://s3.amazonaws.com"`
	S3Region     string   `name:"s3-region" env:"FOCAL_S3_REGION" help:"Region of the buckets; default: the server is asked." placeholder:"NAME"`
	SourceCache  byteSize `help:"Answers of origins kept in memory for their next use, besides source-memory; 0: none." default:"64MiB"`
	AllowOrigin  []string `help:"Host pattern allowed as absolute-URL source; repeatable." placeholder:"HOST"`
	AllowPrivate bool     `help:"Allow sources at private, loopback and link-local addresses."`
}

func (f inferenceFlags) config(workers int) app.InferenceConfig {
	c := app.DefaultInferenceConfig()
	c.Models, c.FaceModel, c.ForegroundModel = f.Models, f.FaceModel, f.ForegroundModel
	c.Device, c.Library, c.CUDA, c.TensorRT = f.Device, f.OrtLibrary, f.CudaOption, f.TensorRT
	c.LoadTimeout = f.LoadTimeout
	c.MemoryBudget, c.CacheSize = int64(f.MemoryBudget), int64(f.CacheSize)
	c.Redis, c.RedisTTL = f.Redis, f.RedisTTL
	c.Workers, c.Queue = workers, f.InferenceQueue
	return c
}

// args writes the flags down again, for the child, but for Redis, which may
// hold a password: see childEnv.
func (f inferenceFlags) args() []string {
	args := []string{
		"--models=" + f.Models, "--face-model=" + f.FaceModel, "--foreground-model=" + f.ForegroundModel,
		"--device=" + f.Device, "--memory-budget=" + f.MemoryBudget.String(), "--cache-size=" + f.CacheSize.String(),
		"--inference-queue=" + strconv.Itoa(f.InferenceQueue), "--ort-library=" + f.OrtLibrary,
		"--redis-ttl=" + f.RedisTTL.String(), "--tensorrt=" + strconv.FormatBool(f.TensorRT),
		"--load-timeout=" + f.LoadTimeout.String(),
	}
	for _, key := range slices.Sorted(maps.Keys(f.CudaOption)) {
		args = append(args, "--cuda-option="+key+"="+f.CudaOption[key])
	}
	return args
}

func (f pictureFlags) args() []string {
	return []string{
		"--max-source-bytes=" + f.MaxSourceBytes.String(), "--source-memory=" + f.SourceMemory.String(),
		"--max-pixels=" + f.MaxPixels.String(),
		"--max-side=" + strconv.Itoa(f.MaxSide), "--timeout=" + f.Timeout.String(),
		"--workers=" + strconv.Itoa(f.Workers), "--queue=" + strconv.Itoa(f.Queue),
	}
}

func (f pictureFlags) workers() int {
	if f.Workers > 0 {
		return f.Workers
	}
	return runtime.GOMAXPROCS(0)
}

func (f pictureFlags) queue() int {
	if f.Queue > 0 {
		return f.Queue
	}
	return 64 * f.workers()
}

func (f pictureFlags) config(fallback pipeline.Fallback) pipeline.Config {
	c := pipeline.DefaultConfig()
	c.MaxPixels, c.MaxSide, c.Workers, c.Fallback = int64(f.MaxPixels), f.MaxSide, f.workers(), fallback
	c.MaxBytes = int64(f.MaxSourceBytes)
	return c
}

func (f sourceFlags) config(p pictureFlags) source.Config {
	c := source.DefaultConfig()
	c.Root, c.Origins, c.AllowOrigins, c.AllowPrivate = f.Root, f.Origin, f.AllowOrigin, f.AllowPrivate
	c.S3, c.Cache = f.s3(), int64(f.SourceCache)
	c.MaxBytes, c.Memory, c.Timeout = int64(p.MaxSourceBytes), int64(p.SourceMemory), p.Timeout
	c.UserAgent = "focal/" + version
	return c
}

func (f sourceFlags) s3() bucket.Config {
	return bucket.Config{Endpoint: f.S3Endpoint, Region: f.S3Region}
}

// resultFlags say where finished pictures are kept.
type resultFlags struct {
	Results      []resultStore `help:"Where finished pictures are kept: memory:SIZE, dir:PATH or s3://bucket/prefix; repeatable, one of each kind. Default: nowhere." placeholder:"STORE"`
	ResultsLimit byteSize      `help:"Bytes that the directory of results may hold; what was not used for longest goes." default:"10GiB"`
}

func (f resultFlags) config(s3 bucket.Config) results.Config {
	c := results.DefaultConfig()
	c.DirLimit, c.S3 = int64(f.ResultsLimit), s3
	for _, r := range f.Results {
		switch {
		case r.bucket != "":
			c.Bucket = r.bucket
		case r.dir != "":
			c.Dir = r.dir
		default:
			c.Memory = int64(r.memory)
		}
	}
	return c
}

// resultStore is one value of --results.
type resultStore struct {
	memory      byteSize
	dir, bucket string
}

// UnmarshalText reads memory:SIZE, dir:PATH or s3://bucket/prefix.
func (r *resultStore) UnmarshalText(text []byte) error {
	s := string(text)
	if size, ok := strings.CutPrefix(s, "memory:"); ok && size != "" {
		*r = resultStore{}
		return r.memory.UnmarshalText([]byte(size))
	}
	if path, ok := strings.CutPrefix(s, "dir:"); ok && path != "" {
		*r = resultStore{dir: path}
		return nil
	}
	if strings.HasPrefix(s, bucket.Scheme) {
		*r = resultStore{bucket: s}
		return nil
	}
	return fmt.Errorf("%q is no store: want memory:SIZE, dir:PATH or s3://bucket/prefix", text)
}

// MarshalText writes the store so that UnmarshalText reads the same.
func (r resultStore) MarshalText() ([]byte, error) {
	switch {
	case r.bucket != "":
		return []byte(r.bucket), nil
	case r.dir != "":
		return []byte("dir:" + r.dir), nil
	default:
		return []byte("memory:" + r.memory.String()), nil
	}
}

// byteSize is a number of bytes, written as 256MiB, 100MB or a plain number.
type byteSize int64

// UnmarshalText reads a size.
func (b *byteSize) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*b = 0
		return nil
	}
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > 1<<62 {
		return fmt.Errorf("%q is no size: want for instance 256MiB, 100MB or 1048576", text)
	}
	*b = byteSize(n)
	return nil
}

// String writes the size so that UnmarshalText reads the same.
func (b byteSize) String() string { return strconv.FormatInt(int64(b), 10) }

// pixelCount is a number of pixels, written as 100MP or a plain number.
type pixelCount int64

// UnmarshalText reads a number of pixels.
func (p *pixelCount) UnmarshalText(text []byte) error {
	s, unit := strings.ToUpper(string(text)), int64(1)
	if cut, ok := strings.CutSuffix(s, "MP"); ok {
		s, unit = cut, 1e6
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("%q is no number of pixels: want for instance 100MP", text)
	}
	*p = pixelCount(n * unit)
	return nil
}

// String writes the number so that UnmarshalText reads the same.
func (p pixelCount) String() string { return strconv.FormatInt(int64(p), 10) }

// modelsDir is where models are kept if nothing is said: the user's data
// directory by the XDG base directory specification.
func modelsDir() string {
	if d := os.Getenv("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "focal", "models")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "focal-models")
	}
	return filepath.Join(home, ".local", "share", "focal", "models")
}
