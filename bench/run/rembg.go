package run

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"

	"focal/bench/dataset"
	"focal/bench/report"
	"focal/core/fault"
	"focal/models"
)

//go:embed rembg.py
var rembgProgram string

// Rembg is the real rembg in a Python of its own, with the weights of a model
// of ours: the two differ in all but the network. It works on one picture at a
// time, as rembg does.
type Rembg struct {
	model    models.Model
	versions map[string]string
	provider string
	process  *exec.Cmd
	in       io.WriteCloser
	scratch  string // folder for masks

	mu  sync.Mutex // one question at a time
	out *bufio.Reader
}

var _ Segmenter = (*Rembg)(nil)

// providers are what ONNX Runtime's Python calls our devices. Where rembg's lacks
// the one that is asked for it runs on the CPU, and says so in its row.
var providers = map[string]string{"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider,CPUExecutionProvider"}

// StartRembg starts rembg with the weights of a model of ours, which must be one
// whose recipe is rembg's for its own kind: U²-Net's mean and deviation at
// 320×320. threads is what one run may use. It runs on the device that our models
// run on.
func (h *House) StartRembg(python, name string, threads int) (*Rembg, error) {
	const op = "run.StartRembg"
	m, err := h.Model(name)
	if err != nil {
		return nil, err
	}
	if m.Path == "" {
		return nil, fault.New(fault.Invalid, op, "--rembg: rembg reads files, and %s is part of this program", name)
	}
	if r := m.Recipe; r.Width != 320 || r.Height != 320 || r.Scale != "max" || r.Mean != [3]float64{0.485, 0.456, 0.406} {
		return nil, fault.New(fault.Invalid, op, "--rembg: rembg prepares a model of one's own as it does U²-Net; the recipe of %s is another", m.Name)
	}
	scratch, err := os.MkdirTemp("", "focal-rembg-")
	if err != nil {
		return nil, fault.New(fault.Internal, op, "%w", err)
	}
	r := &Rembg{model: m, scratch: scratch, process: exec.Command(python, "-c", rembgProgram, m.Path, strconv.Itoa(threads), providers[h.Provider()])}
	// rembg takes a file of one's own from its home for models only.
	r.process.Env = append(os.Environ(), "U2NET_HOME="+filepath.Dir(m.Path), "OMP_NUM_THREADS="+strconv.Itoa(threads))
	r.process.Stderr = os.Stderr
	if err := r.start(); err != nil {
		return nil, fault.New(fault.Unavailable, op, "%s does not run rembg (scripts/peer-env rembg installs it): %w", python, errors.Join(err, r.Close()))
	}
	return r, nil
}

func (r *Rembg) start() error {
	var err error
	if r.in, err = r.process.StdinPipe(); err != nil {
		return err
	}
	out, err := r.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := r.process.Start(); err != nil {
		return err
	}
	r.out = bufio.NewReader(out)
	var hello struct{ Rembg, Onnxruntime, Provider string }
	if err := r.hear(&hello); err != nil {
		return err
	}
	r.provider = hello.Provider
	r.versions = map[string]string{"rembg": hello.Rembg, "rembg's onnxruntime": hello.Onnxruntime}
	return nil
}

// hear reads one answer.
func (r *Rembg) hear(into any) error {
	text, err := r.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("rembg ended: %w", err)
	}
	return json.Unmarshal(text, into)
}

// Versions are those of rembg and its runtime.
func (r *Rembg) Versions() map[string]string { return r.versions }

// Describe names rembg with the model whose weights it has.
func (r *Rembg) Describe() report.Model {
	return report.Model{
		Model: "rembg/" + r.model.Name, Engine: "rembg " + r.versions["rembg"], Provider: r.provider,
		Recipe: "rembg u2net_custom", File: r.model.File.String(), FileBytes: fileSize(r.model),
	}
}

// Origin is that of the weights.
func (r *Rembg) Origin() Origin { return Origin{TrainedOn: r.model.TrainedOn} }

// Memory is that of rembg's process since it began.
func (r *Rembg) Memory(context.Context) Memory {
	return Memory{Resident: peak(strconv.Itoa(r.process.Process.Pid))}
}

// Segment asks rembg for the mask of the file. The context is heard before it
// starts only: rembg cannot be stopped.
func (r *Rembg) Segment(ctx context.Context, s Source) (Cut, error) {
	const op = "run.Rembg"
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return Cut{}, err
	}
	path, err := filepath.Abs(s.Path)
	if err != nil {
		return Cut{}, err
	}
	mask := filepath.Join(r.scratch, "mask.png")
	if err := json.NewEncoder(r.in).Encode(map[string]string{"in": path, "out": mask}); err != nil {
		return Cut{}, fault.New(fault.Unavailable, op, "rembg ended: %w", err)
	}
	var answer struct {
		report.Times
		Error string `json:"error"`
	}
	if err := r.hear(&answer); err != nil {
		return Cut{}, fault.New(fault.Unavailable, op, "%w", err)
	}
	if answer.Error != "" {
		return Cut{}, fault.New(fault.Internal, op, "%s", answer.Error)
	}
	file, err := os.ReadFile(mask)
	if err != nil {
		return Cut{}, err
	}
	m, err := dataset.DecodeMask(file, false)
	return Cut{Mask: m, PNG: file, Times: answer.Times}, err
}

// Close ends rembg: it leaves when nothing more comes in.
func (r *Rembg) Close() error {
	var errs []error
	if r.in != nil {
		errs = append(errs, r.in.Close())
	}
	if r.process.Process != nil {
		errs = append(errs, r.process.Wait())
	}
	return errors.Join(append(errs, os.RemoveAll(r.scratch))...)
}
