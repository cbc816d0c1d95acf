package app

import (
	"fmt"
	"io"
	"path/filepath"

	"focal/inference/profile"
	"focal/models"
)

// profilesOf is where the measurements of a repository's models are kept:
// beside them, in a folder that the repository does not look into.
func profilesOf(r *models.Repository) (*profile.Store, error) {
	return profile.Open(filepath.Join(r.Dir(), ".profiles"))
}

// PrintProfiles writes what was measured of m, for each device and runtime that
// has used this repository. What cannot be read is returned as an error after
// the rest.
func PrintProfiles(out io.Writer, r *models.Repository, m models.Model) error {
	store, err := profilesOf(r)
	if err != nil {
		return err
	}
	profiles, damaged := store.All(m.File)
	if len(profiles) == 0 {
		fmt.Fprintln(out, "# not measured yet: that happens while it is used, and while the device is idle")
	}
	for _, p := range profiles {
		if err := p.Print(out); err != nil {
			return err
		}
	}
	return damaged
}
