package models

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"focal/core/fault"
	"focal/core/pixel"
)

// ParseManifest reads a model.yaml. It is strict: a field that no manifest has
// is an error, so that a typing mistake cannot switch a recipe silently. file
// stands in the errors, which are fault.Invalid and name the line where the
// YAML is at fault, the field where a value is.
func ParseManifest(file string, data []byte) (Manifest, error) {
	const op = "models.ParseManifest"
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	var m Manifest
	switch err := d.Decode(&m); {
	case errors.Is(err, io.EOF):
		return Manifest{}, fault.New(fault.Invalid, op, "%s is empty", file)
	case err != nil:
		return Manifest{}, fault.New(fault.Invalid, op, "%s: %w", file, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Manifest{}, fault.New(fault.Invalid, op, "%s: want one YAML document", file)
	}
	if err := m.Validate(); err != nil {
		return Manifest{}, fault.New(fault.Invalid, op, "%s: %w", file, err)
	}
	return m, nil
}

// maxDelay bounds max_delay: a batch that waits longer for company than people
// wait for a picture is a typing mistake.
const maxDelay = time.Second

// Validate reports what no room could work with, by the name of the field. The
// numbers of a recipe are judged by the adapter that carries it out.
func (m Manifest) Validate() error {
	refuse := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "models.Manifest", format, args...)
	}
	families, known := map[Task][]string{
		TaskFace:       {"retinaface", "yunet", "ultralight"},
		TaskForeground: {"mask"},
	}[m.Task]
	switch {
	case checkName(m.Name) != nil:
		return refuse("name: %w", checkName(m.Name))
	case !known:
		return refuse("task %q: want %s or %s", m.Task, TaskFace, TaskForeground)
	case !slices.Contains(families, m.Recipe.Family):
		return refuse("recipe: family %q: task %s has %s", m.Recipe.Family, m.Task, strings.Join(families, ", "))
	case m.Licence.SPDX == "":
		return refuse("licence: spdx is missing (LicenseRef-… for one without a number)")
	case len(m.Inputs) == 0 || len(m.Outputs) == 0:
		return refuse("inputs and outputs: want at least one of each")
	case m.MaxBatch < 0 || m.MaxBatchCPU < 0:
		return refuse("max_batch %d, max_batch_cpu %d: want 0 or more", m.MaxBatch, m.MaxBatchCPU)
	case m.MaxDelay < 0 || m.MaxDelay > maxDelay:
		return refuse("max_delay %s: want 0 to %s", m.MaxDelay, maxDelay)
	case m.Instances < 0 || m.KeepAlive < 0:
		return refuse("instances %d, keep_alive %s: want 0 or more", m.Instances, m.KeepAlive)
	case m.Memory.Rest < 0 || m.Memory.Run < 0:
		return refuse("memory: want 0 bytes or more")
	case m.Canvases.Step < 0 || m.Canvases.Max < m.Canvases.Step || m.Canvases.Step == 0 && m.Canvases.Max != 0:
		return refuse("canvases: step %d, max %d: want a step above 0 and a max not below it", m.Canvases.Step, m.Canvases.Max)
	case !(m.Defaults.Threshold >= 0 && m.Defaults.Threshold <= 1):
		return refuse("defaults: threshold %v: want 0 to 1", m.Defaults.Threshold)
	}
	for _, ports := range [][]Port{m.Inputs, m.Outputs} {
		for i, p := range ports {
			if err := p.check(); err != nil {
				return refuse("port %d (%s): %w", i, p.Name, err)
			}
		}
	}
	for i, a := range m.Artefacts {
		if err := a.check(); err != nil {
			return refuse("artefact %d (%s): %w", i, a.File, err)
		}
	}
	return nil
}

func (p Port) check() error {
	if p.Type != "" && p.Type != "float32" {
		return fmt.Errorf("type %q: want float32", p.Type)
	}
	if len(p.Shape) == 0 || p.Shape[0] != -1 && p.Shape[0] != 1 {
		return fmt.Errorf("shape %v: want a batch axis of -1 or 1 first", p.Shape)
	}
	for _, n := range p.Shape {
		if n == 0 || n < -1 || n > 1<<24 {
			return fmt.Errorf("shape %v: want sizes above 0, or -1 for a free axis", p.Shape)
		}
	}
	return nil
}

func (a Artefact) check() error {
	if a.File == "" || a.File != filepath.Base(a.File) || strings.HasPrefix(a.File, ".") || strings.ContainsAny(a.File, `/\`) {
		return fmt.Errorf("file %q: want a plain file name", a.File)
	}
	if _, err := pixel.ParseDigest(a.SHA256); err != nil {
		return fmt.Errorf("sha256: %w", err)
	}
	if a.MD5 != "" && !md5Hex.MatchString(a.MD5) {
		return errors.New("md5: want 32 hex digits")
	}
	if a.Bytes < 0 {
		return fmt.Errorf("bytes %d: want 0 or more", a.Bytes)
	}
	for _, s := range a.URLs {
		if u, err := url.Parse(s); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("url %q: want http or https", s)
		}
	}
	return nil
}

var (
	md5Hex    = regexp.MustCompile(`^[0-9a-fA-F]{32}$`)
	plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

// checkName allows what is one harmless folder name on every system.
func checkName(name string) error {
	if !plainName.MatchString(name) || strings.HasSuffix(name, ".") {
		return fault.New(fault.Invalid, "models.checkName", "%q: want up to 64 letters, digits, dots, hyphens and underscores, a letter or digit first", name)
	}
	return nil
}
