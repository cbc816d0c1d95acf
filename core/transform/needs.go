package transform

// NeedsFaces says whether faces are to be looked for.
func (o Options) NeedsFaces() bool { return o.CropsToFaces() }

// NeedsForeground says whether the foreground mask is needed.
func (o Options) NeedsForeground() bool { return o.CropsToForeground() || o.ShowsForeground() }

// CropsToFaces says whether faces decide which part of the picture is kept.
func (o Options) CropsToFaces() bool { return o.Gravity.Kind == GravityFace && o.cropDecides() }

// CropsToForeground says whether the subject decides which part is kept.
func (o Options) CropsToForeground() bool {
	return o.Gravity.Kind == GravityForeground && o.cropDecides()
}

// ShowsForeground says whether the mask shows in the answer otherwise than by
// where a crop lies: there is no answer without it.
func (o Options) ShowsForeground() bool {
	return o.Segment != SegmentNone || o.Mask || o.Trim.Foreground
}

// cropDecides says whether it matters what gravity finds. It does not without
// zoom, and without a size and fit that crop: then no model is asked, and its
// absence spoils nothing.
func (o Options) cropDecides() bool {
	return o.Zoom > 0 || o.Target().Crops() || o.Format == FormatJSON
}

// settleGravity drops what belongs to another gravity.
func (o *Options) settleGravity(w *warnings) {
	face := o.Gravity.Kind == GravityFace
	if o.Zoom > 0 && !face && o.Gravity.Kind != GravityForeground {
		o.Zoom = 0
		w.add("zoom is ignored: it needs gravity=face or foreground")
	}
	for _, given := range []struct {
		is   bool
		name string
	}{
		{o.Faces.Which > 0, "faces"}, {o.Faces.Padding > 0, "face-padding"}, {o.Faces.MinScore.Set, "face-min-score"},
	} {
		if given.is && !face {
			w.add("%s is ignored: it needs gravity=face", given.name)
		}
	}
	if !face {
		o.Faces = Faces{}
	}
	// Who speaks of the room round faces wants no more than that.
	if o.Faces.Padding > 0 && o.Zoom == 0 {
		o.Zoom = 1
	}
	if o.Faces.Padding == 1 { // the default, which is 0
		o.Faces.Padding = 0
	}
}
