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

func parseZoom(o *Options, v string) error {
	return store(&o.Zoom, "zoom", v, 0, 1)
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
func parseFacePadding(o *Options, v string) error {
	return store(&o.Faces.Padding, "face-padding", v, 1, MaxFacePadding)
}

func parseMinScore(o *Options, v string) error {
	n, err := bounded("face-min-score", v, 1)
	if err != errUnfit {
		o.Faces.MinScore = Number{Value: n, Set: true}
	}
	return err
}
