package dataset

import (
	"maps"
	"os"
	"path/filepath"
	"slices"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/core/vips"
)

// Pair is a picture and its mask.
type Pair struct {
	Stem    string
	Image   string // path
	Subsets []string

	mask func() (pixel.Mask, []Problem, error)
}

// Pairs is a set of pictures with masks.
type Pairs struct {
	Name     string // of the folder
	Dir      string
	Layout   string
	Pairs    []Pair // by name
	Problems []Problem
}

// layout is how a folder of pairs is arranged.
type layout struct {
	name, images, masks string
	labels              bool // a mask's values are class numbers, 0 is background
}

// layouts are tried in this order.
var layouts = []layout{
	{"images, masks", "images", "masks", false},
	{"DIS5K", "im", "gt", false},
	{"P3M", "original_image", "mask", false},
	{"P3M, blurred faces", "blurred_image", "mask", false},
	{"VOC", "JPEGImages", "SegmentationObject", true},
	{"VOC", "JPEGImages", "SegmentationClass", true},
}

// OpenPairs reads a folder of pictures and masks, in whatever layout it has:
//
//	images/ masks/                                  ours
//	im/ gt/                                         DIS5K
//	original_image/ or blurred_image/, and mask/    P3M
//	JPEGImages/ SegmentationObject/ or …Class/      PASCAL VOC: every object is foreground
//	images/ or a folder named as the file, and annotations/instances_*.json
//	                                                COCO: persons are foreground
//
// A folder without a single pair is fault.Invalid.
func OpenPairs(dir string) (*Pairs, error) {
	const op = "dataset.OpenPairs"
	if _, err := os.Stat(dir); err != nil {
		return nil, fault.New(fault.NotFound, op, "%w", err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "%w", err)
	}
	s := &Pairs{Name: filepath.Base(abs), Dir: dir}
	if err := s.open(); err != nil {
		return nil, err
	}
	if len(s.Pairs) == 0 {
		return nil, fault.New(fault.Invalid, op, "%s has no picture with a mask of the same name", dir)
	}
	return s, nil
}

func (s *Pairs) open() error {
	tags, err := readTags(s.Dir)
	if err != nil {
		return err
	}
	for _, l := range layouts {
		if exists(filepath.Join(s.Dir, l.images)) && exists(filepath.Join(s.Dir, l.masks)) {
			s.Layout = l.name
			return s.pair(l, tags)
		}
	}
	if file, images, ok := findCOCO(s.Dir); ok {
		s.Layout = "COCO persons"
		return s.openCOCO(file, images, tags)
	}
	return fault.New(fault.Invalid, "dataset.OpenPairs", "%s holds neither images/ and masks/ nor another layout that is known (docs/metrics.md lists them)", s.Dir)
}

// pair joins pictures and masks by stem.
func (s *Pairs) pair(l layout, tags map[string][]string) error {
	images, problems, err := files(filepath.Join(s.Dir, l.images))
	if err != nil {
		return err
	}
	masks, more, err := files(filepath.Join(s.Dir, l.masks))
	if err != nil {
		return err
	}
	s.Problems = append(problems, more...)
	for _, stem := range slices.Sorted(maps.Keys(images)) {
		mask, ok := masks[stem]
		if !ok && !l.labels { // VOC has more pictures than masks, on purpose
			s.Problems = append(s.Problems, Problem{images[stem], Unpaired, "there is no mask of this name"})
		}
		if !ok {
			continue
		}
		read := func() (pixel.Mask, []Problem, error) { return readMask(mask, l.labels) }
		s.Pairs = append(s.Pairs, Pair{Stem: stem, Image: images[stem], Subsets: subsets(stem, tags), mask: read})
	}
	for _, stem := range slices.Sorted(maps.Keys(masks)) {
		if _, ok := images[stem]; !ok {
			s.Problems = append(s.Problems, Problem{masks[stem], Unpaired, "there is no picture of this name"})
		}
	}
	return nil
}

// Stems returns the names of all pairs.
func (s *Pairs) Stems() []string {
	var all []string
	for _, p := range s.Pairs {
		all = append(all, p.Stem)
	}
	return all
}

// Load reads a pair: the picture's bytes, and its mask, of the oriented
// picture's size. Problems that are not fatal come with a pair; the fatal one
// comes alone.
func (p Pair) Load() (file []byte, truth pixel.Mask, problems []Problem, ok bool) {
	file, info, problem := readPicture(p.Image)
	if problem != nil {
		return nil, truth, []Problem{*problem}, false
	}
	truth, problems, err := p.mask()
	if err != nil {
		return nil, truth, problems, false
	}
	if truth.Size() != info.Oriented {
		return nil, truth, []Problem{sizesDiffer(p.Image, truth.Size(), info)}, false
	}
	return file, truth, problems, true
}

// readPicture reads a file, all of which must be readable: what only some
// programs can make something of is no measure of them.
func readPicture(path string) ([]byte, vips.Info, *Problem) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, vips.Info{}, &Problem{path, Unreadable, err.Error()}
	}
	info, err := vips.Probe(file)
	if err == nil {
		_, err = vips.Look(file, info)
	}
	if err != nil {
		return nil, info, &Problem{path, Unreadable, err.Error()}
	}
	return file, info, nil
}
