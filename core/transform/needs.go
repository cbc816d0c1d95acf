package transform

// NeedsFaces says whether faces are to be looked for.
func (o Options) NeedsFaces() bool { return o.CropsToFaces() || o.BlurFaces }

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
// absence spoils nothing. Whoever wants to see what is found is told anyway.
func (o Options) cropDecides() bool {
	return o.Zoom > 0 || o.Target().Crops() || o.Format == FormatJSON || o.Debug
}

// settleGravity drops what belongs to another gravity.
func (o *Options) settleGravity(w *warnings) {
	face := o.Gravity.Kind == GravityFace
	if o.Zoom > 0 && !face && o.Gravity.Kind != GravityForeground {
		o.Zoom = 0
		w.add("zoom is ignored: it needs gravity=face or foreground")
	}
	if o.Faces.Which > 0 && !face {
		o.Faces.Which = 0
		w.add("faces is ignored: it needs gravity=face")
	}
	if o.Faces.Padding > 0 && !face {
		o.Faces.Padding = 0
		w.add("face-padding is ignored: it needs gravity=face")
	}
	if o.Faces.MinScore.Set && !face && !o.BlurFaces {
		o.Faces.MinScore = Number{}
		w.add("face-min-score is ignored: it needs gravity=face or blur-faces")
	}
	// Who speaks of the room round faces wants no more than that.
	if o.Faces.Padding > 0 && o.Zoom == 0 {
		o.Zoom = 1
	}
	if o.Faces.Padding == 1 { // the default, which is 0
		o.Faces.Padding = 0
	}
}

// settleHiding drops what would show the faces that blur-faces hides: the
// source itself, and metadata, where small copies of a picture are kept.
func (o *Options) settleHiding(w *warnings) {
	if !o.BlurFaces {
		return
	}
	if o.RedirectOnError {
		o.RedirectOnError = false
		w.add("onerror=redirect is ignored beside blur-faces: it would show the faces")
	}
	if o.Metadata == MetadataKeep {
		o.Metadata = MetadataCopyright
		w.add("metadata=keep is ignored beside blur-faces: metadata may show the faces")
	}
}
