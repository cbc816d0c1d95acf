package transform

import "strconv"

// Faces says which of the faces that are found decide a crop, and how much room
// each gets.
type Faces struct {
	Which    int     // 0: all of them; n: the n-th largest alone
	Padding  float64 // the sides of each face's box times this; 0 means 1
	MinScore Number  // lowest score that counts; not set: the model's
}

// MaxFacePadding is the largest Faces.Padding.
const MaxFacePadding = 20

// NeedsFaces says whether the answer depends on where faces are. It does not
// where gravity=face has nothing to decide: without zoom, and without a size
// and fit that crop. Then no model is asked, and its absence spoils nothing.
func (o Options) NeedsFaces() bool {
	return o.Gravity.Kind == GravityFace && (o.Zoom > 0 || o.Target().Crops() || o.Format == FormatJSON)
}

func parseZoom(o *Options, v string) error {
	n, ok := parseDecimal(v)
	switch {
	case !ok:
		return errUnfit
	case n < 0:
		o.Zoom = 0
		return remark("zoom is at least 0")
	case n > 1:
		o.Zoom = 1
		return remark("zoom is at most 1")
	}
	o.Zoom = n
	return nil
}

// largest is the word for the first face.
const largest = "largest"

// parseFaces reads all, largest, or a number counted from the largest.
func parseFaces(o *Options, v string) error {
	var n int
	switch {
	case v == "all":
	case v == largest:
		n = 1
	case parseLength(&n, v) != nil || n == 0:
		return errUnfit
	}
	o.Faces.Which = n
	return nil
}

func writeFaces(o Options) string {
	switch o.Faces.Which {
	case 0:
		return ""
	case 1:
		return largest
	default:
		return strconv.Itoa(o.Faces.Which)
	}
}

// parseFacePadding reads how many times larger than the face its box is taken.
// Who speaks of the room round faces wants no more than that, so without zoom
// it is 1; zoom stands before it in the table.
func parseFacePadding(o *Options, v string) error {
	n, ok := parseDecimal(v)
	if !ok {
		return errUnfit
	}
	if o.Zoom == 0 {
		o.Zoom = 1
	}
	switch {
	case n < 1:
		return remark("face-padding is at least 1")
	case n > MaxFacePadding:
		o.Faces.Padding = MaxFacePadding
		return remark("face-padding is at most " + strconv.Itoa(MaxFacePadding))
	case n > 1: // 1 is the default, which is 0
		o.Faces.Padding = n
	}
	return nil
}

func parseMinScore(o *Options, v string) error {
	n, err := bounded("face-min-score", v, 1)
	if err != errUnfit {
		o.Faces.MinScore = Number{Value: n, Set: true}
	}
	return err
}

// settleFaces drops what nothing asks for.
func (o *Options) settleFaces(w *warnings) {
	if o.Gravity.Kind == GravityFace {
		return
	}
	for _, given := range []struct {
		is   bool
		name string
	}{
		{o.Zoom > 0, "zoom"}, {o.Faces.Which > 0, "faces"},
		{o.Faces.Padding > 0, "face-padding"}, {o.Faces.MinScore.Set, "face-min-score"},
	} {
		if given.is {
			w.add("%s is ignored: it needs gravity=face", given.name)
		}
	}
	o.Zoom, o.Faces = 0, Faces{}
}
