package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"focal/bench/device"
	"focal/bench/report"
	"focal/bench/run"
	"focal/core/fault"
	"focal/core/pipeline"
	"focal/inference/ort"
	"focal/models"
	"focal/server/app"

	"github.com/dustin/go-humanize"
)

// measureFlags are those of the commands that measure sets.
type measureFlags struct {
	modelFlags `embed:"" group:"Models"`
	loopFlags  `embed:"" group:"Sets"`
	gateFlags  `embed:"" group:"Gate"`

	Endpoint []string `help:"Measure a server too; repeatable. What it is is read from the address: …{set}/{file}… is fetched, as from our image server; /api/remove is rembg's; /v2/models/NAME is of the Open Inference Protocol; else it is our inference endpoint." placeholder:"[NAME=]URL" sep:"none"`
}

// modelFlags say what runs, and where.
type modelFlags struct {
	Models       []string `help:"Models to measure; default: all of the task that are in the repository." placeholder:"NAME"`
	Repository   string   `help:"Model repository." env:"FOCAL_MODELS" placeholder:"DIR" default:"${models}"`
	Device       string   `help:"auto, cpu, cuda or cuda:N." env:"FOCAL_DEVICE" default:"auto"`
	MemoryBudget string   `help:"Bytes that models may hold together; default: the server's." env:"FOCAL_MEMORY_BUDGET" placeholder:"BYTES"`
	OrtLibrary   string   `help:"Path of libonnxruntime.so; default: looked for beside the program and in the system." env:"FOCAL_ORT_LIBRARY" placeholder:"FILE"`
}

// loopFlags say how a set is gone over.
type loopFlags struct {
	Dataset []string      `help:"Folder of pictures and truth; repeatable." placeholder:"DIR" required:""`
	Out     string        `help:"Folder for results.json, results.csv, pictures.csv, report.html, the journal and masks. A run that was broken off goes on there." placeholder:"DIR" required:""`
	Tags    string        `help:"File of lines name,tag: every tag is a subset that is reported apart. A set's own tags.csv is read in any case." placeholder:"FILE"`
	Limit   int           `help:"Pictures of each set, drawn by --seed; 0 is all." placeholder:"N"`
	Seed    uint64        `help:"Draws pictures and bootstrap samples." default:"1"`
	Clients int           `help:"Pictures in flight at once. More than 1 measures throughput: times then hold waiting." default:"1"`
	Batches []int         `help:"Batch sizes to measure the engine's throughput at; 0 for none." default:"1,2,4,8"`
	Timeout time.Duration `help:"Time for one picture." default:"2m"`
	Label   string        `help:"Name of this run's column where several runs stand side by side; default: the device." placeholder:"NAME"`
}

// gateFlags compare a run with an earlier one.
type gateFlags struct {
	Baseline    string  `help:"results.json of an earlier run: fail where this one is worse." placeholder:"FILE"`
	MaxDrop     float64 `help:"Largest drop of mean IoU, Dice, pixel accuracy or AP that passes." default:"0.01"`
	MaxSlowdown float64 `help:"Largest factor by which a model may have become slower, in multiples of the run's own yardstick; 0 does not look." default:"0"`
}

// check holds a run to its baseline.
func (g gateFlags) check(r report.Results) error {
	if g.Baseline == "" {
		return nil
	}
	old, err := report.Read(g.Baseline)
	if err != nil {
		return err
	}
	v := report.Compare(old, r, g.MaxDrop, g.MaxSlowdown)
	fmt.Print(v.Text())
	return v.Err()
}

// names returns the models asked for, or all of the task.
func (f modelFlags) names(h *run.House, task models.Task, log *slog.Logger) ([]string, error) {
	if len(f.Models) > 0 {
		return f.Models, nil
	}
	found, err := h.Models(task)
	if err != nil {
		log.Warn("some models cannot be read", "error", err)
	}
	var names []string
	for _, m := range found {
		names = append(names, m.Name)
	}
	if len(names) == 0 {
		return nil, fault.New(fault.NotFound, "main.names", "%s holds no model for task %s: focal models pull gets one", f.Repository, task)
	}
	return names, nil
}

// with opens the house of models, calls do, and closes it again.
func (f modelFlags) with(log *slog.Logger, clients int, do func(*run.House) error) (err error) {
	c, err := f.open(log, clients)
	if err != nil {
		return err
	}
	p := pipeline.DefaultConfig()
	p.Workers = max(1, clients)
	house, err := run.Open(c, p)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, house.Close(ctx))
	}()
	return do(house)
}

// open opens libvips and returns how inference is to be.
func (f modelFlags) open(log *slog.Logger, clients int) (app.InferenceConfig, error) {
	c := app.DefaultInferenceConfig()
	if err := app.Open(log); err != nil {
		return c, err
	}
	c.Models, c.Device, c.Library, c.Workers = f.Repository, f.Device, f.OrtLibrary, max(1, clients)
	if f.MemoryBudget != "" {
		n, err := humanize.ParseBytes(f.MemoryBudget)
		if err != nil || n > 1<<62 {
			return c, fault.New(fault.Invalid, "main.open", "--memory-budget %q: want for instance 4GiB", f.MemoryBudget)
		}
		c.MemoryBudget = int64(n)
	}
	return c, nil
}

// withEngine opens the engine and calls do with the models asked for, or all that
// can be read. The server's host is closed before: an idle one gives back, every
// second, the memory that the runs of another keep.
func (f modelFlags) withEngine(log *slog.Logger, do func(*ort.Engine, *models.Repository, []models.Model) error) error {
	c, err := f.open(log, 1)
	if err != nil {
		return err
	}
	i, err := app.OpenInference(c, nil)
	if err != nil {
		return err
	}
	if err := device.CloseHost(i.Host, nil); err != nil {
		return err
	}
	all, err := i.Repository.Models()
	if err != nil {
		log.Warn("some models cannot be read", "error", err)
	}
	if len(f.Models) > 0 {
		all = nil
		for _, name := range f.Models {
			m, err := i.Repository.Model(name)
			if err != nil {
				return err
			}
			all = append(all, m)
		}
	}
	return do(i.Engine, i.Repository, all)
}

// modelsDir is where models are kept if nothing is said, the same as focal's:
// the user's data directory by the XDG base directory specification.
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

// versionCommand is `focal-bench version`.
type versionCommand struct{}

// Run prints the versions.
func (versionCommand) Run() error {
	fmt.Println("focal-bench", version+",", app.Versions())
	return nil
}
