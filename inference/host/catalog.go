package host

import (
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"sync"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference/sched"
	"focal/models"
)

// served is a model made ready to answer with.
type served struct {
	models.Model
	spec    sched.Spec
	recipe  pixel.Digest
	known   sched.Measured // before this start
	prepare func(pixel.Buffer) (models.Prepared, error)
	fill    func(p models.Prepared, into []float32)
	decode  func(models.Prepared, []models.Tensor, *answer) error
}

// catalog finds models by name. It reads the repository and makes adapters
// without holding its lock, for the run loop takes the lock too.
type catalog struct {
	cfg      Config
	provider string
	repo     Repository
	keeper   *keeper

	mu       sync.Mutex // protects what follows
	ready    map[string]*served
	coming   map[string]*served     // new versions that have not taken over yet
	away     map[string]bool        // unloaded on request
	defaults map[models.Task]string // as the repository said: asking it reads the disk
}

func newCatalog(cfg Config, provider string, repo Repository, k *keeper) *catalog {
	return &catalog{
		cfg: cfg, provider: provider, repo: repo, keeper: k,
		ready: map[string]*served{}, coming: map[string]*served{}, away: map[string]bool{}, defaults: map[models.Task]string{},
	}
}

// instead returns the model in whose place m serves as a default: the one that
// a pull gets, where m is the program's own and nobody chose it. Empty if none.
func (c *catalog) instead(m models.Model) string {
	preferred := models.Preferred(m.Task, "cpu")
	if m.Data == nil || c.configured(m.Task) != "" || len(preferred) == 0 {
		return ""
	}
	return preferred[0]
}

// configured returns the default of a task that the configuration names.
func (c *catalog) configured(task models.Task) string {
	if task == models.TaskForeground {
		return c.cfg.DefaultForeground
	}
	return c.cfg.DefaultFace
}

// defaultName returns the model of requests for task that name none. With
// false it is known not to be there, with true it may still be missing.
func (c *catalog) defaultName(task models.Task) (string, bool) {
	if name := c.configured(task); name != "" {
		return name, true
	}
	c.mu.Lock()
	name, ok := c.defaults[task]
	c.mu.Unlock()
	if ok {
		return name, true
	}
	if name, ok = c.repo.Default(task, c.provider); ok { // what is missing may be pulled any moment
		c.mu.Lock()
		c.defaults[task] = name
		c.mu.Unlock()
	}
	return name, ok
}

// find returns the model called name, which must be for task; an empty name
// means the default of task.
func (c *catalog) find(name string, task models.Task) (*served, error) {
	const op = "host.Find"
	missing := fault.Invalid
	if name == "" {
		var ok bool
		if name, ok = c.defaultName(task); !ok {
			return nil, fault.New(fault.Unavailable, op, "no model for task %s is in the repository: pull %s", task, name)
		}
		missing = fault.Unavailable // nothing is wrong with the request
	}
	s, err := c.get(name, missing)
	if err != nil {
		return nil, err
	}
	if s.Task != task {
		return nil, fault.New(fault.Invalid, op, "model %s is for task %s, not %s", name, s.Task, task)
	}
	return s, nil
}

// get returns the model called name, whatever its task; missing is the kind of
// error for one that is not in the repository.
func (c *catalog) get(name string, missing fault.Kind) (*served, error) {
	c.mu.Lock()
	s, away := c.ready[name], c.away[name]
	c.mu.Unlock()
	switch {
	case s != nil:
		return s, nil
	case away:
		return nil, unloaded(name)
	}
	m, err := c.look(name, missing)
	if err != nil {
		return nil, err
	}
	s, err = c.serve(m)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "host.Find", "model %s cannot be used: %w", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away[name] { // meanwhile
		return nil, unloaded(name)
	}
	if first := c.ready[name]; first != nil { // somebody else was as far
		return first, nil
	}
	c.ready[name] = s
	return s, nil
}

// look finds the model called name in the repository.
func (c *catalog) look(name string, missing fault.Kind) (models.Model, error) {
	all, err := c.repo.Models()
	at := slices.IndexFunc(all, func(m models.Model) bool { return m.Name == name })
	if at < 0 && err != nil {
		return models.Model{}, fault.New(fault.Unavailable, "host.Find", "model %q is not among those that can be read: %w", name, err)
	}
	if at < 0 {
		return models.Model{}, fault.New(missing, "host.Find", "model %q is not in the repository", name)
	}
	return all[at], nil
}

func (c *catalog) serve(m models.Model) (*served, error) {
	s := &served{Model: m, spec: c.spec(m), recipe: models.RecipeDigest(m.Manifest), known: c.keeper.recall(m)}
	switch m.Task {
	case models.TaskFace:
		a, err := c.cfg.Adapters.Face(m.Manifest)
		if err != nil {
			return nil, err
		}
		s.prepare, s.fill = a.Prepare, a.Fill
		s.decode = func(p models.Prepared, out []models.Tensor, into *answer) (err error) {
			into.faces, err = a.Decode(p, out)
			return err
		}
	case models.TaskForeground:
		a, err := c.cfg.Adapters.Foreground(m.Manifest)
		if err != nil {
			return nil, err
		}
		s.prepare, s.fill = a.Prepare, a.Fill
		s.decode = func(p models.Prepared, out []models.Tensor, into *answer) (err error) {
			into.mask, err = a.Decode(p, out)
			return err
		}
	default:
		return nil, fmt.Errorf("task %q is not known", m.Task)
	}
	return s, nil
}

// What is booked for a model that declares nothing, until it is measured: at
// rest the file twice, as it is read and as the runtime lays it out; for a run
// about what U²-Net-p takes for a picture.
const (
	restPerFileByte = 2
	undeclaredRun   = 160 << 20
)

// probedOnCPU is the largest batch that an idle CPU measures of a model that runs
// others there: who comes meanwhile waits for it.
const probedOnCPU = 8

// spec is what the scheduler is told of m.
func (c *catalog) spec(m models.Model) sched.Spec {
	spec := sched.Spec{
		ID: modelID(m), Name: m.Name, MaxBatch: m.MaxBatch, Probe: m.MaxBatch, MaxDelay: c.cfg.MaxDelay, Instances: m.Instances,
		Rest: m.Memory.Rest, Run: m.Memory.Run, KeepAlive: m.KeepAlive,
		Pinned: m.Pinned || slices.Contains(c.cfg.Pinned, m.Name),
	}
	spec.Buckets = c.provider != "cpu" // cuDNN and TensorRT choose anew for each shape
	if m.MaxDelay > 0 {
		spec.MaxDelay = m.MaxDelay
	}
	if c.provider == "cpu" && m.MaxBatchCPU > 0 {
		spec.MaxBatch, spec.Probe = m.MaxBatchCPU, min(m.MaxBatch, probedOnCPU)
	}
	if spec.Rest <= 0 {
		spec.Rest = restPerFileByte * int64(len(m.Data))
		if info, err := os.Stat(m.Path); err == nil { // a file that is gone fails to load, by name
			spec.Rest = restPerFileByte * info.Size()
		}
	}
	if spec.Run <= 0 {
		spec.Run = undeclaredRun
	}
	return spec
}

// modelID names a version by its bytes and its manifest: where either has
// changed it is another model.
func modelID(m models.Model) sched.ModelID {
	manifest := sha256.Sum256(fmt.Appendf(nil, "%+v", m.Manifest)) // plain values, all of them
	return sched.ModelID(fmt.Sprintf("%s@%s/%x", m.Name, m.File, manifest[:4]))
}
