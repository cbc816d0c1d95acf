package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"focal/core/fault"
	"focal/models"
	"focal/server/app"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"gopkg.in/yaml.v3"
)

// modelsCommand is `focal models`.
type modelsCommand struct {
	Ls     modelsLs     `cmd:"" help:"List the models of the repository and of the catalogue."`
	Pull   modelsPull   `cmd:"" help:"Get models; without a name, the defaults."`
	Info   modelsInfo   `cmd:"" help:"Show everything about a model."`
	Verify modelsVerify `cmd:"" help:"Check files against their recorded SHA-256."`
	Rm     modelsRm     `cmd:"" help:"Remove a model."`
	Import modelsImport `cmd:"" help:"Add a model from a file and its manifest."`
}

// repositoryFlags name the repository.
type repositoryFlags struct {
	Models string `help:"Model repository." placeholder:"DIR" default:"${models}"`
}

func (f repositoryFlags) open() (*models.Repository, error) {
	return models.OpenRepository(f.Models, models.Builtin()...)
}

type modelsLs struct{ repositoryFlags }

// Run lists what is here, then what could be.
func (c *modelsLs) Run() error {
	repository, err := c.open()
	if err != nil {
		return err
	}
	// A broken model is reported beside the good ones.
	here, broken := repository.Models()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MODEL\tTASK\tSTATE\tLICENCE\tSUMMARY")
	listed := map[string]bool{}
	for _, m := range here {
		listed[m.Name] = true
		fmt.Fprintf(w, "%s\t%s\tversion %s\t%s\t%s\n", m.Name, m.Task, m.Version, licence(m.Manifest), m.Summary)
	}
	for _, m := range models.Catalog() {
		if !listed[m.Name] {
			fmt.Fprintf(w, "%s\t%s\t-\t%s\t%s\n", m.Name, m.Task, licence(m), m.Summary)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return broken
}

func licence(m models.Manifest) string {
	if m.Licence.NonCommercial {
		return m.Licence.SPDX + " (non-commercial)"
	}
	return m.Licence.SPDX
}

type modelsPull struct {
	Names         []string `arg:"" optional:"" name:"name" help:"Models of the catalogue; none: the defaults for the CPU."`
	ModelMirror   string   `help:"Directory or base URL that is asked for each file first." placeholder:"DIR|URL"`
	AcceptLicence bool     `help:"Accept a licence that forbids commercial use."`
	repositoryFlags
}

// Run pulls every model that was named, and fails if any failed.
func (c *modelsPull) Run(ctx context.Context, log *slog.Logger) error {
	repository, err := c.open()
	if err != nil {
		return err
	}
	names := c.Names
	if len(names) == 0 {
		for _, task := range []models.Task{models.TaskFace, models.TaskForeground} {
			names = append(names, models.Preferred(task, "cpu")[0])
		}
	}
	var failed []string
	for _, name := range names {
		if err := c.pull(ctx, repository, name); err != nil {
			log.Error("pull failed", "model", name, "error", err.Error())
			failed = append(failed, name)
		}
	}
	if len(failed) > 0 {
		return fault.New(fault.Unavailable, "main.modelsPull", "could not get %s", strings.Join(failed, ", "))
	}
	return nil
}

func (c *modelsPull) pull(ctx context.Context, repository *models.Repository, name string) error {
	bar := progressbar.NewOptions64(-1,
		progressbar.OptionSetDescription(name), progressbar.OptionShowBytes(true), progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionSetVisibility(isTerminal(os.Stderr)), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
	pulled, err := repository.Pull(ctx, name, models.PullOptions{
		Mirror: c.ModelMirror, AcceptLicence: c.AcceptLicence,
		Progress: func(done, total int64) {
			bar.ChangeMax64(total)
			_ = bar.Set64(done) // only a display
		},
	})
	_ = bar.Finish() // only a display
	if err != nil {
		return err
	}
	if pulled.From == "" {
		fmt.Printf("%s: version %s is here already\n", name, pulled.Model.Version)
	} else {
		fmt.Printf("%s: version %s from %s\n", name, pulled.Model.Version, pulled.From)
	}
	return nil
}

// isTerminal says whether f is a character device: a log file gets no bar.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

type modelsInfo struct {
	Name string `arg:"" help:"Model of the repository or the catalogue."`
	JSON bool   `name:"json" help:"Print JSON instead of YAML."`
	repositoryFlags
}

// Run prints the manifest, and of a model that is here also its file.
func (c *modelsInfo) Run() error {
	repository, err := c.open()
	if err != nil {
		return err
	}
	m, err := repository.Model(c.Name)
	if fault.Is(err, fault.NotFound) {
		for _, entry := range models.Catalog() {
			if entry.Name == c.Name {
				return c.print(models.Model{Manifest: entry})
			}
		}
	}
	if err != nil {
		return err
	}
	if err := c.print(m); err != nil || c.JSON {
		return err
	}
	return app.PrintProfiles(os.Stdout, repository, m)
}

func (c *modelsInfo) print(m models.Model) error {
	if c.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(m)
	}
	if m.Path != "" {
		info, err := os.Stat(m.Path)
		if err != nil {
			return err
		}
		fmt.Printf("# version %s: %s, %s, sha256 %s\n", m.Version, m.Path, humanize.IBytes(uint64(info.Size())), m.File)
	}
	return yaml.NewEncoder(os.Stdout).Encode(m.Manifest)
}

type modelsVerify struct {
	Names []string `arg:"" optional:"" name:"name" help:"Models of the repository; none: all."`
	repositoryFlags
}

// Run checks every model that was named, and fails if any failed.
func (c *modelsVerify) Run(ctx context.Context) error {
	repository, err := c.open()
	if err != nil {
		return err
	}
	names := c.Names
	if len(names) == 0 {
		here, broken := repository.Models()
		if broken != nil {
			return broken
		}
		for _, m := range here {
			names = append(names, m.Name)
		}
	}
	var failed []string
	for _, name := range names {
		m, err := repository.Verify(ctx, name)
		if err != nil {
			fmt.Printf("%s: %v\n", name, err)
			failed = append(failed, name)
			continue
		}
		fmt.Printf("%s: version %s, sha256 %s: good\n", name, m.Version, m.File)
	}
	if len(failed) > 0 {
		return fault.New(fault.Corrupt, "main.modelsVerify", "%s did not verify", strings.Join(failed, ", "))
	}
	return nil
}

type modelsRm struct {
	Name string `arg:"" help:"Model of the repository."`
	repositoryFlags
}

// Run removes a model.
func (c *modelsRm) Run() error {
	repository, err := c.open()
	if err != nil {
		return err
	}
	return repository.Remove(c.Name)
}

type modelsImport struct {
	File     string `arg:"" help:"ONNX file."`
	Manifest string `arg:"" help:"Its model.yaml."`
	repositoryFlags
}

// Run adds a model to the repository.
func (c *modelsImport) Run(ctx context.Context) error {
	repository, err := c.open()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.Manifest)
	if err != nil {
		return err
	}
	manifest, err := models.ParseManifest(c.Manifest, text)
	if err != nil {
		return err
	}
	m, err := repository.Import(ctx, c.File, manifest)
	if err != nil {
		return err
	}
	fmt.Printf("%s: version %s, sha256 %s\n", m.Name, m.Version, m.File)
	return nil
}
