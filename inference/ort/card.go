package ort

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	onnx "github.com/yalue/onnxruntime_go"

	"focal/core/fault"
	"focal/inference/gpu"
	"focal/models"
)

// card is the NVIDIA card that an engine runs on, with its driver and the CUDA
// runtime. It stays open as long as the process.
type card struct {
	config Config
	index  int // by CUDA's count
	driver *gpu.Driver
	name   string
	bus    string
	read   func() (gpu.Reading, error)
	arena  string // of a session, as ONNX Runtime calls it
	budget int64  // bytes that one session's arena may take
	told   bool   // the driver tells this process from others
	atOpen int64  // taken when only the context was there
	others others
	pins   *pins
	shares *shares

	tensorRT int // the version that is open; 0: none
}

const (
	providerLibrary = "libonnxruntime_providers_cuda.so"
	// getLibraries ends the sentences about what is missing.
	getLibraries = "FOCAL_CUDA=on scripts/deps fetches it into .deps/lib/cuda"
)

// target is what Config.Device asks for.
type target struct {
	cuda  bool // a card, or nothing
	auto  bool // a card where one can be used
	index int
}

func parseDevice(device string) (target, error) {
	number, numbered := strings.CutPrefix(device, "cuda:")
	index, err := strconv.Atoi(number)
	switch {
	case device == "cpu":
		return target{}, nil
	case device == "auto":
		return target{auto: true}, nil
	case device == "cuda":
		return target{cuda: true}, nil
	case numbered && err == nil && index >= 0:
		return target{cuda: true, index: index}, nil
	}
	return target{}, fmt.Errorf("device %q (--device): want auto, cpu, cuda or cuda:N", device)
}

// findCard opens the card, or says everything that it lacks: who has to install
// something wants to hear it at once.
func findCard(c Config, onnxruntime string, index int) (*card, error) {
	var lacks []string
	driver, err := gpu.Open(gpu.DefaultConfig())
	if err != nil {
		lacks = append(lacks, err.Error())
	}
	runtime, err := openProvider(filepath.Dir(onnxruntime))
	if err != nil {
		lacks = append(lacks, err.Error())
	}
	tensorRT := 0
	if c.TensorRT {
		if tensorRT, err = openTensorRT(filepath.Dir(onnxruntime)); err != nil {
			lacks = append(lacks, err.Error())
		}
	}
	if len(lacks) > 0 {
		return nil, cannot(strings.Join(lacks, "; "))
	}
	found := &card{config: c, index: index, driver: driver, arena: fmt.Sprintf("gpu:%d", index), pins: newPins(runtime.pinned), shares: newShares(twinHolds), tensorRT: tensorRT}
	found.read = func() (gpu.Reading, error) { return driver.Read(found.bus) }
	if err := found.choose(runtime); err != nil {
		return nil, cannot(err.Error())
	}
	return found, nil
}

func cannot(why string) error {
	return fault.New(fault.Unavailable, "ort.Card", "no card can be used (--device): %s", why)
}

// openProvider opens what the CUDA provider needs, and returns the CUDA runtime.
func openProvider(folder string) (cudart, error) {
	// cuDNN is opened by the provider itself, and only by name.
	provider := filepath.Join(folder, providerLibrary)
	if !isFile(provider) {
		return cudart{}, fmt.Errorf("the ONNX Runtime in %s has no CUDA provider (%s): %s", folder, providerLibrary, getLibraries)
	}
	opened, missing, err := preload(provider, "libcudnn.so.9")
	if err != nil {
		return cudart{}, fmt.Errorf("%s cannot be read: %w", provider, err)
	}
	if err := unopened(missing); err != nil {
		return cudart{}, err
	}
	runtime, ok := find(opened, "libcudart")
	if !ok {
		return cudart{}, fmt.Errorf("%s asks for no CUDA runtime", provider)
	}
	return cudart{runtime}, nil
}

// unopened names libraries that were not found. The driver's is said to be the
// driver's: no package of ours brings it.
func unopened(missing []string) error {
	var errs []string
	var others []string
	for _, name := range missing {
		if strings.HasPrefix(name, "libcuda.so") {
			errs = append(errs, name+" is missing, which comes with the NVIDIA driver (580 or newer for CUDA 13)")
		} else {
			others = append(others, name)
		}
	}
	if len(others) > 0 {
		errs = append(errs, fmt.Sprintf("%s not found: %s", strings.Join(others, ", "), getLibraries))
	}
	if len(errs) == 0 {
		return nil
	}
	return errors.New(strings.Join(errs, "; "))
}

// choose finds card number c.index with CUDA and with the driver.
func (c *card) choose(runtime cudart) error {
	supported, err := runtime.number("cudaDriverGetVersion")
	if err != nil {
		return err
	}
	wanted, err := runtime.number("cudaRuntimeGetVersion")
	if err != nil {
		return err
	}
	if supported/1000 < wanted/1000 { // 13000 is CUDA 13.0
		version, _ := c.driver.Version()
		return fmt.Errorf("the NVIDIA driver %s is too old: it carries CUDA %d.%d, and this build needs %d: install driver 580 or newer",
			version, supported/1000, supported%1000/10, wanted/1000)
	}
	n, err := runtime.number("cudaGetDeviceCount")
	if err != nil {
		return err
	}
	if c.index >= n {
		return fmt.Errorf("--device cuda:%d: CUDA sees %d of them here, counted from 0 (CUDA_VISIBLE_DEVICES may hide some)", c.index, n)
	}
	if c.bus, err = runtime.bus(c.index); err != nil {
		return err
	}
	cards, err := c.driver.Cards()
	if err != nil {
		return err
	}
	for _, found := range cards {
		if strings.HasSuffix(strings.ToUpper(found.Bus), strings.ToUpper(c.bus)) {
			c.name, c.bus = found.Name, found.Bus
		}
	}
	return nil
}

// start proves that the card runs, by a model that does nothing: from then on
// the context is there, and what is free is what models may have. ONNX Runtime
// has to be open.
func (c *card) start() error {
	defer processSignals.keep()()
	if c.budget = c.config.CardMemory; c.budget == 0 {
		c.budget = 1 << 30 // until it is known
	}
	if err := c.try(); err != nil {
		if fault.Is(err, fault.Invalid) {
			return err
		}
		return cannot("ONNX Runtime does not start on it: " + words(err))
	}
	r, err := c.read()
	if err != nil {
		return cannot(err.Error())
	}
	if c.config.CardMemory == 0 {
		c.budget = r.Free / 10 * 8
	}
	c.open(r)
	return nil
}

func (c *card) try() error {
	o, err := onnx.NewSessionOptions()
	if err != nil {
		return err
	}
	defer o.Destroy()
	if err := c.use(o, models.Model{}, nil); err != nil {
		return err
	}
	s, err := onnx.NewDynamicAdvancedSessionWithONNXData(identity(), []string{"x"}, []string{"y"}, o)
	if err != nil {
		return err
	}
	defer s.Destroy()
	x, err := onnx.NewTensor(onnx.NewShape(1), []float32{1})
	if err != nil {
		return err
	}
	defer x.Destroy()
	y, err := onnx.NewEmptyTensor[float32](onnx.NewShape(1))
	if err != nil {
		return err
	}
	defer y.Destroy()
	if err := s.Run([]onnx.Value{x}, []onnx.Value{y}); err != nil {
		return err
	}
	if y.GetData()[0] != 1 {
		return fmt.Errorf("the identity of 1 is %v on it", y.GetData()[0])
	}
	return nil
}

// use appends the providers to the options of a session of m. inputs are the
// names in the file, which TensorRT needs.
func (c *card) use(o *onnx.SessionOptions, m models.Model, inputs []string) error {
	if err := checkOptions("session.cuda of the manifest", m.Session.CUDA); err != nil {
		return err
	}
	if c.config.TensorRT && inputs != nil {
		if err := c.useTensorRT(o, m, inputs); err != nil {
			return err
		}
	}
	p, err := onnx.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	defer p.Destroy()
	if err := setCUDA(p, c.cudaOptions(m.Session)); err != nil {
		return err
	}
	return errors.Join(
		// Weights beside the arena: it can give back all that runs took.
		o.AddSessionConfigEntry("session.use_device_allocator_for_initializers", "1"),
		o.AppendExecutionProviderCUDA(p),
	)
}

// setCUDA hands options to the provider.
func setCUDA(p *onnx.CUDAProviderOptions, options map[string]string) error {
	return refused("the CUDA provider (--cuda-option, session.cuda)", options, p.Update(options))
}

// refused is what a provider said of options: it knows the keys, and looks for the
// card.
func refused(provider string, options map[string]string, err error) error {
	if err == nil {
		return nil
	}
	kind := fault.Invalid
	if strings.Contains(err.Error(), "CUDA failure") {
		kind = fault.Unavailable
	}
	return fault.New(kind, "ort.Options", "options of %s %s: %s", provider, written(options), words(err))
}
