package dataset_test

import (
	"os"
	"slices"
	"testing"

	"focal/bench/dataset"
	"focal/bench/reference"
	"focal/core/pixel"
)

func TestParseWIDER_ReadsInvalidFacesAndPicturesWithout(t *testing.T) {
	got, err := dataset.ParseWIDER([]byte("0--Parade/a.jpg\r\n3\n10 20 30 40 0 0 0 0 0 0\n1 2 3 4 0 0 0 1 0 0\n5 5 0 0 0 0 0 0 0 0\n" +
		"b.jpg\n0\n0 0 0 0 0 0 0 0 0 0\nc.jpg\n1\n7 8 9 10 \n"))
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	a := got[0]
	if !slices.Equal(a.Boxes, []pixel.Box{{X: 10, Y: 20, W: 30, H: 40}}) || !slices.Equal(a.Ignored, []pixel.Box{{X: 1, Y: 2, W: 3, H: 4}}) || len(a.Problems) != 1 {
		t.Errorf("a: %+v", a)
	}
	if got[1].File != "b.jpg" || len(got[1].Boxes) != 0 || len(got[2].Boxes) != 1 {
		t.Errorf("b, c: %+v", got[1:])
	}
}

func TestParse_RefusesWhatMakesNoSense(t *testing.T) {
	for text, parse := range map[string]func([]byte) error{
		"a.jpg":           func(b []byte) error { _, err := dataset.ParseWIDER(b); return err },
		"a.jpg\n5\n1 2 3": func(b []byte) error { _, err := dataset.ParseWIDER(b); return err },
		"0 120 90 20 20":  func(b []byte) error { _, err := dataset.ParseYOLO(b); return err },
		"0 0.5 0.5 NaN 1": func(b []byte) error { _, err := dataset.ParseYOLO(b); return err },
		"<annotation>":    func(b []byte) error { _, err := dataset.ParseVOC(b); return err },
		"[]":              func(b []byte) error { _, err := dataset.ParseAnnotations(b); return err },
		"a,soft":          func(b []byte) error { _, err := dataset.ParseTags(b); return err },
		"{}":              func(b []byte) error { _, err := dataset.ParseCOCO(b); return err },
	} {
		if parse([]byte(text)) == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// One set in four formats is one set.
func TestOpenFaces_ReadsOneSetInEveryFormat(t *testing.T) {
	grey := encoded(t, flat(100, 50, 90))
	for layout, files := range map[string]map[string][]byte{
		"annotations.json": {"images/a.png": grey, "images/b.png": grey,
			"annotations.json": []byte(`{"images":[{"file":"a.png","boxes":[[10,20,30,10]]},{"file":"b.png","boxes":[]},{"file":"gone.png"}]}`)},
		"WIDER FACE": {"images/a.png": grey, "images/b.png": grey,
			"wider_face_val_bbx_gt.txt": []byte("a.png\n1\n10 20 30 10 0 0 0 0 0 0\nb.png\n0\n0 0 0 0 0 0 0 0 0 0\ngone.png\n0\n0 0 0 0 0 0 0 0 0 0\n")},
		"YOLO": {"images/a.png": grey, "images/b.png": grey, "labels/a.txt": []byte("0 0.25 0.5 0.3 0.2\n"), "labels/gone.txt": nil, "labels/classes.txt": []byte("face\n")},
		"PASCAL VOC": {"JPEGImages/a.png": grey, "JPEGImages/b.png": grey, "Annotations/gone.xml": nil,
			"Annotations/a.xml": []byte("<annotation><object><name>face</name><bndbox><xmin>10</xmin><ymin>20</ymin><xmax>40</xmax><ymax>30</ymax></bndbox></object></annotation>")},
	} {
		s, err := dataset.OpenFaces(folder(t, files))
		if err != nil || s.Layout != layout || len(s.Portraits) != 2 || len(s.Problems) != 1 || s.Problems[0].Kind != dataset.Unpaired {
			t.Errorf("%s: %+v, %v", layout, s, err)
			continue
		}
		for i, want := range [][]pixel.Box{{{X: 10, Y: 20, W: 30, H: 10}}, nil} {
			_, size, marks, problem := s.Portraits[i].Load()
			if problem != nil || size != (pixel.Size{Width: 100, Height: 50}) || len(marks.Boxes) != len(want) {
				t.Errorf("%s: %+v, %v", layout, marks, problem)
			}
			for j, b := range marks.Boxes {
				if d := (pixel.Box{X: b.X - want[j].X, Y: b.Y - want[j].Y, W: b.W - want[j].W, H: b.H - want[j].H}); d.X*d.X+d.Y*d.Y+d.W*d.W+d.H*d.H > 1e-18 {
					t.Errorf("%s: %v, want %v", layout, b, want[j])
				}
			}
		}
	}
}

func TestOpenFaces_ReadsTheDevelopmentSet(t *testing.T) {
	s, err := dataset.OpenFaces(reference.Shared(t, "data", "faces"))
	if err != nil {
		t.Fatal(err)
	}
	faces, without := 0, 0
	for _, p := range s.Portraits {
		faces += len(p.Marks.Boxes)
		if len(p.Marks.Boxes) == 0 {
			without++
		}
	}
	if len(s.Portraits) != 150 || faces != 480 || without != 18 || len(s.Problems) != 0 {
		t.Errorf("%d pictures, %d faces, %d without, %v", len(s.Portraits), faces, without, s.Problems)
	}
}

func FuzzParse(f *testing.F) {
	if text, err := os.ReadFile("../../../shared/data/faces/annotations.json"); err == nil {
		f.Add(text)
	}
	for _, text := range []string{
		"a.jpg\n1\n1 2 3 4 0 0 0 1 0 0\n", "0 0.5 0.5 0.1 0.1\n", "<a><object><bndbox><xmin>1</xmin></bndbox></object></a>", "a,thin\n",
		`{"images":[{"id":1,"file_name":"a","width":3,"height":2}],"categories":[{"id":1,"name":"person"}],"annotations":[{"image_id":1,"category_id":1,"segmentation":[[0,0,1e9,1,2,-1e300]]}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		check := func(marks ...dataset.Marks) {
			for _, m := range marks {
				for _, b := range append(m.Boxes, m.Ignored...) {
					if !(b.W > 0) || !(b.H > 0) {
						t.Errorf("a box of %v", b)
					}
				}
			}
		}
		all, _ := dataset.ParseAnnotations(text)
		check(all...)
		all, _ = dataset.ParseWIDER(text)
		check(all...)
		one, _ := dataset.ParseYOLO(text)
		check(one)
		one, _ = dataset.ParseVOC(text)
		check(one)
		_, _ = dataset.ParseTags(text)
		masks, _ := dataset.ParseCOCO(text)
		for _, draw := range masks {
			if m, err := draw(); err == nil && len(m.Pix) < 1<<20 && m.Validate() != nil {
				t.Error(m.Validate())
			}
		}
	})
}

func FuzzDecodeMask(f *testing.F) {
	f.Add(encoded(f, flat(3, 2, 7)), true)
	f.Fuzz(func(t *testing.T, file []byte, labels bool) {
		if m, err := dataset.DecodeMask(file, labels); err == nil && m.Validate() != nil {
			t.Error(m.Validate())
		}
	})
}
