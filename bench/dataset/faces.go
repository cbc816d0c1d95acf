package dataset

import (
	"maps"
	"os"
	"path/filepath"
	"slices"

	"focal/core/fault"
	"focal/core/pixel"
)

// Marks are the faces that people marked in one picture, in pixels of the
// oriented picture, or in fractions of it where Fractions says so.
type Marks struct {
	File      string // as the annotations name it
	Boxes     []pixel.Box
	Ignored   []pixel.Box // neither hit nor miss
	Fractions bool
	Problems  []string // lines that were left out
}

// Portrait is a picture with marked faces.
type Portrait struct {
	Stem    string
	Image   string // path
	Subsets []string
	Marks   Marks
}

// Faces is a set of pictures with marked faces.
type Faces struct {
	Name      string // of the folder
	Dir       string
	Layout    string
	Portraits []Portrait // by file name
	Problems  []Problem
}

// OpenFaces reads a folder of pictures with marked faces:
//
//	images/ annotations.json                        ours
//	a file *bbx_gt.txt, pictures under images/ or WIDER_*/images/   WIDER FACE
//	images/ labels/*.txt                            YOLO: class cx cy w h, every class a face
//	JPEGImages/ or images/, and Annotations/*.xml   PASCAL VOC: every object a face
//
// A folder without a single picture is fault.Invalid.
func OpenFaces(dir string) (*Faces, error) {
	const op = "dataset.OpenFaces"
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "%w", err)
	}
	s := &Faces{Name: filepath.Base(abs), Dir: dir}
	marks, images, err := s.read()
	if err != nil {
		return nil, err
	}
	tags, err := readTags(dir)
	if err != nil {
		return nil, err
	}
	for _, m := range marks {
		path := filepath.Join(images, filepath.FromSlash(m.File))
		for _, p := range m.Problems {
			s.Problems = append(s.Problems, Problem{path, BadLabel, p})
		}
		if !filepath.IsLocal(filepath.FromSlash(m.File)) || !exists(path) {
			s.Problems = append(s.Problems, Problem{path, Unpaired, "is annotated but not in the folder"})
			continue
		}
		s.Portraits = append(s.Portraits, Portrait{Stem: stem(m.File), Image: path, Subsets: faceSubsets(m, tags), Marks: m})
	}
	if len(s.Portraits) == 0 {
		return nil, fault.New(fault.Invalid, op, "%s has no picture with annotations", dir)
	}
	return s, nil
}

func faceSubsets(m Marks, tags map[string][]string) []string {
	return append([]string{All}, tagsOf(stem(m.File), tags)...)
}

// read finds out what lies in the folder, and reads it.
func (s *Faces) read() (marks []Marks, images string, err error) {
	in := func(name string) string { return filepath.Join(s.Dir, name) }
	wider, _ := filepath.Glob(in("*bbx_gt.txt")) // the pattern is good
	if more, _ := filepath.Glob(in("wider_face_split/*train_bbx_gt.txt")); len(wider) == 0 {
		wider = more
	}
	switch {
	case exists(in("annotations.json")):
		s.Layout = "annotations.json"
		text, err := os.ReadFile(in("annotations.json"))
		if err != nil {
			return nil, "", fault.New(fault.NotFound, "dataset.OpenFaces", "%w", err)
		}
		marks, err = ParseAnnotations(text)
		return marks, in("images"), err
	case len(wider) > 0:
		s.Layout = "WIDER FACE"
		text, err := os.ReadFile(wider[0])
		if err != nil {
			return nil, "", fault.New(fault.NotFound, "dataset.OpenFaces", "%w", err)
		}
		marks, err = ParseWIDER(text)
		return marks, s.firstOf("images", "WIDER_train/images", "WIDER_val/images"), err
	case exists(in("Annotations")):
		s.Layout = "PASCAL VOC"
		images = s.firstOf("JPEGImages", "images")
		marks, err = s.eachFile(images, "Annotations", ParseVOC)
		return marks, images, err
	case exists(in("labels")) && exists(in("images")):
		s.Layout = "YOLO"
		marks, err = s.eachFile(in("images"), "labels", ParseYOLO)
		return marks, in("images"), err
	}
	return nil, "", fault.New(fault.Invalid, "dataset.OpenFaces", "%s holds no annotations that are known (annotations.json, *bbx_gt.txt, labels/, Annotations/)", s.Dir)
}

func (s *Faces) firstOf(names ...string) string {
	for _, n := range names {
		if path := filepath.Join(s.Dir, n); exists(path) {
			return path
		}
	}
	return filepath.Join(s.Dir, names[0])
}

// eachFile reads one file of annotations for each picture; a picture without
// one has no face.
func (s *Faces) eachFile(images, labels string, parse func([]byte) (Marks, error)) ([]Marks, error) {
	pictures, problems, err := files(images)
	if err != nil {
		return nil, err
	}
	texts, more, err := files(filepath.Join(s.Dir, labels))
	if err != nil {
		return nil, err
	}
	s.Problems = append(problems, more...)
	var all []Marks
	for _, stem := range slices.Sorted(maps.Keys(pictures)) {
		m := Marks{}
		if path, ok := texts[stem]; ok {
			text, err := os.ReadFile(path)
			if err == nil {
				m, err = parse(text)
			}
			if err != nil {
				s.Problems = append(s.Problems, Problem{path, BadLabel, err.Error()})
				continue
			}
		}
		if m.File, err = filepath.Rel(images, pictures[stem]); err != nil {
			return nil, fault.New(fault.Internal, "dataset.eachFile", "%w", err)
		}
		all = append(all, m)
	}
	for _, stem := range slices.Sorted(maps.Keys(texts)) {
		if _, ok := pictures[stem]; !ok && stem != "classes" {
			s.Problems = append(s.Problems, Problem{texts[stem], Unpaired, "there is no picture of this name"})
		}
	}
	return all, nil
}

// Load reads the picture, and its marks in pixels of the oriented picture.
// Boxes that are outside of it are a problem that leaves the picture out.
func (p Portrait) Load() (file []byte, size pixel.Size, marks Marks, problem *Problem) {
	file, info, problem := readPicture(p.Image)
	if problem != nil {
		return nil, size, marks, problem
	}
	size, marks = info.Oriented, p.Marks
	w, h := float64(size.Width), float64(size.Height)
	if marks.Fractions {
		marks.Boxes, marks.Ignored, marks.Fractions = scaled(marks.Boxes, w, h), scaled(marks.Ignored, w, h), false
	}
	for _, b := range marks.Boxes {
		if b.X+b.W <= 0 || b.Y+b.H <= 0 || b.X >= w || b.Y >= h {
			return nil, size, marks, &Problem{p.Image, BadLabel, "a box lies outside of the picture: were the boxes drawn without the EXIF orientation?"}
		}
	}
	return file, size, marks, nil
}

func scaled(boxes []pixel.Box, w, h float64) []pixel.Box {
	out := make([]pixel.Box, len(boxes))
	for i, b := range boxes {
		out[i] = pixel.Box{X: b.X * w, Y: b.Y * h, W: b.W * w, H: b.H * h}
	}
	return out
}

// Stems returns the names of all pictures.
func (s *Faces) Stems() []string {
	var all []string
	for _, p := range s.Portraits {
		all = append(all, p.Stem)
	}
	return all
}
