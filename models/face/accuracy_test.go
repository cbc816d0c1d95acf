package face_test

import (
	"strings"
	"testing"

	"focal/bench/measure"
	"focal/bench/reference"
	"focal/core/pixel"
	"focal/inference"
	"focal/models"
	"focal/models/vision"
)

func TestMain(m *testing.M) { reference.Main(m, reference.Live, vision.Live) }

// TestDetectors_ReachTheReferencePrecision holds preparation, canvases and
// decoding to shared/data/reference: AP@0.5 at a long side of 1024, where the
// pictures were resized with Lanczos and RetinaFace's not padded. Of the boxes
// there, those from a score of 0.5 are known one by one; the published figure is
// of all pictures and all scores.
func TestDetectors_ReachTheReferencePrecision(t *testing.T) {
	detectors := []*trial{
		begin(t, "retinaface-mobilenet025", 0.8809),
		begin(t, "yunet", 0.9052),
		begin(t, "ultralight-640", 0.8768),
	}
	for _, p := range reference.Sample(reference.Portraits(t)) {
		look, _ := reference.Look(t, p.Image)
		for _, d := range detectors {
			judged := p.Judged(d.faces(t, look))
			d.ours = append(d.ours, judged)
			judged.Found = d.theirs[p.File]
			d.other = append(d.other, judged)
		}
	}
	for _, d := range detectors {
		got, want := reference.Precision(d.ours, 0.5), reference.Precision(d.other, 0.5)
		t.Logf("%s on %d pictures: AP@0.5 from score 0.5 %.4f, reference %.4f (%s)", d.name, len(d.ours), got, want, vision.Backend())
		if got < want-0.02 || got > want+0.02 {
			t.Errorf("%s: AP@0.5 from score 0.5 is %.4f, want %.4f ± 0.02", d.name, got, want)
		}
		if got := reference.Precision(d.ours, 0); reference.Whole && (got < d.want-0.01 || got > d.want+0.01) {
			t.Errorf("%s: AP@0.5 is %.4f, want %.4f ± 0.01", d.name, got, d.want)
		}
	}
}

// trial is one detector on its way through the pictures.
type trial struct {
	name    string
	want    float64
	theirs  map[string][]measure.Detection // of the reference, by file
	adapter models.Adapter[[]pixel.Face]
	session inference.Session

	ours, other []measure.Boxes
}

// begin takes a model as the catalogue has it.
func begin(t *testing.T, name string, want float64) *trial {
	t.Helper()
	m := reference.Catalogued(t, name)
	theirs := reference.Detections(t, strings.TrimSuffix(m.Artefacts[0].File, ".onnx"), "1024")
	return &trial{name: name, want: want, theirs: theirs, adapter: adapter(t, m.Manifest), session: reference.Load(t, m)}
}

func (d *trial) faces(t *testing.T, look pixel.Buffer) []pixel.Face {
	t.Helper()
	prepared, err := models.Filled(d.adapter, look)
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.session.Run(t.Context(), []models.Tensor{prepared.Tensor})
	if err != nil {
		t.Fatal(err)
	}
	faces, err := d.adapter.Decode(prepared, out)
	if err != nil {
		t.Fatal(err)
	}
	return faces
}
